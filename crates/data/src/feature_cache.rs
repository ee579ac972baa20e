//! Features of images that cost much to compute, kept in files: written once, verified on every read.
//!
//! A file is an array of entries of one size, read and written in place. It is not mapped into
//! memory: a mapped file that somebody cuts short kills the process, while a failed read is an
//! error that can be reported, and the system keeps the file's pages in memory either way.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use warmstart_files::shown;
use warmstart_language::message;

use crate::check_cache;

/// Text before the entries, which lists of the folder show.
const HEADER: u64 = 4096;
const MAGIC: &str = "warmstart features 1\n";
/// Beginnings of the lines after the description. Files of before have none.
const ENTRIES: &str = "entries ";
const VALUES: &str = "values ";
const CHECKSUM: usize = 16;
const EXTENSION: &str = "features";

/// A folder of cached features that does not grow beyond a limit.
#[derive(Clone, Debug)]
pub struct FeatureCacheFolder {
    path: PathBuf,
    limit: u64,
}

/// A file in the folder.
#[derive(Clone, Debug)]
pub struct CachedFile {
    /// Its place.
    pub path: PathBuf,
    /// Its size in bytes, entries that are not there yet included.
    pub bytes: u64,
    /// When a run last opened it.
    pub last_used: SystemTime,
    /// The description given when it was made.
    pub description: String,
}

/// A file into which others were merged.
#[derive(Clone, Debug)]
pub struct MergedFile {
    /// Its place.
    pub path: PathBuf,
    /// The description given when it was made.
    pub description: String,
    /// Number of its entries.
    pub entries: usize,
    /// Entries that are there and whole.
    pub present: usize,
    /// Those among them that came from the last file.
    pub copied: usize,
}

/// The features of some images under some views.
///
/// Two processes may fill the same file: the same key means the same bits, and an entry counts only
/// with its checksum, which is written last.
#[derive(Debug)]
pub struct FeatureCache {
    file: File,
    path: PathBuf,
    entries: usize,
    /// Values of an entry.
    values: usize,
}

