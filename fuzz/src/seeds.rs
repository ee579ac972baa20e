//! Good inputs: small files as PyTorch, labelling tools, picture encoders and warmstart itself write them.

use std::fs;
use std::io::{Cursor, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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

pub fn recipes() -> Seeds {
    texts(&[
        "data = \"pets\"\nmodel = \"mobilenet_v2\"\nweights = \"w.pth\"\nseed = 42\nmemory = \"6GiB\"\n\n[[phase]]\nname = \"freeze\"\nepochs = 8\ntrain = \"head\"\nbatch = \"auto\"\nlr = 3e-3\n\n\
         [[phase]]\nname = \"thaw\"\nepochs = 6\ntrain = \"all\"\nbatch = 16\nlr = 3e-4\nlayer_decay = 0.75\nwarmup = 0.1\n",
        "task = \"detect\"\ndata = \"street\"\nmodel = \"resnet18\"\nweights = \"none\"\ninit = \"kaiming\"\nimage_size = 320\n",
    ])
}

pub fn resolved_recipes() -> Seeds {
    vec![file_of_run("recipe.toml")]
}

pub fn states() -> Seeds {
    vec![file_of_run("checkpoints/epoch-0001/state.json")]
}

pub fn feature_caches() -> Seeds {
    let folder = TempDir::new().expect("a temporary folder");
    let cache = FeatureCacheFolder::new(folder.path().to_owned(), 1 << 20);
    let opened = cache
        .open("key", "mobilenet_v2, 3 images", ENTRIES, VALUES, None)
        .expect("a small file");
    for entry in 0..ENTRIES {
        opened
            .write(entry, &[entry as f32; VALUES])
            .expect("a small file");
    }
    vec![fs::read(opened.path()).expect("it was written")]
}

pub fn model_metadata() -> Seeds {
    vec![parts_of_model().0.clone()]
}

/// The model of a run with other metadata: the JSON under the key `warmstart`.
pub fn model_with(metadata: &[u8]) -> Vec<u8> {
    let (_, header, tensors) = parts_of_model();
    let mut header = header.clone();
    header["__metadata__"]["warmstart"] = String::from_utf8_lossy(metadata).into();
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(tensors);
    file
}

/// Metadata, header and tensors of a run's model.
fn parts_of_model() -> &'static (Vec<u8>, serde_json::Value, Vec<u8>) {
    static PARTS: OnceLock<(Vec<u8>, serde_json::Value, Vec<u8>)> = OnceLock::new();
    PARTS.get_or_init(|| {
        let file = file_of_run("best.safetensors");
        let (length, rest) = file.split_first_chunk::<8>().expect("a header");
        let (header, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header: serde_json::Value = serde_json::from_slice(header).expect("a header in JSON");
        let metadata = header["__metadata__"]["warmstart"]
            .as_str()
            .expect("metadata");
        (
            metadata.as_bytes().to_vec(),
            header.clone(),
            tensors.to_vec(),
        )
    })
}

fn texts(texts: &[&str]) -> Seeds {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A file of a small run that the program beside this one makes, once a process.
fn file_of_run(name: &str) -> Vec<u8> {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(small_run);
    fs::read(folder.path().join("run").join(name)).expect("a file of the run")
}

fn small_run() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().join("data");
    for name in [
        "train/cat/a",
        "train/cat/b",
        "train/dog/c",
        "train/dog/d",
        "val/cat/e",
        "val/dog/f",
    ] {
        let path = data.join(name).with_extension("png");
        fs::create_dir_all(path.parent().expect("a class folder")).expect("a folder");
        fs::write(path, png()).expect("a picture");
    }
    let out = folder.path().join("run");
    let options = [
        "--model",
        "mobilenet_v2",
        "--weights",
        "none",
        "--image-size",
        "32",
        "--epochs",
        "1",
        "--batch",
        "2",
    ];
    let made = Command::new(program())
        .arg("train")
        .args([
            "--data".as_ref(),
            data.as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
        ])
        .args(options)
        .output();
    let made = made.expect("warmstart is built: cargo build --release");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    folder
}

/// The program, which is built beside this one or, for `cargo fuzz`, in the workspace's own folder.
fn program() -> PathBuf {
    let this = std::env::current_exe().expect("this program finds itself");
    let beside = this.ancestors().map(|folder| folder.join("warmstart"));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/warmstart");
    beside
        .chain([workspace])
        .find(|path| path.is_file())
        .expect("warmstart is built: cargo build --release")
}
