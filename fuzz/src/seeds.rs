//! Good inputs: small files as PyTorch, labelling tools, picture encoders and warmstart itself write them.

use std::fs;
use std::io::{Cursor, Read, Write as _};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, ImageFormat, RgbImage};
use tempfile::TempDir;
use warmstart_data::FeatureCacheFolder;
use zip::read::ZipFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Inputs of one target.
pub type Seeds = Vec<Vec<u8>>;

/// Entries of a file of features, and the values of each.
pub const ENTRIES: usize = 3;
/// Values of an entry.
pub const VALUES: usize = 5;

/// Orientation 6 (a quarter turn) in the smallest EXIF there is (EXIF 2.32, section 4.6.4).
const EXIF: [u8; 26] = [
    b'I', b'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0,
];

macro_rules! fixtures {
    ($($name:literal),+) => {
        vec![$(include_bytes!(concat!("../../crates/weights/tests/fixtures/", $name)).to_vec()),+]
    };
}

pub fn zip_weights() -> Seeds {
    fixtures!(
        "zip.pth",
        "zip_protocol4.pth",
        "f16.pth",
        "bf16.pth",
        "nested.pth",
        "strided.pth",
        "module_prefix.pth"
    )
}

pub fn legacy_weights() -> Seeds {
    fixtures!(
        "legacy.pth",
        "f64_legacy.pth",
        "nested_legacy.pth",
        "strided_legacy.pth"
    )
}

pub fn safetensors() -> Seeds {
    fixtures!("f32.safetensors", "bf16.safetensors")
}

/// The pickles of PyTorch's files, whose storages [`zip_around`] has.
pub fn pickles() -> Seeds {
    let files = fixtures!(
        "zip.pth",
        "zip_protocol4.pth",
        "module_prefix.pth",
        "nested.pth"
    );
    files.iter().map(|file| pickle_of(file)).collect()
}

fn pickle_of(file: &[u8]) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(file)).expect("a fixture");
    let mut pickle = Vec::new();
    for number in 0..archive.len() {
        let mut entry = archive.by_index(number).expect("a fixture");
        if is_pickle(&entry) {
            entry.read_to_end(&mut pickle).expect("a fixture");
        }
    }
    pickle
}

fn is_pickle<R: Read>(entry: &ZipFile<R>) -> bool {
    entry
        .name()
        .expect("a name of letters")
        .ends_with("data.pkl")
}

/// A file of PyTorch with that pickle in the place of its own.
pub fn zip_around(pickle: &[u8]) -> Vec<u8> {
    let base = include_bytes!("../../crates/weights/tests/fixtures/nested.pth");
    let mut archive = ZipArchive::new(Cursor::new(&base[..])).expect("a fixture");
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for number in 0..archive.len() {
        let entry = archive.by_index_raw(number).expect("a fixture");
        if is_pickle(&entry) {
            let name = entry.name().expect("a name of letters").into_owned();
            zip.start_file(name, stored).expect("memory takes it");
            zip.write_all(pickle).expect("memory takes it");
        } else {
            zip.raw_copy_file(entry).expect("memory takes it");
        }
    }
    zip.finish().expect("memory takes it").into_inner()
}

fn image() -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| {
        image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y % 251) as u8])
    })
}

/// A PNG of 64 × 48 pixels.
pub fn png() -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(image()), ImageFormat::Png)
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("memory takes it");
    bytes.into_inner()
}

/// Every format and kind of pixel, with and without EXIF and a colour profile.
pub fn pictures() -> Seeds {
    let small = DynamicImage::ImageRgb8(image::imageops::thumbnail(&image(), 20, 12));
    let formats = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::Tiff,
    ];
    let mut seeds: Seeds = formats
        .iter()
        .map(|format| encoded(&small, *format))
        .collect();
    for image in [
        small.to_luma8().into(),
        small.to_rgba8().into(),
        small.to_luma16().into(),
        DynamicImage::from(small.to_rgba16()),
    ] {
        seeds.push(encoded(&image, ImageFormat::Png));
    }
    seeds.push(encoded(&small.to_luma16().into(), ImageFormat::Tiff));
    let mut bytes = [Vec::new(), Vec::new(), Vec::new()];
    let [jpeg, png, webp] = &mut bytes;
    with_metadata(JpegEncoder::new(jpeg), &small);
    with_metadata(PngEncoder::new(png), &small);
    with_metadata(WebPEncoder::new_lossless(webp), &small);
    seeds.extend(bytes);
    seeds
}

