//! Headers of pictures: format, size, orientation and what reading the pixels takes.
//!
//! Both [`decode`](crate::decode()) and [`picture_size`](crate::scenes::picture_size) go by what is here,
//! so they cannot disagree.

use crate::error::DataError;
use crate::picture_file::{PictureFile, open_picture};
use crate::picture_limits::{MAX_METADATA_BYTES, MAX_SCANS, require_bytes, require_size};
use crate::webp_chunks::WebpChunks;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::{BufRead, BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use warmstart_language::{english, message, translated};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZByteReaderTrait;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Bytes at a file's start that identify its format.
pub(crate) const START: u64 = 12;

/// Bytes of a pixel in RGB.
const RGB: u64 = 3;

/// Header of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureHeader {
    /// Width and height as stored in the file, in pixels.
    pub stored: (usize, usize),
    /// EXIF's orientation, which turns and mirrors what is stored.
    pub orientation: Orientation,
    /// Most bytes that [`decode`](crate::decode()) needs for it, the file itself among them.
    pub bytes: u64,
}

impl PictureHeader {
    /// Width and height of the decoded picture, in pixels: those that are stored, swapped where the
    /// orientation turns it by a quarter.
    pub fn upright(&self) -> (usize, usize) {
        use Orientation::*;
        let (width, height) = self.stored;
        match self.orientation {
            NoTransforms | FlipHorizontal | FlipVertical | Rotate180 => (width, height),
            Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => (height, width),
        }
    }

    /// Checks the size and what reading it takes: `bytes_a_pixel` with the pixels and all buffers of
    /// their size, turning apart, and `besides`.
    fn checked(
        stored: (usize, usize),
        orientation: Orientation,
        bytes_a_pixel: u64,
        besides: u64,
        file_bytes: u64,
    ) -> Result<Self, String> {
        let (width, height) = (stored.0 as u64, stored.1 as u64);
        require_size(width, height)?;
        let turning = if orientation == Orientation::NoTransforms {
            0
        } else {
            RGB
        };
        let pixels = width * height * (bytes_a_pixel + turning);
        let bytes = pixels.saturating_add(besides).saturating_add(file_bytes);
        require_bytes(stored, bytes, file_bytes)?;
        Ok(Self {
            stored,
            orientation,
            bytes,
        })
    }
}

/// Header of a picture file. Only the header is read, so the pixels that follow it may still be damaged.
///
/// # Errors
/// If the file cannot be read, is not a regular file, its header is none of a JPEG, PNG, WebP, BMP, GIF
/// or TIFF, or the picture is above the limits of `docs/preprocessing.md`.
pub fn picture_header(path: &Path) -> Result<PictureHeader, DataError> {
    let unreadable = |source| DataError::read(path, source);
    let file = open_picture(path).map_err(unreadable)?;
    let file_bytes = file.size();
    let mut file = BufReader::new(file);
    let start = start(&mut file).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    // The decoders are other people's: a damaged file that trips one must not end a long run.
    let header = catch_unwind(AssertUnwindSafe(|| header(&start, file, file_bytes)));
    header
        .unwrap_or_else(|_| Err(translated(PANICKED).into()))
        .map_err(|reason| DataError::Decode {
            path: path.to_path_buf(),
            reason,
        })
}

/// Returns whether a picture is as wide as it is high by its header; false if the header cannot be read.
pub fn is_square(path: &Path) -> bool {
    picture_header(path).is_ok_and(|header| header.stored.0 == header.stored.1)
}

/// The reason when a decoder panicked, in English.
pub(crate) const PANICKED: &str = english!("the decoder gave up on damaged data");

/// Reads the bytes that identify a format.
pub(crate) fn start(file: impl Read) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(START).read_to_end(&mut start)?;
    Ok(start)
}

fn header(
    start: &[u8],
    file: BufReader<PictureFile>,
    file_bytes: u64,
) -> Result<PictureHeader, String> {
    match Format::of(start)? {
        // Its scans are known where the file is read.
        Format::Jpeg => jpeg(&mut jpeg_decoder(file), 1, file_bytes),
        Format::Other(format) => Ok(other(file, format, file_bytes)?.0),
    }
}

/// A format that can be read, by its reader.
pub(crate) enum Format {
    Jpeg,
    Other(ImageFormat),
}

