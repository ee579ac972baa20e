//! `warmstart predict` with a detector.

use std::io::{IsTerminal as _, stderr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json as value;
use warmstart_files::{shown, text};
use warmstart_language::message;
use warmstart_recipe::{Key, Problem};
use warmstart_tasks::answer;
use warmstart_tasks::detect::detector::Detector;
use warmstart_tasks::detect::found_object::{FoundObject, FoundObjects};
use warmstart_tasks::detect::{Search, Selection};

use super::Failure;
use super::found_pictures::FoundPictures;
use super::prediction_table::Row;
use super::predictions::{Outputs, Predicted, Predictions, Unreadable};
use crate::arguments::Predict;
use crate::printing::print_to_stderr;

pub fn find(
    detector: &Detector,
    arguments: &Predict,
    paths: &[PathBuf],
    workers: usize,
    outputs: Outputs,
) -> Result<Unreadable, Failure> {
    if arguments.unknown {
        let what = message!("--unknown is for classifiers, and this model is a detector");
        return Err(Problem::new(what).of_key(Key("unknown")).into());
    }
    let usual = detector.selection();
    let selection = Selection {
        confidence: arguments.conf.unwrap_or(usual.confidence),
        overlap: arguments.iou.unwrap_or(usual.overlap),
        boxes: arguments.top.map_or(usual.boxes, usize::from),
        across_classes: arguments.views.across_classes(),
    };
    let search = Search {
        selection,
        tile: arguments.views.tile(detector.info.preprocessing.crop),
        flip: arguments.views.flip(),
    };
    if arguments.conf.is_none() && stderr().is_terminal() {
        print_to_stderr(usual_confidence(detector, selection.confidence));
    }
    let (draw, crop) = (arguments.draw.as_deref(), arguments.crop.as_deref());
    let mut pictures = FoundPictures::new(draw, crop, paths)?;
    let mut inputs = 0..;
    let classes = &detector.info.classes;
    let mut predictions = Predictions::new(paths.len(), outputs);
    detector.predict(paths, workers, search, &mut |found| {
        let FoundObjects { path, objects } = found;
        let number = inputs.next().expect("numbers do not end");
        let objects = match objects {
            Ok(objects) => objects,
            Err(error) => return predictions.add_unreadable(&path, error),
        };
        predictions.add(&path, &predicted(&path, &objects, classes, arguments.count))?;
        match pictures.save((number, &path), &objects, classes) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => predictions.refuse(failure),
        }
    })?;
    predictions.unreadable()
}

/// The lowest score that is shown, and why, in a line.
fn usual_confidence(detector: &Detector, confidence: f32) -> String {
    match detector.info.confidence {
        Some(_) => message!(
            "objects with a score of at least {confidence:.3}, where F1 was best on its validation images; --conf \
             gives another"
        ),
        None => message!(
            "objects with a score of at least {confidence:.3}, the usual one: its best is not known; --conf gives \
             another"
        ),
    }
}

fn predicted<'a>(
    path: &Path,
    objects: &[FoundObject],
    classes: &'a [String],
    is_counted: bool,
) -> Predicted<'a> {
    let mut json = answer::of_objects(&text(path), objects, classes);
    if is_counted {
        json["counts"] = value!(answer::counts(objects, classes));
    }
    let row = |object: &FoundObject| Row {
        class: &classes[object.class],
        probability: object.score,
        corners: Some(object.bounds.corners()),
    };
    Predicted {
        line: if is_counted {
            count_line(path, objects, classes)
        } else {
            text_line(path, objects, classes)
        },
        json,
        rows: objects.iter().map(row).collect(),
    }
}

fn count_line(path: &Path, objects: &[FoundObject], classes: &[String]) -> String {
    let counts = answer::counts(objects, classes).into_iter();
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
        message!("nothing found")
    } else {
        items.join(", ")
    };
    format!("{}: {items}", shown(path))
}
