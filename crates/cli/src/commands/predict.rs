//! `warmstart predict`.

use std::io::{IsTerminal as _, stderr};
use std::path::{Path, PathBuf};

use warmstart_data::Skipped;
use warmstart_files::{shown, text};
use warmstart_language::message;
use warmstart_metrics::top_k;
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::{Key, Problem};
use warmstart_tasks::answer::{self, SHOWN_CLASSES};
use warmstart_tasks::classify::classifier::{Classifier, Prediction};
use warmstart_tasks::classify::known::Unknown;
use warmstart_tasks::kinds::Trained;

use super::devices::open_device;
use super::prediction_table::{Row, write_rows, write_table};
use super::predictions::{Outputs, Predicted, Predictions, Unreadable};
use super::shards::{AskedPart, add_line, asked_part};
use super::weights::fetch_detector;
use super::{Failure, eval, find, use_threads};
use crate::arguments::Predict;
use crate::printing::print_to_stderr;
use crate::progress::noted;

/// First line of a part with lines of JSON.
pub const KIND_LINES: &str = "lines";
/// First line of a part with rows of a table.
pub const KIND_ROWS: &str = "rows";

pub fn predict(arguments: Predict) -> Result<(), Failure> {
    let words = std::iter::once(&arguments.model).chain(&arguments.images);
    if let Some(side) = arguments.views.detached_side(words) {
        return Err(detached(side));
    }
    let refused = [
        ("draw", arguments.draw.is_some()),
        ("crop", arguments.crop.is_some()),
    ];
    let part = asked_part("predict", &arguments.part, &refused)?;
    if part.is_some() && arguments.json && arguments.csv.is_some() {
        let what =
            message!("a part has lines of JSON, or with --csv the rows of the table, not both");
        let problem = Problem::new(what).of_key(Key("json"));
        return Err(problem.fix(message!("leave --json out")).into());
    }
    let workers = use_threads(&arguments.threads)?;
    let device = open_device(&arguments.device)?;
    fetch_detector(&arguments.model)?;
    let (model, note) = Trained::load_noted(&arguments.model, &device)?;
    if let Some(note) = note {
        print_to_stderr(noted(note));
    }
    if stderr().is_terminal() {
        print_to_stderr(model.line());
    }
    let paths = pictures(&arguments.images)?;
    let work = |paths: &[PathBuf], outputs: Outputs| match &model {
        Trained::Classifier(classifier) => {
            classify(classifier, &arguments, paths, workers, outputs)
        }
        Trained::Detector(detector) => find::find(detector, &arguments, paths, workers, outputs),
    };
    if let Some(part) = part {
        return predict_part(&part, &arguments, &device, &paths, work);
    }
    let as_json = arguments.json;
    let unreadable = match &arguments.csv {
        None => work(
            &paths,
            Outputs {
                as_json,
                ..Outputs::default()
            },
        )?,
        Some(path) => {
            let unreadable = write_table(path, |table| {
                let outputs = Outputs {
                    as_json,
                    lines: None,
                    table: Some(table),
                };
                work(&paths, outputs)
            })?;
            print_to_stderr(message!("wrote {}", shown(path)));
            unreadable
        }
    };
    unreadable.end()
}

/// Writes a part of the pictures' results: lines of JSON, or with a table its rows.
fn predict_part(
    part: &AskedPart,
    arguments: &Predict,
    device: &Device,
    paths: &[PathBuf],
    work: impl FnOnce(&[PathBuf], Outputs) -> Result<Unreadable, Failure>,
) -> Result<(), Failure> {
    let is_table = arguments.csv.is_some();
    let mut key = part.key(Some(&arguments.model), Some(device))?;
    let Predict {
        top,
        unknown,
        conf,
        iou,
        count,
        views,
        ..
    } = arguments;
    let options = (top, unknown, conf, iou, count, views, is_table);
    key.add(format!("{options:?}").as_bytes());
    key.add_pictures(paths.iter().map(PathBuf::as_path));
    let own = &paths[part.pictures(paths.len(), device)];
    part.write(&key, own.len(), |out| {
        let kind = if is_table { KIND_ROWS } else { KIND_LINES };
        add_line(out, part.folder(), kind)?;
        let unreadable = if is_table {
            write_rows(part.folder(), out, |table| {
                let outputs = Outputs {
                    as_json: false,
                    lines: None,
                    table: Some(table),
                };
                work(own, outputs)
            })?
        } else {
            let outputs = Outputs {
                as_json: true,
                lines: Some(out),
                table: None,
            };
            work(own, outputs)?
        };
        Ok(unreadable.count())
    })
}

