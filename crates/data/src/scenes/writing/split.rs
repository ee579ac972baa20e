//! The parts of a data set to be written, and how they come onto the disk.

use crate::error::DataError;
use crate::scene::{Object, Scene};
use std::path::{Path, PathBuf};

/// A split to be written.
pub(super) struct Split<'a> {
    /// `train`, `val` or `test`.
    pub name: &'static str,
    pub images: Vec<Image<'a>>,
}

/// An image to be written.
pub(super) struct Image<'a> {
    /// File name in its new folder; no other image in that folder has its stem.
    pub name: String,
    pub source: &'a Path,
    pub scene: &'a Scene,
    /// The objects that the layout can hold.
    pub objects: Vec<&'a Object>,
}

impl Image<'_> {
    /// The file name without its extension.
    pub fn stem(&self) -> &str {
        self.name
            .rsplit_once('.')
            .map_or(&self.name, |(stem, _)| stem)
    }
}

/// Makes a folder and those above it.
pub(super) fn create_folder(folder: &Path) -> Result<(), DataError> {
    std::fs::create_dir_all(folder).map_err(|source| DataError::write(folder, source))
}

/// Writes a file.
pub(super) fn write_file(path: &Path, content: impl AsRef<[u8]>) -> Result<(), DataError> {
    std::fs::write(path, content).map_err(|source| DataError::write(path, source))
}

/// Puts the images of a split into a folder, made if it is missing.
pub(super) fn place_images(split: &Split, folder: &Path) -> Result<(), DataError> {
    create_folder(folder)?;
    for image in &split.images {
        let target = folder.join(&image.name);
        // A link to a symbolic link would be one, too, and lead nowhere from its new place.
        let unreadable = |source| DataError::read(image.source, source);
        let source: PathBuf = image.source.canonicalize().map_err(unreadable)?;
        if std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target).map_err(|source| DataError::write(&target, source))?;
        }
    }
    Ok(())
}
