//! Ctrl-C and the wish of the system that the process ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use warmstart_train::{Error, Stop};

use crate::commands::Failure;

/// What a process adds to the number of the signal that ended it, by the shells' custom.
const BY_SIGNAL: i32 = 128;

/// The signals that stop a run: the first after its step, the second at once.
pub struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches them from here on.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch(stop: &Stop) -> Result<Self, Failure> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            // They are called in this order.
            let caught =
                flag::register_conditional_shutdown(signal, BY_SIGNAL + signal, stop.at_once())
                    .and_then(|_| flag::register(signal, stop.at_once()))
                    .and_then(|_| flag::register_usize(signal, Arc::clone(&last), signal as usize))
                    .and_then(|_| flag::register(signal, stop.wished()));
            caught.map_err(|error| Failure::failed(format!("could not catch signals: {error}")))?;
        }
        Ok(Self { last })
    }

    /// How a run ended: one that was stopped says so, with the exit code that stands for the signal.
    pub fn ended<R>(&self, result: Result<R, Error>) -> Result<(), Failure> {
        match result {
            Ok(_) => Ok(()),
            Err(error @ Error::Interrupted { .. }) => {
                let code = BY_SIGNAL + self.last.load(Ordering::SeqCst) as i32;
                Err(Failure::stopped(error.to_string(), code as u8))
            }
            Err(error) => Err(error.into()),
        }
    }
}
