//! From 8-bit RGB to a file.

use crate::error::DataError;
use crate::rgb_image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use warmstart_language::message;

/// Of 100.
const JPEG_QUALITY: u8 = 92;
/// A comment segment (ITU-T T.81, section B.2.4.5), by which a JPEG of this program is known.
const COMMENT: &[u8] = b"\xff\xfe\0\x16written by warmstart";

/// Writes a picture as JPEG (of quality 92) or PNG, as its path ends in `.jpg`, `.jpeg` or `.png`.
/// It is there whole or not at all, and what was there before stays if it cannot be written. A JPEG has a
/// comment by which [`is_saved_picture`] knows it.
///
/// # Errors
/// [`DataError::Write`], which names the file, if the path ends in something else, if the picture
/// has no pixels or more in a row or column than the format knows, or with what the operating
/// system said.
pub fn save_picture(path: &Path, image: &RgbImage) -> Result<(), DataError> {
    let bytes = encoded(path, image).map_err(|source| DataError::write(path, source))?;
    // A picture can be drawn again, and a flush takes longer than drawing it.
    warmstart_files::replace_unflushed(path, |file| file.write_all(&bytes))
        .map_err(|source| DataError::write(path, source))
}

/// A picture as the bytes of a JPEG of a quality from 1 to 100.
///
/// # Panics
/// If it has no pixels, or more than 65,535 in a row or column.
pub fn jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size =
        [image.width, image.height].map(|side| u32::try_from(side).expect("a small picture"));
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(&image.pixels, size[0], size[1], ExtendedColorType::Rgb8)
        .expect("the pixels fit the size");
    bytes
}

fn encoded(path: &Path, image: &RgbImage) -> io::Result<Vec<u8>> {
    let size = u32::try_from(image.width)
        .ok()
        .zip(u32::try_from(image.height).ok());
    let Some((width, height)) = size.filter(|&(width, height)| width > 0 && height > 0) else {
        let problem = message!("a picture of {} x {} pixels", image.width, image.height);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    };
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let mut bytes = Vec::new();
    let (pixels, color) = (&image.pixels, ExtendedColorType::Rgb8);
    match extension.to_str() {
        Some("jpg" | "jpeg") => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .write_image(pixels, width, height, color)
            .map(|()| {
                if let Some(place) = comment_place(&bytes) {
                    bytes.splice(place..place, COMMENT.iter().copied());
                }
            }),
        Some("png") => PngEncoder::new(&mut bytes).write_image(pixels, width, height, color),
        _ => {
            let problem = message!("its name must end in .jpg, .jpeg or .png");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
    }
    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(bytes)
}

/// Returns whether a file is a JPEG that [`save_picture`] wrote, as its comment says.
pub fn is_saved_picture(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = warmstart_files::open(path)
        .and_then(|file| file.take(LONGEST_START).read_to_end(&mut start));
    read.is_ok() && comment_place(&start).is_some_and(|place| start[place..].starts_with(COMMENT))
}

/// Bytes of a JPEG that are enough to find the comment.
const LONGEST_START: u64 = 1 << 10;

/// The place of the comment: after the JFIF segment, which comes first (ITU-T T.871, section 10.1). `None` if the
/// bytes begin otherwise.
fn comment_place(bytes: &[u8]) -> Option<usize> {
    let [0xff, 0xd8, 0xff, 0xe0, high, low, ..] = *bytes else {
        return None;
    };
    let place = 4 + usize::from(u16::from_be_bytes([high, low]));
    (place <= bytes.len()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_ours_is_known_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let image = RgbImage {
            width: 3,
            height: 2,
            pixels: vec![9; 18],
        };
        let path = dir.path().join("ours.jpg");
        save_picture(&path, &image).unwrap();
        assert!(is_saved_picture(&path));
        let decoded = crate::decode(&path).unwrap();
        assert_eq!((decoded.width, decoded.height), (3, 2));

        let mut bytes = std::fs::read(&path).unwrap();
        let place = comment_place(&bytes).unwrap();
        bytes.drain(place..place + COMMENT.len());
        let other = dir.path().join("other.jpg");
        for content in [&bytes[..], b"", b"text", &bytes[..4]] {
            std::fs::write(&other, content).unwrap();
            assert!(!is_saved_picture(&other));
        }
        assert!(!is_saved_picture(&dir.path().join("none.jpg")));
        assert!(!is_saved_picture(dir.path()));
    }
}
