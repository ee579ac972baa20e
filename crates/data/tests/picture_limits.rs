//! One picture has one limit: small files take little memory and time whatever they claim, and the header
//! and the decoder agree about every file.

#[allow(dead_code, reason = "each test file uses its share")]
mod common;

use common::fixture;
use image::codecs::gif::GifEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::tiff::TiffEncoder;
use image::{ExtendedColorType, Frame, ImageEncoder, Rgba, RgbaImage};
use proptest::prelude::*;
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use warmstart_data::scenes::picture_size;
use warmstart_data::{RgbImage, decode, decode_bytes, picture_header};

/// Most memory that the process has held, where the system reports it.
fn peak_kibibytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches("kB").trim().parse().ok()
}

static MEASURING: Mutex<()> = Mutex::new(());

/// A fixture, or a picture that is made here.
fn bytes_of(name: &str) -> Vec<u8> {
    match name {
        "made.tiff" => tiff(&colours(13, 9), (13, 9), ExtendedColorType::Rgb8),
        "made.gif" => gif(&[[255, 0, 0, 255], [0, 255, 0, 255]]),
        _ => fixture_bytes(name),
    }
}

fn fixture_bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("images/{name}"))).expect(name)
}

/// Returns what both readers make of a file: the size by its header, and the picture. Neither takes a gibibyte, nor
/// five seconds.
fn both(bytes: &[u8]) -> (Result<(usize, usize), String>, Result<RgbImage, String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.jpg");
    std::fs::write(&path, bytes).unwrap();
    // What is measured is the process's.
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    let size = picture_size(&path).map_err(|error| error.to_string());
    let image = decode(&path).map_err(|error| error.to_string());
    assert!(started.elapsed() < Duration::from_secs(5));
    if let Some(kibibytes) = peak_kibibytes() {
        assert!(kibibytes < 1 << 20, "{kibibytes} KiB");
    }
    (size, image)
}

/// A picture whose colours differ everywhere.
fn colours(width: u32, height: u32) -> Vec<u8> {
    let pixel = |at: u32| [(at * 7) as u8, (at / 3) as u8, (at * at) as u8];
    (0..width * height).flat_map(pixel).collect()
}

/// A TIFF of those samples.
fn tiff(samples: &[u8], (width, height): (u32, u32), color: ExtendedColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    TiffEncoder::new(Cursor::new(&mut bytes))
        .write_image(samples, width, height, color)
        .unwrap();
    bytes
}

/// A GIF of 7 × 5 pixels with frames of one colour each.
fn gif(frames: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for color in frames {
        let frame = Frame::new(RgbaImage::from_pixel(7, 5, Rgba(*color)));
        encoder.encode_frame(frame).unwrap();
    }
    drop(encoder);
    bytes
}

/// A RIFF file of those chunks, each of a name, a size and what is there of it.
fn webp(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
    let mut inside = b"WEBP".to_vec();
    for (name, size, data) in chunks {
        inside.extend_from_slice(*name);
        inside.extend_from_slice(&size.to_le_bytes());
        inside.extend_from_slice(data);
        inside.resize(inside.len().next_multiple_of(2), 0);
    }
    [b"RIFF", &(inside.len() as u32).to_le_bytes()[..], &inside].concat()
}

/// Flags, and a canvas of that many pixels, of an extended WebP.
fn canvas(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let [width, height] = [width, height].map(|side| (side - 1).to_le_bytes());
    [&[flags, 0, 0, 0], &width[..3], &height[..3]].concat()
}

/// The only chunk of a simple WebP.
fn frame_of(name: &str) -> Vec<u8> {
    bytes_of(name)[20..].to_vec()
}

