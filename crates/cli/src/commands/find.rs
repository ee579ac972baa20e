//! `warmstart predict` with a detector.

use std::collections::BTreeMap;
use std::io::stdout;
use std::path::{Path, PathBuf};

use serde_json::{Value, json as value};
use warmstart_files::{shown, text};
use warmstart_tasks::detect::Selection;
use warmstart_tasks::detect::detector::{Detector, FoundObject, FoundObjects};

use super::Failure;
use super::found_pictures::FoundPictures;
use crate::arguments::Predict;
use crate::printing::{json, line};

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
    let (draw, crop) = (arguments.draw.as_deref(), arguments.crop.as_deref());
    let mut pictures = FoundPictures::new(draw, crop, paths)?;
    let mut inputs = 0..;
    let classes = &detector.info.classes;
    let mut out = stdout().lock();
    let mut failed = 0;
    let mut printed = Ok(());
    let mut saved: Result<(), Failure> = Ok(());
    detector.predict(paths, workers, selection, &mut |found| {
        let FoundObjects { path, objects } = found;
        let number = inputs.next().expect("numbers do not end");
        let objects = match objects {
            Ok(objects) => objects,
            Err(error) => {
                failed += 1;
                Failure::from(error).print(arguments.json);
                return;
            }
        };
        if printed.is_ok() {
            printed = if arguments.json {
                json(
                    &mut out,
                    &as_json(&path, &objects, classes, arguments.count),
                )
            } else if arguments.count {
                line(&mut out, count_line(&path, &objects, classes))
            } else {
                line(&mut out, text_line(&path, &objects, classes))
            };
        }
        if saved.is_ok() {
            saved = pictures.save((number, &path), &objects, classes);
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

fn as_json(path: &Path, objects: &[FoundObject], classes: &[String], is_counted: bool) -> Value {
    let predictions: Vec<_> = objects
        .iter()
        .map(|object| {
            value!({
                "class": classes[object.class],
                "probability": object.score,
                "box": object.bounds.corners(),
            })
        })
        .collect();
    let mut result = value!({"file": text(path), "predictions": predictions});
    if is_counted {
        result["counts"] = value!(counts(objects, classes));
    }
    result
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
    let items = if items.is_empty() {
        "nothing found".to_owned()
    } else {
        items.join(", ")
    };
    format!("{}: {items}", shown(path))
}
