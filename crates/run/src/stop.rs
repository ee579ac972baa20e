//! A request to stop a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lets a run be stopped from outside, by a signal's handler say. Clones are the same.
#[derive(Clone, Debug)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    at_once: Arc<AtomicBool>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            requested: Arc::default(),
            at_once: Arc::new(AtomicBool::new(true)),
        }
    }
}

impl Stop {
    /// To be set when the run is to stop after the step in hand, having saved it.
    pub fn requested(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.requested)
    }

    /// Whether the process may end at once: there is nothing to save. To be set with the first
    /// request, so that a second one does not wait.
    pub fn at_once(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.at_once)
    }

    /// Whether the run is to stop.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Sets whether there is something to save from here on.
    pub fn saves(&self, saves: bool) {
        self.at_once.store(!saves, Ordering::SeqCst);
    }
}