#[test]
fn exif_data_that_claim_more_than_the_file_are_no_orientation() {
    let whole = decode_bytes(&bytes_of("lossy.webp")).unwrap();
    let (width, height) = (whole.width as u32, whole.height as u32);
    let (frame, exif) = (frame_of("lossy.webp"), 0x08);
    let claims = webp(&[
        (b"VP8X", 10, &canvas(exif, width, height)),
        (b"VP8 ", frame.len() as u32, &frame),
        (b"EXIF", u32::MAX - 1, b"II*\0"),
    ]);
    let (size, image) = both(&claims);
    assert_eq!(size.unwrap(), (whole.width, whole.height));
    assert_eq!(image.unwrap(), whole);
}

#[test]
fn a_webp_is_refused_for_its_canvas_or_a_frame_before_memory_is_taken() {
    let frame = frame_of("lossy.webp");
    let still = webp(&[
        (b"VP8X", 10, &canvas(0, 3072, 16_384)),
        (b"VP8 ", frame.len() as u32, &frame),
    ]);
    let (size, image) = both(&still);
    let words = "reading its 3072×16384 pixels takes 4";
    assert!(size.unwrap_err().contains(words));
    assert!(image.unwrap_err().contains(words));

    let thin = webp(&[
        (b"VP8X", 10, &canvas(0, 24, 7_340_056)),
        (b"VP8 ", frame.len() as u32, &frame),
    ]);
    let (size, image) = both(&thin);
    let words = "24×7340056 is above the limit of 100000 pixels a side";
    assert!(size.unwrap_err().contains(words));
    assert!(image.unwrap_err().contains(words));

    let mut large = frame.clone();
    large[6..10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let inside = [
        &[0; 16][..],
        b"VP8 ",
        &(large.len() as u32).to_le_bytes(),
        &large,
    ]
    .concat();
    let animated = webp(&[
        (b"VP8X", 10, &canvas(0x02, 64, 64)),
        (b"ANIM", 6, &[0; 6]),
        (b"ANMF", inside.len() as u32, &inside),
    ]);
    let (size, image) = both(&animated);
    assert!(size.unwrap_err().contains("pixels takes"));
    assert!(image.unwrap_err().contains("pixels takes"));
}

#[test]
fn a_profile_that_inflates_without_end_is_left_alone() {
    let picture = decode_bytes(&bytes_of("rgb.png")).unwrap();
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(vec![0; 100 << 20]).unwrap();
    let (width, height) = (picture.width as u32, picture.height as u32);
    encoder
        .write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8)
        .unwrap();
    assert!(bytes.len() < 1_000_000);
    let (size, image) = both(&bytes);
    assert_eq!(size.unwrap(), (picture.width, picture.height));
    assert_eq!(image.unwrap(), picture);
}

#[test]
fn a_small_file_of_many_pixels_is_refused_with_what_they_take() {
    let side = 10_500;
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(
            &vec![0; side * side],
            side as u32,
            side as u32,
            ExtendedColorType::L8,
        )
        .unwrap();
    let (size, image) = both(&bytes);
    let words = "reading its 10500×10500 pixels takes 4";
    assert!(size.unwrap_err().contains(words));
    let refusal = image.unwrap_err();
    assert!(
        refusal.contains(words) && refusal.contains(" kB may take"),
        "{refusal}"
    );
}

/// A progressive JPEG of one component whose AC scans refine nothing, for want of data.
fn scans(width: u16, height: u16, scans: usize) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8];
    let mut segment = |marker: u8, data: &[u8]| {
        bytes.extend([0xff, marker]);
        bytes.extend((data.len() as u16 + 2).to_be_bytes());
        bytes.extend(data);
    };
    segment(0xdb, &[&[0][..], &[1; 64]].concat());
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    segment(0xc2, &[&[8], &size[..], &[1, 1, 0x11, 0]].concat());
    for class in [0x00, 0x10] {
        // One code, of one bit: a difference of no bits, or the end of a block.
        let lengths = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        segment(0xc4, &[&[class], &lengths[..], &[0]].concat());
    }
    segment(0xda, &[1, 1, 0, 0, 0, 0x01]);
    segment(0xda, &[1, 1, 0, 1, 63, 0x01]);
    for _ in 2..scans {
        segment(0xda, &[1, 1, 0, 1, 63, 0x10]);
    }
    bytes.extend([0xff, 0xd9]);
    bytes
}

