//! A request to stop a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A request to stop a run from outside, such as from a signal's handler. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    at_once: Arc<AtomicBool>,
    waits_until: Arc<Mutex<Option<Instant>>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            requested: Arc::default(),
            at_once: Arc::new(AtomicBool::new(true)),
            waits_until: Arc::default(),
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

    /// Notes that the run waits for its other processes, which have answered by then if they are there; `None` once they
    /// have.
    pub fn waits_until(&self, until: Option<Instant>) {
        let waits = self.waits_until.lock();
        *waits.unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether the run is to stop and cannot, because another of its processes does not answer any more.
    pub fn waits_in_vain(&self) -> bool {
        let until = *self
            .waits_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.is_requested() && until.is_some_and(|until| until < Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_run_waits_in_vain_once_it_is_to_stop_and_nobody_has_answered_in_time() {
        let stop = Stop::default();
        let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        stop.waits_until(Some(past));
        assert!(!stop.waits_in_vain());
        stop.requested().store(true, Ordering::SeqCst);
        assert!(stop.waits_in_vain());
        stop.waits_until(Some(Instant::now() + Duration::from_secs(60)));
        assert!(!stop.waits_in_vain());
        stop.waits_until(None);
        assert!(!stop.waits_in_vain());
    }
}
