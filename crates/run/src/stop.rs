//! A request to stop a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request to stop a run from outside, such as from a signal's handler. Clones share it.
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
    /// Flag that makes the run stop after the current step and save its progress.
    pub fn requested(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.requested)
    }

    /// Flag that tells whether the process may end at once, because there is nothing to save. To be set with the first
    /// request, so that a second one ends the process.
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
