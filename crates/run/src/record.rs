//! The files in which a run reports: a line for each epoch, and a summary.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use warmstart_metrics::Interval;

use crate::verdict::Verdict;
use crate::health::Health;

/// A finished epoch: a line of `metrics.jsonl`.
///
/// Only `images_per_second`, `seconds` and `peak_memory_mb` may differ between two runs of one
/// recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted over all phases, from 1.
    pub epoch: usize,
    /// Name of the phase.
    pub phase: String,
    /// Mean loss over the training images, as trained (augmented, label smoothing).
    pub train_loss: f64,
    /// Mean loss over the validation images; NaN, `null` in JSON, if it is not finite.
    #[serde(deserialize_with = "number_or_null")]
    pub val_loss: f64,
    /// The metric on the validation images, a fraction of one; NaN as above.
    #[serde(deserialize_with = "number_or_null")]
    pub metric: f64,
    /// What the metric may be with 95% confidence, in classification: for so many images, a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Further figures on them: `map50` in detection.
    #[serde(flatten)]
    pub others: BTreeMap<String, f64>,
    /// The network's health at the epoch's last step, and at others if asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Health>,
    /// Steps that were skipped (`on_nonfinite = "skip"`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_steps: u64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Training images a second, the training steps alone.
    pub images_per_second: f64,
    /// Time of the whole epoch with evaluation, in seconds.
    pub seconds: f64,
    /// Highest resident memory of the process in this phase so far, in MB; 0 where the system does
    /// not tell.
    pub peak_memory_mb: f64,
}

#[cfg(test)]
impl EpochRecord {
    /// An epoch of the thaw with nothing but its metric.
    pub fn example(epoch: usize, metric: f64) -> Self {
        Self {
            epoch,
            phase: "thaw".into(),
            train_loss: 0.0,
            val_loss: 0.0,
            metric,
            interval: None,
            others: BTreeMap::new(),
            health: Vec::new(),
            skipped_steps: 0,
            lr: 0.0,
            images_per_second: 0.0,
            seconds: 0.0,
            peak_memory_mb: 0.0,
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// JSON has no NaN.
fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// An epoch and how good it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochFigure {
    /// Counted over all phases, from 1.
    pub epoch: usize,
    /// Name of its phase.
    pub phase: String,
    /// What was measured.
    pub metric: String,
    /// The metric, a fraction of one.
    pub value: f64,
    /// What it may be with 95% confidence, in classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

impl fmt::Display for EpochFigure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:.4}", self.value)?;
        if let Some(interval) = self.interval {
            write!(f, " ({interval})")?;
        }
        write!(f, " at epoch {}", self.epoch)
    }
}

impl EpochFigure {
    /// The earliest epoch with the highest metric; a metric that is not finite never wins.
    pub fn highest<'a>(
        history: impl IntoIterator<Item = &'a EpochRecord>,
        metric: &str,
    ) -> Option<Self> {
        let mut highest: Option<&EpochRecord> = None;
        for record in history {
            if highest
                .is_none_or(|highest| highest.metric.is_nan() || record.metric > highest.metric)
            {
                highest = Some(record);
            }
        }
        highest.map(|record| Self {
            epoch: record.epoch,
            phase: record.phase.clone(),
            metric: metric.to_owned(),
            value: record.metric,
            interval: record.interval,
        })
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Epochs are left.
    Running,
    /// Epochs are left, and it was stopped in a way that saved where it was.
    Interrupted,
    /// All epochs are done.
    Finished,
}

/// A phase so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// Its name.
    pub name: String,
    /// Time of its epochs in seconds.
    pub seconds: f64,
    /// Memory that was planned for it in MB; `null` for epochs that were added to the run later.
    pub planned_mb: Option<f64>,
    /// Highest resident memory in MB.
    pub peak_mb: f64,
}

