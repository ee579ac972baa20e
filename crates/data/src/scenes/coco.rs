//! COCO: `annotations/instances_<split>.json` beside the images in `<split>/`.
//!
//! The format is described at <https://cocodataset.org/#format-data>.

use super::findings::{Findings, Problem};
use super::reading::{
    RawObject, SplitRead, SplitsRead, inside, read_image, read_images, read_text, require_distinct,
};
use crate::error::DataError;
use crate::folder;
use crate::scene::BoundingBox;
use crate::split_kind::SplitKind;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// A file of annotations, with what lies in its lists unread: one entry may be malformed.
#[derive(Deserialize)]
struct Annotations<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(borrow)]
    annotations: Vec<&'a RawValue>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Image {
    id: Value,
    file_name: String,
    #[serde(default)]
    width: Value,
    #[serde(default)]
    height: Value,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    id: Value,
    image_id: Value,
    category_id: Value,
    /// x, y, width and height in pixels.
    bbox: [f64; 4],
    #[serde(default)]
    area: Value,
    #[serde(default)]
    iscrowd: Value,
}

/// The files of annotations in a folder and what split each is for, in the order of their names.
pub(super) fn annotation_files(dir: &Path) -> Vec<(SplitKind, String, PathBuf)> {
    let folder = dir.join("annotations");
    let mut files: Vec<(SplitKind, String, PathBuf)> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let split = name.strip_prefix("instances_")?.strip_suffix(".json")?;
            Some((SplitKind::of(split)?, split.to_owned(), folder.join(&name)))
        })
        .collect();
    files.sort();
    files
}

/// Reads all splits of a COCO data set. The classes are the categories of the training split in the
/// order of their ids; other splits are matched by name.
pub(super) fn read(dir: &Path) -> Result<SplitsRead, DataError> {
    let files = annotation_files(dir);
    if let Some([first, second]) = files.array_windows().find(|[a, b]| a.0 == b.0) {
        let (first, second) = (first.2.display(), second.2.display());
        let problem = format!("{first} and {second} are for the same split; keep one");
        return Err(layout(dir, problem));
    }
    let Some((SplitKind::Train, ..)) = files.first() else {
        let problem = "there is no annotations/instances_train.json; add the training split";
        return Err(layout(dir, problem.into()));
    };
    let mut classes = Vec::new();
    let mut splits = HashMap::new();
    let mut ignored = 0;
    for (kind, name, file) in &files {
        let folder = dir.join(name);
        if !folder.is_dir() {
            let problem = format!(
                "{} needs the folder {name} of its images beside annotations; add it",
                file.display()
            );
            return Err(layout(dir, problem));
        }
        let (split, passed_over) = read_split(file, &folder, &mut classes)?;
        ignored += passed_over;
        splits.insert(*kind as usize, split);
    }
    let mut split = |kind: SplitKind| splits.remove(&(kind as usize));
    Ok(SplitsRead {
        classes,
        train: split(SplitKind::Train).unwrap_or_default(),
        validation: split(SplitKind::Validation),
        test: split(SplitKind::Test),
        findings: Findings::default(),
        ignored,
        root: dir.to_path_buf(),
    })
}

fn layout(dir: &Path, problem: String) -> DataError {
    DataError::Layout {
        folder: dir.to_path_buf(),
        problem,
    }
}

