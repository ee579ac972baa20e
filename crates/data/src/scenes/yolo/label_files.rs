//! The label file of every image.

use crate::error::DataError;
use crate::folder;
use crate::folder_names::{LABELS, PICTURES};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;

/// Label files by the image that they belong to: in the folder beside the images' (`labels` for
/// `images`, `labels_train` for `images_train`), in one inside it, or among the images.
pub(super) struct LabelFiles {
    /// The folders that have the labels of a folder of images, in the order of preference.
    places: HashMap<PathBuf, Vec<PathBuf>>,
    listings: HashMap<PathBuf, Listing>,
}

/// The text files of a folder.
#[derive(Default)]
struct Listing {
    by_stem: HashMap<OsString, PathBuf>,
    /// Those whose name has more than ASCII, by their stem as macOS and others both may write it.
    by_normal_stem: HashMap<String, PathBuf>,
}

impl LabelFiles {
    /// Lists the folders that belong to some images.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn of<'a>(images: impl Iterator<Item = &'a PathBuf>) -> Result<Self, DataError> {
        let mut files = Self {
            places: HashMap::new(),
            listings: HashMap::new(),
        };
        for image in images {
            let folder = image.parent().unwrap_or(image);
            if files.places.contains_key(folder) {
                continue;
            }
            // Listed images that are not there may be in folders that are not there, of thousands of parts.
            let places = if folder.is_dir() {
                label_folders(folder)
            } else {
                Vec::new()
            };
            for place in &places {
                if !files.listings.contains_key(place) {
                    files.listings.insert(place.clone(), Listing::of(place)?);
                }
            }
            files.places.insert(folder.to_path_buf(), places);
        }
        Ok(files)
    }

    /// The folders that may have labels.
    pub fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.listings.keys()
    }

    /// The label file of an image, if there is one.
    pub fn file(&self, image: &Path) -> Option<&Path> {
        let stem = image.file_stem()?;
        let places = self.places.get(image.parent()?)?;
        let listings = places.iter().filter_map(|place| self.listings.get(place));
        listings.into_iter().find_map(|listing| listing.file(stem))
    }
}

impl Listing {
    fn of(folder: &Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::read(folder, source);
        let mut files = Vec::new();
        // Images that are listed and not there may be in a folder that isn't there either.
        if folder.is_dir() {
            for entry in std::fs::read_dir(folder).map_err(unreadable)? {
                files.push(entry.map_err(unreadable)?.path());
            }
        }
        files.retain(|file| folder::has_extension(file, "txt"));
        // Capitals sort first: the last one in counts, and that is `.txt` where there are two.
        files.sort();
        let mut listing = Self::default();
        for file in files {
            let Some(stem) = file.file_stem() else {
                continue;
            };
            if let Some(normal) = normal(stem) {
                listing.by_normal_stem.insert(normal, file.clone());
            }
            listing.by_stem.insert(stem.to_owned(), file);
        }
        Ok(listing)
    }

    fn file(&self, stem: &OsStr) -> Option<&Path> {
        let exact = self.by_stem.get(stem);
        let found = exact.or_else(|| self.by_normal_stem.get(&normal(stem)?));
        found.map(PathBuf::as_path)
    }
}

fn normal(stem: &OsStr) -> Option<String> {
    let stem = stem.to_str().filter(|stem| !stem.is_ascii())?;
    Some(stem.nfc().collect())
}

/// The folders that may have the labels of a folder of images, that folder itself last.
pub(super) fn label_folders(images: &Path) -> Vec<PathBuf> {
    let mut folders = beside(images);
    folders.extend(like(images, &LABELS.map(str::to_owned)));
    folders.push(images.to_path_buf());
    folders
}

