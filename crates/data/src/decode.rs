//! From a file's bytes to 8-bit RGB.
//!
//! The format is found by the content, never by the name. Colours are Pillow's: grey becomes three
//! equal channels, and 16 bits keep the high 8. Two things differ from torchvision's loader, so that
//! a network sees what a person sees: the EXIF orientation is applied, and transparent pictures are
//! laid on white, where `convert("RGB")` would show the colours hidden under the transparency.

use crate::error::DataError;
use crate::needed::Needed;
use crate::picture_file::open_picture;
use crate::picture_header::{self, Format, PANICKED, jpeg_decoder, reason};
use crate::picture_limits::{MAX_BYTES, require_scans};
use crate::rgb_image::{DecodedPicture, RgbImage};
use crate::scaled_jpeg::{Colors, scaled_jpeg};
use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat};
use std::io::{self, Cursor, Read as _};
use std::panic::catch_unwind;
use std::path::Path;
use warmstart_language::{message, translated};
use zune_jpeg::zune_core::bytestream::ZCursor;

/// Reads and decodes a JPEG, PNG, BMP or TIFF file, or the first frame of a WebP or GIF.
///
/// # Errors
/// If the file cannot be read, is not a regular file, is of another kind, is cut short or damaged, or the
/// picture is above the limits of `docs/preprocessing.md`.
pub fn decode(path: &Path) -> Result<RgbImage, DataError> {
    decode_for(path, Needed::All).map(|picture| picture.image)
}

/// [`decode`], at a fraction of its size where the file is a JPEG that has more pixels than are needed.
pub(crate) fn decode_for(path: &Path, needed: Needed) -> Result<DecodedPicture, DataError> {
    let damaged = |reason| DataError::Decode {
        path: path.to_path_buf(),
        reason,
    };
    let bytes = match read(path).map_err(|source| DataError::read(path, source))? {
        Ok(bytes) => bytes,
        Err(reason) => return Err(damaged(reason)),
    };
    decode_bytes_for(&bytes, needed).map_err(damaged)
}

/// A file's bytes, or the reason why it is not a picture, for which its start is enough.
fn read(path: &Path) -> io::Result<Result<Vec<u8>, String>> {
    let mut file = open_picture(path)?;
    let mut bytes = picture_header::start(&mut file)?;
    if let Err(reason) = Format::of(&bytes) {
        return Ok(Err(reason));
    }
    let size = file.size();
    if size <= MAX_BYTES {
        bytes.reserve_exact((size as usize).saturating_sub(bytes.len()));
        // The file may grow while it is read.
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    }
    Ok(if size.max(bytes.len() as u64) <= MAX_BYTES {
        Ok(bytes)
    } else {
        Err(message!(
            "it has {size} bytes, more than the limit of {limit}",
            limit = MAX_BYTES
        ))
    })
}

/// [`decode`] for bytes in memory; the error is the reason alone.
pub fn decode_bytes(bytes: &[u8]) -> Result<RgbImage, String> {
    decode_bytes_for(bytes, Needed::All).map(|picture| picture.image)
}

/// [`decode_for`] for bytes in memory; the error is the reason alone.
pub(crate) fn decode_bytes_for(bytes: &[u8], needed: Needed) -> Result<DecodedPicture, String> {
    // The decoders are other people's: a damaged file that trips one must not end a long run.
    catch_unwind(|| {
        let start = &bytes[..bytes.len().min(picture_header::START as usize)];
        match Format::of(start)? {
            Format::Jpeg => decode_jpeg(bytes, needed),
            Format::Other(format) => decode_other(bytes, format).map(DecodedPicture::from),
        }
    })
    .unwrap_or_else(|_| Err(translated(PANICKED).into()))
}

