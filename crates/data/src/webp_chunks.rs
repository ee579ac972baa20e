//! Chunks of a WebP file (RFC 9649), checked since its decoder would trust them.
//!
//! The decoder makes room for a chunk of EXIF data as long as its header says, and for a frame as large
//! as its own header says, before it finds that neither fits.

use crate::picture_limits::MAX_METADATA_BYTES;
use image::metadata::Orientation;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// Chunks that are looked at; a picture has at most seven besides its frames.
const MOST: usize = 4096;

/// Facts in a WebP's chunks that its decoding depends on.
#[derive(Debug, Default)]
pub(crate) struct WebpChunks {
    exif: Option<Vec<u8>>,
    /// Largest frame of lossy compression, in pixels.
    lossy_pixels: u64,
    has_transparency: bool,
    has_animation: bool,
}

impl WebpChunks {
    /// Reads the headers of the chunks, and EXIF data if the file has as much as its header says. The
    /// reader is at the file's start before and after.
    pub(crate) fn read(
        reader: &mut (impl BufRead + Seek),
        file_bytes: u64,
    ) -> Result<Self, String> {
        let mut chunks = Self::default();
        let read = chunks.read_from(reader, file_bytes);
        match read {
            Ok(()) => {}
            // The decoder has words for what is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error.to_string()),
        }
        reader.rewind().map_err(|error| error.to_string())?;
        Ok(chunks)
    }

    fn read_from(&mut self, reader: &mut (impl BufRead + Seek), file_bytes: u64) -> io::Result<()> {
        // Past "RIFF", the size of all, and "WEBP".
        let mut at = 12;
        for _ in 0..MOST {
            reader.seek(SeekFrom::Start(at))?;
            let (name, size) = chunk(reader)?;
            let inside = at + 8;
            at = inside + size.next_multiple_of(2);
            match &name {
                b"VP8 " => self.lossy_frame(reader)?,
                b"ALPH" => self.has_transparency = true,
                b"EXIF"
                    if self.exif.is_none()
                        && size <= MAX_METADATA_BYTES
                        && inside + size <= file_bytes =>
                {
                    let mut exif = vec![0; size as usize];
                    reader.read_exact(&mut exif)?;
                    self.exif = Some(exif);
                }
                // Place, size, duration and flags of a frame; its own chunks are looked at in turn.
                b"ANMF" => {
                    self.has_animation = true;
                    at = inside + 16;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The size in a frame header of VP8 (RFC 6386, section 9.1).
    fn lossy_frame(&mut self, reader: &mut impl Read) -> io::Result<()> {
        let mut header = [0; 10];
        reader.read_exact(&mut header)?;
        let side = |low, high| u64::from(u16::from_le_bytes([low, high]) & 0x3fff);
        let pixels = side(header[6], header[7]) * side(header[8], header[9]);
        self.lossy_pixels = self.lossy_pixels.max(pixels);
        Ok(())
    }

    /// Orientation of the EXIF data, or none where they are missing, damaged or longer than the file.
    pub(crate) fn orientation(&self) -> Orientation {
        let exif = self.exif.as_deref();
        exif.and_then(Orientation::from_exif_chunk)
            .unwrap_or(Orientation::NoTransforms)
    }

    /// Bytes of the decoder for each pixel of the canvas, besides the result.
    pub(crate) fn bytes_a_pixel(&self) -> u64 {
        /// RGBA of lossless compression, its transforms, blocks and their codes, each of which has a value
        /// for every 16 pixels or fewer.
        const LOSSLESS: u64 = 4 + 1;
        /// A plane of transparency as it is read: RGBA and its green.
        const TRANSPARENCY: u64 = 4 + 1 + 1;
        /// The canvas and a frame of the animation.
        const ANIMATION: u64 = 4 + 4;
        let mut bytes = LOSSLESS;
        if self.has_transparency {
            bytes += TRANSPARENCY;
        }
        if self.has_animation {
            bytes += ANIMATION;
        }
        bytes
    }

    /// Bytes of the decoder for its planes of brightness and colour, which are as large as a frame says.
    pub(crate) fn bytes_besides(&self) -> u64 {
        self.lossy_pixels * 2
    }
}

/// Name and size of a chunk.
fn chunk(reader: &mut impl Read) -> io::Result<([u8; 4], u64)> {
    let [mut name, mut size] = [[0; 4]; 2];
    reader.read_exact(&mut name)?;
    reader.read_exact(&mut size)?;
    Ok((name, u32::from_le_bytes(size).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(chunks: &[(&[u8; 4], u32, &[u8])]) -> WebpChunks {
        let mut bytes = b"RIFF....WEBP".to_vec();
        for (name, size, data) in chunks {
            bytes.extend_from_slice(*name);
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(data);
        }
        let size = bytes.len() as u64;
        WebpChunks::read(&mut Cursor::new(bytes), size).unwrap()
    }

    #[test]
    fn exif_data_longer_than_the_file_are_none() {
        assert!(read(&[(b"EXIF", u32::MAX, b"Exif")]).exif.is_none());
        assert_eq!(read(&[(b"EXIF", 4, b"Exif")]).exif.unwrap(), b"Exif");
    }

    #[test]
    fn a_frame_counts_as_large_as_its_own_header_says() {
        let header = [0, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0xff];
        let frame = [&[0; 16][..], b"VP8 ", &10u32.to_le_bytes(), &header].concat();
        let chunks = read(&[(b"ANMF", 34, &frame)]);
        assert!(chunks.has_animation);
        assert_eq!(chunks.lossy_pixels, 16383 * 16383);
    }
}
