//! Signals: requests to stop a run, and limits that become errors of a write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use warmstart_language::message;
use warmstart_recipe::Error;
use warmstart_run::stop::Stop;

use crate::commands::Failure;

/// Base of the exit code of a process that a signal ended, by the shells' convention; the signal's number is added.
const BY_SIGNAL: i32 = 128;

/// The signals that stop a run: the first after its step, the second at once.
pub struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches the signals from now on: Ctrl-C, SIGTERM, and, unless it is ignored, the loss of the terminal.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch(stop: &Stop) -> Result<Self, Failure> {
        let last = Arc::new(AtomicUsize::new(0));
        let mut signals = vec![SIGINT, SIGTERM];
        signals.extend(hang_up());
        for signal in signals {
            // The handlers are called in this order.
            let caught =
                flag::register_conditional_shutdown(signal, BY_SIGNAL + signal, stop.at_once())
                    .and_then(|_| flag::register(signal, stop.at_once()))
                    .and_then(|_| flag::register_usize(signal, Arc::clone(&last), signal as usize))
                    .and_then(|_| flag::register(signal, stop.requested()));
            caught.map_err(uncaught)?;
        }
        Ok(Self { last })
    }

    /// The result of a run; a stopped one has the exit code of the signal.
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

fn uncaught(error: std::io::Error) -> Failure {
    Failure::failed(message!("could not catch signals: {error}"))
}

/// Makes a write beyond the limit on a file's size (`ulimit -f`) fail, instead of ending the process.
///
/// # Errors
/// If the system refuses.
pub fn survive_size_limit() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        // A handler is enough: the write reports the error.
        flag::register(signal_hook::consts::SIGXFSZ, Arc::default()).map_err(uncaught)?;
    }
    Ok(())
}

/// The signal that the terminal was closed, unless the process ignores it, as under `nohup`; `None` where the system
/// does not tell.
fn hang_up() -> Option<i32> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let hang_up = signal_hook::consts::SIGHUP;
        (!is_ignored(&status, hang_up)?).then_some(hang_up)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Whether a process with that /proc/PID/status ignores a signal.
#[cfg(target_os = "linux")]
fn is_ignored(status: &str, signal: i32) -> Option<bool> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    // Signals are counted from 1.
    Some((mask >> (signal - 1)) & 1 == 1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        let ignored = |signal| is_ignored(status, signal);
        assert_eq!(
            [1, 2, 13].map(ignored),
            [Some(true), Some(false), Some(true)]
        );
        assert_eq!(is_ignored("", 1), None);
    }
}
