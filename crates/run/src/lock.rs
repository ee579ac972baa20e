//! The lock of a run, so that only one process trains it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use warmstart_files::shown;

use warmstart_language::message;
use warmstart_recipe::Error;

/// Name of the lock file.
pub const LOCK: &str = "run.lock";
/// Further attempts, ten milliseconds apart.
const TRIES: usize = 5;
/// Most bytes of a process ID.
const LONGEST_NUMBER: u64 = 20;

/// The lock on a run's folder. The system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The owner of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// No process.
    Nobody,
    /// A process, with its ID if that can be read.
    Process(Option<u32>),
}

impl Lock {
    /// Locks a run's folder.
    ///
    /// # Errors
    /// If another process has it, or the disk refuses.
    pub fn take(run: &Path) -> Result<Self, Error> {
        let path = run.join(LOCK);
        // Opening a pipe would wait for a process at its other end.
        let regular = warmstart_files::open(&path).map(drop);
        if let Err(error) = regular
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(Error::io("open", &path, error));
        }
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = open.map_err(|error| Error::io("open", &path, error))?;
        let mut tries = TRIES;
        let refused = loop {
            match file.try_lock() {
                // A process that only looks up the owner has the lock for a moment.
                Err(TryLockError::WouldBlock) if tries > 0 => {
                    tries -= 1;
                    thread::sleep(Duration::from_millis(10));
                }
                result => break result.err(),
            }
        };
        match refused {
            None => {}
            // Some network file systems have no locks: better to train without.
            Some(TryLockError::Error(_)) => {}
            Some(TryLockError::WouldBlock) => {
                let what = match number(&mut file) {
                    Some(number) => {
                        message!("{} is being trained by process {number}", shown(run))
                    }
                    None => message!("{} is being trained by another process", shown(run)),
                };
                return Err(Error::refused(what).fix(message!("wait for it, or stop it first")));
            }
        }
        let number = std::process::id().to_string();
        // Only for people to read: a full disk is no reason to refuse the lock.
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all(number.as_bytes()));
        Ok(Self { _file: file })
    }
}

/// The present owner of a run.
pub fn owner(run: &Path) -> Owner {
    let Ok(mut file) = warmstart_files::open(&run.join(LOCK)) else {
        return Owner::Nobody;
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Owner::Process(number(&mut file)),
        _ => Owner::Nobody,
    }
}

fn number(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(LONGEST_NUMBER).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_locked_by_one_process_until_that_releases_it() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(owner(run.path()), Owner::Nobody);
        let lock = Lock::take(run.path()).unwrap();
        assert_eq!(owner(run.path()), Owner::Process(Some(std::process::id())));
        let error = Lock::take(run.path()).unwrap_err();
        assert!(error.to_string().contains("is being trained by process"));
        drop(lock);
        assert_eq!(owner(run.path()), Owner::Nobody);
        Lock::take(run.path()).unwrap();
    }
}
