//! Detection data of any layout in one form.
//!
//! ```text
//! folder ─ layout ─▶ its reader ─ boxes checked, one by one ─▶ Dataset<Scene> + Findings
//! ```
//!
//! An invalid box costs that box and no more: it is counted, with an example, in the [`Findings`].
//! A file that cannot be read at all is an error.

mod box_list;
mod coco;
mod coco_ids;
mod coco_json;
mod findings;
mod fractions;
mod json;
mod json_kind;
mod label_listing;
mod labelme;
mod labelstudio;
mod layout;
mod named;
mod names;
mod outside;
mod picture_size;
mod pictures;
mod places;
mod reading;
mod report;
mod splitting;
mod turning;
mod unread;
mod voc;
mod writing;
mod yolo;

pub use coco_ids::{CocoIds, coco_ids};
pub use findings::{Finding, Findings, Problem};
pub use layout::{Layout, is_detection, layout};
pub use picture_size::picture_size;
pub use report::{AreaCounts, ClassCount, Report, SideCount, SplitReport};
pub use writing::{Written, write};

pub(crate) use json_kind::JsonKind;
pub(crate) use names::{MOST_UNNAMED, numbered, read_names};
pub(crate) use outside::outside;
pub(crate) use places::{Bases, located};
pub(crate) use unread::Unread;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::folder;
use crate::held_out::drawn;
use crate::linked::{differing, linked};
use crate::sample::Sample;
use crate::scene::Scene;
use crate::skipped::Skipped;
use crate::split_kind::SplitKind;
use layout::Recognised;
use reading::{SplitRead, SplitsRead};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use warmstart_files::{Key, shown};
use warmstart_language::message;

/// A detection data set and its problems.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedScenes {
    /// Its layout.
    pub layout: Layout,
    /// Classes in the data set's own order or else sorted, and the splits in the order of their paths.
    /// `without_validation` names the classes without an object in the validation split.
    pub dataset: Dataset<Scene>,
    /// True if the validation split is a share of the training images, since it has none of its own.
    pub validates_by_share: bool,
    /// Problems that did not stop it from being opened.
    pub findings: Findings,
    /// Images left out since their header cannot be read, with a message that names the file. They
    /// belong to those that [`check`](crate::check()) would find unreadable.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Opens a detection data set of any [`Layout`].
///
/// Boxes are in pixels of the picture as it is decoded. Without a validation split, the training split
/// gives the share `val_split` (above 0, below 1) of its images to validation, rounded, and keeps at
/// least one. The choice is a function of `seed` and the path below the data set's folder.
///
/// # Errors
/// If the folder has none of the layouts, a file of annotations cannot be read or is not of its
/// format (with the line and what was expected), a split has no image, or the training or validation
/// split has no box.
pub fn open(dir: &Path, val_split: f64, seed: u64) -> Result<OpenedScenes, DataError> {
    open_for(dir, val_split, seed, None)
}

/// Opens a detection data set as [`open`] does, for a use of one split: what the others lack is no error.
///
/// # Errors
/// As [`open`], of that split alone.
pub fn open_split(
    dir: &Path,
    split: SplitKind,
    val_split: f64,
    seed: u64,
) -> Result<OpenedScenes, DataError> {
    open_for(dir, val_split, seed, Some(split))
}

/// Opens a data set, of which one split is used, or all.
fn open_for(
    dir: &Path,
    val_split: f64,
    seed: u64,
    used: Option<SplitKind>,
) -> Result<OpenedScenes, DataError> {
    let problem = |problem: String| DataError::Layout {
        folder: dir.to_path_buf(),
        problem,
    };
    let mut recognised = Recognised::of(dir);
    let Some(layout) = recognised.layout() else {
        return Err(recognised.refusal(dir));
    };
    let mut read = recognised.read(layout, dir)?;
    let mut findings = std::mem::take(&mut read.findings);
    for (other, sign) in recognised.others() {
        findings.add(Problem::NotUsed, || {
            message!("{} of the layout {}", shown(sign), other.name())
        });
    }
    let mut unreadable = Vec::new();
    let splits = [
        Some(&mut read.train),
        read.validation.as_mut(),
        read.test.as_mut(),
    ];
    let mut seen = HashSet::new();
    for split in splits.into_iter().flatten() {
        put_in_order(split);
        let shared = split
            .samples
            .iter()
            .filter(|sample| !seen.insert(sample.path.clone()));
        for sample in shared {
            findings.add(Problem::SharedImage, || shown(&sample.path));
        }
        findings.append(std::mem::take(&mut split.findings));
        unreadable.append(&mut split.unreadable);
    }
    let cause = findings.main_loss();
    let cause = cause.map_or(String::new(), |cause| message!(": {cause}"));
    let validates_by_share = read.validation.is_none();
    let dataset = split(read, dir, val_split, seed)?;
    name_links(dir, &dataset, &mut findings);
    let is_used = |kind: SplitKind| used.is_none_or(|used| used == kind);
    let test = dataset.test.as_ref();
    let test = test.map(|test| (SplitKind::Test, test));
    let splits = [
        (SplitKind::Train, &dataset.train),
        (SplitKind::Validation, &dataset.validation),
    ];
    for (kind, samples) in splits.into_iter().chain(test) {
        if is_used(kind) && samples.is_empty() {
            let name = kind.adjective();
            return Err(problem(message!(
                "its {name} split has no image{cause}; add images or fix the annotations"
            )));
        }
    }
    for (kind, samples) in splits {
        if is_used(kind) && samples.iter().all(|sample| sample.label.objects.is_empty()) {
            let name = kind.adjective();
            return Err(problem(message!(
                "its {name} split has no object in any of {} images{cause}; add labelled images or fix the annotations",
                samples.len()
            )));
        }
    }
    for (kind, samples) in splits {
        let mut objects = samples.iter().flat_map(|sample| &sample.label.objects);
        if is_used(kind) && objects.all(|object| object.crowd) {
            findings.add(Problem::OnlyCrowds, || {
                message!("the {} split", kind.adjective())
            });
        }
    }
    for class in without_object(&dataset.classes, &dataset.train) {
        findings.add(Problem::UntrainedClass, || class);
    }
    Ok(OpenedScenes {
        layout,
        dataset,
        validates_by_share,
        findings,
        unreadable,
    })
}

