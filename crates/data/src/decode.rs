//! From a file's bytes to 8-bit RGB.
//!
//! The format is told by the content, never by the name. Colours are Pillow's: grey becomes three
//! equal channels, of 16 bits the high 8 stay. Two things differ from torchvision's loader, so that
//! a network sees what a person sees: the EXIF orientation is applied, and transparent pictures are
//! laid on white, where `convert("RGB")` would show the colours hidden under the transparency.

use crate::error::DataError;
use crate::rgb_image::RgbImage;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Pictures above this are refused before memory is taken: a few bytes can claim any size.
pub const MAX_PIXELS: u64 = 200_000_000;

/// Bytes a decoder may take: [`MAX_PIXELS`] of four 16-bit channels and its own tables.
const MAX_BYTES: u64 = MAX_PIXELS * 8 + (64 << 20);

/// Reads and decodes a JPEG, PNG, WebP (the first frame) or BMP file.
///
/// Fails if the file cannot be read, is of another kind, is cut short or damaged, or has more than
/// [`MAX_PIXELS`].
pub fn decode(path: &Path) -> Result<RgbImage, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::read(path, source))?;
    decode_bytes(&bytes).map_err(|reason| DataError::Decode {
        path: path.to_path_buf(),
        reason,
    })
}

/// [`decode`] for bytes in memory; the error is the reason alone.
pub fn decode_bytes(bytes: &[u8]) -> Result<RgbImage, String> {
    // The decoders are other people's: a damaged file that trips one must not end a long run.
    catch_unwind(|| match bytes {
        [0xff, 0xd8, 0xff, ..] => decode_jpeg(bytes),
        [0x89, b'P', b'N', b'G', ..] => decode_other(bytes, ImageFormat::Png),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => decode_other(bytes, ImageFormat::WebP),
        [b'B', b'M', ..] => decode_other(bytes, ImageFormat::Bmp),
        [] => Err("the file is empty".into()),
        [b'G', b'I', b'F', b'8', ..] => Err("it is a GIF, which is not supported".into()),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => {
            Err("it is a TIFF, which is not supported".into())
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => {
            Err("it is HEIC, AVIF or a video, which are not supported".into())
        }
        _ => Err("it is none of JPEG, PNG, WebP and BMP".into()),
    })
    .unwrap_or_else(|_| Err("the decoder gave up on damaged data".into()))
}

fn check_size(width: u64, height: u64) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("its size is {width}×{height}"));
    }
    if width * height > MAX_PIXELS {
        let limit = MAX_PIXELS / 1_000_000;
        return Err(format!(
            "{width}×{height} is above the limit of {limit} megapixels"
        ));
    }
    Ok(())
}

/// Whether a picture is as wide as it is high, by its header; no where that cannot be read.
pub fn is_square(path: &Path) -> bool {
    let size = |bytes: &[u8]| match bytes {
        [0xff, 0xd8, 0xff, ..] => {
            let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
            decoder.decode_headers().ok()?;
            decoder.dimensions()
        }
        _ => {
            let reader = ImageReader::new(Cursor::new(bytes));
            let size = reader.with_guessed_format().ok()?.into_dimensions().ok()?;
            Some((size.0 as usize, size.1 as usize))
        }
    };
    let bytes = std::fs::read(path).unwrap_or_default();
    let size = catch_unwind(|| size(&bytes)).unwrap_or_default();
    size.is_some_and(|(width, height)| width == height)
}

fn decode_jpeg(bytes: &[u8]) -> Result<RgbImage, String> {
    if !jpeg_is_complete(bytes) {
        return Err("the JPEG is cut short (no end marker)".into());
    }
    // Strict mode refuses harmless stray bytes between segments, which many cameras write.
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(one_line)?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    check_size(width as u64, height as u64)?;
    let pixels = decoder.decode().map_err(one_line)?;
    let exif = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif));
    turned(
        RgbImage {
            width,
            height,
            pixels,
        },
        exif.unwrap_or(Orientation::NoTransforms),
    )
}

/// Whether the segments and scans of a JPEG lead to its end marker (ITU-T T.81, annex B).
///
/// A decoder would fill what is missing with grey.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(skipped) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| *b == 0xff))
    {
        at += skipped + 1;
        match bytes.get(at) {
            Some(0xd9) => return true,
            // Fill byte: the marker is still to come.
            Some(0xff) => {}
            // A stuffed zero, a restart or another marker that stands alone.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(length) => at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
            None => return false,
        }
    }
    false
}

fn decode_other(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(one_line)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    // A picture is worth more than its damaged metadata.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let decoded = DynamicImage::from_decoder(decoder).map_err(one_line)?;
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
    let (width, height) = (width as usize, height as usize);
    turned(
        RgbImage {
            width,
            height,
            pixels,
        },
        orientation,
    )
}

fn high_byte(value: &u16) -> u8 {
    (value >> 8) as u8
}

/// RGB from pixels of `N` channels: grey, grey and alpha, RGB, or RGB and alpha.
fn channels<const N: usize, T>(values: &[T], byte: impl Fn(&T) -> u8) -> Vec<u8> {
    let (pixels, _) = values.as_chunks::<N>();
    let color = if N < 3 { [0, 0, 0] } else { [0, 1, 2] };
    let has_alpha = N.is_multiple_of(2);
    pixels
        .iter()
        .flat_map(|pixel| {
            let alpha = if has_alpha { byte(&pixel[N - 1]) } else { 255 };
            color.map(|channel| on_white(byte(&pixel[channel]), alpha))
        })
        .collect()
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
    let mut image = DynamicImage::ImageRgb8(image.ok_or("its pixels do not fill its size")?);
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(RgbImage {
        width,
        height,
        pixels: image.into_bytes(),
    })
}

fn one_line(error: impl std::fmt::Display) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
