//! Signs of class folders in a folder that holds tables or archives, too.

use crate::file_types::is_image;
use crate::folder_names::{is_labels, is_masks, is_of_system, is_pictures};
use crate::split_kind::split_named;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Folders inside each other in which a picture is looked for.
const DEPTH: usize = 4;

/// Returns whether a folder, or a folder of a split in it, has at least two folders with pictures that have no usual
/// name of a split or of a folder of pictures or labels.
pub(crate) fn has_class_folders(dir: &Path) -> bool {
    let here = folders(dir);
    let splits = here.iter().filter(|folder| split_named(folder).is_some());
    let of_splits: Vec<Vec<PathBuf>> = splits.map(|split| in_split(split)).collect();
    let has_two = |folders: &[PathBuf]| {
        let has_pictures = folders.iter().any(|folder| is_pictures(&name_of(folder)));
        let classes = folders
            .iter()
            .filter(|folder| may_be_class(folder, has_pictures));
        let mut classes = classes.filter(|folder| holds_picture(folder, DEPTH));
        classes.next().is_some() && classes.next().is_some()
    };
    has_two(&here) || of_splits.iter().any(|folders| has_two(folders))
}

/// The folders in that of a split, also where an archive was unpacked into a folder of its own name
/// (`train/train/cat`).
fn in_split(split: &Path) -> Vec<PathBuf> {
    let mut inside = folders(split);
    for _ in 1..DEPTH {
        let [only] = &inside[..] else { break };
        if split_named(only).is_none() {
            break;
        }
        inside = folders(only);
    }
    inside
}

/// The visible folders directly in a folder.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        // Known without asking for each file on most file systems.
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_file()))
        .map(|entry| entry.path())
        .collect();
    folders.retain(|path| !is_hidden(path) && path.is_dir());
    folders.sort();
    folders
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    is_of_system(name) || name.as_encoded_bytes().starts_with(b".")
}

/// Returns whether a folder may be a class. One named after labels or masks may, unless a folder of pictures lies
/// beside it.
fn may_be_class(folder: &Path, has_pictures: bool) -> bool {
    let name = name_of(folder);
    let is_of_pictures = has_pictures && (is_labels(&name) || is_masks(&name));
    split_named(folder).is_none() && !is_pictures(&name) && !is_of_pictures
}

fn name_of(folder: &Path) -> Cow<'_, str> {
    folder.file_name().unwrap_or_default().to_string_lossy()
}

fn holds_picture(folder: &Path, depth: usize) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut inside = Vec::new();
    for entry in entries {
        let path = entry.path();
        if is_hidden(&path) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => inside.push(path),
            Ok(_) if is_image(&path) => return true,
            Ok(_) | Err(_) => {}
        }
    }
    depth > 1 && inside.iter().any(|folder| holds_picture(folder, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(files: &[&str]) -> bool {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        has_class_folders(dir.path())
    }

    #[test]
    fn two_folders_with_pictures_are_class_folders() {
        assert!(holds(&["cat/1.jpg", "dog/1.jpg"]));
        assert!(holds(&["cat/young/1.jpg", "dog/1.jpg"]));
        assert!(holds(&["train/cat/1.jpg", "train/dog/1.jpg"]));
        assert!(holds(&["train/train/cat/1.jpg", "train/train/dog/1.jpg"]));
        assert!(holds(&["mask/1.jpg", "no_mask/1.jpg"]));
    }

    #[test]
    fn folders_of_pictures_and_splits_are_no_class_folders() {
        assert!(!holds(&["images/1.jpg", "labels/1.jpg"]));
        assert!(!holds(&["images/1.jpg", "labels/1.jpg", "masks/1.jpg"]));
        assert!(!holds(&["train/1.jpg", "test/1.jpg"]));
        assert!(!holds(&["cat/1.jpg", "dog/notes.txt"]));
        assert!(!holds(&["cat/1.jpg", ".dog/1.jpg"]));
    }
}