fn with_metadata(mut encoder: impl ImageEncoder, image: &DynamicImage) {
    encoder
        .set_exif_metadata(EXIF.to_vec())
        .expect("the format has EXIF");
    encoder
        .set_icc_profile(vec![7; 200])
        .expect("the format has colour profiles");
    let (width, height) = (image.width(), image.height());
    let written = encoder.write_image(image.as_bytes(), width, height, image.color().into());
    written.expect("memory takes it");
}

pub fn coco() -> Seeds {
    texts(&[
        r#"{"images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}, {"id": 2, "file_name": "b.png"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 30.5, 20], "area": 610, "iscrowd": 0},
{"id": 2, "image_id": 2, "category_id": 4, "bbox": [0, 0, 64, 48]}, {"id": 3, "image_id": 2, "category_id": 3, "bbox": [5, 5, 9, 9]}],
"categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}]}"#,
    ])
}

pub fn yolo_labels() -> Seeds {
    texts(&[
        "0 0.5 0.5 0.25 0.5\n1 0.1 0.2 0.1 0.1\n",
        "1 0.1 0.1 0.9 0.1 0.9 0.8 0.2 0.7\n0 .5 .5 1 1\n",
    ])
}

pub fn yolo_yaml() -> Seeds {
    texts(&[
        "path: .\ntrain: images\nnames:\n  0: cat\n  1: dog\n",
        "train: [images]\nval:\nnc: 2\nnames: [cat, \"dog\"]\nroboflow: {license: x, nested: [1, {a: b}]}\n",
    ])
}

pub fn voc() -> Seeds {
    texts(&[
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<annotation><filename>a.png</filename><size><width>64</width><height>48</height><depth>3</depth></size>\n\
         <object><name>cat</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>30</xmax><ymax>40.5</ymax></bndbox></object>\n\
         <object><name>d&amp;g</name><part><name>head</name></part><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>64</xmax><ymax>48</ymax></bndbox></object></annotation>\n",
    ])
}

/// Of the pictures a.png, b b.png, c.png and d.png in images/.
pub fn class_lists() -> Seeds {
    texts(&[
        "0;images/a.png\n0;images/b b.png\n1;images/c.png\n1;images/d.png\n",
        "1;C:\\data\\images\\a.png\r\n 0 ; /data/images/b b.png\r\n\r\n1;images/c.png\r\n0;./images/d.png",
    ])
}

/// Tables with the classes of four pictures.
pub fn class_tables() -> Seeds {
    texts(&[
        "path,label,split\na.png,cat,train\n\"b b.png\",cat,train\nc.png,dog,train\nd.png,dog,train\n",
        "\u{feff}id;File_Name;Class\r\n1;a.png;dog\r\n2;b b.png;dog\r\n3;c/c.png;cat\r\n4;/d.png;cat",
        "{\"image\": \"a.png\", \"label\": \"cat\"}\n{\"image\": \"b.png\", \"label\": \"cat\"}\n\n{\"image\": \"c.png\", \"label\": \"dog\"}\n{\"image\": \"d.png\", \"label\": \"dog\"}\n",
    ])
}

