//! `warmstart train` with folds: a run for each fold of the images, in folders of their own, and the mean and spread of
//! their metrics; in detection also the boxes that the labels and the folds' detectors disagree on.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_metrics::mean_and_deviation;
use warmstart_recipe::folds::{FOLD_COUNTS, FoldId};
use warmstart_recipe::run_files::{RECIPE, fold_folder};
use warmstart_recipe::{Draft, Error, Key, Problem, Recipe, TaskKind, command, output_folder};
use warmstart_run::event::{Event, Observer};
use warmstart_run::folder::recipe_of;
use warmstart_run::record::EpochFigure;
use warmstart_run::replace_file;
use warmstart_run::shard::Shard;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::open_data::open_data;
use warmstart_train::resources::Resources;

use crate::box_labels::{box_labels, table};
use crate::complete::{complete, finished};
use crate::devices::device_of_run;
use crate::recognise::settle_model;
use crate::run_data::RunData;
use crate::settle_data::settle_data;

/// File of the result, in the folder of the folds' runs.
pub const RESULT: &str = "folds.json";
/// File of the boxes that the labels and the detectors disagree on, beside it.
pub const DOUBTFUL_BOXES: &str = "doubtful_boxes.csv";

/// The metrics of all folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// The kept epoch of each fold's run, in order.
    pub folds: Vec<EpochFigure>,
    /// Mean of their metrics, a fraction of one.
    pub mean: f64,
    /// Sample standard deviation of their metrics.
    pub deviation: f64,
}

/// Trains a run for each of `folds` folds, in `fold-1`, … in `out`, validated on its fold and trained on the others.
/// Runs that exist already are resumed, or used as they are if they are finished. A shard trains its part of the folds,
/// and writes nothing else; [`merge_folds`] ends what it began. `None` for a shard.
///
/// # Errors
/// As [`train`](crate::train::train); the runs of earlier folds stay.
pub fn cross_validate(
    mut draft: Draft,
    out: Option<PathBuf>,
    (folds, shard): (usize, Shard),
    resources: Resources,
    observe: Observer,
) -> Result<Option<CrossValidation>, Error> {
    if !FOLD_COUNTS.contains(&folds) {
        let range = message!(
            "a number from {} to {}",
            FOLD_COUNTS.start(),
            FOLD_COUNTS.end()
        );
        return Err(Problem::of_value(Key::FOLDS, folds.to_string(), range).into());
    }
    settle_data(&mut draft, &resources, observe)?;
    let out = output_folder(out, draft.data.as_deref().unwrap_or(Path::new("")));
    if out.join(RECIPE).exists() {
        return Err(
            Problem::new(message!("it is a single run, not a cross-validation"))
                .of_file(&out)
                .fix(message!("give another {}", Key::OUT))
                .into(),
        );
    }
    settle_model(&mut draft, observe)?;
    require_fitting(&out, folds)?;
    let (mut kept, mut runs) = (Vec::new(), Vec::new());
    for number in shard.range(folds).map(|index| index + 1) {
        let fold_id = FoldId { number, of: folds };
        let run = fold_folder(&out, number);
        observe(Event::Note(message!(
            "fold {number} of {folds}: {}",
            shown(&run)
        )));
        let draft = Draft {
            fold: Some(fold_id),
            ..draft.clone()
        };
        if run.join(RECIPE).exists() {
            require_fold(&run, fold_id)?;
        }
        let other = message!("give the same as before, or another {}", Key::OUT);
        let summary = complete(draft, &run, &other, resources.clone(), observe)?;
        kept.push(summary.kept);
        runs.push(run);
    }
    if !shard.is_whole() {
        return Ok(None);
    }
    end(&out, kept, &runs, resources.workers, observe).map(Some)
}

