//! `warmstart predict`.

use std::io::stdout;
use std::path::{Path, PathBuf};

use serde_json::{Value, json as value};
use warmstart_files::{shown, text};
use warmstart_metrics::top_k;
use warmstart_recipe::{Key, Problem};
use warmstart_tasks::classify::classifier::{Classifier, Prediction};
use warmstart_tasks::kinds::Trained;

use super::{Failure, find, use_threads};
use crate::arguments::Predict;
use crate::printing::{json, line, print_to_stderr};

/// Classes that are shown per image.
const TOP: usize = 5;

pub fn predict(arguments: Predict) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let model = Trained::load(&arguments.model)?;
    print_to_stderr(model.line());
    let mut paths = Vec::new();
    for path in &arguments.images {
        match warmstart_data::image_files(path) {
            Ok((found, skipped)) => {
                paths.extend(found);
                for line in skipped.lines() {
                    print_to_stderr(line);
                }
            }
            // A folder without images, or neither a folder nor a file.
            Err(error) if path.exists() => return Err(error.into()),
            // Reported with the other files that cannot be read.
            Err(_) => paths.push(path.clone()),
        }
    }
    match model {
        Trained::Classifier(classifier) => classify(&classifier, &arguments, &paths, workers),
        Trained::Detector(detector) => find::find(&detector, &arguments, &paths, workers),
    }
}

fn classify(
    classifier: &Classifier,
    arguments: &Predict,
    paths: &[PathBuf],
    workers: usize,
) -> Result<(), Failure> {
    let of_detectors = [
        ("conf", arguments.conf.is_some()),
        ("iou", arguments.iou.is_some()),
        ("draw", arguments.draw.is_some()),
        ("crop", arguments.crop.is_some()),
        ("count", arguments.count),
    ];
    if let Some((flag, _)) = of_detectors.into_iter().find(|(_, given)| *given) {
        let what = format!("--{flag} is for detectors, and this model is a classifier");
        return Err(Problem::new(what).of_key(Key(flag)).into());
    }
    let classes = &classifier.info.classes;
    let mut out = stdout().lock();
    let mut failed = 0;
    let mut printed = Ok(());
    classifier.predict(
        paths,
        workers,
        &mut |Prediction {
                  path,
                  probabilities,
                  ..
              }| {
            match probabilities {
                Ok(probabilities) => {
                    let top = top_k(&probabilities, TOP.min(classes.len()));
                    if printed.is_ok() {
                        printed = if arguments.json {
                            json(&mut out, &as_json(&path, &top, classes))
                        } else {
                            line(&mut out, text_line(&path, &top, classes))
                        };
                    }
                }
                Err(error) => {
                    failed += 1;
                    Failure::from(error).print(arguments.json);
                }
            }
        },
    )?;
    printed?;
    if failed > 0 {
        return Err(Failure::failed(format!(
            "{failed} of {} files could not be classified",
            paths.len()
        )));
    }
    Ok(())
}

fn as_json(path: &Path, top: &[(usize, f32)], classes: &[String]) -> Value {
    let predictions: Vec<_> = top
        .iter()
        .map(|(class, probability)| value!({"class": classes[*class], "probability": probability}))
        .collect();
    value!({"file": text(path), "predictions": predictions})
}

fn text_line(path: &Path, top: &[(usize, f32)], classes: &[String]) -> String {
    let named: Vec<String> = top
        .iter()
        .map(|(class, probability)| format!("{} {:.1}%", classes[*class], 100.0 * probability))
        .collect();
    format!("{}: {}", shown(path), named.join(", "))
}
