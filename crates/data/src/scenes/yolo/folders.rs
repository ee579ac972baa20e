//! YOLO data sets without a file that describes them: what Label Studio, LabelImg, Roboflow's Darknet
//! export and people themselves write.
//!
//! ```text
//! images/…  labels/…                 images/train/…  labels/train/…
//! train/images/…  train/labels/…     train/a.jpg  train/a.txt          a.jpg  a.txt
//! ```
//!
//! The classes are listed in `classes.txt`, `obj.names`, `_darknet.labels` or a file of such a name.

use super::super::findings::{Findings, Problem};
use super::description::Description;
use super::description_files::unusable;
use super::label_files::{is_no_label, label_folders};
use super::lists::is_list;
use super::text_files::{numbers, start_of};
use crate::error::DataError;
use crate::folder::{has_extension, is_image};
use crate::folder_names::is_pictures;
use crate::split_kind::SplitKind;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// Label files that are looked at before a folder is taken for another kind of data.
const FILES: usize = 200;

/// Folders below a folder of labels that are searched.
const DEPTH: usize = 3;

/// A data set that only its folders describe.
pub(in super::super) struct Folders {
    dir: PathBuf,
    /// The folders or lists of each split.
    splits: Vec<(SplitKind, PathBuf)>,
}

impl Folders {
    /// The data set in a folder: images in one of the usual places, and label files in YOLO's form for
    /// them.
    pub fn found(dir: &Path) -> Option<Self> {
        let entries = sorted_entries(dir);
        let folders: Vec<&PathBuf> = entries.iter().filter(|entry| entry.is_dir()).collect();
        let is_of_pictures = |folder: &&&PathBuf| {
            let name = folder.file_name().and_then(OsStr::to_str);
            // The last is CVAT's.
            name.is_some_and(|name| {
                is_pictures(name) || name.eq_ignore_ascii_case("obj_train_data")
            })
        };
        let has_labels =
            |splits: &Vec<(SplitKind, PathBuf)>| splits.iter().any(|(_, place)| has_labels(place));
        let mut of_pictures = folders.iter().filter(is_of_pictures);
        let mut splits = of_pictures
            .find_map(|images| Some(in_pictures(images)).filter(has_labels))
            .or_else(|| Some(in_splits(dir, &folders)).filter(has_labels))?;
        let files = entries.iter().filter(|entry| entry.is_file());
        let of_images = of_splits(files)
            .into_iter()
            .filter(|(_, file)| has_extension(file, "txt") && is_list(file));
        let listed: Vec<(SplitKind, PathBuf)> = of_images.collect();
        if listed.iter().any(|(kind, _)| *kind == SplitKind::Train) {
            splits = listed;
        }
        Some(Self {
            dir: dir.to_path_buf(),
            splits,
        })
    }

    /// Fails if two folders with pictures, or two lists, are for the same split.
    fn require_one_each(&self) -> Result<(), DataError> {
        let has_images = |place: &Path| {
            !place.is_dir()
                || crate::folder::images(place).is_ok_and(|images| !images.paths.is_empty())
        };
        for kind in [SplitKind::Train, SplitKind::Validation, SplitKind::Test] {
            let places = self.splits.iter().filter(|(of, _)| *of == kind);
            let places: Vec<&PathBuf> = places.map(|(_, place)| place).collect();
            if places.len() < 2 {
                continue;
            }
            let mut with_images = places.into_iter().filter(|place| has_images(place));
            if let (Some(first), Some(second)) = (with_images.next(), with_images.next()) {
                let (first, second) = (shown(first), shown(second));
                let split = kind.adjective();
                let problem = message!(
                    "{first} and {second} are both for the {split} split; keep one, or name both in a data.yaml"
                );
                return Err(DataError::Layout {
                    folder: self.dir.clone(),
                    problem,
                });
            }
        }
        Ok(())
    }

