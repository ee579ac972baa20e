//! The size of a picture from the first bytes of its file.

use super::stored_picture::StoredPicture;
use crate::decode::MAX_PIXELS;
use crate::error::DataError;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageReader};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Width and height of what [`decode`](crate::decode()) makes of a file, in pixels, with its EXIF
/// orientation applied. Only the header is read, so the pixels behind it may still be damaged.
///
/// # Errors
/// If the file cannot be read, or its header is none of a JPEG, PNG, WebP or BMP within
/// [`MAX_PIXELS`].
pub fn picture_size(path: &Path) -> Result<(usize, usize), DataError> {
    Ok(stored_picture(path)?.shown_size())
}

/// Size of a picture as its file has it, and how it is turned to be shown; reads and fails as
/// [`picture_size`].
pub(super) fn stored_picture(path: &Path) -> Result<StoredPicture, DataError> {
    let unreadable = |source| DataError::read(path, source);
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut start = Vec::new();
    file.get_ref()
        .take(12)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    let mut file = file;
    file.rewind().map_err(unreadable)?;
    // The decoders are other people's: a damaged file that trips one must not end a long run.
    let size = catch_unwind(AssertUnwindSafe(|| header_size(&start, file)));
    size.unwrap_or_else(|_| Err("the decoder gave up on damaged data".into()))
        .map_err(|reason| DataError::Decode {
            path: path.to_path_buf(),
            reason,
        })
}

fn header_size(start: &[u8], file: impl BufRead + Seek) -> Result<StoredPicture, String> {
    let (width, height, orientation) = match start {
        [0xff, 0xd8, 0xff, ..] => jpeg_header(file)?,
        [0x89, b'P', b'N', b'G', ..] => other_header(file, ImageFormat::Png)?,
        [b'R', b'I', b'F', b'F', .., b'W', b'E', b'B', b'P'] => {
            other_header(file, ImageFormat::WebP)?
        }
        [b'B', b'M', ..] => other_header(file, ImageFormat::Bmp)?,
        [] => return Err("the file is empty".into()),
        _ => return Err("it is none of JPEG, PNG, WebP and BMP".into()),
    };
    if width == 0 || height == 0 || width as u64 * height as u64 > MAX_PIXELS {
        let limit = MAX_PIXELS / 1_000_000;
        return Err(format!(
            "{width}×{height} is no size between 1 pixel and {limit} megapixels"
        ));
    }
    Ok(StoredPicture {
        width,
        height,
        orientation,
    })
}

fn jpeg_header(file: impl BufRead + Seek) -> Result<(usize, usize, Orientation), String> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(file, options);
    decoder
        .decode_headers()
        .map_err(|error| error.to_string().replace('\n', " "))?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif));
    Ok((
        width,
        height,
        orientation.unwrap_or(Orientation::NoTransforms),
    ))
}

fn other_header(
    file: impl BufRead + Seek,
    format: ImageFormat,
) -> Result<(usize, usize, Orientation), String> {
    let mut decoder = ImageReader::with_format(file, format)
        .into_decoder()
        .map_err(|error| error.to_string().replace('\n', " "))?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((width as usize, height as usize, orientation))
}
