//! Pictures come out as Pillow decodes them, and a damaged file is an error.

mod common;

use common::{distance, fixture, golden};
use proptest::prelude::*;
use warmstart_data::scenes::picture_size;
use warmstart_data::{DataError, RgbImage, decode, decode_bytes, is_square};

fn decoded(name: &str) -> RgbImage {
    decode(&fixture(&format!("images/{name}"))).expect(name)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("images/{name}"))).expect(name)
}

#[test]
fn a_header_shows_whether_a_picture_is_square() {
    let mut found = [0, 0];
    for file in std::fs::read_dir(fixture("images")).unwrap() {
        let path = file.unwrap().path();
        if let Ok(image) = decode(&path) {
            let square = image.width == image.height;
            assert_eq!(is_square(&path), square, "{}", path.display());
            found[usize::from(square)] += 1;
        }
    }
    assert!(found.iter().all(|&found| found > 0), "{found:?}");
    assert!(!is_square(&fixture("images/not-there.png")));
}

#[test]
fn lossless_formats_equal_pillow_exactly() {
    for name in [
        "rgb.png",
        "tiny.png",
        "one.png",
        "grey.png",
        "grey_alpha.png",
        "rgba.png",
        "palette.png",
        "palette_transparent.png",
        "rgb_transparent.png",
        "1bit.png",
        "grey2.png",
        "grey4.png",
        "rgb16.png",
        "grey16.png",
        "grey_alpha16.png",
        "turned_6.png",
        "rgb.bmp",
        "grey.bmp",
        "palette.bmp",
        "1bit.bmp",
        "lossless.webp",
        "alpha.webp",
    ] {
        assert_eq!(
            distance(&decoded(name), &golden(&format!("decoded/{name}"))).0,
            0,
            "{name}"
        );
    }
}

/// The bounds are the measured distances of docs/preprocessing.md, rounded up: without chroma
/// subsampling the decoders differ in rare roundings of the inverse DCT, with it also in how chroma
/// is rounded between pixels.
#[test]
fn lossy_formats_equal_pillow_within_a_few_levels() {
    for (name, max, mean) in [
        ("444_q95.jpg", 2, 0.02),
        ("444_q75.jpg", 2, 0.02),
        ("422_q90.jpg", 3, 0.2),
        ("420_q95.jpg", 4, 0.4),
        ("420_q75.jpg", 4, 0.4),
        ("progressive.jpg", 4, 0.4),
        ("restart.jpg", 4, 0.4),
        ("grey.jpg", 1, 0.01),
        ("rgb_colours.jpg", 1, 0.01),
        ("cmyk.jpg", 1, 0.01),
        ("cmyk_undeclared.jpg", 1, 0.01),
        ("ycck.jpg", 2, 0.02),
        ("lossy.webp", 0, 0.0),
    ] {
        let (found_max, found_mean) = distance(&decoded(name), &golden(&format!("decoded/{name}")));
        assert!(
            found_max <= max && found_mean <= mean,
            "{name}: max {found_max}, mean {found_mean}"
        );
    }
}

#[test]
fn exif_orientation_is_applied() {
    for orientation in 1..=8 {
        let name = format!("turned_{orientation}.jpg");
        let (image, upright) = (decoded(&name), golden(&format!("decoded/{name}")));
        let (max, _) = distance(&image, &upright);
        assert!(max <= 2, "{name}: max {max}");
    }
}

#[test]
fn the_content_decides_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really-a-png.jpg");
    std::fs::copy(fixture("images/rgb.png"), &path).unwrap();
    assert_eq!(decode(&path).unwrap(), decoded("rgb.png"));
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    for name in [
        "420_q95.jpg",
        "progressive.jpg",
        "restart.jpg",
        "grey.jpg",
        "rgb.png",
        "palette.png",
        "rgb.bmp",
        "1bit.bmp",
        "lossless.webp",
        "lossy.webp",
    ] {
        let bytes = bytes_of(name);
        for length in [
            0,
            1,
            10,
            bytes.len() / 3,
            bytes.len() / 2,
            bytes.len() * 9 / 10,
        ] {
            assert!(
                decode_bytes(&bytes[..length]).is_err(),
                "{name} cut to {length}"
            );
        }
    }
    let bytes = bytes_of("420_q95.jpg");
    let reason = decode_bytes(&bytes[..bytes.len() - 2]).unwrap_err();
    assert_eq!(reason, "the JPEG is cut short (no end marker)");
}

#[test]
fn stray_bytes_that_pillow_accepts_are_accepted() {
    let bytes = bytes_of("420_q95.jpg");
    let trailing = [&bytes[..], b"made by a camera"].concat();
    assert_eq!(decode_bytes(&trailing).unwrap(), decoded("420_q95.jpg"));
    let scan = bytes
        .windows(2)
        .position(|pair| pair == [0xff, 0xda])
        .unwrap();
    let between = [&bytes[..scan], &[0, 0, 0], &bytes[scan..]].concat();
    assert_eq!(decode_bytes(&between).unwrap(), decoded("420_q95.jpg"));
}

#[test]
fn absurd_sizes_are_refused_before_memory_is_taken() {
    // 60000 × 60000, written into the headers of small files.
    let mut png = bytes_of("rgb.png");
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let mut jpeg = bytes_of("444_q95.jpg");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    for bytes in [png, jpeg] {
        let reason = decode_bytes(&bytes).unwrap_err();
        assert_eq!(reason, "60000×60000 is above the limit of 200 megapixels");
    }
}

/// The checksum of PNG (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn errors_name_the_file_the_reason_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cat.jpg");
    for (content, reason) in [
        (&b""[..], "the file is empty"),
        (
            b"<html>not found</html>",
            "it is none of JPEG, PNG, WebP, BMP, GIF and TIFF",
        ),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0",
            "it is HEIC, which is not supported",
        ),
        (
            b"\0\0\0\x1cftypmif1\0\0\0\0",
            "it is HEIC, which is not supported",
        ),
        (
            b"\0\0\0\x1cftypavif\0\0\0\0",
            "it is AVIF, which is not supported",
        ),
        (
            b"\0\0\0\x1cftypisom\0\0\0\0",
            "it is a video, which is not supported",
        ),
    ] {
        std::fs::write(&path, content).unwrap();
        let expected = format!(
            "cannot decode {}: {reason}; remove the file or save it as JPEG or PNG",
            path.display()
        );
        assert_eq!(decode(&path).unwrap_err().to_string(), expected);
        assert_eq!(picture_size(&path).unwrap_err().to_string(), expected);
    }
    let missing = decode(&folder.path().join("none.jpg"));
    assert!(matches!(missing, Err(DataError::Read { .. })));
}

proptest! {
    /// Damage gives a picture of the size it claims or an error, never a panic or an endless loop.
    #[test]
    fn damaged_bytes_never_panic(
        name in prop::sample::select(vec![
            "420_q95.jpg", "progressive.jpg", "restart.jpg", "cmyk.jpg", "grey.jpg", "palette.png",
            "rgba.png", "grey16.png", "rgb.bmp", "1bit.bmp", "lossless.webp", "lossy.webp",
            "turned_6.jpg", "turned_6.png",
        ]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        header_only in any::<bool>(),
    ) {
        let mut bytes = bytes_of(name);
        let reach = if header_only { 200.min(bytes.len()) } else { bytes.len() };
        for (index, value) in damage {
            bytes[index.index(reach)] = value;
        }
        if let Ok(image) = decode_bytes(&bytes) {
            prop_assert_eq!(image.pixels.len(), image.width * image.height * 3);
        }
    }
}