#[test]
fn a_jpeg_of_thousands_of_scans_is_refused_and_one_at_the_limit_ends_soon() {
    let (size, image) = both(&scans(512, 512, 101));
    assert_eq!(size.unwrap(), (512, 512));
    assert!(image.unwrap_err().contains("has 101 scans; at most 100"));
    // Each scan of the largest small file goes through all of it.
    let (_, image) = both(&scans(7000, 7000, 40));
    assert!(image.is_ok(), "{:?}", image.unwrap_err());
    let (_, image) = both(&scans(7000, 7000, 41));
    assert!(
        image
            .unwrap_err()
            .contains("at most 40 are read at its size")
    );
}

#[test]
fn exif_data_after_the_first_scan_turn_nothing() {
    // An orientation of 6 before the end marker, where the decoder finds it when it has the pixels.
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let segment = [
        &[0xff, 0xe1][..],
        &(exif.len() as u16 + 2).to_be_bytes(),
        exif,
    ]
    .concat();
    for name in ["420_q95.jpg", "progressive.jpg", "grey.jpg"] {
        let bytes = bytes_of(name);
        let plain = decode_bytes(&bytes).unwrap();
        let late = [&bytes[..bytes.len() - 2], &segment, &[0xff, 0xd9]].concat();
        let (size, image) = both(&late);
        assert_eq!(size.unwrap(), (plain.width, plain.height), "{name}");
        assert_eq!(image.unwrap(), plain, "{name}");
        // At the start it counts.
        let early = [&bytes[..2], &segment, &bytes[2..]].concat();
        let (size, image) = both(&early);
        assert_eq!(size.unwrap(), (plain.height, plain.width), "{name}");
        assert_eq!(image.unwrap().width, plain.height, "{name}");
    }
}

#[test]
fn a_header_gives_the_stored_size_and_the_orientation() {
    for orientation in 1..=8 {
        let path = fixture(&format!("images/turned_{orientation}.jpg"));
        let header = picture_header(&path).unwrap();
        let image = decode(&path).unwrap();
        assert_eq!(header.upright(), (image.width, image.height));
        assert_eq!(header.orientation.to_exif(), orientation);
        let (width, height) = header.stored;
        let turned = if orientation > 4 {
            (height, width)
        } else {
            (width, height)
        };
        assert_eq!(header.upright(), turned);
    }
}

#[test]
fn tiff_of_many_kinds_is_read() {
    let rgb = colours(13, 9);
    let encoded = |values: &[u8], color| tiff(values, (13, 9), color);
    let grey: Vec<u8> = rgb.iter().step_by(3).copied().collect();
    let of_grey: Vec<u8> = grey.iter().flat_map(|value| [*value; 3]).collect();
    let wide = |values: &[u8]| -> Vec<u8> {
        let value = |value: &u8| (u16::from(*value) << 8 | 0x7f).to_ne_bytes();
        values.iter().flat_map(value).collect()
    };
    let opaque: Vec<u8> = rgb
        .as_chunks::<3>()
        .0
        .iter()
        .flat_map(|[red, green, blue]| [*red, *green, *blue, 255])
        .collect();
    let float = |values: &[u8]| -> Vec<u8> {
        let value = |value: &u8| (f32::from(*value) / 255.0).to_ne_bytes();
        values.iter().flat_map(value).collect()
    };
    for (bytes, pixels) in [
        (encoded(&rgb, ExtendedColorType::Rgb8), &rgb),
        (encoded(&opaque, ExtendedColorType::Rgba8), &rgb),
        (encoded(&grey, ExtendedColorType::L8), &of_grey),
        (encoded(&wide(&rgb), ExtendedColorType::Rgb16), &rgb),
        (encoded(&wide(&grey), ExtendedColorType::L16), &of_grey),
        (encoded(&float(&rgb), ExtendedColorType::Rgb32F), &rgb),
    ] {
        let (size, image) = both(&bytes);
        assert_eq!(size.unwrap(), (13, 9));
        assert_eq!(image.unwrap().pixels, *pixels);
    }
}

