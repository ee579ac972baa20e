//! TAR shards in WebDataset's form: `000000123.jpg` and `000000123.cls`, one after the other.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use image::ImageFormat;
use tar::{Builder, Header};

use crate::error::DataError;
use crate::split_kind::SplitKind;

/// Bytes after which the next shard begins.
const BYTES: u64 = 512 << 20;
/// Bytes of a header, and of the unit to which contents are filled up.
const BLOCK: u64 = 512;

/// The shards of one split, which are written one after the other.
pub struct Shards<'a> {
    folder: &'a Path,
    split: SplitKind,
    /// Bytes after which the next one begins.
    limit: u64,
    number: usize,
    samples: usize,
    open: Option<Shard>,
}

/// A shard that is being written.
struct Shard {
    path: PathBuf,
    archive: Builder<BufWriter<File>>,
    bytes: u64,
}

impl<'a> Shards<'a> {
    /// The shards of a split, in a folder that has none of it yet.
    pub fn new(folder: &'a Path, split: SplitKind) -> Self {
        Self::with_limit(folder, split, BYTES)
    }

    fn with_limit(folder: &'a Path, split: SplitKind, limit: u64) -> Self {
        Self {
            folder,
            split,
            limit,
            number: 0,
            samples: 0,
            open: None,
        }
    }

    /// Adds a picture as it is, with the number of its class.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn add(&mut self, picture: &[u8], class: usize) -> Result<(), DataError> {
        let mut shard = match self.open.take() {
            Some(shard) if shard.bytes < self.limit => shard,
            Some(full) => {
                full.finish()?;
                self.begin()?
            }
            None => self.begin()?,
        };
        let key = format!("{:09}", self.samples);
        self.samples += 1;
        shard.write(&format!("{key}.{}", extension(picture)), picture)?;
        shard.write(&format!("{key}.cls"), class.to_string().as_bytes())?;
        self.open = Some(shard);
        Ok(())
    }

    /// Ends the last shard.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn finish(mut self) -> Result<(), DataError> {
        self.open.take().map_or(Ok(()), Shard::finish)
    }

    fn begin(&mut self) -> Result<Shard, DataError> {
        let name = match self.split {
            SplitKind::Train => "train",
            SplitKind::Validation => "validation",
            SplitKind::Test => "test",
        };
        let path = self.folder.join(format!("{name}-{:05}.tar", self.number));
        self.number += 1;
        let file = File::create(&path).map_err(|source| DataError::write(&path, source))?;
        Ok(Shard {
            path,
            archive: Builder::new(BufWriter::new(file)),
            bytes: 0,
        })
    }
}

impl Shard {
    fn write(&mut self, name: &str, content: &[u8]) -> Result<(), DataError> {
        let mut header = Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // The same rows give the same bytes.
        header.set_mtime(0);
        let written = self.archive.append_data(&mut header, name, content);
        written.map_err(|source| DataError::write(&self.path, source))?;
        self.bytes += BLOCK + (content.len() as u64).next_multiple_of(BLOCK);
        Ok(())
    }

    fn finish(self) -> Result<(), DataError> {
        let finished = self.archive.into_inner().and_then(|mut file| {
            file.flush()?;
            file.into_inner().map_err(io::Error::from)?.sync_all()
        });
        finished.map_err(|source| DataError::write(&self.path, source))
    }
}

/// The extension of a picture by its content. What is no picture is called one as well, and reported with the others
/// that cannot be decoded.
fn extension(picture: &[u8]) -> &'static str {
    match image::guess_format(picture) {
        Ok(ImageFormat::Png) => "png",
        Ok(ImageFormat::WebP) => "webp",
        Ok(ImageFormat::Bmp) => "bmp",
        Ok(ImageFormat::Gif) => "gif",
        Ok(ImageFormat::Tiff) => "tif",
        Ok(_) | Err(_) => "jpg",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn shards_are_cut_between_samples_and_have_the_same_bytes_again() {
        let write = || {
            let folder = tempfile::tempdir().unwrap();
            let mut shards = Shards::with_limit(folder.path(), SplitKind::Test, 3000);
            for class in 0..3 {
                shards.add(b"\x89PNG\r\n\x1a\n and so on", class).unwrap();
            }
            shards.finish().unwrap();
            ["test-00000.tar", "test-00001.tar"]
                .map(|name| std::fs::read(folder.path().join(name)).unwrap())
        };
        let shards = write();
        assert_eq!(shards, write());
        let members = |shard: &[u8]| {
            let mut archive = tar::Archive::new(shard);
            let members = archive.entries().unwrap().map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = Vec::new();
                entry.read_to_end(&mut text).unwrap();
                (entry.path().unwrap().to_str().unwrap().to_owned(), text)
            });
            members.collect::<Vec<_>>()
        };
        let first = members(&shards[0]);
        let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "000000000.png",
                "000000000.cls",
                "000000001.png",
                "000000001.cls"
            ]
        );
        assert_eq!(first[3].1, b"1");
        assert_eq!(
            members(&shards[1])[1],
            ("000000002.cls".to_owned(), b"2".to_vec())
        );
    }

    #[test]
    fn the_extension_is_that_of_the_content() {
        for (start, expected) in [
            (&b"\xff\xd8\xff\xe0"[..], "jpg"),
            (b"GIF89a", "gif"),
            (b"BM", "bmp"),
            (b"RIFF\0\0\0\0WEBP", "webp"),
            (b"II*\0", "tif"),
            (b"<html>", "jpg"),
        ] {
            assert_eq!(extension(start), expected);
        }
    }
}
