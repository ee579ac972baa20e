//! Reading from places of an archive.

use super::member::Member;
use std::fs::File;
use std::io;

/// Reads the bytes of a member, at most `limit`; none if it has more.
pub(crate) fn read_member(file: &File, member: &Member, limit: u64) -> io::Result<Option<Vec<u8>>> {
    if member.bytes > limit {
        return Ok(None);
    }
    let mut bytes = vec![0; member.bytes as usize];
    let mut read = 0;
    while read < bytes.len() {
        match read_at(file, &mut bytes[read..], member.offset + read as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    Ok(Some(bytes))
}

/// Reads bytes from a place of a file; 0 at its end. Other threads may read it at the same time.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    loop {
        match read_once_at(file, bytes, place) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(unix)]
fn read_once_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, place)
}

#[cfg(windows)]
fn read_once_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, place)
}
