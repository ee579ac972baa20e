//! Files that are either replaced whole or stay as they were.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use warmstart_recipe::Error;

/// Checksum of bytes: BLAKE3, in hexadecimal.
pub fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Checksum of a file, which need not fit into memory: BLAKE3, in hexadecimal.
///
/// # Errors
/// If it cannot be read.
pub fn file_checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(warmstart_files::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Flushes a file to the disk.
pub fn flush(path: &Path) -> io::Result<()> {
    // Windows flushes only files that were opened for writing.
    File::options().write(true).open(path)?.sync_all()
}

/// As [`warmstart_files::flush_folder`], with an error that names the folder.
pub fn flush_folder(folder: &Path) -> Result<(), Error> {
    warmstart_files::flush_folder(folder).map_err(|error| Error::io("flush", folder, error))
}

/// Writes a file and flushes it to the disk; the file may be incomplete if that fails.
pub fn write_flushed(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| Error::io("write", path, error))
}

/// As [`warmstart_files::replace`], with an error that names the file.
///
/// # Errors
/// If the disk refuses.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    warmstart_files::replace(path, |file| file.write_all(bytes))
        .map_err(|error| Error::io("write", path, error))
}

/// [`replace_file`] by the content of another file, unless that is the same already.
///
/// # Errors
/// If the disk refuses.
pub fn replace_by_copy(path: &Path, original: &Path) -> Result<(), Error> {
    let sum = file_checksum(original).map_err(|error| Error::io("read", original, error))?;
    if file_checksum(path).is_ok_and(|old| old == sum) {
        return Ok(());
    }
    let mut source =
        warmstart_files::open(original).map_err(|error| Error::io("read", original, error))?;
    warmstart_files::replace(path, |file| io::copy(&mut source, file).map(drop))
        .map_err(|error| Error::io("write", path, error))
}