    /// The description of the data set.
    ///
    /// # Errors
    /// If it has no training split, or two folders for one split.
    pub fn describe(self) -> Result<Description, DataError> {
        self.require_one_each()?;
        let of = |wanted: SplitKind| -> Vec<PathBuf> {
            let places = self.splits.iter().filter(|(kind, _)| *kind == wanted);
            places.map(|(_, place)| place.clone()).collect()
        };
        let train = of(SplitKind::Train);
        if train.is_empty() {
            let found: Vec<String> = self.splits.iter().map(|(_, place)| shown(place)).collect();
            let problem = message!(
                "it looks like YOLO's layout with {} and has no training split; expected a folder train beside it",
                found.join(", ")
            );
            return Err(DataError::Layout {
                folder: self.dir,
                problem,
            });
        }
        let mut findings = Findings::default();
        for reason in unusable(&self.dir) {
            findings.add(Problem::NotUsed, || reason);
        }
        Ok(Description {
            bases: vec![self.dir.clone()],
            classes: None,
            classes_from: None,
            class_count: None,
            file: self.dir.clone(),
            keypoints: None,
            train,
            validation: of(SplitKind::Validation),
            test: of(SplitKind::Test),
            findings,
            root: self.dir,
        })
    }
}

/// The splits in a folder of images, or that folder for training.
fn in_pictures(images: &Path) -> Vec<(SplitKind, PathBuf)> {
    let entries = sorted_entries(images);
    let mut splits = of_splits(entries.iter().filter(|entry| entry.is_dir()));
    if splits.is_empty() {
        splits.push((SplitKind::Train, images.to_path_buf()));
    }
    splits
}

/// The splits among the folders in `dir`, each with a folder of images in it perhaps, or `dir` for
/// training.
fn in_splits(dir: &Path, folders: &[&PathBuf]) -> Vec<(SplitKind, PathBuf)> {
    let mut splits = Vec::new();
    for (kind, folder) in of_splits(folders.iter().copied()) {
        let below = sorted_entries(&folder);
        let images = below.iter().find(|entry| {
            let name = entry.file_name().and_then(OsStr::to_str);
            name.is_some_and(is_pictures) && entry.is_dir()
        });
        splits.push((kind, images.unwrap_or(&folder).clone()));
    }
    if splits.is_empty() {
        splits.push((SplitKind::Train, dir.to_path_buf()));
    }
    splits
}

/// The entries that are named like a split.
fn of_splits<'a>(entries: impl Iterator<Item = &'a PathBuf>) -> Vec<(SplitKind, PathBuf)> {
    let of = |entry: &PathBuf| Some((SplitKind::of(entry.file_stem()?.to_str()?)?, entry.clone()));
    entries.filter_map(of).collect()
}

fn sorted_entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// Returns whether the images of a folder have label files in YOLO's form.
fn has_labels(images: &Path) -> bool {
    let mut left = FILES;
    let places = label_folders(images).into_iter();
    // Among the images, not below them: that would search every class of a data set of class folders.
    places
        .map(|place| {
            if place == images {
                (place, 1)
            } else {
                (place, DEPTH)
            }
        })
        .any(|(place, depth)| has_label(&place, depth, images, &mut left))
}

fn has_label(folder: &Path, depth: usize, images: &Path, left: &mut usize) -> bool {
    let entries = sorted_entries(folder);
    let mut below = Vec::new();
    // A text file in a folder of images is a label if it is beside an image.
    let among = folder == images && entries.iter().any(|entry| is_image(entry));
    for entry in entries {
        if entry.is_dir() {
            below.push(entry);
        } else if (among || folder != images) && is_label_name(&entry) && *left > 0 {
            *left -= 1;
            if is_label(&entry) {
                return true;
            }
        }
    }
    depth > 1
        && below
            .iter()
            .any(|below| has_label(below, depth - 1, images, left))
}

fn is_label_name(file: &Path) -> bool {
    has_extension(file, "txt") && !is_no_label(file)
}

/// Returns whether a text file begins with lines of a class and a box or an outline.
fn is_label(file: &Path) -> bool {
    let (text, complete) = start_of(file);
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    if !complete {
        lines.pop();
    }
    let is_object = |line: &&str| {
        numbers(line).is_ok_and(|numbers| {
            numbers.len() >= 5 && numbers[0] >= 0.0 && numbers[0].fract() == 0.0
        })
    };
    !lines.is_empty() && lines.iter().all(is_object)
}
