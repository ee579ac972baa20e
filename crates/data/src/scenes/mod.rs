//! Detection data: COCO, YOLO and Pascal VOC in one form.
//!
//! ```text
//! folder ─ layout ─▶ coco │ yolo │ voc ─ boxes checked, one by one ─▶ Dataset<Scene> + Findings
//! ```
//!
//! What is wrong with one box costs that box and no more: it is counted, with an example, in the
//! [`Findings`]. What cannot be read at all is an error.

mod coco;
mod findings;
mod picture_size;
mod reading;
mod report;
mod voc;
mod writing;
mod yolo;

pub use findings::{Finding, Findings, Problem};
pub use picture_size::picture_size;
pub use report::{AreaCounts, ClassCount, Report, SideCount, SplitReport};
pub use writing::{Written, write};

use crate::dataset::{Dataset, Sample, drawn};
use crate::error::DataError;
use crate::scene::Scene;
use reading::{SplitRead, SplitsRead};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How boxes and images lie in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `annotations/instances_<split>.json` beside `<split>/`, where the split is train, val or test
    /// with the digits of a year perhaps.
    Coco,
    /// `data.yaml` or `data.yml`, and a text file for every image.
    Yolo,
    /// `Annotations/`, `JPEGImages/` and perhaps `ImageSets/Main/<split>.txt`.
    Voc,
}

/// A detection data set and what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedScenes {
    /// How it lies in its folder.
    pub layout: Layout,
    /// Classes in the data set's own order, and the splits in the order of their paths.
    /// `without_validation` names the classes without an object in the validation split.
    pub dataset: Dataset<Scene>,
    /// Whether the validation split is a share of the training images, for want of one of its own.
    pub validates_by_share: bool,
    /// What was wrong and did not stop it from being opened.
    pub findings: Findings,
    /// Images left out since their header cannot be read, with a message that names the file. They
    /// belong to those that [`check`](crate::check()) would find unreadable.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// What layout a folder has, in the order COCO, YOLO, VOC; none for class folders and everything
/// else.
pub fn layout(dir: &Path) -> Option<Layout> {
    if !coco::annotation_files(dir).is_empty() {
        Some(Layout::Coco)
    } else if yolo::recognised(dir).is_some() {
        Some(Layout::Yolo)
    } else if voc::is_voc(dir) {
        Some(Layout::Voc)
    } else {
        None
    }
}

/// Opens a detection data set of any [`Layout`].
///
/// Boxes are in pixels of the picture as it is decoded. Without a validation split, the training split
/// gives the share `val_split` (above 0, below 1) of its images to validation, rounded, and keeps at
/// least one. Which ones is a function of `seed` and the path below the data set's folder.
///
/// # Errors
/// If the folder has none of the layouts, a file of annotations cannot be read or is not of its
/// format (with the line and what was expected), a split has no image, or the training or validation
/// split has no box.
pub fn open(dir: &Path, val_split: f64, seed: u64) -> Result<OpenedScenes, DataError> {
    let problem = |problem: String| DataError::Layout {
        folder: dir.to_path_buf(),
        problem,
    };
    let Some(layout) = layout(dir) else {
        std::fs::metadata(dir).map_err(|source| DataError::read(dir, source))?;
        return Err(problem(
            "it is no detection data set; expected annotations/instances_train.json (COCO), data.yaml (YOLO), or Annotations/ and JPEGImages/ (VOC)".into(),
        ));
    };
    let mut read = match (layout, yolo::recognised(dir)) {
        (Layout::Coco, _) => coco::read(dir)?,
        (Layout::Yolo, Some(source)) => yolo::read(dir, source)?,
        _ => voc::read(dir)?,
    };
    let mut findings = std::mem::take(&mut read.findings);
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
            let example = || sample.path.display().to_string();
            findings.add(Problem::SharedImage, example);
        }
        findings.append(std::mem::take(&mut split.findings));
        unreadable.append(&mut split.unreadable);
    }
    let cause = findings.main_loss();
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    let validates_by_share = read.validation.is_none();
    let dataset = split(read, dir, val_split, seed)?;
    let test = dataset.test.as_ref().map(|test| ("test", test));
    let splits = [
        ("training", &dataset.train),
        ("validation", &dataset.validation),
    ];
    for (name, samples) in splits.into_iter().chain(test) {
        if samples.is_empty() {
            return Err(problem(format!(
                "its {name} split has no image{cause}; add images or mend the annotations"
            )));
        }
    }
    for (name, samples) in splits {
        if samples.iter().all(|sample| sample.label.objects.is_empty()) {
            return Err(problem(format!(
                "its {name} split has no object in any of {} images{cause}; add labelled images or mend the annotations",
                samples.len()
            )));
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

/// Sorts a split by path and leaves out images that are there twice.
fn put_in_order(split: &mut SplitRead) {
    split.samples.sort_by(|a, b| a.path.cmp(&b.path));
    let findings = &mut split.findings;
    split.samples.dedup_by(|again, first| {
        let repeated = again.path == first.path;
        if repeated {
            let example = || first.path.display().to_string();
            findings.add(Problem::RepeatedImage, example);
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
    let mut dataset = Dataset {
        classes: read.classes,
        train: read.train.samples,
        validation: Vec::new(),
        test: read.test.map(|test| test.samples),
        ignored: read.ignored,
        without_validation: Vec::new(),
    };
    match read.validation {
        Some(validation) => dataset.validation = validation.samples,
        None if dataset.train.is_empty() => {}
        None => {
            let paths: Vec<&Path> = dataset.train.iter().map(|s| &*s.path).collect();
            let chosen = drawn(&paths, &read.root, val_split, seed)?;
            if !chosen.contains(&true) {
                let images = dataset.train.len();
                let problem = format!(
                    "there are too few images ({images}) to give one to validation at val_split {val_split}; add images or raise val_split"
                );
                return Err(DataError::Layout {
                    folder: dir.to_path_buf(),
                    problem,
                });
            }
            for (sample, chosen) in std::mem::take(&mut dataset.train).into_iter().zip(chosen) {
                match chosen {
                    true => dataset.validation.push(sample),
                    false => dataset.train.push(sample),
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
