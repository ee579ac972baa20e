//! Cross-validation: a run for each part of the images, in folders of their own, and the spread of their
//! figures.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use warmstart_metrics::mean_and_deviation;

use crate::Error;
use crate::checkpoint::replace_file;
use crate::event::{Event, Observer};
use crate::folds::{PARTS, Part};
use crate::job::Machine;
use crate::launch::{output_folder, train};
use crate::recipe::Draft;
use crate::record::{Best, RunState};
use crate::resume::{Changes, resume};
use crate::run::{RECIPE, recipe_of, summary_of};

/// File of the result, in the folder of the runs.
pub const RESULT: &str = "folds.json";

/// The figures of all parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// What each part's run kept, in order.
    pub folds: Vec<Best>,
    /// Mean of their metrics, a fraction of one.
    pub mean: f64,
    /// Sample standard deviation of their metrics.
    pub deviation: f64,
}

/// Trains a run for each of so many parts, in `fold-1`, … in `out`, each validated on its part and trained on
/// the others. What is there already is gone on with, or taken as it is.
///
/// # Errors
/// As [`train`](crate::train); what the parts before have come to stays.
pub fn cross_validate(
    draft: Draft,
    out: Option<PathBuf>,
    folds: usize,
    machine: Machine,
    observe: Observer,
) -> Result<CrossValidation, Error> {
    if !PARTS.contains(&folds) {
        return Err(Error::usage(format!(
            "--folds {folds}: give a number from {} to {}",
            PARTS.start(),
            PARTS.end()
        )));
    }
    let out = output_folder(out, draft.data.as_deref().unwrap_or(Path::new("")));
    if out.join(RECIPE).exists() {
        return Err(Error::usage(format!(
            "{} is a run of its own: give another --out",
            out.display()
        )));
    }
    let mut kept = Vec::new();
    for number in 1..=folds {
        let part = Part { number, of: folds };
        let run = out.join(format!("fold-{number}"));
        observe(Event::Note(format!(
            "fold {number} of {folds}: {}",
            run.display()
        )));
        let draft = Draft {
            fold: Some(part),
            ..draft.clone()
        };
        let summary = match summary_of(&run) {
            _ if !run.join(RECIPE).exists() => train(draft, Some(run), machine.clone(), observe)?,
            summary => {
                require_same_part(&run, part)?;
                match summary.filter(|summary| summary.state == RunState::Finished) {
                    Some(summary) => summary,
                    None => resume(&run, &Changes::default(), machine.clone(), observe)?,
                }
            }
        };
        kept.push(summary.kept);
    }
    let values: Vec<f64> = kept.iter().map(|best| best.value).collect();
    let (mean, deviation) = mean_and_deviation(&values);
    let result = CrossValidation {
        folds: kept,
        mean,
        deviation,
    };
    let text = serde_json::to_string_pretty(&result).expect("figures are plain data");
    replace_file(&out.join(RESULT), (text + "\n").as_bytes())?;
    Ok(result)
}

fn require_same_part(run: &Path, part: Part) -> Result<(), Error> {
    let (recipe, _) = recipe_of(run)?;
    match recipe.fold == Some(part) {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "{} is not fold {} of {}: give the same --folds as before, or another --out",
            run.display(),
            part.number,
            part.of
        ))),
    }
}
