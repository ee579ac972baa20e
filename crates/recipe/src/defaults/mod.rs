//! The defaults and limits of each task: a file per task.

mod classify;
mod context;
mod detect;

pub use context::{AugmentationContext, TaskDefaults};

use crate::choices::TaskKind;

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

#[cfg(test)]
mod tests {
    use super::*;

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
