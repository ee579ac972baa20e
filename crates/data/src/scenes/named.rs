//! Images whose objects have the names of their classes: the classes follow from all of them.

use super::findings::{Findings, Problem};
use super::pictures::Pictures;
use super::reading::{RawObject, SplitRead, SplitsRead, read_image, read_images};
use crate::error::DataError;
use crate::scene::BoundingBox;
use crate::split_kind::SplitKind;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use warmstart_files::shown;

/// An image and the content of its label file.
#[derive(Default)]
pub(super) struct NamedImage {
    pub path: PathBuf,
    /// The label file, none for an image without one.
    pub file: Option<PathBuf>,
    /// Width and height in pixels.
    pub size: Option<(f64, f64)>,
    pub objects: Vec<NamedObject>,
}

pub(super) struct NamedObject {
    pub class: String,
    pub bounds: BoundingBox,
    /// True if the bounds are fractions of the image, not pixels.
    pub fractions: bool,
    /// The object's place in messages.
    pub place: String,
}

/// The images of every split.
#[derive(Default)]
pub(super) struct NamedSplits {
    pub train: Vec<NamedImage>,
    pub validation: Vec<NamedImage>,
    pub test: Vec<NamedImage>,
    pub findings: Findings,
}

impl NamedSplits {
    pub fn of_kind(&mut self, kind: SplitKind) -> &mut Vec<NamedImage> {
        match kind {
            SplitKind::Train => &mut self.train,
            SplitKind::Validation => &mut self.validation,
            SplitKind::Test => &mut self.test,
        }
    }

    /// Reads the images of every split. The classes are the names of all objects, sorted.
    pub fn read(
        mut self,
        dir: &Path,
        pictures: &Pictures,
        label_files: usize,
    ) -> Result<SplitsRead, DataError> {
        for images in [&mut self.train, &mut self.validation, &mut self.test] {
            merge(images, &mut self.findings);
        }
        let splits = [&self.train, &self.validation, &self.test];
        let objects = splits
            .into_iter()
            .flatten()
            .flat_map(|image| &image.objects);
        let classes: BTreeSet<&str> = objects.map(|object| &object.class[..]).collect();
        let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
        let index: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
        let used = splits
            .into_iter()
            .flatten()
            .map(|image| &*image.path)
            .collect();
        let (unused, folders) = pictures.unused(&used);
        for folder in folders {
            self.findings.add(Problem::NotUsed, || folder);
        }
        let split = |images: &[NamedImage]| read_split(images, &index);
        let given = |images: &[NamedImage]| match images {
            [] => Ok(None),
            _ => split(images).map(Some),
        };
        Ok(SplitsRead {
            train: split(&self.train)?,
            validation: given(&self.validation)?,
            test: given(&self.test)?,
            findings: self.findings,
            ignored: (unused + pictures.others).saturating_sub(label_files),
            root: dir.to_path_buf(),
            classes,
        })
    }
}

/// Joins the entries of an image that is there more than once.
fn merge(images: &mut Vec<NamedImage>, findings: &mut Findings) {
    let mut by_path: HashMap<PathBuf, usize> = HashMap::new();
    for mut image in std::mem::take(images) {
        let Some(first) = by_path.get(&image.path) else {
            by_path.insert(image.path.clone(), images.len());
            images.push(image);
            continue;
        };
        findings.add(Problem::RepeatedImage, || shown(&image.path));
        for object in &image.objects {
            findings.add(Problem::MergedObject, || object.place.clone());
        }
        images[*first].objects.append(&mut image.objects);
    }
}

fn read_split(
    images: &[NamedImage],
    classes: &HashMap<&str, usize>,
) -> Result<SplitRead, DataError> {
    read_images(images, |image| {
        read_image(&image.path, |scene| {
            let Some(file) = &image.file else {
                let example = || shown(&image.path);
                scene.findings.add(Problem::WithoutLabelFile, example);
                return Ok(());
            };
            if let Some((width, height)) = image.size {
                scene.compare_size(width, height, shown(file));
            }
            for object in &image.objects {
                let bounds = if object.fractions {
                    scene.in_pixels(object.bounds)
                } else {
                    object.bounds
                };
                let raw = RawObject {
                    class: classes[&object.class[..]],
                    bounds,
                    area: None,
                    crowd: false,
                    difficult: false,
                };
                scene.add(raw, &object.place);
            }
            Ok(())
        })
    })
}

/// Images that are in none of the lists, but in a folder where others are.
pub(super) fn without_label(
    pictures: &Pictures,
    used: &HashSet<PathBuf>,
) -> Vec<(PathBuf, Vec<String>)> {
    let folders: HashSet<&Path> = used.iter().filter_map(|path| path.parent()).collect();
    let rest = pictures.iter().filter(|(path, _)| {
        !used.contains(*path) && path.parent().is_some_and(|folder| folders.contains(folder))
    });
    rest.map(|(path, parts)| (path.to_path_buf(), parts.to_vec()))
        .collect()
}

/// The smallest box around points; not finite if one of them is not.
pub(super) fn around(points: impl IntoIterator<Item = (f64, f64)>) -> BoundingBox {
    let nothing = BoundingBox {
        left: f64::INFINITY,
        top: f64::INFINITY,
        right: f64::NEG_INFINITY,
        bottom: f64::NEG_INFINITY,
    };
    points.into_iter().fold(nothing, |bounds, (x, y)| {
        // Unlike f64::min, this keeps what is not a number.
        let smaller = |a: f64, b: f64| if a.is_nan() || a < b { a } else { b };
        let larger = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
        BoundingBox {
            left: smaller(bounds.left, x),
            top: smaller(bounds.top, y),
            right: larger(bounds.right, x),
            bottom: larger(bounds.bottom, y),
        }
    })
}