/// The split of one file, and how many files in the folder it does not list. `classes` are filled
/// from the file if there are none yet.
fn read_split(
    file: &Path,
    folder: &Path,
    classes: &mut Vec<String>,
) -> Result<(SplitRead, usize), DataError> {
    let text = read_text(file)?;
    let parsed: Annotations = serde_json::from_str(&text).map_err(|error| {
        let reason = reason(&error);
        let problem = format!(
            "expected COCO's JSON with images, annotations and categories; {reason}; mend or export it again"
        );
        DataError::annotations(file, error.line(), problem)
    })?;
    let category_class = categories(file, parsed.categories, classes)?;

    let mut findings = Findings::default();
    let mut ids = HashMap::new();
    let mut images = Vec::new();
    for (index, raw) in parsed.images.into_iter().enumerate() {
        let malformed = |reason: String| format!("{}, image {index}: {reason}", file.display());
        match serde_json::from_str::<Image>(raw.get()) {
            Err(error) => findings.add(Problem::Malformed, || malformed(reason(&error))),
            Ok(image) => match (key(&image.id), inside(folder, &image.file_name)) {
                (_, None) => findings.add(Problem::OutsideFolder, || malformed(image.file_name)),
                (None, _) => findings.add(Problem::Malformed, || malformed("it has no id".into())),
                (Some(id), Some(_)) if ids.contains_key(&id) => {
                    let reason = format!("the id {id} is already another image's");
                    findings.add(Problem::RepeatedImage, || malformed(reason));
                }
                (Some(id), Some(path)) => {
                    ids.insert(id, images.len());
                    images.push((path, image, Vec::new()));
                }
            },
        }
    }
    let annotations: Vec<_> = parsed
        .annotations
        .par_iter()
        .map(|raw| serde_json::from_str::<Annotation>(raw.get()))
        .collect();
    for (index, annotation) in annotations.into_iter().enumerate() {
        match annotation {
            Err(error) => findings.add(Problem::Malformed, || {
                format!("{}, annotation {index}: {}", file.display(), reason(&error))
            }),
            Ok(annotation) => match key(&annotation.image_id).and_then(|id| ids.get(&id)) {
                Some(image) => images[*image].2.push(annotation),
                None => findings.add(Problem::UnknownImage, || {
                    let id = &annotation.image_id;
                    format!("{}: there is no image {id}", place(file, &annotation))
                }),
            },
        }
    }
    let mut split = read_images(&images, |(path, image, annotations)| {
        read_image(path, |scene| {
            if let (Some(width), Some(height)) = (image.width.as_f64(), image.height.as_f64()) {
                scene.compare_size(width, height, path.display());
            }
            for annotation in annotations {
                let place = place(file, annotation);
                let class = key(&annotation.category_id).and_then(|id| category_class.get(&id));
                let Some(Some(class)) = class else {
                    let id = &annotation.category_id;
                    let example = || format!("{place}: category {id}");
                    scene.findings.add(Problem::UnknownClass, example);
                    continue;
                };
                let [left, top, width, height] = annotation.bbox;
                let bounds = BoundingBox {
                    left,
                    top,
                    right: left + width,
                    bottom: top + height,
                };
                let object = RawObject {
                    class: *class,
                    bounds,
                    area: annotation.area.as_f64(),
                    crowd: annotation.iscrowd == 1 || annotation.iscrowd == true,
                    difficult: false,
                };
                scene.add(object, place);
            }
            Ok(())
        })
    })?;
    findings.append(split.findings);
    split.findings = findings;

    let listed: HashSet<&PathBuf> = images.iter().map(|(path, ..)| path).collect();
    let found = folder::images(folder)?;
    let unlisted = found.paths.iter().filter(|path| !listed.contains(path));
    Ok((split, found.ignored + unlisted.count()))
}

/// The class of every category id, none where the training split does not have it.
fn categories(
    file: &Path,
    mut categories: Vec<Category>,
    classes: &mut Vec<String>,
) -> Result<HashMap<String, Option<usize>>, DataError> {
    categories.sort_by_key(|category| category.id);
    if let Some([a, b]) = categories.array_windows().find(|[a, b]| a.id == b.id) {
        let (id, first, second) = (a.id, &a.name, &b.name);
        let problem = format!(
            "the categories {first:?} and {second:?} both have the id {id}; give each its own"
        );
        return Err(DataError::annotations(file, 1, problem));
    }
    let names: Vec<String> = categories.iter().map(|c| c.name.clone()).collect();
    require_distinct(file, &names)?;
    if names.is_empty() {
        let problem = "categories is empty; list the classes there";
        return Err(DataError::annotations(file, 1, problem));
    }
    if classes.is_empty() {
        *classes = names;
    }
    let class = |name: &str| classes.iter().position(|class| class == name);
    Ok(categories
        .iter()
        .map(|category| (category.id.to_string(), class(&category.name)))
        .collect())
}

/// An id as a text that is the same for 7, 7.0 and "7".
fn key(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => Some(value.to_string()),
            _ => Some(number.to_string()),
        },
        _ => None,
    }
}

fn place(file: &Path, annotation: &Annotation) -> String {
    format!("{}, annotation {}", file.display(), annotation.id)
}

/// What is wrong, without the position: that is of the entry or given apart.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}
