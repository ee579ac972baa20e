//! YOLO: a text file of boxes for every image, and a `data.yaml`, an `obj.data` or folders that say
//! which images there are.
//!
//! ```text
//! yaml │ darknet │ folders ─▶ Description ─ lists, folders ─▶ images ─ label files, lines ─▶ SplitsRead
//! ```

mod class_lists;
mod darknet;
mod data_yaml;
mod description;
mod description_files;
mod folders;
mod form;
mod label_files;
mod lines;
mod lists;
mod source;
mod text_files;
mod unused;
mod yaml;

pub(super) use source::{Source, recognised};

use super::findings::{Findings, Problem};
use super::names::{MOST_UNNAMED, numbered};
use super::outside::outside;
use super::reading::{SplitRead, SplitsRead, read_image, read_images};
use crate::error::DataError;
use crate::folder;
use form::Form;
use label_files::LabelFiles;
use lines::{Lines, Seen};
use rayon::prelude::*;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use text_files::{label_file_text, numbers};
use warmstart_files::shown;
use warmstart_language::message;

/// The images of one split before their labels are read.
#[derive(Default)]
struct Images {
    paths: Vec<PathBuf>,
    /// Folders and lists that they are from, and the folders of listed images.
    used: HashSet<PathBuf>,
    folders: Vec<PathBuf>,
    findings: Findings,
    ignored: usize,
}

/// Reads all splits of the YOLO data set in `dir`, or that `dir` describes if it is a file.
///
/// # Errors
/// If the description or a label file cannot be read, a split is not there, or all labels are of another
/// form than YOLO's.
pub(super) fn read(dir: &Path, source: Source) -> Result<SplitsRead, DataError> {
    let mut description = source.describe(dir)?;
    let bases = &description.bases;
    let train = Images::of(&description.train, bases)?;
    let validation = Images::of(&description.validation, bases)?;
    let test = Images::of(&description.test, bases)?;
    let splits = [&train, &validation, &test];
    let labels = LabelFiles::of(splits.iter().flat_map(|split| &split.paths))?;
    let mut findings = std::mem::take(&mut description.findings);
    for folder in outside(bases, splits.iter().flat_map(|split| &split.used)) {
        findings.add(Problem::OtherFolder, || shown(&folder));
    }
    let used = splits.iter().flat_map(|split| &split.used);
    for path in unused::unused(&description.root, used.map(PathBuf::as_path)) {
        findings.add(Problem::NotUsed, || shown(&path));
    }
    let of_split = |split: &Images| -> Vec<&Path> {
        let files = split.paths.iter().filter_map(|image| labels.file(image));
        files.collect()
    };
    let label_text = |file: &Path| label_file_text(file).ok();
    let form = Form::of(
        description.keypoints,
        &of_split(&train),
        label_text,
        &mut findings,
    );
    let count = || -> Result<usize, DataError> {
        let files: Vec<&Path> = splits.iter().flat_map(|split| of_split(split)).collect();
        Ok(highest_class(&files)? + 1)
    };
    let lists = class_lists::folders(&description, labels.folders());
    let classes = match class_lists::class_names(&mut description, &lists, count)? {
        Some(classes) => classes,
        None => {
            let example = || message!("{} has no classes.txt", shown(&description.root));
            findings.add(Problem::UnnamedClasses, example);
            numbered(count()?)
        }
    };
    findings.append(std::mem::take(&mut description.findings));
    let lines = Lines {
        classes: classes.len(),
        form,
        seen: Seen::default(),
    };
    let mut ignored = 0;
    let mut read_split = |images: Images| -> Result<SplitRead, DataError> {
        let (split, files) = images.read(&labels, &lines)?;
        ignored += files;
        Ok(split)
    };
    let read = SplitsRead {
        train: read_split(train)?,
        validation: if description.validation.is_empty() {
            None
        } else {
            Some(read_split(validation)?)
        },
        test: if description.test.is_empty() {
            None
        } else {
            Some(read_split(test)?)
        },
        findings,
        ignored,
        root: description.root,
        classes,
    };
    let mut met = read.train.findings.clone();
    for split in [&read.validation, &read.test].into_iter().flatten() {
        met.append(split.findings.clone());
    }
    lines
        .seen
        .require_understood(&read.root, &read.classes, &met)?;
    Ok(read)
}

impl Images {
    /// The images in some folders and lists.
    fn of(places: &[PathBuf], bases: &[PathBuf]) -> Result<Self, DataError> {
        let mut images = Self::default();
        let mut seen = HashSet::new();
        for place in places {
            let canonical = place.canonicalize().unwrap_or_else(|_| place.clone());
            if !seen.insert(canonical) {
                continue;
            }
            images.used.insert(place.clone());
            if place.is_dir() {
                let found = folder::images(place)?;
                images.ignored += found.skipped.count();
                images.paths.extend(found.paths);
                images.folders.push(place.clone());
            } else if folder::is_image(place) {
                images.paths.push(place.clone());
            } else {
                let listed = lists::listed_images(place, bases, &mut images.findings)?;
                let folders = listed.iter().filter_map(|image| image.parent());
                images.used.extend(folders.map(Path::to_path_buf));
                images.paths.extend(listed);
            }
        }
        Ok(images)
    }

    /// Reads the labels of the images, and counts the files that are neither images nor labels.
    fn read(self, labels: &LabelFiles, lines: &Lines) -> Result<(SplitRead, usize), DataError> {
        let mut findings = self.findings;
        let mut ignored = self.ignored;
        let files = self.paths.iter().filter_map(|image| labels.file(image));
        let used: HashSet<&Path> = files.collect();
        for folder in &self.folders {
            let (stray, among_images) = label_files::stray(folder, &used)?;
            for label in stray {
                findings.add(Problem::UnknownImage, || shown(&label));
            }
            ignored = ignored.saturating_sub(among_images);
        }
        let mut split = read_images(&self.paths, |image| {
            read_image(image, |scene| {
                let Some(file) = labels.file(image) else {
                    let example = || shown(image);
                    scene.findings.add(Problem::WithoutLabelFile, example);
                    return Ok(());
                };
                for (line, content) in (1..).zip(label_file_text(file)?.lines()) {
                    lines.add(scene, content, file, line);
                }
                Ok(())
            })
        })?;
        findings.append(split.findings);
        split.findings = findings;
        Ok((split, ignored))
    }
}

/// The highest class in some label files; 0 if there is none.
fn highest_class(files: &[&Path]) -> Result<usize, DataError> {
    let highest_in = |file: &&Path| -> Result<usize, DataError> {
        let text = label_file_text(file)?;
        let classes = text
            .lines()
            .filter_map(|line| numbers(line).ok()?.first().copied());
        // Classes beyond the limit are then found to be unknown, line by line.
        let counted = classes.filter(|class| class.fract() == 0.0 && *class < MOST_UNNAMED as f64);
        Ok(counted.fold(0.0, f64::max) as usize)
    };
    let highest: Vec<Result<usize, DataError>> = files.par_iter().map(highest_in).collect();
    highest
        .into_iter()
        .try_fold(0, |highest, class| Ok(highest.max(class?)))
}
