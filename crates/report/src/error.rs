use std::path::PathBuf;

use warmstart_files::{Key, shown};

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Writing it.
    #[error("could not write {}: {problem}", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system or the drawing said.
        problem: String,
    },
    /// The folder that it was to be in is missing.
    #[error(
        "could not write {}: there is no folder {}",
        shown(path),
        shown(folder)
    )]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// Something else is in its place.
    #[error(
        "{} exists, and warmstart did not draw it: name another file by {}, or remove it",
        shown(path),
        Key::PICTURE
    )]
    Occupied {
        /// The file.
        path: PathBuf,
    },
}