#[test]
fn the_first_frame_of_a_gif_is_read_on_white() {
    let (size, image) = both(&bytes_of("made.gif"));
    assert_eq!(size.unwrap(), (7, 5));
    assert_eq!(image.unwrap().pixels, [255, 0, 0].repeat(35));
    assert_eq!(both(&gif(&[[9, 9, 9, 0]])).1.unwrap().pixels, [255; 105]);
}

#[test]
fn a_tiff_or_gif_that_claims_more_than_it_has_is_refused_at_once() {
    let mut bytes = bytes_of("made.tiff");
    for tag in [0, 1] {
        let entry = [tag, 1, 4, 0, 1, 0, 0, 0];
        let at = bytes.windows(8).position(|field| field == entry);
        let at = at.expect("a width and a height") + 8;
        bytes[at..at + 4].copy_from_slice(&9_000u32.to_le_bytes());
    }
    let (size, image) = both(&bytes);
    let words = "reading its 9000×9000 pixels takes 7";
    assert!(size.unwrap_err().contains(words));
    assert!(image.unwrap_err().contains(words));

    let mut bytes = bytes_of("made.gif");
    // A frame of 65535 × 65535 on a screen of 7 × 5.
    let at = bytes.iter().position(|byte| *byte == b',').unwrap() + 5;
    bytes[at..at + 4].copy_from_slice(&[0xff; 4]);
    assert!(both(&bytes).1.is_err());
    // And a screen as large.
    bytes[6..10].copy_from_slice(&[0xff; 4]);
    let words = "65535×65535 is above the limit";
    let (size, image) = both(&bytes);
    assert!(size.unwrap_err().contains(words));
    assert!(image.unwrap_err().contains(words));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.jpg");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let device = folder.path().join("device.jpg");
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    let nothing = folder.path().join("sparse.jpg");
    let file = std::fs::File::create(&nothing).unwrap();
    file.set_len(100 << 30).unwrap();
    let long = folder.path().join("long.jpg");
    std::fs::write(&long, [0xff, 0xd8, 0xff, 0xe0]).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&long).unwrap();
    file.set_len(100 << 30).unwrap();
    let started = Instant::now();
    for (path, reason) in [
        (&pipe, "it is a pipe, not a file"),
        (&device, "it is a device, not a file"),
        (&nothing, "it is none of JPEG"),
        (&long, "more than the limit of 1342177280"),
    ] {
        let refusal = decode(path).unwrap_err().to_string();
        assert!(
            refusal.contains(reason) && refusal.contains(path.to_str().unwrap()),
            "{refusal}"
        );
        assert!(picture_size(path).is_err(), "{}", path.display());
    }
    assert!(started.elapsed() < Duration::from_secs(2));
}

proptest! {
    /// A damaged file has one size for both readers, or none for the decoder.
    #[test]
    fn the_header_and_the_decoder_agree_about_damaged_files(
        name in prop::sample::select(vec![
            "turned_6.jpg", "turned_8.jpg", "progressive.jpg", "cmyk.jpg", "turned_6.png",
            "palette.png", "rgb.bmp", "lossless.webp", "lossy.webp", "alpha.webp",
            "made.tiff", "made.gif",
        ]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        header_only in any::<bool>(),
    ) {
        let mut bytes = bytes_of(name);
        let reach = if header_only { 300.min(bytes.len()) } else { bytes.len() };
        for (index, value) in damage {
            bytes[index.index(reach)] = value;
        }
        if let (size, Ok(image)) = both(&bytes) {
            prop_assert_eq!(size, Ok((image.width, image.height)));
        }
    }
}
