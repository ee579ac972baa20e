//! Cross-validation: a run for each part of the images, in folders of their own, and the spread of their
//! figures.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use warmstart_data::Fit;
use warmstart_files::shown;
use warmstart_metrics::mean_and_deviation;

use warmstart_recipe::Error;
use warmstart_run::atomic_file::replace_file;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use warmstart_recipe::folds::PARTS;
use warmstart_recipe::folds::Part;
use warmstart_train::resources::Resources;
use warmstart_recipe::output_folder;
use warmstart_recipe::resolve;
use crate::train;
use warmstart_recipe::Augmentation;
use warmstart_recipe::Balance;
use warmstart_recipe::Draft;
use warmstart_recipe::Open;
use warmstart_recipe::Recipe;
use warmstart_run::record::EpochFigure;
use warmstart_run::record::RunState;
use crate::resume::Changes;
use crate::resume::resume;
use warmstart_recipe::run_files::RECIPE;
use warmstart_run::folder::recipe_of;
use warmstart_run::folder::summary_of;

/// File of the result, in the folder of the runs.
pub const RESULT: &str = "folds.json";

/// The figures of all parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// What each part's run kept, in order.
    pub folds: Vec<EpochFigure>,
    /// Mean of their metrics, a fraction of one.
    pub mean: f64,
    /// Sample standard deviation of their metrics.
    pub deviation: f64,
}

/// Where the run of a part is, from 1.
pub fn folder(out: &Path, number: usize) -> PathBuf {
    out.join(format!("fold-{number}"))
}

/// Trains a run for each of so many parts, in `fold-1`, … in `out`, each validated on its part and trained on
/// the others. What is there already is resumed, or taken as it is.
///
/// # Errors
/// As [`train`]; what the parts before have come to stays.
pub fn cross_validate(
    draft: Draft,
    out: Option<PathBuf>,
    folds: usize,
    machine: Resources,
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
            shown(&out)
        )));
    }
    let mut kept = Vec::new();
    for number in 1..=folds {
        let part = Part { number, of: folds };
        let run = folder(&out, number);
        observe(Event::Note(format!(
            "fold {number} of {folds}: {}",
            shown(&run)
        )));
        let draft = Draft {
            fold: Some(part),
            ..draft.clone()
        };
        let summary = match summary_of(&run) {
            _ if !run.join(RECIPE).exists() => train(draft, Some(run), machine.clone(), observe)?,
            summary => {
                require_same(&run, part, &draft)?;
                match summary.filter(|summary| summary.state == RunState::Finished) {
                    Some(summary) => summary,
                    None => resume(&run, &Changes::default(), machine.clone(), observe)?,
                }
            }
        };
        kept.push(summary.kept);
    }
    let values: Vec<f64> = kept.iter().map(|figure| figure.value).collect();
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

/// Refuses a run of another part, or one that was asked for otherwise.
fn require_same(run: &Path, part: Part, draft: &Draft) -> Result<(), Error> {
    let (recipe, _) = recipe_of(run)?;
    if recipe.fold != Some(part) {
        return Err(Error::usage(format!(
            "{} is not fold {} of {}: give the same --folds as before, or another --out",
            shown(run),
            part.number,
            part.of
        )));
    }
    let (asked, open) = resolve(draft.clone())?;
    let [asked, there] = [asked, recipe].map(|recipe| as_asked_for(recipe, &open));
    match asked.differences(&there).first() {
        None => Ok(()),
        Some(difference) => Err(Error::usage(format!(
            "{} was asked for otherwise ({difference}): give the same as before, or another --out",
            shown(run)
        ))),
    }
}

/// A recipe without what was not asked for, but decided by data and machine.
fn as_asked_for(recipe: Recipe, open: &Open) -> Recipe {
    let mut recipe = Recipe {
        warmstart: String::new(),
        fit: if open.fit { Fit::Crop } else { recipe.fit },
        ..recipe
    };
    for (phase, left) in recipe.phases.iter_mut().zip(&open.phases) {
        if left.micro_batch {
            phase.micro_batch = None;
        }
        if left.ema_decay {
            phase.ema_decay = 0.0;
        }
        if left.batch {
            phase.batch = 1;
            phase.lr = if left.lr { 1.0 } else { phase.lr };
        }
    }
    for (phase, left) in recipe.phases.iter_mut().zip(&open.scaled) {
        let mut values = vec![
            (&mut phase.label_smoothing, left.label_smoothing),
            (&mut phase.weight_decay, left.weight_decay),
        ];
        if let Augmentation::Images(augmentation) = &mut phase.augmentation {
            values.push((&mut augmentation.rand_augment, left.rand_augment));
            values.push((&mut augmentation.erase, left.erase));
        }
        for (value, is_left) in values {
            if is_left {
                *value = 0.0;
            }
        }
        if left.patience {
            phase.patience = 0;
        }
        if left.balance {
            phase.balance = Balance::None;
        }
    }
    recipe
}
