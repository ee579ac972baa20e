//! Signals: requests to stop a run, and limits that become errors of a write.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use warmstart_language::message;
use warmstart_ranks::Ranks;
use warmstart_recipe::{Error, command};
use warmstart_run::checkpoint::Checkpoints;
use warmstart_run::event::Event;
use warmstart_run::stop::Stop;

use crate::commands::Failure;
use crate::printing::print_to_stderr;

/// Base of the exit code of a process that a signal ended, by the shells' convention; the signal's number is added.
const BY_SIGNAL: i32 = 128;
/// Time that a run over several ranks has at least to stop by itself.
const TO_STOP: Duration = Duration::from_secs(5);
/// Time between two looks at whether it does.
const LOOK: Duration = Duration::from_millis(200);

/// The signals that stop a run: the first after its step, the second at once.
pub struct Signals {
    last: Arc<AtomicUsize>,
    /// The folder of the run, once there is one.
    run: Arc<Mutex<Option<PathBuf>>>,
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
        Ok(Self {
            last,
            run: Arc::default(),
        })
    }

    /// Takes an event, which may name the folder of the run.
    pub fn see(&self, event: &Event) {
        if let Event::Run { path } = event {
            let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
            *run = Some(path.to_path_buf());
        }
    }

    /// Ends the process of a rank that is to stop and waits for another one in vain: that one has ended. Checkpoints
    /// are whole whenever that happens.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn watch_others(&self, stop: &Stop, ranks: &Ranks) -> Result<(), Failure> {
        if ranks.is_alone() {
            return Ok(());
        }
        let (stop, last, run) = (stop.clone(), Arc::clone(&self.last), Arc::clone(&self.run));
        let is_first = ranks.is_first();
        let thread = thread::Builder::new().name("ranks".to_owned());
        let thread = thread.spawn(move || {
            wait_in_vain(&stop);
            if is_first {
                let run = run.lock().unwrap_or_else(PoisonError::into_inner);
                print_to_stderr(left_alone(run.as_deref()));
            }
            // MPI would wait for the other one, too.
            low_level::exit(code(&last))
        });
        let count = 1;
        thread
            .map(drop)
            .map_err(|error| Failure::failed(message!("could not start {count} threads: {error}")))
    }

    /// The result of a run; a stopped one has the exit code of the signal.
    pub fn ended<R>(&self, result: Result<R, Error>) -> Result<(), Failure> {
        match result {
            Ok(_) => Ok(()),
            Err(error @ Error::Interrupted { .. }) => {
                Err(Failure::stopped(error.to_string(), code(&self.last) as u8))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns once a run is to stop, has had time to, and waits for another rank that does not answer any more.
fn wait_in_vain(stop: &Stop) {
    let mut asked = None;
    loop {
        thread::sleep(LOOK);
        if !stop.is_requested() {
            continue;
        }
        let asked: &Instant = asked.get_or_insert_with(Instant::now);
        if asked.elapsed() >= TO_STOP && stop.waits_in_vain() {
            return;
        }
    }
}

/// The exit code of a stopped process. A rank that stops because another was asked to has had no signal itself.
fn code(last: &AtomicUsize) -> i32 {
    BY_SIGNAL
        + match last.load(Ordering::SeqCst) {
            0 => SIGTERM,
            signal => signal as i32,
        }
}

/// The last words of a run one of whose ranks has ended.
fn left_alone(run: Option<&Path>) -> String {
    let what = message!("another process of the run has ended");
    let Some(run) = run else { return what };
    let saved = match Checkpoints::of(run).newest_state() {
        Ok(Some(state)) => message!("the newest checkpoint is {}", state.at()),
        Ok(None) => message!("there is no checkpoint"),
        Err(error) => message!("the checkpoints cannot be read ({error})"),
    };
    message!("{what}; {saved}; continue with `{}`", command::resume(run))
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