impl FeatureCacheFolder {
    /// The folder at `path`, which need not exist, for at most `limit` bytes.
    pub fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, limit }
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Largest size of all files together, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Opens the file of `key` (a name made of everything that the features depend on) for so many entries of
    /// so many values, and makes it if it is missing. The least recently used files are removed to make room,
    /// but not those `beside` it, which the same run has open.
    ///
    /// # Errors
    /// If the system refuses, or the file would be above the limit with those.
    pub fn open(
        &self,
        key: &str,
        description: &str,
        entries: usize,
        values: usize,
        beside: &[&FeatureCache],
    ) -> io::Result<FeatureCache> {
        let path = self.path.join(key).with_extension(EXTENSION);
        let bytes = file_len(entries, values);
        let needed = bytes + bytes_of(beside);
        if needed > self.limit {
            return Err(io::Error::other(message!(
                "{} MB are needed and the limit is {} MB",
                in_mb(needed.next_multiple_of(100_000)),
                in_mb(self.limit)
            )));
        }
        fs::create_dir_all(&self.path)?;
        let mut kept: Vec<&Path> = beside.iter().map(|file| file.path()).collect();
        kept.push(&path);
        self.make_room(&kept, needed)?;
        let begin = |file: &File| {
            write_at(file, &header(description, [entries, values]), 0)?;
            file.set_len(bytes)
        };
        if warmstart_files::open(&path).is_err() {
            // Whole or not at all: a file that does not begin as ours would never be removed.
            warmstart_files::create_unflushed(&path, |file| begin(file))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        if file.metadata()?.len() != bytes || read_description(&path).is_err() {
            begin(&file)?;
        }
        file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        Ok(FeatureCache {
            file,
            path,
            entries,
            values,
        })
    }

    /// The file of `key`, if it is there with so many entries, and [`open`](Self::open) would take it.
    pub fn find(
        &self,
        key: &str,
        entries: usize,
        beside: &[&FeatureCache],
    ) -> Option<FeatureCache> {
        let path = self.path.join(key).with_extension(EXTENSION);
        read_description(&path).ok()?;
        let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        let bytes = file.metadata().ok()?.len();
        let entry = bytes.checked_sub(HEADER)? / entries.max(1) as u64;
        let values = entry.checked_sub(CHECKSUM as u64)? / size_of::<f32>() as u64;
        let found = FeatureCache {
            file,
            path,
            entries,
            values: usize::try_from(values).ok()?,
        };
        let needed = bytes + bytes_of(beside);
        (found.bytes() == bytes && needed <= self.limit).then_some(found)
    }

    /// Copies the entries of another folder's file that this folder lacks, each after a check. The result does not depend
    /// on the order in which files come: an entry has one place and one content.
    ///
    /// # Errors
    /// If it is no file of features or damaged, the system refuses, or this folder has other features under its name.
    pub fn merge(&self, path: &Path) -> io::Result<MergedFile> {
        let other = FeatureCache::open_other(path)?;
        let (description, _) = read_header(&other.file)?;
        let place = self.path.join(other.key()).with_extension(EXTENSION);
        if let Ok(there) = warmstart_files::open(&place)
            && let Ok((found, _)) = read_header(&there)
            && (found != description || there.metadata()?.len() != other.bytes())
        {
            let what = message!("{} has other features", shown(&place));
            return Err(io::Error::other(what));
        }
        let own = self.open(&other.key(), &description, other.entries, other.values, &[])?;
        let copy = |entry: usize| -> io::Result<usize> {
            if own.read(entry).is_some() {
                return Ok(0);
            }
            let found = other.read(entry);
            found.map_or(Ok(0), |features| own.write(entry, &features).map(|()| 1))
        };
        let copied = (0..own.entries).into_par_iter().map(copy);
        let copied = copied.try_reduce(|| 0, |one, other| Ok(one + other))?;
        Ok(MergedFile {
            description,
            entries: own.entries,
            present: own.present(),
            copied,
            path: own.path,
        })
    }

    /// The files in the folder, the last used first; those of checked pictures, too.
    ///
    /// # Errors
    /// If the folder cannot be read; one that does not exist has no files.
    pub fn files(&self) -> io::Result<Vec<CachedFile>> {
        let listed = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut files = Vec::new();
        for file in listed {
            let path = file?.path();
            let described = match path.extension().and_then(OsStr::to_str) {
                Some(EXTENSION) => read_description(&path),
                Some(check_cache::EXTENSION) => check_cache::description(&path),
                Some(_) | None => continue,
            };
            // Another process may have removed it meanwhile, and what does not begin as ours is somebody else's.
            let (Ok(metadata), Ok(description)) = (fs::metadata(&path), described) else {
                continue;
            };
            files.push(CachedFile {
                bytes: metadata.len(),
                last_used: metadata.modified()?,
                description,
                path,
            });
        }
        files.sort_by_key(|file| std::cmp::Reverse(file.last_used));
        Ok(files)
    }

    /// The files of features in the folder, the last used first.
    ///
    /// # Errors
    /// If the folder cannot be read; one that does not exist has no files.
    pub fn feature_files(&self) -> io::Result<Vec<CachedFile>> {
        let mut files = self.files()?;
        files.retain(|file| file.path.extension() == Some(OsStr::new(EXTENSION)));
        Ok(files)
    }

    /// Removes every file and returns them.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn clear(&self) -> io::Result<Vec<CachedFile>> {
        let files = self.files()?;
        for file in &files {
            remove(&file.path)?;
        }
        Ok(files)
    }

    /// Removes other files until `bytes`, the size of the files `kept`, are within the limit.
    fn make_room(&self, kept: &[&Path], bytes: u64) -> io::Result<()> {
        let mut others = self.files()?;
        others.retain(|file| !kept.contains(&file.path.as_path()));
        let mut total: u64 = bytes + others.iter().map(|file| file.bytes).sum::<u64>();
        while total > self.limit {
            let Some(oldest) = others.pop() else { break };
            remove(&oldest.path)?;
            total -= oldest.bytes;
        }
        Ok(())
    }
}

impl FeatureCache {
    /// A file as its first lines describe it, to read.
    fn open_other(path: &Path) -> io::Result<Self> {
        let file = warmstart_files::open(path)?;
        let Some([entries, values]) = read_header(&file)?.1 else {
            let what = message!(
                "it does not say how many features it has: an earlier version made it, or it is damaged"
            );
            return Err(io::Error::other(what));
        };
        let whole = Self {
            path: path.to_owned(),
            entries,
            values,
            file,
        };
        let expected = checked_len(entries, values);
        let found = whole.file.metadata()?.len();
        if expected == Some(found) {
            return Ok(whole);
        }
        Err(io::Error::other(message!(
            "it has {found} bytes, and {entries} entries of {values} values have another size: it is damaged"
        )))
    }

    /// How much of the file at `path` is there, as [`FeatureCacheFolder::merge`] tells it.
    ///
    /// # Errors
    /// If it is no file of features, or damaged.
    pub fn survey(path: &Path) -> io::Result<MergedFile> {
        let file = Self::open_other(path)?;
        Ok(MergedFile {
            description: read_description(path)?,
            entries: file.entries,
            present: file.present(),
            copied: 0,
            path: file.path,
        })
    }