/// The figure on images that had no part in training or choosing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// Mean loss over the test images.
    pub loss: f64,
    /// The metric on the test images, a fraction of one.
    pub metric: f64,
    /// What it may be with 95% confidence, in classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// `summary.json`, rewritten after every epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Where the run stands.
    pub state: RunState,
    /// Finished epochs.
    pub epochs: usize,
    /// The epoch in best.safetensors: at the end, what was chosen; before, the epoch that is the highest so far.
    pub kept: EpochFigure,
    /// The earliest epoch with the highest metric, that of a candidate's own weights beside their average included.
    /// Earlier versions called it `best`.
    #[serde(alias = "best")]
    pub highest: EpochFigure,
    /// Why that, at the end; `null` until then, and where there was nothing to choose.
    #[serde(default)]
    pub guard: Option<Verdict>,
    /// The kept model on the test split, at the end; `null` without such a split.
    pub test: Option<TestResult>,
    /// Whether the test split was measured before, at an end after which the run went on.
    #[serde(default)]
    pub tested_before: bool,
    /// The phases begun so far.
    pub phases: Vec<PhaseSummary>,
    /// What a reader of the figures should know.
    pub note: String,
}

impl Summary {
    /// The epoch with the highest metric and why it was not kept, in a line; `None` where it was.
    pub fn not_kept(&self) -> Option<String> {
        let guard = self.guard.as_ref()?;
        let why = guard.reason_against_thaw()?;
        (self.highest.value > self.kept.value)
            .then(|| format!("highest {} was not kept: {why}", self.highest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(kept: EpochFigure, highest: EpochFigure, guard: Option<Verdict>) -> Summary {
        Summary {
            state: RunState::Finished,
            epochs: 12,
            kept,
            highest,
            guard,
            test: None,
            tested_before: false,
            phases: Vec::new(),
            note: String::new(),
        }
    }

    fn figure(epoch: usize, value: f64) -> EpochFigure {
        let history = [EpochRecord::example(epoch, value)];
        EpochFigure::highest(&history, "top-1 accuracy").unwrap()
    }

    #[test]
    fn the_highest_figure_that_was_not_kept_is_called_that() {
        let (kept, highest) = (figure(2, 0.4), figure(12, 0.6));
        let verdict = Verdict {
            probe: Some(kept.clone()),
            thawed: Some(highest.clone()),
            weights: None,
            p_value: Some(0.073),
            level: 0.05,
        };
        let run = summary(kept, highest.clone(), Some(verdict));
        assert_eq!(
            run.not_kept().unwrap(),
            "highest 0.6000 at epoch 12 was not kept: p = 0.073, needs p < 0.05"
        );
        assert_eq!(summary(highest.clone(), highest, None).not_kept(), None);
    }

    #[test]
    fn a_summary_of_an_earlier_version_is_read() {
        let run = summary(figure(2, 0.4), figure(12, 0.6), None);
        let now = serde_json::to_string(&run).unwrap();
        let before = now.replace("\"highest\"", "\"best\"");
        assert_ne!(before, now);
        assert_eq!(serde_json::from_str::<Summary>(&before).unwrap(), run);
    }

    #[test]
    fn the_highest_is_the_earliest_of_equals() {
        let history = [
            EpochRecord::example(1, 0.5),
            EpochRecord::example(2, 0.7),
            EpochRecord::example(3, 0.7),
            EpochRecord::example(4, 0.6),
        ];
        assert_eq!(EpochFigure::highest(&history, "accuracy").unwrap().epoch, 2);
    }

    #[test]
    fn a_metric_that_is_not_finite_never_wins() {
        let history = [
            EpochRecord::example(1, f64::NAN),
            EpochRecord::example(2, 0.1),
            EpochRecord::example(3, f64::NAN),
        ];
        assert_eq!(EpochFigure::highest(&history, "accuracy").unwrap().epoch, 2);
        assert_eq!(EpochFigure::highest([], "accuracy"), None);
    }
}
