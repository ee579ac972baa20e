//! Pictures inside archives. A path goes through the archive: `shards/train-000.tar/cat/1.jpg`.
//!
//! ```text
//! path ─ locate ─▶ archive and member ─ index, read once a process ─▶ place and length ─▶ reads at that place
//! ```
//!
//! Nothing is extracted, so a member's name is a name and no more: its `..` and its root are left out.

mod archives;
mod header_reader;
mod member;
mod reading;
mod tar_index;

pub(crate) use archives::{Found, find, walk};
pub(crate) use member::{Member, MemberKind};
pub(crate) use reading::{read_at, read_member};

use crate::error::DataError;
use crate::file_types::is_image;
use crate::skipped::Skipped;
use std::path::{Path, PathBuf};
use warmstart_language::message;

/// The pictures in archives, those of each sorted, and what in them is not used.
///
/// # Errors
/// If an archive cannot be read, or none has a picture.
pub(crate) fn pictures_in(archives: &[PathBuf]) -> Result<(Vec<PathBuf>, Skipped), DataError> {
    let (mut pictures, mut skipped) = (Vec::new(), Skipped::default());
    for archive in archives {
        let first = pictures.len();
        let read = walk(archive, &mut |member, _| {
            let path = archive.join(&member.name);
            match member.kind {
                MemberKind::File if is_image(&path) => pictures.push(path),
                MemberKind::File => skipped.add_type(&path),
                MemberKind::Link | MemberKind::Sparse => skipped.add_in_pieces(path),
                MemberKind::Special => skipped.add_special(path),
                MemberKind::Hidden => skipped.add_hidden(),
            }
            Ok(())
        });
        read.map_err(|source| DataError::read(archive, source))?;
        pictures[first..].sort();
    }
    if pictures.is_empty() {
        let problem = message!("there is no picture in it");
        let folder = archives.first().map_or(Path::new(""), PathBuf::as_path);
        return Err(DataError::Layout {
            folder: folder.to_path_buf(),
            problem,
        });
    }
    Ok((pictures, skipped))
}
