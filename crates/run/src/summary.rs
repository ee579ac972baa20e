//! The summary of a run: summary.json.

use serde::{Deserialize, Serialize};
use warmstart_language::message;
use warmstart_metrics::Interval;

use crate::record::EpochFigure;
use crate::verdict::Verdict;

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Epochs are left.
    Running,
    /// Epochs are left, and the run was stopped with its progress saved.
    Interrupted,
    /// All epochs are done.
    Finished,
}

/// Time and memory of a phase so far.
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
    /// Highest memory that its allocator held on the graphics card, in MB; left out on the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_peak_mb: Option<f64>,
}

/// The metrics on images that had no part in training or in choosing the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// Mean loss over the test images.
    pub loss: f64,
    /// The metric on the test images, a fraction of one.
    pub metric: f64,
    /// Its 95% confidence interval, in classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// `summary.json`, rewritten after every epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The state of the run.
    pub state: RunState,
    /// Finished epochs.
    pub epochs: usize,
    /// The epoch in best.safetensors: at the end, the chosen one; before, the highest so far.
    pub kept: EpochFigure,
    /// The earliest epoch with the highest metric; of a candidate, its own weights count beside their moving average.
    /// Earlier versions called it `best`.
    #[serde(alias = "best")]
    pub highest: EpochFigure,
    /// The comparison that chose it, at the end; `null` until then, and where there was nothing to choose.
    #[serde(default)]
    pub guard: Option<Verdict>,
    /// The kept model on the test split, at the end; `null` without such a split.
    pub test: Option<TestResult>,
    /// Whether the test split was measured before, at an end after which the run was continued.
    #[serde(default)]
    pub tested_before: bool,
    /// The phases begun so far.
    pub phases: Vec<PhaseSummary>,
    /// A note for readers of the metrics.
    pub note: String,
}

impl Summary {
    /// The epoch with the highest metric and why it was not kept, in a line; `None` where it was.
    pub fn not_kept(&self) -> Option<String> {
        let guard = self.guard.as_ref()?;
        let why = guard.reason_against_thaw()?;
        // At the same epoch, another head is kept.
        (self.highest.value > self.kept.value && self.highest.epoch != self.kept.epoch)
            .then(|| message!("highest {} was not kept: {why}", self.highest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EpochRecord;

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
            frozen: Some(kept.clone()),
            thawed: Some(highest.clone()),
            weights: None,
            p_value: Some(0.073),
            level: 0.05,
            mean: None,
            kind: None,
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
}