/// Archives of four pictures: with labels beside them, with folders of classes and a long name, and with PAX.
pub fn shards() -> Seeds {
    let of_samples = ["cat", "cat", "dog", "dog"]
        .iter()
        .zip(1..)
        .map(|(class, key)| {
            let picture = tar_member(&format!("{key}.png"), b'0', &png());
            let label = if key < 4 {
                tar_member(&format!("{key}.cls"), b'0', class.as_bytes())
            } else {
                tar_member("4.json", b'0', br#"{"label": "dog"}"#)
            };
            [picture, label].concat()
        });
    let of_folders = ["cat/1.png", "cat/2.png", "dog/1.png"];
    let of_folders = of_folders.iter().map(|name| tar_member(name, b'0', &png()));
    let long = format!("./dog/{}.png\0", "long".repeat(40));
    let gnu = [
        tar_member("././@LongLink", b'L', long.as_bytes()),
        tar_member("dog/long", b'0', &png()),
    ];
    let pax = [
        tar_member("PaxHeaders/x", b'x', b"18 path=dog/2.png\n"),
        tar_member("dog/short", b'0', &png()),
    ];
    let end = vec![0; 1024];
    let archive = |members: Vec<Vec<u8>>, last: &[Vec<u8>]| {
        let mut archive = members.concat();
        archive.extend(last.concat());
        archive.extend(&end);
        archive
    };
    vec![
        archive(of_samples.collect(), &[]),
        archive(of_folders.clone().collect(), &gnu),
        archive(of_folders.collect(), &pax),
    ]
}

/// A header of ustar and the content after it.
fn tar_member(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut member = vec![0; 512];
    member[..name.len()].copy_from_slice(name.as_bytes());
    member[100..107].copy_from_slice(b"0000644");
    member[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    member[156] = kind;
    member[257..265].copy_from_slice(b"ustar\x0000");
    add_tar_checksum(&mut member);
    member.extend(content);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// Writes the sum of a header of 512 bytes into it.
pub fn add_tar_checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// Of the pictures a.png and b b.png in images/.
pub fn box_lists() -> Seeds {
    texts(&[
        "images/a.png 1,2,30,40,0 5,6,60.5,40,1\nimages/b b.png 10,10,20,20,1\n",
        "C:\\data\\images\\a.png 0,0,64,48,1\r\n/data/images/b b.png 1,1,5,5,0\r\n",
    ])
}

pub fn labelme() -> Seeds {
    vec![labelme_of("a.png")]
}

/// Labels of the picture of that name.
pub fn labelme_of(picture: &str) -> Vec<u8> {
    r#"{"version": "5.4.1", "flags": {}, "shapes": [
{"label": "cat", "points": [[1, 2], [30, 40]], "group_id": null, "shape_type": "rectangle", "flags": {}},
{"label": "dog", "points": [[5, 5], [60, 5], [60.5, 30]], "shape_type": "polygon"},
{"label": "cat", "points": [[20, 20], [25, 20]], "shape_type": "circle"}],
"imagePath": "a.png", "imageData": null, "imageHeight": 48, "imageWidth": 64}"#
    .replace("a.png", picture)
    .into_bytes()
}

pub fn label_studio() -> Seeds {
    texts(&[
        r#"[{"id": 1, "data": {"image": "/data/upload/1/a.png"}, "annotations": [{"result": [
{"type": "rectanglelabels", "original_width": 64, "original_height": 48, "image_rotation": 0,
"value": {"x": 10, "y": 20.5, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}}]}]},
{"id": 2, "data": {"image": "/data/local-files/?d=b.png"}, "annotations": [{"result": [
{"type": "rectanglelabels", "original_width": 64, "original_height": 48,
"value": {"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": ["dog"]}}]}]}]"#,
    ])
}

pub fn feature_caches() -> Seeds {
    let folder = TempDir::new().expect("a temporary folder");
    let cache = FeatureCacheFolder::new(folder.path().to_owned(), 1 << 20);
    let opened = cache
        .open("key", "mobilenet_v2, 3 images", ENTRIES, VALUES, &[])
        .expect("a small file");
    for entry in 0..ENTRIES {
        opened
            .write(entry, &[entry as f32; VALUES])
            .expect("a small file");
    }
    vec![fs::read(opened.path()).expect("it was written")]
}

pub fn texts(texts: &[&str]) -> Seeds {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
