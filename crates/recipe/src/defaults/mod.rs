//! The defaults and limits of each task: a file per task.

mod classify;
mod context;
mod detect;
mod layer_norms;

pub use context::{AugmentationContext, THAW_WARMUP, TaskDefaults};

use crate::choices::TaskKind;
use crate::named_weights::is_detector;
use crate::options::{Draft, NO_WEIGHTS, Recipe};

impl TaskKind {
    /// The defaults and limits of the task.
    pub fn defaults(self) -> &'static TaskDefaults {
        match self {
            Self::Classify => &classify::DEFAULTS,
            Self::Detect => &detect::DEFAULTS,
        }
    }

    /// Name of the metric that picks the epoch.
    pub fn metric(self) -> &'static str {
        self.defaults().metric
    }
}

/// The defaults of a run: those of its task, or those of fine-tuning where a detector begins with weights, or those of a
/// classifier with layer norms.
fn of_run(task: TaskKind, model: Option<&str>, weights: Option<&str>) -> &'static TaskDefaults {
    let has_weights = weights.is_some_and(|weights| weights != NO_WEIGHTS);
    match task {
        TaskKind::Detect if has_weights && model.is_some_and(is_detector) => &detect::FINE_TUNED,
        TaskKind::Detect => task.defaults(),
        TaskKind::Classify => model
            .and_then(|model| layer_norms::of(model, has_weights))
            .unwrap_or_else(|| task.defaults()),
    }
}

impl Draft {
    /// The defaults of the run that it asks for.
    pub(crate) fn defaults(&self) -> &'static TaskDefaults {
        of_run(self.task(), self.model.as_deref(), self.weights.as_deref())
    }
}

impl Recipe {
    /// The defaults that its options have where the user leaves them open.
    pub fn defaults(&self) -> &'static TaskDefaults {
        of_run(self.task, Some(&self.model), Some(&self.weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_with_weights_learns_for_fewer_epochs_at_rates_in_proportion_to_any_batch() {
        let recipe = |model: &str, weights: &str, batch: usize| {
            let text =
                format!("data = 'd'\ntask = 'detect'\nmodel = '{model}'\nweights = '{weights}'");
            let mut draft: Draft = toml::from_str(&text).unwrap();
            for phase in [&mut draft.frozen, &mut draft.thawed] {
                phase.set("batch", batch.to_string().as_ref()).unwrap();
            }
            draft.resolve(640, None).unwrap()
        };
        let fine_tuned = recipe("rtmdet_tiny", "w.pth", 16);
        let of = |recipe: &Recipe| {
            let phases = recipe.phases.iter();
            phases
                .map(|phase| (phase.epochs, phase.lr))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&fine_tuned), [(2, 2e-3), (8, 6e-4)]);
        assert_eq!(fine_tuned.image_size, 320);
        let light = recipe("mobilenet_v2", "w.pth", 16);
        assert_eq!(of(&light), [(4, 1e-3), (16, 1e-3)]);
    }

    #[test]
    fn an_average_follows_fast_at_first_and_slowly_at_last() {
        let decay = |step| (TaskKind::Detect.defaults().average_decay)(0.9998, step);
        assert!((decay(1) - 0.9998 * (1.0 - (-1.0f64 / 2000.0).exp())).abs() < 1e-15);
        assert!((decay(2000) - 0.632).abs() < 1e-3);
        assert!((decay(100_000) - 0.9998).abs() < 1e-9);
        let decay = |step| (TaskKind::Classify.defaults().average_decay)(0.99, step);
        assert_eq!(decay(1), 2.0 / 11.0);
        assert_eq!(decay(90), 0.91);
        assert_eq!(decay(5000), 0.99);
    }
}
