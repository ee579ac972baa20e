//! `warmstart compare`: runs side by side, and whether they differ by more than luck.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use warmstart_metrics::{Interval, McNemar};
use warmstart_recipe::{Error, Problem};
use warmstart_tasks::detect::gain_p_value;

use crate::report::{Classes, Judged, RunReport, Scenes, report};

/// Runs that are compared, the one with the highest figure first.
pub struct Comparison {
    /// A line for each run.
    pub lines: Vec<Compared>,
    /// Their reports, in the same order.
    pub reports: Vec<RunReport>,
    /// Whether all were measured on the same images, so that differences can be tested.
    pub same_images: bool,
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
    for run in runs {
        let report = report(run, workers)?;
        if report.files.summary.is_none() {
            return Err(Problem::new("no epoch of the run is finished")
                .of_file(run)
                .fix("let one finish, or leave the run out")
                .into());
        }
        reports.push(report);
    }
    let metric = |report: &RunReport| report.files.recipe.task.metric();
    if let Some(other) = reports
        .iter()
        .find(|other| metric(other) != metric(&reports[0]))
    {
        let what = format!(
            "its metric is {}, and that of {} is {}",
            metric(other),
            warmstart_files::shown(&runs[0]),
            metric(&reports[0])
        );
        return Err(Problem::new(what)
            .of_file(&other.files.run)
            .fix("compare runs of one task")
            .into());
    }
    reports.sort_by(|one, other| value(other).total_cmp(&value(one)));
    let same_images = reports.iter().all(|other| are_same(&reports[0], other));
    let others = reports.len().saturating_sub(1) as f64;
    let lines = reports.iter().enumerate().map(|(place, report)| {
        let test = (place > 0 && same_images).then(|| p_value(report, &reports[0]));
        let p_value = test.flatten();
        Compared {
            p_value: p_value.map(|one_sided| (2.0 * others * one_sided).min(1.0)),
            ..line(report, &reports[0])
        }
    });
    Ok(Comparison {
        lines: lines.collect(),
        same_images,
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
        epochs: history.len(),
        seconds: history.iter().map(|record| record.seconds).sum(),
        peak_mb: peaks.fold(0.0, f64::max),
        differences: files.recipe.differences(&first.files.recipe),
    }
}

/// Whether two runs were measured on the same files with the same labels.
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

/// One-sided p-value of the gain from one run to a better one, on the same images.
fn p_value(one: &RunReport, better: &RunReport) -> Option<f64> {
    match (&one.judged, &better.judged) {
        (Some(Judged::Classes(one)), Some(Judged::Classes(better))) => {
            let right = |classes: &Classes| -> Vec<bool> {
                classes
                    .images
                    .iter()
                    .map(|image| image.is_right())
                    .collect()
            };
            Some(McNemar::of(&right(one), &right(better)).p_value())
        }
        (Some(Judged::Scenes(one)), Some(Judged::Scenes(better_scenes))) => {
            let seed = better.files.recipe.seed;
            let (before, after) = (&one.objects, &better_scenes.objects);
            Some(gain_p_value(&one.names, before, after, seed))
        }
        (Some(Judged::Classes(_) | Judged::Scenes(_)) | None, _) => None,
    }
}
