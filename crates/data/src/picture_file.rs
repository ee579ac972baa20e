//! The bytes of a picture: a file's, or those of a member of an archive.

use crate::packed::{self, Found, read_at};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Size and time of a picture, which show that it was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its length.
    pub bytes: u64,
    /// When it was changed; for a picture in an archive, when the archive was.
    pub modified: SystemTime,
}

/// A picture that is open for reading: exactly its bytes, wherever they lie.
#[derive(Debug)]
pub struct PictureFile {
    source: Source,
    bytes: u64,
}

#[derive(Debug)]
enum Source {
    Plain(File),
    Packed {
        archive: Arc<File>,
        /// The picture's first byte in the archive.
        offset: u64,
        /// Where the next read begins, from there.
        at: u64,
    },
}

/// Opens a picture; its path may go through an archive, as in `shards/train-000.tar/cat/1.jpg`.
///
/// # Errors
/// If it is not there, may not be read, or is a folder, a pipe, a socket or a device; if the archive cannot be read
/// or has no such picture.
pub fn open_picture(path: &Path) -> io::Result<PictureFile> {
    match warmstart_files::open(path) {
        Ok(file) => {
            let bytes = file.metadata()?.len();
            let source = Source::Plain(file);
            Ok(PictureFile { source, bytes })
        }
        Err(refusal) => {
            let found = packed::find(path, refusal)?;
            let archive = found.open()?;
            let Found { offset, bytes, .. } = found;
            let source = Source::Packed {
                archive,
                offset,
                at: 0,
            };
            Ok(PictureFile { source, bytes })
        }
    }
}

/// Size and time of a picture, whose path may go through an archive.
///
/// # Errors
/// As of [`open_picture`].
pub fn stamp(path: &Path) -> io::Result<Stamp> {
    match std::fs::metadata(path) {
        Ok(metadata) => {
            if !metadata.is_file() {
                // Refuses it with the reason.
                warmstart_files::open(path)?;
            }
            Ok(Stamp {
                bytes: metadata.len(),
                modified: metadata.modified()?,
            })
        }
        Err(refusal) => {
            let found = packed::find(path, refusal)?;
            Ok(Stamp {
                bytes: found.bytes,
                modified: found.modified(),
            })
        }
    }
}

impl PictureFile {
    /// The length of the picture when it was opened.
    pub fn size(&self) -> u64 {
        self.bytes
    }
}

impl Read for PictureFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Plain(file) => file.read(into),
            Source::Packed {
                archive,
                offset,
                at,
            } => {
                let left = self.bytes.saturating_sub(*at);
                let wanted = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let into = &mut into[..wanted];
                let read = read_at(archive, into, *offset + *at)?;
                if read == 0 && wanted > 0 {
                    // The archive was cut short since its index was read.
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *at += read as u64;
                Ok(read)
            }
        }
    }
}

impl Seek for PictureFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.source {
            Source::Plain(file) => file.seek(to),
            Source::Packed { at, .. } => {
                let (from, by) = match to {
                    SeekFrom::Start(place) => (place, 0),
                    SeekFrom::Current(by) => (*at, by),
                    SeekFrom::End(by) => (self.bytes, by),
                };
                let place = from.checked_add_signed(by);
                *at = place.ok_or(io::ErrorKind::InvalidInput)?;
                Ok(*at)
            }
        }
    }
}