impl Format {
    /// Finds the format by the first [`START`] bytes, or what else the file is.
    pub(crate) fn of(start: &[u8]) -> Result<Self, String> {
        let unsupported = |what: &str| Err(message!("it is {what}, which is not supported"));
        Ok(match start {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', ..] => Self::Other(ImageFormat::Png),
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
            ] => Self::Other(ImageFormat::WebP),
            [b'B', b'M', ..] => Self::Other(ImageFormat::Bmp),
            [b'G', b'I', b'F', b'8', ..] => Self::Other(ImageFormat::Gif),
            // The last two are of BigTIFF.
            [b'I', b'I', 42, 0, ..]
            | [b'M', b'M', 0, 42, ..]
            | [b'I', b'I', 43, 0, ..]
            | [b'M', b'M', 0, 43, ..] => Self::Other(ImageFormat::Tiff),
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand {
                [b'a', b'v', b'i', b'f' | b's', ..] => return unsupported("AVIF"),
                [b'h', b'e', b'i' | b'v', _, ..] | [b'm', b'i' | b's', b'f', b'1', ..] => {
                    return unsupported("HEIC");
                }
                _ => return unsupported(translated(english!("a video"))),
            },
            [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => {
                return unsupported("JPEG XL");
            }
            [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => return unsupported("JPEG 2000"),
            [b'8', b'B', b'P', b'S', ..] => {
                return unsupported(translated(english!("a Photoshop file")));
            }
            [b'%', b'P', b'D', b'F', ..] => return unsupported(translated(english!("a PDF"))),
            [] => return Err(message!("the file is empty")),
            _ => {
                return Err(message!("it is none of JPEG, PNG, WebP, BMP, GIF and TIFF"));
            }
        })
    }
}

/// A decoder of JPEG to RGB.
pub(crate) fn jpeg_decoder<R: ZByteReaderTrait>(reader: R) -> JpegDecoder<R> {
    // Strict mode refuses harmless stray bytes between segments, which many cameras write.
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_max_scans(MAX_SCANS as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    JpegDecoder::new_with_options(reader, options)
}

/// Reads the header of a JPEG that has so many scans, up to the first of them: EXIF data that comes later
/// does not count, as in Pillow.
pub(crate) fn jpeg<R: ZByteReaderTrait>(
    decoder: &mut JpegDecoder<R>,
    scans: u64,
    file_bytes: u64,
) -> Result<PictureHeader, String> {
    /// Rows of blocks that the decoder has in hand, in pixels: four blocks of 8, before and after
    /// they are enlarged, in 16 bits.
    const ROWS: u64 = 2 * 4 * 8 * 2;
    /// A side in whole blocks of the largest subsampling.
    const BLOCK: u64 = 4 * 8;
    decoder.decode_headers().map_err(reason)?;
    let without_size = || message!("it has no size");
    let (width, height) = decoder.dimensions().ok_or_else(without_size)?;
    let info = decoder.info().ok_or_else(without_size)?;
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif));
    let components = u64::from(info.components);
    let [wide, high] = [width, height].map(|side| (side as u64).next_multiple_of(BLOCK));
    // Coefficients of 16 bits. A baseline JPEG has them in memory too if each component has its own scan.
    let coefficients = if !info.sof.is_sequential_dct() || scans > 1 {
        wide * high * components * 2
    } else {
        0
    };
    PictureHeader::checked(
        (width, height),
        orientation.unwrap_or(Orientation::NoTransforms),
        RGB,
        coefficients + wide * ROWS * components,
        file_bytes,
    )
}

/// Reads the header of another format, and gives the decoder that has read it.
pub(crate) fn other<'a>(
    mut reader: impl BufRead + Seek + 'a,
    format: ImageFormat,
    file_bytes: u64,
) -> Result<(PictureHeader, Box<dyn ImageDecoder + 'a>), String> {
    let webp = if format == ImageFormat::WebP {
        Some(WebpChunks::read(&mut reader, file_bytes)?)
    } else {
        None
    };
    let mut reader = ImageReader::with_format(reader, format);
    reader.limits(most_memory(MAX_METADATA_BYTES));
    let mut decoder = reader.into_decoder().map_err(reason)?;
    let (width, height) = decoder.dimensions();
    require_size(width.into(), height.into())?;
    let color = decoder.color_type();
    let mut bytes_a_pixel = bytes_a_pixel(format, color);
    let mut besides = MAX_METADATA_BYTES;
    if let Some(webp) = &webp {
        bytes_a_pixel += webp.bytes_a_pixel();
        besides += webp.bytes_besides();
    }
    let stored = (width as usize, height as usize);
    let checked = |orientation| {
        PictureHeader::checked(stored, orientation, bytes_a_pixel, besides, file_bytes)
    };
    let header = checked(Orientation::NoTransforms)?;
    // A frame or strip that is larger than the picture is refused by the decoder.
    let limits = most_memory(header.bytes - file_bytes);
    decoder.set_limits(limits).map_err(reason)?;
    let orientation = match &webp {
        Some(webp) => webp.orientation(),
        // A picture is worth more than its damaged metadata.
        None => decoder.orientation().unwrap_or(Orientation::NoTransforms),
    };
    Ok((checked(orientation)?, Box::new(decoder)))
}

/// Bytes of a pixel in the buffers of a decoder and in RGB.
fn bytes_a_pixel(format: ImageFormat, color: ColorType) -> u64 {
    let decoded = u64::from(color.bytes_per_pixel());
    let buffers = match format {
        // The frame, and what it is laid on.
        ImageFormat::Gif => 2 * decoded,
        // As stored, of CMYK a channel more, and converted.
        ImageFormat::Tiff => 3 * decoded,
        // What WebP needs besides depends on its chunks.
        _ => decoded,
    };
    if color == ColorType::Rgb8 {
        buffers
    } else {
        buffers + RGB
    }
}

fn most_memory(bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

/// The words of a decoder, on one line.
pub(crate) fn reason(error: impl std::fmt::Display) -> String {
    let words = error.to_string();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
