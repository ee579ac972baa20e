//! From 8-bit RGB to a file.

use crate::error::DataError;
use crate::rgb_image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use std::io::{self, Write as _};
use std::path::Path;

/// Of 100.
const JPEG_QUALITY: u8 = 92;

/// Writes a picture as JPEG (of quality 92) or PNG, as its path ends in `.jpg`, `.jpeg` or `.png`.
/// It is there whole or not at all, and what was there before stays if it cannot be written.
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

fn encoded(path: &Path, image: &RgbImage) -> io::Result<Vec<u8>> {
    let size = u32::try_from(image.width)
        .ok()
        .zip(u32::try_from(image.height).ok());
    let Some((width, height)) = size.filter(|&(width, height)| width > 0 && height > 0) else {
        let problem = format!("a picture of {} x {} pixels", image.width, image.height);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    };
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let mut bytes = Vec::new();
    let (pixels, color) = (&image.pixels, ExtendedColorType::Rgb8);
    match extension.to_str() {
        Some("jpg" | "jpeg") => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .write_image(pixels, width, height, color),
        Some("png") => PngEncoder::new(&mut bytes).write_image(pixels, width, height, color),
        _ => {
            let problem = "its name must end in .jpg, .jpeg or .png";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
    }
    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(bytes)
}