    /// The name that it was opened by.
    pub fn key(&self) -> String {
        let name = self.path.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Values of an entry.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Bytes of the file.
    fn bytes(&self) -> u64 {
        file_len(self.entries, self.values)
    }

    /// Entries that are there and whole. Reads all of them.
    pub fn present(&self) -> usize {
        let entries = (0..self.entries).into_par_iter();
        entries.filter(|&entry| self.read(entry).is_some()).count()
    }

    /// Returns whether `entry` was written, whole or not.
    pub fn is_written(&self, entry: usize) -> bool {
        let mut stored = [0; CHECKSUM];
        read_at(&self.file, &mut stored, self.place(entry)).is_ok() && stored != [0; CHECKSUM]
    }

    /// The features at `entry`, if they are there and whole.
    pub fn read(&self, entry: usize) -> Option<Vec<f32>> {
        let mut bytes = vec![0; entry_len(self.values)];
        read_at(&self.file, &mut bytes, self.place(entry)).ok()?;
        let (stored, features) = bytes.split_at(CHECKSUM);
        (stored == checksum(entry, features)).then(|| {
            let values = features.as_chunks::<{ size_of::<f32>() }>().0.iter();
            values.map(|value| f32::from_le_bytes(*value)).collect()
        })
    }

    /// Keeps the features of `entry`.
    ///
    /// # Errors
    /// If the system refuses, as a full disk does. The entry then counts as missing.
    ///
    /// # Panics
    /// If the number of values is another one than the file was opened for.
    pub fn write(&self, entry: usize, features: &[f32]) -> io::Result<()> {
        assert_eq!(features.len(), self.values, "values of an entry");
        let bytes: Vec<u8> = features
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let place = self.place(entry);
        write_at(&self.file, &bytes, place + CHECKSUM as u64)?;
        write_at(&self.file, &checksum(entry, &bytes), place)
    }

    fn place(&self, entry: usize) -> u64 {
        assert!(entry < self.entries, "entry {entry} of {}", self.entries);
        HEADER + (entry * entry_len(self.values)) as u64
    }
}

fn bytes_of(files: &[&FeatureCache]) -> u64 {
    files.iter().map(|file| file.bytes()).sum()
}

/// What a file begins with: a description, and the number of entries and of the values of each.
fn header(description: &str, [entries, values]: [usize; 2]) -> Vec<u8> {
    let text = format!("{MAGIC}{description}\n{ENTRIES}{entries}\n{VALUES}{values}\n");
    let mut header = text.into_bytes();
    header.resize(HEADER as usize, 0);
    header
}

/// Bytes of a file of so many entries of so many values.
pub fn file_len(entries: usize, values: usize) -> u64 {
    HEADER + (entries * entry_len(values)) as u64
}

/// [`file_len`] of any numbers; `None` if no file is as long.
fn checked_len(entries: usize, values: usize) -> Option<u64> {
    let entry = (values as u64).checked_mul(size_of::<f32>() as u64)?;
    let all = entry
        .checked_add(CHECKSUM as u64)?
        .checked_mul(entries as u64)?;
    all.checked_add(HEADER)
}

/// Bytes in MB, to a tenth.
fn in_mb(bytes: u64) -> f64 {
    (bytes / 100_000) as f64 / 10.0
}

/// Bytes of an entry.
fn entry_len(values: usize) -> usize {
    CHECKSUM + values * size_of::<f32>()
}

/// A part of the hash of an entry and its place; never that of an entry which was not written.
fn checksum(entry: usize, features: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(entry as u64).to_le_bytes());
    hasher.update(features);
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM]);
    checksum[0] |= 1;
    checksum
}

fn read_description(path: &Path) -> io::Result<String> {
    read_header(&warmstart_files::open(path)?).map(|(description, _)| description)
}

/// The description of a file, and the number of entries and of the values of each where it says them.
fn read_header(file: &File) -> io::Result<(String, Option<[usize; 2]>)> {
    let mut header = vec![0; HEADER as usize];
    read_at(file, &mut header, 0)?;
    let text = String::from_utf8_lossy(&header);
    let text = text.strip_prefix(MAGIC);
    let mut lines = text.map(str::lines).into_iter().flatten();
    let description = lines.next();
    let description =
        description.ok_or_else(|| io::Error::other(message!("it is not a file of features")))?;
    let mut number = |beginning: &str| {
        let line = lines.next()?;
        line.strip_prefix(beginning)?.parse::<usize>().ok()
    };
    let entries = number(ENTRIES);
    let sizes = entries.zip(number(VALUES));
    Ok((
        description.to_owned(),
        sizes.map(|(entries, values)| [entries, values]),
    ))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, place)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, place)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut place: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, place)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                place += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut place: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, place)?;
        bytes = &bytes[written..];
        place += written as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