/// The error for the side of the tiles as a word of its own, which would be taken for a path.
fn detached(side: &Path) -> Failure {
    let side = shown(side);
    let what = message!("there is no file {side}, and the value of --tile is attached to it");
    Problem::new(what)
        .of_key(Key("tile"))
        .fix(message!("write --tile={side}"))
        .into()
}

/// The files that paths stand for; those that are not there are among them. What is skipped is said.
fn pictures(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut pictures = Vec::new();
    let mut all_skipped = Skipped::default();
    for path in paths {
        match warmstart_data::image_files(path) {
            Ok((found, skipped)) => {
                pictures.extend(found);
                all_skipped += skipped;
            }
            // A folder without images, or neither a folder nor a file.
            Err(error) if path.exists() => return Err(error.into()),
            // Reported with the other files that cannot be read.
            Err(_) => pictures.push(path.clone()),
        }
    }
    for line in all_skipped.lines() {
        print_to_stderr(line);
    }
    Ok(pictures)
}

fn classify(
    classifier: &Classifier,
    arguments: &Predict,
    paths: &[PathBuf],
    workers: usize,
    outputs: Outputs,
) -> Result<Unreadable, Failure> {
    let of_detectors = [
        ("conf", arguments.conf.is_some()),
        ("iou", arguments.iou.is_some()),
        ("draw", arguments.draw.is_some()),
        ("crop", arguments.crop.is_some()),
        ("count", arguments.count),
    ];
    let of_detectors = of_detectors.into_iter().find(|(_, given)| *given);
    let flag = of_detectors.map(|(flag, _)| flag);
    if let Some(flag) = flag.or(arguments.views.given()) {
        return Err(eval::of_detectors(flag));
    }
    if arguments.unknown && !classifier.has_record() {
        let what = message!(
            "--unknown needs a model with a record of its training images, and this one has none"
        );
        let fix = message!(
            "train a frozen phase with --head ridge, which is the default of classification"
        );
        return Err(Problem::new(what).of_key(Key("unknown")).fix(fix).into());
    }
    let classes = &classifier.info.classes;
    let shown = arguments.top.map_or(SHOWN_CLASSES, usize::from);
    let mut predictions = Predictions::new(paths.len(), outputs);
    classifier.predict(
        paths,
        workers,
        &mut |Prediction {
                  path,
                  probabilities,
                  unknown,
              }| match probabilities {
            Ok(probabilities) => {
                let top = top_k(&probabilities, shown);
                let mut predicted = predicted(&path, &top, classes, unknown);
                if arguments.unknown {
                    predicted.line += &unlike(unknown);
                }
                predictions.add(&path, &predicted)
            }
            Err(error) => predictions.add_unreadable(&path, error),
        },
    )?;
    predictions.unreadable()
}

/// What the line of a picture that is unlike all training images says.
fn unlike(unknown: Option<Unknown>) -> String {
    if unknown.is_some_and(|unknown| unknown.is_unknown) {
        message!("; unlike all training images, so perhaps none of these")
    } else {
        String::new()
    }
}

fn predicted<'a>(
    path: &Path,
    top: &[(usize, f32)],
    classes: &'a [String],
    unknown: Option<Unknown>,
) -> Predicted<'a> {
    let named: Vec<String> = top
        .iter()
        .map(|(class, probability)| format!("{} {:.1}%", classes[*class], 100.0 * probability))
        .collect();
    let row = |(class, probability): &(usize, f32)| Row {
        class: &classes[*class],
        probability: *probability,
        corners: None,
    };
    Predicted {
        line: format!("{}: {}", shown(path), named.join(", ")),
        json: answer::of_classes(&text(path), top, classes, unknown),
        rows: top.iter().map(row).collect(),
    }
}