/// Ends a cross-validation whose folds were trained by shards, as one process ends it.
///
/// # Errors
/// If a fold is missing or not finished, or they are not of one request; the error names what is to be done.
pub fn merge_folds(
    out: &Path,
    workers: usize,
    observe: Observer,
) -> Result<CrossValidation, Error> {
    let is_there = |number: &usize| fold_folder(out, *number).join(RECIPE).is_file();
    let mut numbers = 1..=*FOLD_COUNTS.end();
    let Some(first) = numbers.find(is_there) else {
        let what = message!("it has no run of a fold (fold-1, …)");
        return Err(Problem::new(what).of_file(out).into());
    };
    let (recipe, _) = recipe_of(&fold_folder(out, first))?;
    let fold_id = recipe
        .fold
        .filter(|fold_id| FOLD_COUNTS.contains(&fold_id.of));
    let Some(FoldId { of, .. }) = fold_id else {
        let what = message!("it is not a run of a cross-validation");
        return Err(Problem::new(what).of_file(&fold_folder(out, first)).into());
    };
    let missing: Vec<usize> = (1..=of).filter(|number| !is_there(number)).collect();
    if let Some(number) = missing.first() {
        let names: Vec<String> = missing.iter().map(usize::to_string).collect();
        let what = message!("folds {} of {of} are missing", names.join(", "));
        let fix = message!(
            "train them with the options of the others, the first by `warmstart train … {} {of} --shard {number}/{of}`",
            Key::FOLDS
        );
        return Err(Problem::new(what).of_file(out).fix(fix).into());
    }
    let (mut kept, mut runs) = (Vec::new(), Vec::new());
    for number in 1..=of {
        let run = fold_folder(out, number);
        require_fold(&run, FoldId { number, of })?;
        require_same_request(&run, &recipe)?;
        let Some(summary) = finished(&run) else {
            let what = message!("it is not finished");
            let fix = message!("continue it with `{}`", command::resume(&run));
            return Err(Problem::new(what).of_file(&run).fix(fix).into());
        };
        kept.push(summary.kept);
        runs.push(run);
    }
    end(out, kept, &runs, workers, observe)
}

/// Refuses a run whose folds are split otherwise than those of `first`, or that was trained otherwise.
fn require_same_request(run: &Path, first: &Recipe) -> Result<(), Error> {
    let (own, _) = recipe_of(run)?;
    if is_same_request(&own, first) {
        return Ok(());
    }
    let what = message!("it was requested with other options than the other folds");
    let fix = message!("train it anew with the options of the others");
    Err(Problem::new(what).of_file(run).fix(fix).into())
}

/// Whether two folds were requested alike, as far as runs of one request cannot differ.
fn is_same_request(one: &Recipe, other: &Recipe) -> bool {
    one.model == other.model
        && one.task == other.task
        && one.image_size == other.image_size
        && one.seed == other.seed
        && one.epochs() == other.epochs()
        && one.shuffle == other.shuffle
        && one.decode == other.decode
        && one.virtual_shards == other.virtual_shards
}

/// Writes what the runs of all folds say together.
fn end(
    out: &Path,
    kept: Vec<EpochFigure>,
    runs: &[PathBuf],
    workers: usize,
    observe: Observer,
) -> Result<CrossValidation, Error> {
    let values: Vec<f64> = kept.iter().map(|figure| figure.value).collect();
    let (mean, deviation) = mean_and_deviation(&values);
    let result = CrossValidation {
        folds: kept,
        mean,
        deviation,
    };
    let text = serde_json::to_string_pretty(&result).expect("figures are plain data");
    replace_file(&out.join(RESULT), (text + "\n").as_bytes())?;
    let (recipe, _) = recipe_of(&runs[0])?;
    match recipe.task {
        TaskKind::Classify => {}
        TaskKind::Detect => judge_labels(out, runs, workers, observe)?,
    }
    Ok(result)
}

