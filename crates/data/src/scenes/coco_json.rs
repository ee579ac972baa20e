//! One file of COCO's annotations.
//!
//! The format is described at <https://cocodataset.org/#format-data>. The variants of
//! other tools are read as well: numbers and ids in quotes, and the NaN and Infinity of Python's `json`.

use super::findings::{Findings, Problem};
use super::fractions::Fractions;
use super::json::{Number, error_reason, number, parse_json, place_in, read_json};
use super::reading::{class_name, require_distinct};
use crate::error::DataError;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use warmstart_files::shown;
use warmstart_language::{english, message};

/// A file of annotations, with what lies in its lists unread: one entry may be malformed.
#[derive(Deserialize)]
struct Lists<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(borrow)]
    annotations: Vec<&'a RawValue>,
    #[serde(borrow)]
    categories: Vec<&'a RawValue>,
}

/// The contents of one file.
pub(super) struct CocoFile {
    /// Images with an id and a name; ids may be there twice.
    pub images: Vec<Image>,
    pub annotations: Vec<Annotation>,
    /// In the order of their ids, with names that differ.
    pub categories: Vec<Category>,
    /// Entries that are malformed.
    pub findings: Findings,
}

#[derive(Deserialize)]
struct RawCategory {
    id: Value,
    name: Value,
    #[serde(default)]
    supercategory: Value,
}

/// A class.
pub(super) struct Category {
    /// See [`key`].
    pub id: String,
    pub name: String,
    supercategory: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Image {
    #[serde(default)]
    pub id: Value,
    pub file_name: String,
    #[serde(default)]
    width: Value,
    #[serde(default)]
    height: Value,
    /// Its place in its list, counted from 0.
    #[serde(skip)]
    pub index: usize,
}

impl Image {
    /// Width and height in pixels, if both are there.
    pub fn size(&self) -> Option<(f64, f64)> {
        Some((number(&self.width)?, number(&self.height)?))
    }
}

#[derive(Deserialize)]
pub(super) struct Annotation {
    #[serde(default)]
    pub id: Value,
    pub image_id: Value,
    pub category_id: Value,
    /// x, y, width and height in pixels, or all in fractions of the image.
    #[serde(deserialize_with = "bbox")]
    pub bbox: [Number; 4],
    #[serde(default)]
    area: Value,
    #[serde(default)]
    iscrowd: Value,
}

/// Reads a box; its errors name the key.
fn bbox<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[Number; 4], D::Error> {
    <[Number; 4]>::deserialize(deserializer).map_err(|error| {
        let error = error.to_string();
        let reason = error.split(" at line ").next().unwrap_or_default();
        serde::de::Error::custom(format_args!("bbox: {reason}"))
    })
}

impl Annotation {
    /// Area in pixels² where it is given.
    pub fn area(&self) -> Option<f64> {
        number(&self.area)
    }

    /// Returns whether the box is around a crowd.
    pub fn is_crowd(&self) -> bool {
        let crowd = &self.iscrowd;
        crowd == 1 || crowd == true || crowd == 1.0 || crowd == "1"
    }

    /// The annotation's place in messages.
    pub fn place<'a>(&'a self, file: &'a Path) -> Place<'a> {
        Place { file, id: &self.id }
    }
}

/// An annotation's place in messages. Most annotations need none, so the words are made where they are shown.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    file: &'a Path,
    id: &'a Value,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, id } = self;
        f.write_str(&message!("{}, annotation {id}", shown(file)))
    }
}

/// Reads a file.
///
/// # Errors
/// If it is not JSON or lacks one of the three lists, and if a category has no id or name, or those of
/// another one.
pub(super) fn read(file: &Path) -> Result<CocoFile, DataError> {
    let text = read_json(file)?;
    let expected = english!("COCO's JSON with images, annotations and categories");
    let lists: Lists = parse_json(file, &text, expected)?;
    let mut findings = Findings::default();
    findings.add_encoding(file, &text);
    let mut images = Vec::with_capacity(lists.images.len());
    for (index, raw) in lists.images.iter().enumerate() {
        match serde_json::from_str::<Image>(raw.get()) {
            Err(error) => findings.add(Problem::Malformed, || {
                let reason = error_reason(&error);
                message!("{}, image {index}: {reason}", shown(file))
            }),
            Ok(image) => images.push(Image { index, ..image }),
        }
    }
    let parsed: Vec<_> = lists
        .annotations
        .par_iter()
        .map(|raw| serde_json::from_str::<Annotation>(raw.get()))
        .collect();
    let mut annotations = Vec::with_capacity(parsed.len());
    for (index, annotation) in parsed.into_iter().enumerate() {
        match annotation {
            Err(error) => findings.add(Problem::Malformed, || {
                let reason = error_reason(&error);
                message!("{}, annotation {index}: {reason}", shown(file))
            }),
            Ok(annotation) => annotations.push(annotation),
        }
    }
    let categories = lists.categories;
    let place = |index: usize| place_in(&text, categories[index].get());
    let categories = read_categories(file, &categories, place)?;
    Ok(CocoFile {
        images,
        annotations,
        categories,
        findings,
    })
}

