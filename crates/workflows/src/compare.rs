//! `warmstart compare`: runs side by side, and whether they differ by more than luck.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use warmstart_language::{english, message, translated};
use warmstart_metrics::{Interval, McNemar};
use warmstart_recipe::{Error, Problem};
use warmstart_tasks::detect::{RESAMPLES, gain_p_value};

use crate::report::{Classes, Judged, RunReport, Scenes, report};

/// Runs that are compared, the one with the highest figure first.
pub struct Comparison {
    /// A line for each run.
    pub lines: Vec<Compared>,
    /// Their reports, in the same order.
    pub reports: Vec<RunReport>,
}

/// A run in a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its folder.
    #[serde(serialize_with = "path_text")]
    pub run: PathBuf,
    /// Its network.
    pub model: String,
    /// The weights that it started from.
    pub weights: String,
    /// Name of the metric.
    pub metric: String,
    /// The kept model's, a fraction of one.
    pub value: f64,
    /// Its 95% confidence interval, in classification.
    pub interval: Option<Interval>,
    /// Chance of a difference from the first at least this large if both were equal, on the same images: McNemar's exact
    /// test in classification, a paired bootstrap in detection; two-sided, times the number of runs that the first was
    /// chosen over (Bonferroni). `None` for the first, and on other images.
    pub p_value: Option<f64>,
    /// Why the difference from the first was not tested; `None` where it was, and for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untested: Option<String>,
    /// Finished epochs.
    pub epochs: usize,
    /// Time of its epochs in seconds.
    pub seconds: f64,
    /// Highest memory in MB.
    pub peak_mb: f64,
    /// Options that differ from the first's, a line each.
    pub differences: Vec<String>,
}

fn path_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    warmstart_files::text(path).serialize(serializer)
}

/// Compares runs of one task.
///
/// # Errors
/// If one is not a run, has no finished epoch, or another metric.
pub fn compare(runs: &[PathBuf], workers: usize) -> Result<Comparison, Error> {
    let mut reports = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        let is_same = |other: &&PathBuf| other.canonicalize().ok() == run.canonicalize().ok();
        if let Some(other) = runs[..place].iter().find(is_same) {
            let what = message!("it is the same run as {}", warmstart_files::shown(other));
            return Err(Problem::new(what)
                .of_file(run)
                .fix(message!("give each run once"))
                .into());
        }
        let report = report(run, workers, &warmstart_nn::device())?;
        if report.files.summary.is_none() {
            return Err(Problem::new(message!("no epoch of the run is finished"))
                .of_file(run)
                .fix(message!("let one finish, or leave the run out"))
                .into());
        }
        reports.push(report);
    }
    let metric = |report: &RunReport| report.files.recipe.task.metric();
    if let Some(other) = reports
        .iter()
        .find(|other| metric(other) != metric(&reports[0]))
    {
        let (own, of_first) = (translated(metric(other)), translated(metric(&reports[0])));
        let what = message!(
            "its metric is {own}, and that of {} is {of_first}",
            warmstart_files::shown(&runs[0])
        );
        return Err(Problem::new(what)
            .of_file(&other.files.run)
            .fix(message!("compare runs of one task"))
            .into());
    }
    reports.sort_by(|one, other| value(other).total_cmp(&value(one)));
    let others = reports.len().saturating_sub(1);
    let lines = reports.iter().enumerate().map(|(place, report)| {
        let first = &reports[0];
        let untested = (place > 0).then(|| why_untested(report, first)).flatten();
        let is_tested = place > 0 && untested.is_none();
        Compared {
            p_value: is_tested.then(|| p_value(report, first, others)).flatten(),
            untested,
            ..line(report, first)
        }
    });
    Ok(Comparison {
        lines: lines.collect(),
        reports,
    })
}

fn value(report: &RunReport) -> f64 {
    let summary = report.files.summary.as_ref();
    summary.map_or(f64::NAN, |summary| summary.kept.value)
}

fn line(report: &RunReport, first: &RunReport) -> Compared {
    let files = &report.files;
    let history = &files.history;
    let kept = files.summary.as_ref().map(|summary| &summary.kept);
    let peaks = history.iter().map(|record| record.peak_memory_mb);
    Compared {
        run: files.run.clone(),
        model: files.recipe.model.clone(),
        weights: files.recipe.weights.clone(),
        metric: files.recipe.task.metric().to_owned(),
        value: value(report),
        interval: kept.and_then(|kept| kept.interval),
        p_value: None,
        untested: None,
        epochs: history.len(),
        // Not −0, which is the sum of nothing.
        seconds: history
            .iter()
            .map(|record| record.seconds)
            .fold(0.0, std::ops::Add::add),
        peak_mb: peaks.fold(0.0, f64::max),
        differences: files.recipe.differences_between_runs(&first.files.recipe),
    }
}

/// Why two runs cannot be tested against each other; `None` if they were measured on the same files with the same labels.
fn why_untested(one: &RunReport, first: &RunReport) -> Option<String> {
    for report in [first, one] {
        if report.judged.is_none() {
            let run = warmstart_files::shown(&report.files.run);
            let no_model = translated(english!("it has no model"));
            let why = report.why_not_judged.as_deref().unwrap_or(no_model);
            return Some(message!("the answers of {run} are not known: {why}"));
        }
    }
    (!are_same(one, first)).then(|| message!("it was measured on other images than the first"))
}

fn are_same(one: &RunReport, other: &RunReport) -> bool {
    match (&one.judged, &other.judged) {
        (Some(Judged::Classes(one)), Some(Judged::Classes(other))) => {
            let images = |classes: &Classes| -> Vec<(PathBuf, String)> {
                let names = classes.matrix.per_class();
                let images = classes.images.iter();
                images
                    .map(|image| (image.path.clone(), names[image.label].class.clone()))
                    .collect()
            };
            images(one) == images(other)
        }
        (Some(Judged::Scenes(one)), Some(Judged::Scenes(other))) => {
            let truths = |scenes: &Scenes| {
                let images = scenes.objects.iter().map(|(truths, _)| truths.clone());
                images.collect::<Vec<_>>()
            };
            one.names == other.names && one.paths == other.paths && truths(one) == truths(other)
        }
        (Some(Judged::Classes(_) | Judged::Scenes(_)) | None, _) => false,
    }
}

/// Two-sided p-value of the difference of a run from a better one that was chosen over so many `others`.
fn p_value(one: &RunReport, better: &RunReport, others: usize) -> Option<f64> {
    let one_sided = match (&one.judged, &better.judged) {
        (Some(Judged::Classes(one)), Some(Judged::Classes(better))) => {
            let right = |classes: &Classes| -> Vec<bool> {
                let images = classes.images.iter();
                images.map(|image| image.is_right()).collect()
            };
            McNemar::of(&right(one), &right(better)).p_value()
        }
        (Some(Judged::Scenes(one)), Some(Judged::Scenes(of_better))) => {
            // Enough for a p-value below 0.05 after the correction.
            let draws = (better.files.recipe.seed, RESAMPLES * others as u64);
            gain_p_value(&one.names, &one.objects, &of_better.objects, draws)
        }
        (Some(Judged::Classes(_) | Judged::Scenes(_)) | None, _) => return None,
    };
    Some((2.0 * others as f64 * one_sided).min(1.0))
}
