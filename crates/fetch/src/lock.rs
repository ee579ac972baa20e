//! A lock between processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::error::FetchError;

/// Time between two looks at a lock that another process has. Waiting by looking, unlike the system's own waiting, can
/// be ended by a signal whose handler returns.
const INTERVAL: Duration = Duration::from_millis(100);

/// A lock, which ends with this value or with its process.
pub struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// Takes a lock on a file, which is created with its folder, and waits while another process has it.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self, FetchError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        warmstart_files::create_folder(folder)
            .map_err(|error| FetchError::create(folder, error))?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| FetchError::create(path, error))?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: Some(file) }),
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    std::thread::sleep(INTERVAL);
                }
                // A file system without locks: two processes may then download the same file twice, and the last one's
                // rename wins.
                Err(TryLockError::Error(_)) => return Ok(Self { _file: None }),
            }
        }
    }
}
