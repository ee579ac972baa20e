//! Reading of regular files, up to a size limit.

use std::fs::{File, FileType, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use warmstart_language::message;

/// Opens a regular file for reading; links are followed.
///
/// # Errors
/// If there is no such file, it may not be read, or it is a folder, a pipe, a socket or a device: opening
/// a pipe would wait for a writer, and reading a device may never end.
pub fn open(path: &Path) -> io::Result<File> {
    require_regular(&std::fs::metadata(path)?)?;
    File::open(path)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`], and of kind [`FileTooLarge`](io::ErrorKind::FileTooLarge) if the file has more than
/// `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    let too_large = |size: u64| {
        let problem = message!("it has {size} bytes, more than the limit of {limit}");
        io::Error::new(io::ErrorKind::FileTooLarge, problem)
    };
    if size > limit {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // The file may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Reads a UTF-8 text of at most `limit` bytes.
///
/// # Errors
/// Those of [`read`], and of kind [`InvalidData`](io::ErrorKind::InvalidData) if the file is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn require_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let (kind, problem) = if metadata.is_dir() {
        let problem = message!("it is a folder, not a file");
        (io::ErrorKind::IsADirectory, problem)
    } else {
        (io::ErrorKind::InvalidInput, special(metadata.file_type()))
    };
    Err(io::Error::new(kind, problem))
}

#[cfg(unix)]
fn special(kind: FileType) -> String {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_fifo() {
        message!("it is a pipe, not a file")
    } else if kind.is_socket() {
        message!("it is a socket, not a file")
    } else {
        message!("it is a device, not a file")
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> String {
    message!("it is a device, not a file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("five");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        let error = read(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(
            error.to_string(),
            "it has 5 bytes, more than the limit of 4"
        );
    }

    #[test]
    fn a_text_is_utf_8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, "é").unwrap();
        assert_eq!(read_text(&path, 2).unwrap(), "é");
        std::fs::write(&path, b"\xe9").unwrap();
        let error = read_text(&path, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_sparse_file_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse.jpg");
        File::create(&path).unwrap().set_len(100 << 30).unwrap();
        let error = read(&path, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert_eq!(error.to_string(), "it is a folder, not a file");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_sockets_and_devices_are_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.jpg");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let socket = folder.path().join("socket.jpg");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link.jpg");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for (path, name) in [(pipe, "pipe"), (socket, "socket"), (link, "device")] {
            let error = open(&path).unwrap_err();
            assert_eq!(error.to_string(), format!("it is a {name}, not a file"));
        }
    }
}
