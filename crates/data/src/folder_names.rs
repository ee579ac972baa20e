//! Usual names of the folders in a data set, besides those of splits, and of the files that systems leave
//! in any folder.

use std::ffi::OsStr;

/// Folders that hold pictures, whatever they show; the longer ones of alike names first.
pub(crate) const PICTURES: [&str; 10] = [
    "jpegimages",
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
    "picture",
    "photos",
    "jpegs",
    "jpg",
];

/// Folders that hold labels of pictures, such as boxes and outlines, in the order of preference.
pub(crate) const LABELS: [&str; 14] = [
    "labels",
    "label",
    "annotations",
    "annotation",
    "annots",
    "annot",
    "annos",
    "anns",
    "ann",
    "bboxes",
    "xmls",
    "xml",
    "jsons",
    "json",
];

/// Folders that hold the ground truth of every picture, mostly as pictures of masks.
const MASKS: [&str; 8] = [
    "ground_truth",
    "groundtruth",
    "gt",
    "mask",
    "masks",
    "segmentation",
    "segmentationclass",
    "segmentationobject",
];

/// Files and folders that operating systems, network stores, archivers, version control and notebooks
/// leave in any folder.
const SYSTEM: [&str; 20] = [
    "@eaDir",
    "@Recycle",
    "#recycle",
    "$RECYCLE.BIN",
    "__MACOSX",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "System Volume Information",
    "Thumbs.db",
    ".directory",
    ".DS_Store",
    ".fseventsd",
    ".git",
    ".gitattributes",
    ".gitignore",
    ".gitkeep",
    ".ipynb_checkpoints",
    ".Spotlight-V100",
    ".Trashes",
];

/// Returns whether a folder has one of the [`PICTURES`]' names, in any case.
pub(crate) fn is_pictures(name: &str) -> bool {
    is_one_of(&PICTURES, name)
}

/// Returns whether a folder has one of the [`LABELS`]' names, in any case.
pub(crate) fn is_labels(name: &str) -> bool {
    is_one_of(&LABELS, name)
}

/// Returns whether a folder has one of the [`MASKS`]' names, in any case.
pub(crate) fn is_masks(name: &str) -> bool {
    is_one_of(&MASKS, name)
}

/// Returns whether a file or a folder is a system's own, by its name in any case.
pub(crate) fn is_of_system(name: &OsStr) -> bool {
    let is_known = |known: &&str| name.eq_ignore_ascii_case(known);
    // macOS keeps what other file systems cannot hold of x.jpg in ._x.jpg.
    name.as_encoded_bytes().starts_with(b"._") || SYSTEM.iter().any(is_known)
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_of_one_kind() {
        assert!(is_pictures("JPEGImages") && is_labels("Annotations"));
        assert!(is_masks("SegmentationClass") && is_of_system("THUMBS.DB".as_ref()));
        assert!(!is_of_system(".hidden".as_ref()) && is_of_system("._a.jpg".as_ref()));
        for name in PICTURES.iter().chain(&LABELS).chain(&MASKS) {
            let kinds = [is_pictures(name), is_labels(name), is_masks(name)];
            assert_eq!(kinds.iter().filter(|is| **is).count(), 1, "{name}");
        }
    }
}