/// The folders whose path has a word for labels in place of a word for images, the last such word
/// first.
fn beside(images: &Path) -> Vec<PathBuf> {
    let parts: Vec<Component> = images.components().collect();
    let mut folders = Vec::new();
    for (index, part) in parts.iter().enumerate().rev() {
        let Some(name) = part.as_os_str().to_str().map(str::to_lowercase) else {
            continue;
        };
        let is_in_name = |word: &str| name.split(|l: char| !l.is_alphabetic()).any(|w| w == word);
        let Some(word) = PICTURES.into_iter().find(|word| is_in_name(word)) else {
            continue;
        };
        let like_images = LABELS.iter().map(|label| name.replace(word, label));
        let names: Vec<String> = like_images.chain(LABELS.map(str::to_owned)).collect();
        let parent: PathBuf = parts[..index].iter().collect();
        let below: PathBuf = parts[index + 1..].iter().collect();
        for folder in like(&parent, &names) {
            folders.push(if below.as_os_str().is_empty() {
                folder
            } else {
                folder.join(&below)
            });
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// The folders in another whose names in lower case are some names, in the order of these.
fn like(parent: &Path, names: &[String]) -> Vec<PathBuf> {
    let parent_or_here = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let entries = std::fs::read_dir(parent_or_here)
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<(usize, OsString)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let lower = name.to_str()?.to_lowercase();
            let rank = names.iter().position(|name| *name == lower)?;
            Some((rank, name))
        })
        .collect();
    found.sort();
    let folders = found.into_iter().map(|(_, name)| parent.join(name));
    folders.filter(|folder| folder.is_dir()).collect()
}

/// The label files below a folder of images that belong to no image, and the number of all its text files
/// that lie among the images.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn stray(
    folder: &Path,
    used: &HashSet<&Path>,
) -> Result<(Vec<PathBuf>, usize), DataError> {
    let place = label_folders(folder).swap_remove(0);
    let mut stray = folder::files_with_extension(&place, "txt")?;
    let among_images = if place == folder { stray.len() } else { 0 };
    stray.retain(|label| !used.contains(&**label) && !is_no_label(label));
    Ok((stray, among_images))
}

/// Returns whether a text file has the name of a list of classes or of a description.
pub(super) fn is_no_label(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_ascii_lowercase();
    let is_readme = name.as_encoded_bytes().starts_with(b"readme");
    is_readme || super::super::names::is_list_of_classes(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(files: &[&str], image: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        for file in files.iter().chain([&image]) {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let image = dir.path().join(image);
        let labels = LabelFiles::of([&image].into_iter()).unwrap();
        let found = labels.file(&image)?.strip_prefix(dir.path()).unwrap();
        Some(found.display().to_string())
    }

    #[test]
    fn labels_are_found_where_tools_put_them() {
        for (image, file) in [
            ("images/train/a.jpg", "labels/train/a.txt"),
            ("train/images/a.jpg", "train/labels/a.txt"),
            ("images/train/a.JPG", "labels/train/a.TXT"),
            ("Images/Train/a.jpg", "Labels/Train/a.txt"),
            ("images_train/a.jpg", "labels_train/a.txt"),
            ("train-img/x/a.jpg", "train-labels/x/a.txt"),
            ("images/a.jpg", "annotations/a.txt"),
            ("train/a.jpg", "train/labels/a.txt"),
            ("train/a.jpg", "train/a.txt"),
            ("images/images/a.jpg", "images/labels/a.txt"),
            ("images/jpg/a.jpg", "labels/jpg/a.txt"),
            ("photos/a.jpg", "labels/a.txt"),
            ("JPEGImages/train/a.jpg", "annots/train/a.txt"),
            ("images/caf\u{e9}.jpg", "labels/cafe\u{301}.txt"),
        ] {
            assert_eq!(label(&[file], image).as_deref(), Some(file), "{image}");
        }
        assert_eq!(label(&["labels/b.txt"], "images/a.jpg"), None);
    }

    #[test]
    fn the_folder_of_labels_goes_before_a_file_beside_the_image() {
        let both = ["labels/a.txt", "images/a.txt", "labels/a.TXT"];
        assert_eq!(label(&both, "images/a.jpg").unwrap(), "labels/a.txt");
        assert_eq!(label(&both[1..2], "images/a.jpg").unwrap(), "images/a.txt");
    }
}
