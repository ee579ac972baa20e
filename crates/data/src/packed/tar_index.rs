//! Where the pictures of an archive lie in it.

use super::header_reader::{HeaderReader, Position};
use super::member::{Member, MemberKind};
use super::reading::read_at;
use crate::file_types::is_image;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tar::EntryType;
use warmstart_files::shown;
use warmstart_language::message;

/// The pictures of an archive by their names: 24 bytes for each.
#[derive(Debug)]
pub(super) struct TarIndex {
    /// In the order of their hashes, each of which is there once.
    places: Vec<Place>,
}

/// Where a picture lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Of its name.
    hash: u64,
    offset: u64,
    bytes: u64,
}

impl TarIndex {
    /// Reads the headers of an archive, and hands every member to `each` in the archive's order.
    ///
    /// # Errors
    /// If it cannot be read, is cut short or compressed, has a picture twice, or `each` fails.
    pub fn read(
        file: &File,
        each: &mut dyn FnMut(&Member, &File) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut places = Vec::new();
        members(file, &mut |member| {
            if is_indexed(member) {
                places.push(Place {
                    hash: hash(&member.name),
                    offset: member.offset,
                    bytes: member.bytes,
                });
            }
            each(member, file)
        })?;
        places.sort_unstable_by_key(|place| (place.hash, place.offset));
        places.shrink_to_fit();
        let twice = places.windows(2).find(|pair| pair[0].hash == pair[1].hash);
        match twice {
            Some(pair) => Err(refused_twin(file, pair[0].hash)),
            None => Ok(Self { places }),
        }
    }

    /// The first byte and the length of a picture.
    pub fn find(&self, name: &Path) -> Option<(u64, u64)> {
        let hash = hash(name);
        let found = self.places.binary_search_by_key(&hash, |place| place.hash);
        let place = self.places[found.ok()?];
        Some((place.offset, place.bytes))
    }
}

fn is_indexed(member: &Member) -> bool {
    member.kind == MemberKind::File && is_image(&member.name)
}

/// A number for a name, by its parts, so that the separator of the system does not count.
fn hash(name: &Path) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in name.iter() {
        hasher.update(part.as_encoded_bytes()).update(b"/");
    }
    let mut start = [0; 8];
    start.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(start)
}

/// The error of two pictures whose names have one hash.
fn refused_twin(file: &File, twin: u64) -> io::Error {
    let mut names: Vec<PathBuf> = Vec::new();
    let read = members(file, &mut |member| {
        if names.len() < 2 && is_indexed(member) && hash(&member.name) == twin {
            names.push(member.name.clone());
        }
        Ok(())
    });
    match (read, &names[..]) {
        (Err(error), _) => error,
        (Ok(()), [first, second, ..]) if first != second => invalid(message!(
            "its pictures {} and {} cannot be told apart by the index; rename one of them",
            shown(first),
            shown(second)
        )),
        (Ok(()), names) => {
            let name = names.first().map_or_else(String::new, |name| shown(name));
            invalid(message!(
                "it has the picture {name} twice, so that the path could mean either; write the archive again with one of them"
            ))
        }
    }
}

/// Hands the members of an archive to `each`, in its order.
fn members(file: &File, each: &mut dyn FnMut(&Member) -> io::Result<()>) -> io::Result<()> {
    let length = file.metadata()?.len();
    refuse_compressed(file)?;
    let position = Position::new();
    let cut_short = || {
        invalid(message!(
            "it is cut short at byte {length}: the end mark of an archive is missing; copy it again, or let its writer finish"
        ))
    };
    let damaged = |error: io::Error| {
        if position.has_ended() {
            return cut_short();
        }
        let at = position.last();
        invalid(message!(
            "it is damaged at byte {at}: {error}; copy it again"
        ))
    };
    let mut archive = tar::Archive::new(HeaderReader::new(file, &position));
    for entry in archive.entries_with_seek().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let mut kind = entry.header().entry_type();
        if kind.is_file() && has_holes(&mut entry).map_err(damaged)? {
            kind = EntryType::GNUSparse;
        }
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        let end = offset.saturating_add(bytes);
        // The length of a file with holes is that of its copy on a disk.
        let is_whole = kind.is_gnu_sparse() || end <= length;
        if let Some(member) = Member::new(&entry.path_bytes(), kind, offset, bytes) {
            if !is_whole {
                let name = shown(&member.name);
                return Err(invalid(message!(
                    "it is cut short: {name} should end at byte {end}, and the archive ends at byte {length}; copy it again"
                )));
            }
            each(&member)?;
        }
        position.begin_member();
    }
    if position.has_ended() {
        return Err(cut_short());
    }
    Ok(())
}

/// Whether a regular file is one with holes, as PAX headers say it.
fn has_holes(entry: &mut tar::Entry<HeaderReader>) -> io::Result<bool> {
    let extensions = entry.pax_extensions()?;
    let is_hole = |key: &[u8]| key.starts_with(b"GNU.sparse.");
    Ok(extensions.is_some_and(|extensions| {
        let mut readable = extensions.flatten();
        readable.any(|extension| is_hole(extension.key_bytes()))
    }))
}

/// Refuses a file that begins as gzip, zstd, xz or bzip2 do.
fn refuse_compressed(file: &File) -> io::Result<()> {
    let mut start = [0; 6];
    let read = read_at(file, &mut start, 0)?;
    match start[..read] {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {}
        [0xfd, b'7', b'z', b'X', b'Z', ..] | [b'B', b'Z', b'h', ..] => {}
        _ => return Ok(()),
    }
    Err(invalid(message!(
        "it is compressed, and pictures are read in place; decompress it"
    )))
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests;
