//! The defaults and limits of each task: a file a task.

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

    /// Name of the figure that picks the epoch.
    pub fn metric(self) -> &'static str {
        self.defaults().metric
    }
}
