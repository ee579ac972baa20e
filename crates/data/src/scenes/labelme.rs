//! Labelme: a JSON file for every picture, beside it or in a folder of its own.
//!
//! The format is that of <https://github.com/wkentaro/labelme>: `shapes`, each with `label`, `shape_type`
//! and `points` in pixels, the picture's `imagePath` relative to the file, and its size.

use super::findings::{Findings, Problem};
use super::fractions::Fractions;
use super::json::{Number, error_reason, number, parse_json, read_json};
use super::json_kind::JsonKind;
use super::label_listing::LabelListing;
use super::named::{NamedImage, NamedObject, NamedSplits, around, without_label};
use super::pictures::{Name, Pictures, parts_below};
use super::reading::{SplitsRead, class_name};
use super::splitting::{require_one_folder, split_folder};
use crate::error::DataError;
use crate::scene::BoundingBox;
use crate::split_kind::SplitKind;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::{english, message};

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    shapes: Vec<&'a RawValue>,
    #[serde(default, rename = "imagePath")]
    image_path: Option<String>,
    #[serde(default, rename = "imageWidth")]
    width: Value,
    #[serde(default, rename = "imageHeight")]
    height: Value,
}

#[derive(Deserialize)]
struct Shape {
    label: Value,
    points: Vec<[Number; 2]>,
    #[serde(default)]
    shape_type: Option<String>,
}

/// The first of Labelme's files.
pub(super) fn sign(labels: &LabelListing) -> Option<PathBuf> {
    labels.of_kind(JsonKind::Labelme).next().cloned()
}

/// Reads all splits of a Labelme data set: they are the folders of the files, and where no folder is
/// named after a split, all files are for training.
pub(super) fn read(dir: &Path, labels: &LabelListing) -> Result<SplitsRead, DataError> {
    for (file, kind) in &labels.json {
        if kind.is_none() {
            // Without a pipe or a device its picture would be one without objects.
            warmstart_files::open(file).map_err(|source| DataError::read(file, source))?;
        }
    }
    let pictures = Pictures::below(dir)?;
    let files: Vec<&PathBuf> = labels.of_kind(JsonKind::Labelme).collect();
    let read: Vec<Result<_, DataError>> = files
        .par_iter()
        .map(|file| read_file(file, dir, &pictures))
        .collect();
    let mut splits = NamedSplits::default();
    let mut images = Vec::new();
    let mut used = HashSet::new();
    for (file, read) in files.iter().zip(read) {
        let (image, findings) = read?;
        splits.findings.append(findings);
        if let Some(image) = image {
            let below = parts_below(dir, file);
            used.insert(image.path.clone());
            images.push((
                split_of(&below).or_else(|| split_of(&parts_below(dir, &image.path))),
                image,
            ));
        }
    }
    for (path, below) in without_label(&pictures, &used) {
        let image = NamedImage {
            path,
            ..NamedImage::default()
        };
        images.push((split_of(&below), image));
    }
    require_one_folder(dir, images.iter().filter_map(|(split, _)| split.as_ref()))?;
    note_fractions(
        images.iter_mut().map(|(_, image)| image),
        &mut splits.findings,
    );
    let in_splits = images.iter().any(|(split, _)| split.is_some());
    for (split, image) in images {
        match split {
            Some((kind, _)) => splits.of_kind(kind).push(image),
            None if !in_splits => splits.train.push(image),
            None => splits.findings.add(Problem::NotUsed, || {
                message!(
                    "{}, for it is in the folder of no split",
                    shown(&image.path)
                )
            }),
        }
    }
    splits.read(dir, &pictures, files.len())
}

/// Marks boxes that are fractions of their picture and not pixels.
fn note_fractions<'a>(images: impl Iterator<Item = &'a mut NamedImage>, findings: &mut Findings) {
    let mut images: Vec<&mut NamedImage> = images.collect();
    let corners = |object: &NamedObject| object.bounds.corners();
    let objects = images.iter().flat_map(|image| &image.objects);
    let whole = Fractions::of(objects.map(corners));
    for image in &mut images {
        if Fractions::of(image.objects.iter().map(corners)).are_likely_in(whole) {
            for object in &mut image.objects {
                object.fractions = true;
                findings.add(Problem::FractionBox, || object.place.clone());
            }
        }
    }
}

fn split_of(below: &[String]) -> Option<(SplitKind, PathBuf)> {
    let folders = &below[..below.len().saturating_sub(1)];
    split_folder(&folders.iter().collect::<PathBuf>())
}

