//! Label Studio's own JSON, whole or "JSON-MIN": a list of tasks, each with a picture and its regions.
//!
//! The format is described at <https://labelstud.io/guide/export>. Positions are in percent of the picture.

use super::findings::{Findings, Problem};
use super::json::{Number, error_reason, number, parse_json, read_json};
use super::json_kind::JsonKind;
use super::label_listing::LabelListing;
use super::named::{NamedImage, NamedObject, NamedSplits, around};
use super::pictures::{Name, Pictures};
use super::reading::{SplitsRead, class_name};
use super::splitting::by_split;
use crate::error::DataError;
use crate::scene::BoundingBox;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::{english, message};

#[derive(Deserialize)]
struct Task {
    #[serde(default)]
    id: Value,
    data: Option<Map<String, Value>>,
    /// The annotations that people drew; called completions before version 1.0.
    #[serde(alias = "completions")]
    annotations: Option<Vec<Annotation>>,
    /// All that a JSON-MIN task has in place of the two above.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    result: Vec<Value>,
    #[serde(default)]
    was_cancelled: bool,
    #[serde(default)]
    ground_truth: bool,
}

/// The first of Label Studio's files.
pub(super) fn sign(labels: &LabelListing) -> Option<PathBuf> {
    labels.of_kind(JsonKind::LabelStudio).next().cloned()
}

/// Reads all splits of a Label Studio export.
pub(super) fn read(dir: &Path, labels: &LabelListing) -> Result<SplitsRead, DataError> {
    let files: Vec<PathBuf> = labels.of_kind(JsonKind::LabelStudio).cloned().collect();
    let split_files = by_split(dir, &files)?;
    let pictures = Pictures::below(dir)?;
    let mut splits = NamedSplits::default();
    for file in &split_files.unused {
        splits.findings.add(Problem::NotUsed, || shown(file));
    }
    for (kind, file) in &split_files.files {
        let text = read_json(file)?;
        splits.findings.add_encoding(file, &text);
        let expected = english!("Label Studio's list of tasks");
        let tasks: Vec<&RawValue> = parse_json(file, &text, expected)?;
        for (index, raw) in tasks.into_iter().enumerate() {
            let image = match serde_json::from_str::<Task>(raw.get()) {
                Err(error) => {
                    splits.findings.add(Problem::Malformed, || {
                        let reason = error_reason(&error);
                        message!("{}, task {index}: {reason}", shown(file))
                    });
                    continue;
                }
                Ok(task) => read_task(task, file, &pictures, &mut splits.findings),
            };
            splits.of_kind(*kind).extend(image);
        }
    }
    splits.read(dir, &pictures, split_files.files.len())
}

/// The image of a task; none if its picture is not there or nobody has labelled it.
fn read_task(
    task: Task,
    file: &Path,
    pictures: &Pictures,
    findings: &mut Findings,
) -> Option<NamedImage> {
    let place = message!("{}, task {}", shown(file), task.id);
    let data = task.data.as_ref().unwrap_or(&task.rest);
    let Some(path) = picture_of(data, pictures) else {
        findings.add(Problem::MissingImage, || {
            let named = data
                .get("image")
                .or_else(|| data.values().find(|value| value.is_string()));
            message!("{}: {}", place, named.unwrap_or(&Value::Null))
        });
        return None;
    };
    let regions = match task.annotations {
        Some(annotations) => {
            let mut done: Vec<Annotation> = annotations
                .into_iter()
                .filter(|annotation| !annotation.was_cancelled)
                .collect();
            if done.is_empty() {
                findings.add(Problem::NotUsed, || {
                    message!("{place}, which nobody has labelled")
                });
                return None;
            }
            let truth = done.iter().position(|annotation| annotation.ground_truth);
            let taken = done.swap_remove(truth.unwrap_or(0));
            for _ in &done {
                findings.add(Problem::NotUsed, || {
                    message!("{place}: another annotation of it")
                });
            }
            taken.result
        }
        None => {
            let lists = task.rest.into_iter().filter_map(|(_, value)| match value {
                Value::Array(regions) => Some(regions),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_) => None,
            });
            lists.flatten().filter(Value::is_object).collect()
        }
    };
    let mut image = NamedImage {
        path,
        file: Some(file.to_path_buf()),
        ..NamedImage::default()
    };
    for region in &regions {
        image.size = image.size.or_else(|| size(region));
        add_region(region, &place, &mut image.objects, findings);
    }
    Some(image)
}

fn size(region: &Value) -> Option<(f64, f64)> {
    let side = |name| number(&region[name]);
    side("original_width").zip(side("original_height"))
}

