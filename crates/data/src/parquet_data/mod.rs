//! Data sets in Parquet files, as the Hugging Face Hub keeps them: found, and unpacked once into TAR shards.
//!
//! ```text
//! train-00000-of-00002.parquet ─ columns ─▶ classes ─▶ rows, a few at a time ─▶ train-00000.tar, …, classes.txt
//! ```
//!
//! A row of a compressed page cannot be reached without all rows before it, so pictures are not read from here.
//! Without the crate's feature `parquet` the files are only recognised.

#[cfg(feature = "parquet")]
mod classes;
#[cfg(feature = "parquet")]
mod columns;
mod finding;
#[cfg(feature = "parquet")]
mod reading;
#[cfg(feature = "parquet")]
mod shards;
#[cfg(feature = "parquet")]
mod unpacking;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use warmstart_language::message;

use crate::error::DataError;
use work::ParquetFile;
pub use work::Written;

/// Whether this build reads Parquet files.
pub const READS_PARQUET: bool = cfg!(feature = "parquet");

/// What is written from a file; another number gives the unpacked files another key.
const FORMAT: u32 = 1;
/// Digits of a key.
const DIGITS: usize = 16;

/// A data set in Parquet files.
#[derive(Clone, Debug)]
pub struct ParquetData {
    /// The name of the file or the folder.
    name: String,
    /// In the order of splits and of names.
    files: Vec<ParquetFile>,
    key: String,
}

/// A data set that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The folder of its shards.
    pub path: PathBuf,
    /// What was written; `None` if it was there before.
    pub written: Option<Written>,
}

impl ParquetData {
    /// The data set at a path, if it is a Parquet file or a folder of such files without pictures.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn at(data: &Path) -> Result<Option<Self>, DataError> {
        let Some(found) = finding::find(data)? else {
            return Ok(None);
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&FORMAT.to_le_bytes());
        let mut files = Vec::new();
        for path in found {
            let metadata = fs::metadata(&path).map_err(|source| DataError::read(&path, source))?;
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let since = modified.duration_since(SystemTime::UNIX_EPOCH);
            let place = path.canonicalize().unwrap_or_else(|_| path.clone());
            hasher.update(place.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(&metadata.len().to_le_bytes());
            hasher.update(&since.unwrap_or_default().as_nanos().to_le_bytes());
            files.push(ParquetFile {
                split: finding::split(data, &path),
                bytes: metadata.len(),
                path,
            });
        }
        files.sort_by(|one, other| (one.split, &one.path).cmp(&(other.split, &other.path)));
        Ok(Some(Self {
            name: name_of(data),
            files,
            key: hasher.finalize().to_hex()[..DIGITS].to_owned(),
        }))
    }

    /// A text that is another one for other files, sizes or times.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Number of files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The data set as TAR shards in a folder below `folder`, which is to be this data set's own: found there, or
    /// written and then put there by one rename. `observe` gets the rows that are done, and all rows.
    ///
    /// # Errors
    /// If a file is damaged or has no pictures with classes, the system refuses, or this build reads no Parquet.
    pub fn unpack(
        &self,
        folder: &Path,
        observe: &mut dyn FnMut(u64, u64),
    ) -> Result<Unpacked, DataError> {
        let path = folder.join(&self.name);
        if path.is_dir() {
            return Ok(Unpacked {
                path,
                written: None,
            });
        }
        let written = self.write(folder, &path, observe)?;
        Ok(Unpacked {
            path,
            written: Some(written),
        })
    }

    #[cfg(feature = "parquet")]
    fn write(
        &self,
        folder: &Path,
        path: &Path,
        observe: &mut dyn FnMut(u64, u64),
    ) -> Result<Written, DataError> {
        let part = folder.join(".part");
        if part.exists() {
            // Of a process that was killed.
            fs::remove_dir_all(&part).map_err(|source| DataError::write(&part, source))?;
        }
        fs::create_dir_all(&part).map_err(|source| DataError::write(&part, source))?;
        let written = unpacking::unpack(&self.files, &part, observe).and_then(|written| {
            let renamed = fs::rename(&part, path);
            let kept = renamed.and_then(|()| warmstart_files::flush_folder(folder));
            kept.map_err(|source| DataError::write(path, source))?;
            Ok(written)
        });
        if written.is_err() {
            // The error is more important than what is left.
            let _ = fs::remove_dir_all(&part);
        }
        written
    }

    #[cfg(not(feature = "parquet"))]
    fn write(&self, _: &Path, _: &Path, _: &mut dyn FnMut(u64, u64)) -> Result<Written, DataError> {
        Err(self.refused())
    }

    /// The error of a build that reads no Parquet files.
    pub fn refused(&self) -> DataError {
        let first = self.files.first();
        DataError::Layout {
            folder: first.map_or_else(PathBuf::new, |file| file.path.clone()),
            problem: message!(
                "it is a Parquet file, which this build of warmstart does not read; take a build with \
                 `--features parquet`, or save the pictures as files in one folder per class"
            ),
        }
    }
}

/// The name of a data set, for its folder.
fn name_of(data: &Path) -> String {
    let place = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let name = if place.is_dir() {
        place.file_name()
    } else {
        place.file_stem()
    };
    let name = name.and_then(|name| name.to_str());
    let name = name.filter(|name| !name.starts_with('.'));
    name.unwrap_or("data").to_owned()
}

#[cfg(all(test, feature = "parquet"))]
mod tests;
