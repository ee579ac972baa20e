//! Types of files by their extensions.

use std::path::Path;

/// Extensions that are taken for images.
pub(crate) const IMAGES: [&str; 9] = [
    "jpg", "jpeg", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff",
];

/// Returns whether a file has an extension, given without its dot, in any case.
pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

pub(crate) fn is_image(path: &Path) -> bool {
    IMAGES
        .iter()
        .any(|extension| has_extension(path, extension))
}

/// Returns whether a file is an archive of pictures by its name.
pub(crate) fn is_archive(path: &Path) -> bool {
    has_extension(path, "tar")
}
