use std::path::PathBuf;

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Writing it.
    #[error("could not write {}: {problem}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system or the drawing said.
        problem: String,
    },
}
