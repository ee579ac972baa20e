//! `warmstart predict` with a detector.

use std::collections::{BTreeMap, HashSet};
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use serde_json::json;
use warmstart_data::{DrawnBox, RgbImage, crop, decode, draw_boxes, save_picture};
use warmstart_train::detect::Selection;
use warmstart_train::detector::{Detector, FoundObject, FoundObjects};

use super::Failure;
use crate::arguments::Predict;

pub fn find(
    detector: &Detector,
    arguments: &Predict,
    paths: &[PathBuf],
    workers: usize,
) -> Result<(), Failure> {
    let usual = Selection::PREDICTION;
    let selection = Selection {
        confidence: arguments.conf.unwrap_or(usual.confidence),
        overlap: arguments.iou.unwrap_or(usual.overlap),
        ..usual
    };
    for folder in [&arguments.draw, &arguments.crop].into_iter().flatten() {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::failed(format!("cannot make {}: {error}", folder.display()))
        })?;
        let mut inputs = paths
            .iter()
            .filter_map(|path| path.parent()?.canonicalize().ok());
        let folder_itself = folder.canonicalize()?;
        if inputs.any(|input| input == folder_itself) {
            return Err(Failure::usage(format!(
                "{} holds the pictures themselves, which would be overwritten: give another folder",
                folder.display()
            )));
        }
    }
    let classes = &detector.info.classes;
    let mut names = FreeNames::default();
    let mut out = stdout().lock();
    let mut failed = 0;
    let mut printed = Ok(());
    let mut saved: Result<(), Failure> = Ok(());
    detector.predict(paths, workers, selection, &mut |found| {
        let FoundObjects { path, objects } = found;
        let objects = match objects {
            Ok(objects) => objects,
            Err(error) => {
                failed += 1;
                let _ = writeln!(stderr(), "error: {error}");
                return;
            }
        };
        let line = match (arguments.json, arguments.count) {
            (true, counts) => json_line(&path, &objects, classes, counts),
            (false, true) => count_line(&path, &objects, classes),
            (false, false) => text_line(&path, &objects, classes),
        };
        if printed.is_ok() {
            printed = writeln!(out, "{line}");
        }
        if saved.is_ok() && (arguments.draw.is_some() || arguments.crop.is_some()) {
            saved = save_pictures(arguments, &path, &objects, classes, &mut names);
        }
    })?;
    saved?;
    printed?;
    if failed > 0 {
        return Err(Failure::failed(format!(
            "{failed} of {} files could not be read",
            paths.len()
        )));
    }
    Ok(())
}

fn counts<'a>(objects: &[FoundObject], classes: &'a [String]) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for object in objects {
        *counts.entry(classes[object.class].as_str()).or_default() += 1;
    }
    counts
}

fn json_line(path: &Path, objects: &[FoundObject], classes: &[String], counted: bool) -> String {
    let predictions: Vec<_> = objects
        .iter()
        .map(|object| {
            json!({
                "class": classes[object.class],
                "probability": object.score,
                "box": object.bounds.corners(),
            })
        })
        .collect();
    let mut line = json!({"file": path.display().to_string(), "predictions": predictions});
    if counted {
        line["counts"] = json!(counts(objects, classes));
    }
    line.to_string()
}

fn count_line(path: &Path, objects: &[FoundObject], classes: &[String]) -> String {
    let counts = counts(objects, classes).into_iter();
    listed(
        path,
        counts.map(|(class, count)| format!("{count} {class}")),
    )
}

fn text_line(path: &Path, objects: &[FoundObject], classes: &[String]) -> String {
    let object = |object: &FoundObject| {
        let [x1, y1, x2, y2] = object.bounds.corners();
        let (class, score) = (&classes[object.class], 100.0 * object.score);
        format!("{class} {score:.1}% [{x1:.0}, {y1:.0}, {x2:.0}, {y2:.0}]")
    };
    listed(path, objects.iter().map(object))
}

fn listed(path: &Path, items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let items = match items.is_empty() {
        true => "nothing found".to_owned(),
        false => items.join(", "),
    };
    format!("{}: {items}", path.display())
}

fn save_pictures(
    arguments: &Predict,
    path: &Path,
    objects: &[FoundObject],
    classes: &[String],
    names: &mut FreeNames,
) -> Result<(), Failure> {
    let mut image: RgbImage = decode(path)?;
    let name = names.free(path);
    if let Some(folder) = &arguments.crop {
        for (number, object) in (1..).zip(objects) {
            if let Some(part) = crop(&image, object.bounds) {
                // A class name may hold what a file name must not.
                let class = classes[object.class].replace(|c: char| !c.is_alphanumeric(), "-");
                save_picture(&folder.join(format!("{name}-{number}-{class}.jpg")), &part)?;
            }
        }
    }
    if let Some(folder) = &arguments.draw {
        let boxes: Vec<DrawnBox> = objects
            .iter()
            .map(|object| DrawnBox {
                bounds: object.bounds,
                class: object.class,
                caption: format!("{} {:.2}", classes[object.class], object.score),
            })
            .collect();
        draw_boxes(&mut image, &boxes);
        save_picture(&folder.join(format!("{name}.jpg")), &image)?;
    }
    Ok(())
}

/// Names for pictures of one folder that come from several.
#[derive(Default)]
struct FreeNames {
    taken: HashSet<String>,
}

impl FreeNames {
    /// The file's name without its extension, numbered if another file has it, were it in other letters.
    fn free(&mut self, path: &Path) -> String {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let mut names = iter::once(stem.to_string()).chain(numbered);
        let free = names.find(|name| self.taken.insert(name.to_lowercase()));
        free.expect("numbers do not end")
    }
}
