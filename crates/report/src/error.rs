use std::path::PathBuf;

use warmstart_files::shown;
use warmstart_language::message;

/// Error of drawing a picture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be written.
    #[error("{}", message!("could not write {}: {problem}", shown(path)))]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system or of the drawing library.
        problem: String,
    },
    /// Its folder is missing.
    #[error("{}", message!("could not write {}: there is no folder {}", shown(path), shown(folder)))]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// Another file is in its place.
    #[error(
        "{}",
        message!(
            "{} exists, and warmstart did not write it as a picture or page of this kind: name another file, or remove \
             it",
            shown(path)
        )
    )]
    Occupied {
        /// The file.
        path: PathBuf,
    },
}
