//! A member of an archive.

use crate::folder_names::is_of_system;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use tar::EntryType;

/// A member of an archive that is not a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The parts of its name, without `.`, `..` and a root.
    pub name: PathBuf,
    /// Its first byte in the archive.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// What it is.
    pub kind: MemberKind,
}

/// What a member of an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberKind {
    /// A regular file, whose bytes lie in one piece.
    File,
    /// A hard or symbolic link: an archive is not unpacked, so it leads nowhere.
    Link,
    /// A file with holes, whose bytes do not lie in one piece.
    Sparse,
    /// A device, a pipe or what other tools know.
    Special,
    /// A file or a file in a folder that is hidden or a system's own.
    Hidden,
}

impl Member {
    /// A member by its header and the bytes of its name; none for folders and for names that hold nothing.
    pub fn new(name: &[u8], kind: EntryType, offset: u64, bytes: u64) -> Option<Self> {
        // What follows a zero is no part of a name in any system.
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        // Old archives mark folders by their names alone.
        if kind.is_dir() || name.ends_with(b"/") {
            return None;
        }
        let name = member_name(name);
        let kind = match kind {
            _ if is_hidden(&name) => MemberKind::Hidden,
            EntryType::Regular | EntryType::Continuous => MemberKind::File,
            EntryType::Link | EntryType::Symlink => MemberKind::Link,
            EntryType::GNUSparse => MemberKind::Sparse,
            // They describe the archive or the members after them.
            EntryType::XGlobalHeader => return None,
            _ => MemberKind::Special,
        };
        (!name.as_os_str().is_empty()).then_some(Self {
            name,
            offset,
            bytes,
            kind,
        })
    }
}

/// The name of a member as the end of a path.
fn member_name(name: &[u8]) -> PathBuf {
    let parts = name.split(|byte| *byte == b'/');
    let parts = parts.filter(|part| !matches!(*part, b"" | b"." | b".."));
    let mut path = PathBuf::new();
    for part in parts {
        push(&mut path, part);
    }
    path
}

#[cfg(unix)]
fn push(path: &mut PathBuf, part: &[u8]) {
    use std::os::unix::ffi::OsStrExt as _;
    path.push(OsStr::from_bytes(part));
}

#[cfg(not(unix))]
fn push(path: &mut PathBuf, part: &[u8]) {
    let part = String::from_utf8_lossy(part);
    // A drive or a root would replace what is before it.
    path.push(part.replace(['\\', ':'], "_"));
}

fn is_hidden(name: &Path) -> bool {
    let is_hidden = |part: &OsStr| is_of_system(part) || part.as_encoded_bytes().starts_with(b".");
    name.iter().any(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &[u8], kind: EntryType) -> Option<(PathBuf, MemberKind)> {
        Member::new(name, kind, 512, 3).map(|member| (member.name, member.kind))
    }

    #[test]
    fn names_are_names_and_lead_nowhere() {
        for (name, expected) in [
            (&b"cat/1.jpg"[..], "cat/1.jpg"),
            (b"./cat//1.jpg", "cat/1.jpg"),
            (b"/etc/1.jpg", "etc/1.jpg"),
            (b"../../cat/../1.jpg", "cat/1.jpg"),
            (b"cat/1.jpg\0rest", "cat/1.jpg"),
        ] {
            let found = member(name, EntryType::Regular);
            assert_eq!(found, Some((expected.into(), MemberKind::File)), "{name:?}");
        }
        for name in [&b""[..], b".", b"../..", b"cat/", b"\0"] {
            assert_eq!(member(name, EntryType::Regular), None, "{name:?}");
        }
    }

    #[test]
    fn only_regular_files_are_read() {
        use MemberKind::{Hidden, Link, Sparse, Special};
        let kind = |name: &str, kind| member(name.as_bytes(), kind).map(|(_, kind)| kind);
        assert_eq!(kind("a", EntryType::Symlink), Some(Link));
        assert_eq!(kind("a", EntryType::Link), Some(Link));
        assert_eq!(kind("a", EntryType::GNUSparse), Some(Sparse));
        assert_eq!(kind("a", EntryType::Fifo), Some(Special));
        assert_eq!(kind("a", EntryType::Directory), None);
        assert_eq!(kind("a", EntryType::XGlobalHeader), None);
        for name in ["cat/._1.jpg", ".cache/1.jpg", "__MACOSX/cat/1.jpg"] {
            assert_eq!(kind(name, EntryType::Regular), Some(Hidden), "{name}");
        }
    }
}