/// Reads one file; no image if its picture is not there.
fn read_file(
    file: &Path,
    dir: &Path,
    pictures: &Pictures,
) -> Result<(Option<NamedImage>, Findings), DataError> {
    let text = read_json(file)?;
    let parsed: File = parse_json(file, &text, english!("Labelme's JSON with shapes"))?;
    let mut findings = Findings::default();
    findings.add_encoding(file, &text);
    let path = match picture_of(file, dir, pictures, parsed.image_path.as_deref()) {
        Ok(path) => path,
        Err([first, second]) => {
            findings.add(Problem::MissingImage, || {
                message!(
                    "{}: its imagePath fits {} and {} alike; write the folder into it",
                    shown(file),
                    shown(first),
                    shown(second)
                )
            });
            return Ok((None, findings));
        }
    };
    let Some(path) = path else {
        findings.add(Problem::MissingImage, || {
            let file = shown(file);
            match &parsed.image_path {
                Some(name) => message!("{file}: there is no {name:?}"),
                None => message!("{file}: there is no \"a picture of its name\""),
            }
        });
        return Ok((None, findings));
    };
    let mut objects = Vec::new();
    for (index, raw) in parsed.shapes.into_iter().enumerate() {
        let place = message!("{}, shape {index}", shown(file));
        match serde_json::from_str::<Shape>(raw.get()) {
            Err(error) => findings.add(Problem::Malformed, || {
                message!("{}: {}", place, error_reason(&error))
            }),
            Ok(shape) => match (label(&shape.label), bounds(&shape)) {
                (Some(class), Some(bounds)) => objects.push(NamedObject {
                    class,
                    bounds,
                    fractions: false,
                    place,
                }),
                (None, _) => findings.add(Problem::Malformed, || {
                    message!("{place}: expected a label, found {}", shape.label)
                }),
                (Some(class), None) => findings.add(Problem::OtherShape, || {
                    let (kind, points) = (shape.shape_type.unwrap_or_default(), shape.points.len());
                    message!("{place}: {class:?} is a {kind} of {points} points")
                }),
            },
        }
    }
    let image = NamedImage {
        path,
        file: Some(file.to_path_buf()),
        size: number(&parsed.width).zip(number(&parsed.height)),
        objects,
    };
    Ok((Some(image), findings))
}

/// The picture of a file: the nearest one of its `imagePath`, or else the one of the same name beside the
/// file or alone elsewhere in the data set. An error with two pictures if several are as near.
fn picture_of<'a>(
    file: &Path,
    dir: &Path,
    pictures: &'a Pictures,
    path: Option<&str>,
) -> Result<Option<PathBuf>, [&'a Path; 2]> {
    let folder = parts_below(dir, file.parent().unwrap_or(dir));
    if let Some(name) = path.and_then(Name::new)
        && let Some(found) = pictures.nearest(&folder, &name)?
    {
        return Ok(Some(found.to_path_buf()));
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let beside = pictures
        .of_stem(&stem)
        .find(|path| path.parent() == file.parent());
    if let Some(beside) = beside {
        return Ok(Some(beside.to_path_buf()));
    }
    let mut found = pictures.of_stem(&stem);
    Ok(match (found.next(), found.next()) {
        (Some(only), None) => Some(only.to_path_buf()),
        (Some(_), Some(_)) | (None, _) => None,
    })
}

fn label(label: &Value) -> Option<String> {
    match label {
        Value::String(text) if !text.trim().is_empty() => Some(class_name(text.trim())),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// The box around a shape; none for lines and points.
fn bounds(shape: &Shape) -> Option<BoundingBox> {
    let points = || shape.points.iter().map(|[x, y]| (x.0, y.0));
    let kind = shape.shape_type.as_deref();
    match (kind, &shape.points[..]) {
        (Some("circle"), [center, edge]) => {
            let (x, y) = (center[0].0, center[1].0);
            let radius = (edge[0].0 - x).hypot(edge[1].0 - y);
            Some(around([(x - radius, y - radius), (x + radius, y + radius)]))
        }
        (Some("rectangle" | "mask") | None, [_, _]) => Some(around(points())),
        (
            Some("rectangle" | "mask" | "polygon" | "rotation" | "oriented_rectangle") | None,
            [_, _, _, ..],
        ) => Some(around(points())),
        (_, _) => None,
    }
}