/// Names the splits whose images are training images by links.
fn name_links(dir: &Path, dataset: &Dataset<Scene>, findings: &mut Findings) {
    fn paths(samples: &[Sample<Scene>]) -> impl ExactSizeIterator<Item = &Path> {
        samples.iter().map(|sample| &*sample.path)
    }
    let test = dataset.test.as_deref().unwrap_or_default();
    for split in [&dataset.validation[..], test] {
        if let Some((path, target)) = linked(dir, paths(&dataset.train), paths(split)) {
            for _ in split {
                findings.add(Problem::SharedImage, || {
                    let (split, train) = differing(path, target);
                    message!("{} is a link to {}", shown(&split), shown(&train))
                });
            }
        }
    }
}

/// Sorts a split by path and leaves out images that are there twice.
fn put_in_order(split: &mut SplitRead) {
    split.samples.sort_by(|a, b| a.path.cmp(&b.path));
    let findings = &mut split.findings;
    split.samples.dedup_by(|again, first| {
        let repeated = again.path == first.path;
        if repeated {
            findings.add(Problem::RepeatedImage, || shown(&first.path));
        }
        repeated
    });
}

/// The data set, with a validation split by share where it has none.
fn split(
    read: SplitsRead,
    dir: &Path,
    val_split: f64,
    seed: u64,
) -> Result<Dataset<Scene>, DataError> {
    // The data set may be named by a file in its folder.
    let skipped = if dir.is_dir() {
        folder::images(dir)?.skipped
    } else {
        Skipped::default()
    };
    let mut dataset = Dataset {
        classes: read.classes,
        train: read.train.samples,
        validation: Vec::new(),
        test: read.test.map(|test| test.samples),
        ignored: skipped.of_scenes(read.ignored),
        without_validation: Vec::new(),
        notes: Vec::new(),
    };
    match read.validation {
        Some(validation) => dataset.validation = validation.samples,
        None if dataset.train.is_empty() => {}
        None => {
            let paths = dataset.train.iter().map(|sample| &*sample.path);
            let chosen = drawn(paths, &read.root, val_split, seed)?;
            if !chosen.contains(&true) {
                let images = dataset.train.len();
                let problem = message!(
                    "there are too few images ({images}) to give one to validation at {} {val_split}; add images, one \
                     for each fold at least, or raise {} in a run without folds",
                    Key::VAL_SPLIT,
                    Key::VAL_SPLIT
                );
                return Err(DataError::Layout {
                    folder: dir.to_path_buf(),
                    problem,
                });
            }
            for (sample, chosen) in std::mem::take(&mut dataset.train).into_iter().zip(chosen) {
                if chosen {
                    dataset.validation.push(sample);
                } else {
                    dataset.train.push(sample);
                }
            }
        }
    }
    dataset.without_validation = without_object(&dataset.classes, &dataset.validation);
    Ok(dataset)
}

/// The classes that no object in a split is of.
fn without_object(classes: &[String], samples: &[Sample<Scene>]) -> Vec<String> {
    let objects = samples.iter().flat_map(|sample| &sample.label.objects);
    let present: HashSet<usize> = objects.map(|object| object.class).collect();
    let absent = (0..classes.len()).filter(|class| !present.contains(class));
    absent.map(|class| classes[class].clone()).collect()
}
