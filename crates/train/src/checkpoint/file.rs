//! Files that are there whole, or as they were.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::Error;

/// BLAKE3, in hexadecimal.
pub fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// As [`checksum`], of a file that need not fit into memory.
pub fn file_checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

pub fn flush(path: &Path) -> io::Result<()> {
    // Windows flushes only what may be written.
    File::options().write(true).open(path)?.sync_all()
}

/// Makes a rename within a folder outlive a power cut. Only Unix can open a folder.
pub fn flush_folder(folder: &Path) -> Result<(), Error> {
    match cfg!(unix) {
        true => File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Error::io("flush", folder, error)),
        false => Ok(()),
    }
}

pub fn write_flushed(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| Error::io("write", path, error))
}

/// Replaces a file in one step: whoever reads it sees the old or the new one.
///
/// # Errors
/// If the disk refuses; the old file is still there.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, |temporary| write_flushed(temporary, bytes))
}

/// As [`replace_file`], by the content of another file, unless it is the same already.
///
/// # Errors
/// If the disk refuses; the old file is still there.
pub fn replace_by_copy(path: &Path, original: &Path) -> Result<(), Error> {
    let sum = file_checksum(original).map_err(|error| Error::io("read", original, error))?;
    if file_checksum(path).is_ok_and(|old| old == sum) {
        return Ok(());
    }
    replace(path, |temporary| {
        let copied = fs::copy(original, temporary).and_then(|_| flush(temporary));
        copied.map_err(|error| Error::io("write", temporary, error))
    })
}

/// As [`replace_file`], by what `write` writes to a path beside it.
///
/// # Errors
/// If the disk refuses; the old file is still there.
pub fn replace(path: &Path, write: impl Fn(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.writing"));
    if let Err(error) = write(&temporary) {
        // What there is of it would take the room that a full disk lacks.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    fs::rename(&temporary, path).map_err(|error| Error::io("write", path, error))?;
    flush_folder(folder)
}