/// Lists the boxes that the labels and the detectors of the folds disagree on. No detector has learned from the images
/// that it judges.
fn judge_labels(
    out: &Path,
    runs: &[PathBuf],
    workers: usize,
    observe: Observer,
) -> Result<(), Error> {
    let device = device_of_run(&runs[0]);
    let judged = match box_labels(runs, workers, &device, observe) {
        Ok(judged) => judged,
        // The metrics do not depend on it.
        Err(error) => {
            observe(Event::Note(message!("the labels are not judged: {error}")));
            return Ok(());
        }
    };
    let path = out.join(DOUBTFUL_BOXES);
    replace_file(&path, &table(&judged.doubts))?;
    let doubtful = judged.doubts.iter().filter(|one| one.doubtful).count();
    observe(Event::Note(message!(
        "{doubtful} boxes are doubtful, of {} on which the labels and the detectors of the folds disagree: {}",
        judged.doubts.len(),
        shown(&path)
    )));
    Ok(())
}

/// Refuses finished runs beside others that are still to be trained, if the images of their folds are others now: by an
/// earlier version, or of a data set that has changed since.
fn require_fitting(out: &Path, folds: usize) -> Result<(), Error> {
    let runs = (1..=folds).map(|number| fold_folder(out, number));
    let (done, open): (Vec<PathBuf>, Vec<PathBuf>) = runs.partition(|run| finished(run).is_some());
    match done.first() {
        Some(first) if !open.is_empty() => {
            let (recipe, _) = recipe_of(first)?;
            with_task!(recipe.task, T => require_same_folds::<T>(&recipe, &done))
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses those of some runs of a recipe whose validation images are not those of their folds now, where images have
/// several classes: only there an earlier version split them otherwise.
fn require_same_folds<T: Task>(recipe: &Recipe, runs: &[PathBuf]) -> Result<(), Error> {
    if T::CLASS_OF.is_some() {
        return Ok(());
    }
    // Each run to come reports on the images.
    let data = open_data::<T>(recipe, None, &mut |_| {})?;
    for run in runs {
        let (recipe, _) = recipe_of(run)?;
        let data = T::images(data.clone(), &recipe)?;
        let [_, validation, _] = data.splits();
        let before = RunData::beside(run, None)?;
        if before.is_some_and(|before| !before.was_validated_on(&validation)) {
            let what = message!(
                "its validation images are not those of its fold now: an earlier version split the images into other \
                 folds, or the data set has changed"
            );
            let fix = message!("train all folds anew, with another {}", Key::OUT);
            return Err(Problem::new(what).of_file(run).fix(fix).into());
        }
    }
    Ok(())
}

/// Refuses a run of another fold.
fn require_fold(run: &Path, fold_id: FoldId) -> Result<(), Error> {
    let (recipe, _) = recipe_of(run)?;
    if recipe.fold == Some(fold_id) {
        return Ok(());
    }
    let what = message!("it is not fold {} of {}", fold_id.number, fold_id.of);
    let fix = message!(
        "give the same {} as before, or another {}",
        Key::FOLDS,
        Key::OUT
    );
    Err(Problem::new(what).of_file(run).fix(fix).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(options: &str) -> Recipe {
        let text = format!("data = 'd'\nweights = 'w'\n{options}");
        let draft: Draft = toml::from_str(&text).unwrap();
        draft.resolve(224, None).unwrap()
    }

    #[test]
    fn folds_of_another_request_are_told_apart() {
        let first = recipe("model = 'resnet18'\n");
        assert!(is_same_request(&recipe("model = 'resnet18'\n"), &first));
        for other in [
            "model = 'resnet34'\n",
            "model = 'resnet18'\nimage_size = 64\n",
            "model = 'resnet18'\nseed = 7\n",
            "model = 'resnet18'\nshuffle = 'list'\n",
            "model = 'resnet18'\ndecode = 'scaled'\n",
            "model = 'resnet18'\nvirtual_shards = 4\n",
        ] {
            assert!(!is_same_request(&recipe(other), &first), "{other}");
        }
        let mut longer = first.clone();
        longer.phases[0].epochs += 1;
        assert!(!is_same_request(&longer, &first));
    }
}
