//! Pascal VOC: an XML file for every picture, and lists or folders for the splits.
//!
//! The format is described in the VOC 2007 development kit. It counts pixels from 1 and a box holds
//! the pixels of both its corners, so that the first pixel alone is the box 1, 1, 1, 1.
//!
//! ```text
//! root ─▶ pictures with their annotations ─ lists, folders ─▶ splits ─ XML ─▶ scenes
//! ```

mod annotation;
mod files;
mod lists;
mod root;

use super::findings::{Findings, Problem};
use super::fractions::Fractions;
use super::reading::{
    Line, RawObject, SplitRead, SplitsRead, class_name, inside, read_image, read_images, read_text,
    require_distinct,
};
use super::splitting::require_one_folder;
use crate::error::DataError;
use crate::split_kind::SplitKind;
use annotation::{Annotation, read_annotation};
use files::{Files, Picture};
use lists::Lists;
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// The folder of the VOC data set that a folder is or holds: the folder itself if there are several, which
/// [`read`] refuses.
pub(super) fn sign(dir: &Path) -> Option<PathBuf> {
    root::find(dir).unwrap_or_else(|_| Some(dir.to_path_buf()))
}

/// The pictures of every split, by their place among all, and what was wrong with the lists.
#[derive(Default)]
struct Splits {
    train: Split,
    validation: Option<Split>,
    test: Option<Split>,
}

#[derive(Default)]
struct Split {
    pictures: Vec<usize>,
    findings: Findings,
}

impl Split {
    /// Returns whether its list names nothing.
    fn is_empty(&self) -> bool {
        self.pictures.is_empty() && self.findings.is_empty()
    }
}

/// Reads all splits of a VOC data set.
///
/// They are those of the lists in `ImageSets/Main`; or else the folders named after splits; or else all
/// pictures are for training. `trainval.txt` is read where `train.txt` or `val.txt` is missing; an empty list for
/// validation or test is as good as none, since scripts write all four whatever the shares are. The classes
/// are the lines of `classes.txt`, or else the names in all splits, sorted.
pub(super) fn read(dir: &Path) -> Result<SplitsRead, DataError> {
    let root = root::find(dir)?.unwrap_or(dir.to_path_buf());
    let mut findings = Findings::default();
    let mut files = Files::below(&root, &mut findings)?;
    let splits = match Lists::find(&root, &mut findings)? {
        Some(lists) => {
            files.ignored = files.ignored.saturating_sub(lists.count);
            listed(&root, &lists, &files, &mut findings)?
        }
        None => in_folders(&root, &files)?,
    };
    let all = [
        Some(&splits.train),
        splits.validation.as_ref(),
        splits.test.as_ref(),
    ];
    let used = all.into_iter().flatten().flat_map(|split| &split.pictures);
    let used: HashSet<usize> = used.copied().collect();
    files.note_unused(&root, &used, &mut findings);

    let annotated = |split: Split| annotated(split, &files.pictures);
    let train = annotated(splits.train)?;
    let validation = splits.validation.map(annotated).transpose()?;
    let test = splits.test.map(annotated).transpose()?;
    let classes = match classes_file(&root, &mut findings)? {
        Some(classes) => {
            files.ignored = files.ignored.saturating_sub(1);
            classes
        }
        None => {
            let splits = [Some(&train), validation.as_ref(), test.as_ref()];
            let images = splits.into_iter().flatten().flat_map(|split| &split.images);
            let objects =
                images.flat_map(|image| image.annotation.iter().flat_map(|(_, a)| &a.objects));
            let names: BTreeSet<&String> = objects.map(|object| &object.class).collect();
            names.into_iter().cloned().collect()
        }
    };
    let splits = [Some(&train), validation.as_ref(), test.as_ref()];
    let images = splits.into_iter().flatten().flat_map(|split| &split.images);
    let annotations = images.filter_map(|image| Some(&image.annotation.as_ref()?.1));
    let whole = Fractions::of(annotations.flat_map(Annotation::corners));
    let split = |annotated: Annotated| read_split(annotated, &classes, whole);
    Ok(SplitsRead {
        train: split(train)?,
        validation: validation.map(split).transpose()?,
        test: test.map(split).transpose()?,
        findings,
        ignored: files.ignored,
        root,
        classes,
    })
}

/// The splits that lists give.
fn listed(
    root: &Path,
    lists: &Lists,
    files: &Files,
    findings: &mut Findings,
) -> Result<Splits, DataError> {
    let read = |list: &Option<PathBuf>| {
        list.as_ref()
            .map(|list| read_list(root, list, files))
            .transpose()
    };
    let mut unless_empty = |list: &Option<PathBuf>| -> Result<Option<Split>, DataError> {
        let split = read(list)?;
        let empty = list
            .as_ref()
            .filter(|_| split.as_ref().is_some_and(Split::is_empty));
        let Some(list) = empty else {
            return Ok(split);
        };
        findings.add(Problem::NotUsed, || {
            message!("{}, which is empty", shown(list))
        });
        Ok(None)
    };
    let mut splits = Splits {
        train: Split::default(),
        validation: unless_empty(&lists.validation)?,
        test: unless_empty(&lists.test)?,
    };
    let train = read(&lists.train)?;
    let whole = read(&lists.whole)?.map(|mut whole| {
        // An image that is also for testing stays, and is found to be in two splits.
        let test = splits.test.as_ref().filter(|_| train.is_some());
        let elsewhere = [train.as_ref(), splits.validation.as_ref(), test];
        let elsewhere = elsewhere
            .into_iter()
            .flatten()
            .flat_map(|split| &split.pictures);
        let elsewhere: HashSet<usize> = elsewhere.copied().collect();
        whole
            .pictures
            .retain(|picture| !elsewhere.contains(picture));
        whole
    });
    // What of trainval is not in train is val.
    match (train, whole) {
        (Some(train), Some(rest)) if !rest.pictures.is_empty() => {
            splits.train = train;
            if splits.validation.is_none() {
                splits.validation = Some(rest);
            } else if let Some(list) = &lists.whole {
                findings.add(Problem::NotUsed, || {
                    message!(
                        "{} images that only {} lists",
                        rest.pictures.len(),
                        shown(list)
                    )
                });
            }
        }
        (Some(train), _) => splits.train = train,
        (None, whole) => splits.train = whole.unwrap_or_default(),
    }
    Ok(splits)
}