fn decode_jpeg(bytes: &[u8], needed: Needed) -> Result<DecodedPicture, String> {
    let scans =
        jpeg_scans(bytes).ok_or_else(|| message!("the JPEG is cut short (no end marker)"))?;
    let mut decoder = jpeg_decoder(ZCursor::new(bytes));
    let header = picture_header::jpeg(&mut decoder, scans, bytes.len() as u64)?;
    let (width, height) = header.stored;
    require_scans(scans, (width * height) as u64)?;
    let divisor = needed.divisor(width, height);
    let image = if divisor > 1
        && let Some(info) = decoder.info()
        && let Some(colors) = Colors::of(info.components, decoder.input_colorspace())
        && let Some(image) = scaled_jpeg(bytes, header.stored, colors, divisor)
    {
        image
    } else {
        RgbImage {
            width,
            height,
            pixels: decoder.decode().map_err(reason)?,
        }
    };
    Ok(DecodedPicture {
        image: turned(image, header.orientation)?,
        size: header.upright(),
    })
}

/// Number of scans of a JPEG whose segments lead to its end marker (ITU-T T.81, annex B), or `None` if
/// they do not.
///
/// A decoder would fill what is missing with grey.
fn jpeg_scans(bytes: &[u8]) -> Option<u64> {
    let mut scans = 0;
    let mut at = 2;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)? + 1;
        match *bytes.get(at)? {
            0xd9 => return Some(scans),
            // Fill byte: the marker is still to come.
            0xff => {}
            // A stuffed zero, a restart or another marker that stands alone.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
            marker => {
                scans += u64::from(marker == 0xda);
                let length = bytes.get(at + 1..at + 3)?;
                at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
}

fn decode_other(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, String> {
    let (header, decoder) = picture_header::other(Cursor::new(bytes), format, bytes.len() as u64)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(reason)?;
    let pixels = match decoded {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLuma8(image) => channels::<1, _>(image.as_raw(), |v| *v),
        DynamicImage::ImageLumaA8(image) => channels::<2, _>(image.as_raw(), |v| *v),
        DynamicImage::ImageRgba8(image) => channels::<4, _>(image.as_raw(), |v| *v),
        DynamicImage::ImageLuma16(image) => channels::<1, _>(image.as_raw(), high_byte),
        DynamicImage::ImageLumaA16(image) => channels::<2, _>(image.as_raw(), high_byte),
        DynamicImage::ImageRgb16(image) => channels::<3, _>(image.as_raw(), high_byte),
        DynamicImage::ImageRgba16(image) => channels::<4, _>(image.as_raw(), high_byte),
        other => other.to_rgb8().into_raw(),
    };
    let (width, height) = header.stored;
    let image = RgbImage {
        width,
        height,
        pixels,
    };
    turned(image, header.orientation)
}

fn high_byte(value: &u16) -> u8 {
    (value >> 8) as u8
}

/// RGB from pixels of `N` channels: grey, grey and alpha, RGB, or RGB and alpha.
fn channels<const N: usize, T>(values: &[T], byte: impl Fn(&T) -> u8) -> Vec<u8> {
    let (pixels, _) = values.as_chunks::<N>();
    let color = if N < 3 { [0, 0, 0] } else { [0, 1, 2] };
    let has_alpha = N.is_multiple_of(2);
    let mut rgb = vec![0; pixels.len() * 3];
    for (to, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        let alpha = if has_alpha { byte(&pixel[N - 1]) } else { 255 };
        *to = color.map(|channel| on_white(byte(&pixel[channel]), alpha));
    }
    rgb
}

/// A value of that opacity over white, with the rounding of Pillow's `alpha_composite`.
fn on_white(value: u8, alpha: u8) -> u8 {
    let [value, alpha] = [value, alpha].map(u32::from);
    let sum = (value * alpha + 255 * (255 - alpha) + 128) << 7;
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}

fn turned(image: RgbImage, orientation: Orientation) -> Result<RgbImage, String> {
    if orientation == Orientation::NoTransforms {
        return Ok(image);
    }
    let (width, height) = (image.width as u32, image.height as u32);
    let image = image::RgbImage::from_raw(width, height, image.pixels);
    let image = image.ok_or_else(|| message!("its pixels do not fill its size"))?;
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(RgbImage {
        width,
        height,
        pixels: image.into_bytes(),
    })
}