/// Reads the categories; `place` gives the line and the column of one.
fn read_categories(
    file: &Path,
    raw: &[&RawValue],
    place: impl Fn(usize) -> (usize, usize),
) -> Result<Vec<Category>, DataError> {
    let mut categories = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let category = read_category(raw).map_err(|reason| {
            let (line, column) = place(index);
            let problem = message!(
                "categories[{index}] at column {column}: expected an id and a name, {reason}; fix it or export the file again"
            );
            DataError::annotations(file, line, problem)
        })?;
        categories.push(category);
    }
    if categories.is_empty() {
        let problem = message!("categories is empty; list the classes there");
        return Err(DataError::annotations(file, 1, problem));
    }
    categories.sort_by(|a, b| by_number(&a.id, &b.id));
    if let Some([a, b]) = categories.array_windows().find(|[a, b]| a.id == b.id) {
        let (id, first, second) = (&a.id, &a.name, &b.name);
        let problem = message!(
            "the categories {first:?} and {second:?} both have the id {id}; give each its own"
        );
        return Err(DataError::annotations(file, 1, problem));
    }
    let names: Vec<String> = categories.iter().map(|c| c.name.clone()).collect();
    require_distinct(file, &names)?;
    Ok(categories)
}

fn read_category(raw: &RawValue) -> Result<Category, String> {
    let category: RawCategory =
        serde_json::from_str(raw.get()).map_err(|error| error_reason(&error))?;
    let id = key(&category.id);
    let name = key(&category.name).filter(|name| !name.trim().is_empty());
    let name = name.map(|name| class_name(&name));
    Ok(Category {
        id: id.ok_or_else(|| message!("found the id {}", category.id))?,
        name: name.ok_or_else(|| message!("found the name {}", category.name))?,
        supercategory: category.supercategory.as_str().map(class_name),
    })
}

impl CocoFile {
    /// Takes out the categories that only say what others belong to: they are named as another one's
    /// supercategory, have none themselves and no annotation. Returns their names.
    pub fn take_groups(&mut self) -> Vec<String> {
        let used: HashSet<String> = self
            .annotations
            .iter()
            .filter_map(|annotation| key(&annotation.category_id))
            .collect();
        let groups: HashSet<String> = self
            .categories
            .iter()
            .filter_map(|category| category.supercategory.clone())
            .collect();
        let is_group = |category: &Category| {
            category
                .supercategory
                .as_deref()
                .is_none_or(|group| group == "none")
                && groups.contains(&category.name)
                && !used.contains(&category.id)
        };
        let (groups, categories) = std::mem::take(&mut self.categories)
            .into_iter()
            .partition(is_group);
        self.categories = categories;
        groups
            .into_iter()
            .map(|group: Category| group.name)
            .collect()
    }

    /// Returns whether all boxes are fractions of their images: every number of every box is in 0 to 1, up to a
    /// hundredth for boxes that reach over the edge, and they are not one box of one pixel.
    pub fn has_fractions(&self) -> bool {
        let annotations = self.annotations.iter();
        let boxes = Fractions::of(annotations.map(|annotation| annotation.bbox.map(|n| n.0)));
        boxes.within && (boxes.broken || boxes.count > 1)
    }
}

/// An id as a text that is the same for 7, 7.0 and "7".
pub(super) fn key(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(match text.trim().parse::<i64>() {
            Ok(number) => number.to_string(),
            Err(_) => text.clone(),
        }),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => Some(value.to_string()),
            _ => Some(number.to_string()),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Numbers by their value and before texts.
fn by_number(a: &str, b: &str) -> Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}