fn read_list(root: &Path, list: &Path, files: &Files) -> Result<Split, DataError> {
    let text = read_text(list)?;
    let mut split = Split::default();
    split.findings.add_encoding(list, &text);
    for (line, name) in (1..).zip(text.rows().map(str::trim)) {
        if name.is_empty() {
            continue;
        }
        match files.named(name) {
            Some(picture) => split.pictures.push(picture),
            None => {
                // Names are looked up among what lies in the folder, so that none can lead out of it.
                let problem = if inside(root, name).is_none() {
                    Problem::OutsideFolder
                } else {
                    Problem::MissingImage
                };
                split.findings.add(problem, || {
                    message!("{}: {}", Line(list, line), shown(Path::new(name)))
                });
            }
        }
    }
    Ok(split)
}

/// The splits that folders are named after. Where there is no training folder, all pictures in folders of
/// no split are for training.
fn in_folders(root: &Path, files: &Files) -> Result<Splits, DataError> {
    let mut by_kind: HashMap<Option<SplitKind>, Vec<usize>> = HashMap::new();
    let labelled = files.labelled();
    let folders = labelled
        .iter()
        .filter_map(|index| files.pictures[*index].split.as_ref());
    require_one_folder(root, folders)?;
    for index in labelled {
        let split = files.pictures[index].split.as_ref();
        by_kind
            .entry(split.map(|(kind, _)| *kind))
            .or_default()
            .push(index);
    }
    let mut split = |kind| {
        let pictures = by_kind.remove(&kind)?;
        Some(Split {
            pictures,
            findings: Findings::default(),
        })
    };
    let train = split(Some(SplitKind::Train)).or_else(|| split(None));
    let (validation, test) = (
        split(Some(SplitKind::Validation)),
        split(Some(SplitKind::Test)),
    );
    if train.is_none() && (validation.is_some() || test.is_some()) {
        return Err(DataError::Layout {
            folder: root.to_path_buf(),
            problem: message!(
                "there are folders for validation or test and none for training; add train/"
            ),
        });
    }
    Ok(Splits {
        train: train.unwrap_or_default(),
        validation,
        test,
    })
}

/// The images of a split with what their files say.
struct Annotated {
    images: Vec<Image>,
    findings: Findings,
}

struct Image {
    path: PathBuf,
    /// The file of annotations and what it says, if there is one.
    annotation: Option<(PathBuf, Annotation)>,
}

fn annotated(split: Split, pictures: &[Picture]) -> Result<Annotated, DataError> {
    let read = |index: &usize| {
        let picture = &pictures[*index];
        let file = picture.annotation.as_ref();
        let annotation = file.map(|file| Ok((file.clone(), read_annotation(file)?)));
        Ok(Image {
            path: picture.path.clone(),
            annotation: annotation.transpose()?,
        })
    };
    let images: Vec<Result<Image, DataError>> = split.pictures.par_iter().map(read).collect();
    let images = images.into_iter().collect::<Result<_, _>>()?;
    Ok(Annotated {
        images,
        findings: split.findings,
    })
}

fn classes_file(root: &Path, findings: &mut Findings) -> Result<Option<Vec<String>>, DataError> {
    let file = root.join("classes.txt");
    if !file.is_file() {
        return Ok(None);
    }
    let text = read_text(&file)?;
    findings.add_encoding(&file, &text);
    let lines = text.rows().map(str::trim).filter(|line| !line.is_empty());
    let classes: Vec<String> = lines.map(class_name).collect();
    require_distinct(&file, &classes)?;
    Ok(Some(classes))
}

/// Reads the images of a split of a data set whose boxes are `whole`.
fn read_split(
    annotated: Annotated,
    classes: &[String],
    whole: Fractions,
) -> Result<SplitRead, DataError> {
    let index: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let mut split = read_images(&annotated.images, |image| {
        read_image(&image.path, |scene| {
            let Some((file, annotation)) = &image.annotation else {
                scene
                    .findings
                    .add(Problem::WithoutLabelFile, || shown(&image.path));
                return Ok(());
            };
            scene.findings.append(annotation.findings.clone());
            if let Some((width, height)) = annotation.size {
                scene.compare_size(width, height, shown(file));
            }
            let fractions = Fractions::of(annotation.corners()).are_likely_in(whole);
            for object in &annotation.objects {
                let place = Line(file, object.line);
                let Some(class) = index.get(&object.class[..]) else {
                    let example = || message!("{}: {:?}", place, object.class);
                    scene.findings.add(Problem::UnknownClass, example);
                    continue;
                };
                let bounds = if fractions {
                    scene
                        .findings
                        .add(Problem::FractionBox, || place.to_string());
                    scene.in_pixels(object.as_fractions())
                } else {
                    object.in_pixels()
                };
                let raw = RawObject {
                    class: *class,
                    bounds,
                    area: None,
                    crowd: false,
                    difficult: object.difficult,
                };
                scene.add(raw, place);
            }
            Ok(())
        })
    })?;
    let mut findings = annotated.findings;
    findings.append(split.findings);
    split.findings = findings;
    Ok(split)
}
