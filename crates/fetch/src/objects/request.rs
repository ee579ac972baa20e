//! What is asked of copying, and what is said of it.

use std::path::{Path, PathBuf};

/// What is to be copied, and to where.
pub struct Mirror<'a> {
    /// The address: objects below `s3://bucket/prefix`, or files at `https://host/path/train-{000..099}.tar`.
    pub address: &'a str,
    /// The folder below which each address has a folder of its own.
    pub folder: &'a Path,
    /// The variables `AWS_…`, by name.
    pub settings: Vec<(String, String)>,
    /// Whether to end after the files in hand.
    pub is_stopped: &'a dyn Fn() -> bool,
}

/// A copy on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The folder of the files, or the file where the address names one that is no archive.
    pub path: PathBuf,
    /// Files in it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were fetched now.
    pub fetched: usize,
    /// Files that were removed, because the address has them no more.
    pub removed: usize,
}

/// Something that happens while data are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectEvent {
    /// Another process copies from the same address, and this one waits for it.
    Waiting,
    /// It is known what has to be fetched.
    Found {
        /// Files at the address.
        files: usize,
        /// Those that are not here, or may have changed.
        wanted: usize,
        /// Bytes of those; `None` where the server tells them file by file.
        bytes: Option<u64>,
    },
    /// So many bytes are here.
    Bytes {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, where they are known before.
        of: Option<u64>,
    },
    /// A file did not arrive whole, and is fetched again.
    Again {
        /// What happened.
        reason: String,
    },
}
