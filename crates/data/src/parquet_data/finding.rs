//! The Parquet files of a data set, and their splits.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::class_folder_search::has_class_folders;
use crate::error::DataError;
use crate::file_types::{has_extension, is_archive, is_image};
use crate::split_kind::SplitKind;

/// Most folders that are looked into.
const MOST_FOLDERS: usize = 256;
/// Folders between the data set's own and a file.
const DEPTH: usize = 3;
/// Entries of a folder after which no Parquet file is expected any more.
const MOST_ENTRIES: usize = 10_000;
/// The name of a table beside pictures, which is no data set itself.
const BESIDE_PICTURES: &str = "metadata";

/// What a folder holds.
struct Inside {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// The Parquet files at a path, sorted; `None` if there are none, or pictures, archives or class folders are there as
/// well.
///
/// # Errors
/// If a folder cannot be read.
pub fn find(data: &Path) -> Result<Option<Vec<PathBuf>>, DataError> {
    // What is wrong with another path is told by whoever opens it.
    let Ok(metadata) = fs::metadata(data) else {
        return Ok(None);
    };
    if metadata.is_file() {
        let is_one = has_extension(data, "parquet");
        return Ok(is_one.then(|| vec![data.to_owned()]));
    }
    if !metadata.is_dir() {
        return Ok(None);
    }
    let mut found = Vec::new();
    let mut level = vec![data.to_owned()];
    let mut folders = 0;
    for _ in 0..=DEPTH {
        let mut next = Vec::new();
        for folder in level {
            folders += 1;
            if folders > MOST_FOLDERS {
                break;
            }
            let Some(inside) = inside(&folder)? else {
                return Ok(None);
            };
            found.extend(inside.files);
            next.extend(inside.folders);
        }
        level = next;
    }
    // Pictures may lie deeper, or in folders that are links.
    if found.is_empty() || has_class_folders(data) {
        return Ok(None);
    }
    found.sort();
    Ok(Some(found))
}

/// The files and folders in a folder; `None` if there is a picture or an archive, too.
fn inside(folder: &Path) -> Result<Option<Inside>, DataError> {
    let unreadable = |source| DataError::read(folder, source);
    let entries = match fs::read_dir(folder) {
        // A folder that may not be read has no part in the question.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Ok(Some(Inside {
                files: Vec::new(),
                folders: Vec::new(),
            }));
        }
        entries => entries.map_err(unreadable)?,
    };
    let mut inside = Inside {
        files: Vec::new(),
        folders: Vec::new(),
    };
    for (number, entry) in entries.enumerate() {
        if number >= MOST_ENTRIES && inside.files.is_empty() {
            break;
        }
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if is_hidden {
            continue;
        }
        if is_image(&path) || is_archive(&path) {
            return Ok(None);
        }
        let is_table = path.file_stem().is_some_and(|name| name == BESIDE_PICTURES);
        // Links are followed to files alone, so that none leads around.
        if has_extension(&path, "parquet") && !is_table && path.is_file() {
            inside.files.push(path);
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            inside.folders.push(path);
        }
    }
    inside.folders.sort();
    Ok(Some(inside))
}

/// The split that a file is for: by its name (`train-00000-of-00002.parquet`), or that of a folder between it and the
/// data set's; training, if neither tells.
pub fn split(data: &Path, file: &Path) -> SplitKind {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    let by_name = stem.and_then(SplitKind::within).map(|(split, _)| split);
    let folders = || {
        let between = file.strip_prefix(data).ok()?.parent()?;
        let mut names = between.iter().rev().filter_map(|name| name.to_str());
        names.find_map(SplitKind::of)
    };
    by_name.or_else(folders).unwrap_or(SplitKind::Train)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        root
    }

    fn found(files: &[&str]) -> Option<usize> {
        find(tree(files).path()).unwrap().map(|files| files.len())
    }

    #[test]
    fn a_folder_of_parquet_files_is_known_at_some_depth() {
        assert_eq!(
            found(&["README.md", "data/train-0.parquet", "data/test-0.parquet"]),
            Some(2)
        );
        assert_eq!(found(&["a/b/train/0000.parquet"]), Some(1));
        assert_eq!(found(&["a/b/c/d/0000.parquet"]), None);
        assert_eq!(found(&[".cache/train-0.parquet"]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn pictures_and_archives_are_the_data_set_where_they_are() {
        assert_eq!(found(&["train/cat/1.jpg", "train/metadata.parquet"]), None);
        assert_eq!(found(&["metadata.parquet", "images/1.jpg"]), None);
        assert_eq!(found(&["train-0.tar", "train-0.parquet"]), None);
        assert_eq!(found(&["cat/1.jpg", "table.parquet"]), None);
        let deep = ["train/cat/a/b/1.jpg", "train/dog/a/b/1.jpg", "t.parquet"];
        assert_eq!(found(&deep), None);
    }

    #[test]
    fn a_split_is_told_by_the_file_or_its_folders() {
        let of = |file: &str| split(Path::new("d"), &Path::new("d").join(file));
        for (file, expected) in [
            ("data/train-00000-of-00002.parquet", SplitKind::Train),
            (
                "data/validation-00000-of-00001.parquet",
                SplitKind::Validation,
            ),
            ("test.parquet", SplitKind::Test),
            ("default/test/0000.parquet", SplitKind::Test),
            ("0000.parquet", SplitKind::Train),
        ] {
            assert_eq!(of(file), expected, "{file}");
        }
    }
}
