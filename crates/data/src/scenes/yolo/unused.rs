//! Pictures that no split uses.

use super::label_files::is_no_label;
use super::lists::is_list;
use crate::folder::{has_extension, is_image};
use crate::folder_names::is_of_system;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Folders inside folders that are searched.
const DEPTH: usize = 5;

/// YOLO's own folders of labels, which may have as many files as there are pictures. Of the other names
/// for labels, a folder may have pictures that someone means to be used.
const LABELS: [&str; 2] = ["labels", "label"];

/// The folders of pictures and the lists below `root` that no split uses, sorted; the uppermost ones
/// only. `used` are the folders and lists of the splits and the folders of listed images.
pub(super) fn unused<'a>(root: &Path, used: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
    let mut seen: HashSet<PathBuf> = used.filter_map(|path| path.canonicalize().ok()).collect();
    let mut found = Vec::new();
    let is_used = root.canonicalize().is_ok_and(|root| seen.contains(&root));
    if !is_used {
        collect(root, 0, &mut seen, &mut found);
    }
    found.sort();
    found
}

fn collect(folder: &Path, depth: usize, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    // A picture beside the folders of a data set shows what it is.
    if depth > 0
        && entries
            .iter()
            .any(|entry| is_image(entry) && entry.is_file())
    {
        return found.push(folder.to_path_buf());
    }
    for entry in entries {
        let name = entry.file_name().unwrap_or_default();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        let is_labels = LABELS.iter().any(|label| name.eq_ignore_ascii_case(label));
        if is_hidden || is_of_system(name) || is_labels {
            continue;
        }
        let is_new =
            |seen: &mut HashSet<PathBuf>| entry.canonicalize().is_ok_and(|path| seen.insert(path));
        if entry.is_dir() {
            if depth < DEPTH && is_new(seen) {
                collect(&entry, depth + 1, seen, found);
            }
        } else if depth == 0 && is_text(&entry) && is_new(seen) && is_list(&entry) {
            found.push(entry);
        }
    }
}

fn is_text(file: &Path) -> bool {
    has_extension(file, "txt") && !is_no_label(file)
}