/// Adds the objects of one region, which has a label for each. A region without labels is something
/// else about the picture, such as a choice or a text.
fn add_region(
    region: &Value,
    place: &str,
    objects: &mut Vec<NamedObject>,
    findings: &mut Findings,
) {
    // In JSON-MIN the position is in the region itself.
    let value = if region["value"].is_object() {
        &region["value"]
    } else {
        region
    };
    let labels = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.ends_with("labels"));
    let labels = labels.filter_map(|(_, labels)| labels.as_array());
    let labels: Vec<&str> = labels.flatten().filter_map(Value::as_str).collect();
    for class in labels {
        match bounds(value, size(region)) {
            Some(bounds) => objects.push(NamedObject {
                class: class_name(class.trim()),
                bounds,
                fractions: true,
                place: message!("{place}, region {}", region["id"]),
            }),
            None => findings.add(Problem::OtherShape, || {
                message!(
                    "{place}, region {}: {class:?} is {}",
                    region["id"],
                    region["type"]
                )
            }),
        }
    }
}

/// The box of a rectangle, an ellipse or a polygon in a picture of that size, in fractions of it; none for
/// other shapes: keypoints have a width and no height, brushes neither.
fn bounds(value: &Value, size: Option<(f64, f64)>) -> Option<BoundingBox> {
    let part = |name: &str| number(&value[name]).map(|percent| percent / 100.0);
    let (x, y) = (part("x"), part("y"));
    if let Some(points) = value["points"].as_array() {
        let points = points.iter().map(|point| {
            let [x, y] = serde_json::from_value::<[Number; 2]>(point.clone())
                .ok()?
                .map(|n| n.0 / 100.0);
            Some((x, y))
        });
        let points: Option<Vec<(f64, f64)>> = points.collect();
        return points.filter(|points| points.len() >= 3).map(around);
    }
    let (x, y) = (x?, y?);
    if let Some((across, down)) = part("radiusX").zip(part("radiusY")) {
        return Some(around([(x - across, y - down), (x + across, y + down)]));
    }
    let (width, height) = part("width").zip(part("height"))?;
    // It is turned about its upper left corner, in pixels: a percent of the width is not one of the height.
    let (sine, cosine) = number(&value["rotation"])
        .unwrap_or(0.0)
        .to_radians()
        .sin_cos();
    let aspect = size.map_or(1.0, |(across, down)| across / down);
    let corner = |right: f64, down: f64| {
        (
            x + right * cosine - down * sine / aspect,
            y + right * sine * aspect + down * cosine,
        )
    };
    let corners = [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)];
    if width <= 0.0 || height <= 0.0 || sine == 0.0 && cosine == 1.0 {
        return Some(BoundingBox {
            left: x,
            top: y,
            right: x + width,
            bottom: y + height,
        });
    }
    Some(around(corners.map(|(right, down)| corner(right, down))))
}

/// The picture of a task: the value that leads to one by its end. Uploaded pictures have eight digits
/// before their names (`1a2b3c4d-cat.jpg`), in the folder or only in the export.
fn picture_of(data: &Map<String, Value>, pictures: &Pictures) -> Option<PathBuf> {
    let image = data.get("image").into_iter();
    let texts = image.chain(data.values()).filter_map(Value::as_str);
    texts.into_iter().find_map(|text| {
        // Local files are given as /data/local-files/?d=folder/name.jpg.
        let path = text.split_once("?d=").map_or(text, |(_, path)| path);
        let path = percent_decoded(path);
        let found = |path: &str| pictures.by_tail(&[], &Name::new(path)?);
        found(&path).or_else(|| {
            let name = path.rsplit('/').next()?;
            let (digits, name) = name.split_once('-')?;
            let is_digits = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            is_digits.then(|| found(name)).flatten()
        })
    })
}

/// A text with `%20` and its like replaced by what they stand for.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        // A sign is not a digit, but from_str_radix would accept one.
        let digits = tail
            .get(..2)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &tail[2..];
            }
            (first, _) => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn only_a_percent_sign_with_two_hexadecimal_digits_is_decoded() {
        for (text, expected) in [
            ("a%20b.jpg", "a b.jpg"),
            ("%E7%8c%ab.jpg", "猫.jpg"),
            ("100%+f.jpg", "100%+f.jpg"),
            ("100%-1.jpg", "100%-1.jpg"),
            ("%2", "%2"),
            ("50%", "50%"),
            ("%%20", "% "),
            ("%é1", "%é1"),
        ] {
            assert_eq!(percent_decoded(text), expected, "{text}");
        }
    }
}
