//! Records of epochs: the lines of metrics.jsonl.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use warmstart_language::message;
use warmstart_metrics::{CONFIDENCE, Interval};

use crate::health::Health;

/// A finished epoch: a line of `metrics.jsonl`.
///
/// Only `images_per_second`, `waiting_for_images`, `seconds`, `peak_memory_mb` and `card_memory_mb` may differ between
/// two runs of one recipe.
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
    /// 95% confidence interval of the metric, in classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Further metrics on them: in detection `map50`, and the `confidence` at which F1 is highest.
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
    /// Training images per second, the training steps alone.
    pub images_per_second: f64,
    /// Time in which the training steps waited for images, in seconds; only of runs on a graphics card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for_images: Option<f64>,
    /// Time of the whole epoch with evaluation, in seconds.
    pub seconds: f64,
    /// Highest resident memory of the process in this phase so far, in MB; 0 where the system does
    /// not tell.
    pub peak_memory_mb: f64,
    /// Highest memory that the allocator held on the graphics card in this phase so far, in MB; left out on the
    /// processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_memory_mb: Option<f64>,
}

impl EpochRecord {
    /// The confidence at which F1 is highest on the validation images, in detection.
    pub fn confidence(&self) -> Option<f64> {
        self.others.get(CONFIDENCE).copied()
    }

    /// Whether its metric is higher, or its validation loss lower where the metrics are equal.
    pub fn is_better_than(&self, other: &Self) -> bool {
        let is_equal = self.metric == other.metric;
        self.metric > other.metric || (is_equal && self.val_loss < other.val_loss)
    }
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
            waiting_for_images: None,
            seconds: 0.0,
            peak_memory_mb: 0.0,
            card_memory_mb: None,
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

/// An epoch and its metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochFigure {
    /// Counted over all phases, from 1.
    pub epoch: usize,
    /// Name of its phase.
    pub phase: String,
    /// English name of the metric.
    pub metric: String,
    /// The metric, a fraction of one.
    pub value: f64,
    /// Its 95% confidence interval, in classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The confidence at which F1 is highest, in detection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// The kind of model that has it, where a run has several at one epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ModelKind>,
}

/// A model that a run may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// The pretrained backbone with a new head.
    Probe,
    /// The thawed network, with a head that was solved again on its features.
    Thaw,
    /// The mean of the probabilities of these two.
    Mean,
}

impl fmt::Display for EpochFigure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { epoch, value, .. } = self;
        f.write_str(&match self.interval {
            Some(interval) => message!("{value:.4} ({interval}) at epoch {epoch}"),
            None => message!("{value:.4} at epoch {epoch}"),
        })
    }
}

impl EpochFigure {
    /// The epoch with the highest metric, among equals the one with the lowest validation loss, and the earliest of
    /// those; a metric that is not finite never wins.
    pub fn highest<'a>(
        history: impl IntoIterator<Item = &'a EpochRecord>,
        metric: &str,
    ) -> Option<Self> {
        let mut highest: Option<&EpochRecord> = None;
        for record in history {
            if highest
                .is_none_or(|highest| highest.metric.is_nan() || record.is_better_than(highest))
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
            confidence: record.confidence(),
            kind: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_is_the_earliest_of_equals() {
        let history = [
            EpochRecord::example(1, 0.5),
            EpochRecord::example(2, 0.7),
            EpochRecord::example(3, 0.7),
            EpochRecord::example(4, 0.6),
        ];
        assert_eq!(EpochFigure::highest(&history, "accuracy").unwrap().epoch, 2);
        let mut history = history;
        history[2].val_loss = -0.1;
        assert_eq!(EpochFigure::highest(&history, "accuracy").unwrap().epoch, 3);
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
