//! Checkpoints: one folder each, complete or absent.
//!
//! A checkpoint is written under a temporary name, every file is flushed to the disk, and one
//! rename makes it a checkpoint. `state.json` names every file with its checksum and carries its
//! own, so that damage is seen.

mod at;
mod state;

use std::path::{Path, PathBuf};
use std::{fs, io};

use warmstart_language::message;
use warmstart_recipe::run_files::CHECKPOINTS;
use warmstart_recipe::{Error, Key, Problem};

use crate::atomic_file::{file_checksum, flush, flush_folder, write_flushed};

pub use at::At;
use state::Refusal;
pub use state::State;

const STATE: &str = "state.json";
/// Most bytes of a state: a record for each of a hundred thousand epochs.
const LARGEST_STATE: u64 = 256 << 20;
/// Name of a checkpoint while it is written.
const WRITING: &str = ".writing";
/// Prefix of the name of a checkpoint that is being replaced.
const REPLACED: &str = ".replaced-";
/// Prefix of the name of a checkpoint that is being removed.
const REMOVED: &str = ".removed-";

/// The checkpoints of a run.
pub struct Checkpoints {
    folder: PathBuf,
}

/// Writes a file of a checkpoint at a path.
pub type Write<'a> = &'a dyn Fn(&Path) -> Result<(), Error>;
/// A file of a checkpoint: its name, and the function that writes it.
pub type Content<'a> = (&'static str, Write<'a>);

/// A checkpoint whose every file was verified.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// Its progress.
    pub state: State,
}

impl Checkpoints {
    /// The checkpoints below a run's folder.
    pub fn of(run: &Path) -> Self {
        Self {
            folder: run.join(CHECKPOINTS),
        }
    }

    /// Folder of a checkpoint.
    pub fn path(&self, at: At) -> PathBuf {
        self.folder.join(at.to_string())
    }

    /// Commits a checkpoint: all of its files, each written by a function, or nothing.
    ///
    /// # Errors
    /// If the disk refuses; what was there before is still there.
    pub fn write(&self, state: State, files: &[Content]) -> Result<PathBuf, Error> {
        self.create()?;
        let temporary = self.folder.join(WRITING);
        // A killed process may have left one there.
        remove_if_there(&temporary)?;
        fs::create_dir(&temporary).map_err(|e| Error::io("create", &temporary, e))?;
        let at = state.at();
        let written = fill(&temporary, state, files).and_then(|()| self.put(&temporary, at));
        if written.is_err() {
            // Its files would take space that a full disk lacks.
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        fault::point();
        flush_folder(&self.folder)?;
        Ok(self.path(at))
    }

    /// Creates the folder, if the run's exists.
    fn create(&self) -> Result<(), Error> {
        match fs::create_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(Error::io("create", &self.folder, error))
            }
            Err(_) => Ok(()),
            Ok(()) => flush_folder(self.folder.parent().unwrap_or(&self.folder)),
        }
    }

    /// Gives a complete folder its name. A checkpoint of that name stays until then, or can be restored by
    /// [`recover`](Self::recover).
    fn put(&self, complete: &Path, at: At) -> Result<(), Error> {
        let target = self.path(at);
        let replaced = self.folder.join(format!("{REPLACED}{at}"));
        fault::point();
        let is_replaced = match fs::rename(&target, &replaced) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(Error::io("replace", &target, error)),
        };
        fault::point();
        if let Err(error) = fs::rename(complete, &target) {
            if is_replaced {
                let _ = fs::rename(&replaced, &target);
            }
            return Err(Error::io("write", &target, error));
        }
        fault::point();
        remove_if_there(&replaced)
    }

    /// Restores a checkpoint that a process was replacing when it ended, and removes those that it was removing or
    /// writing. To be called by the process that holds the run's lock.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn recover(&self) -> Result<(), Error> {
        for name in self.names()? {
            let path = self.folder.join(&name);
            if name.starts_with(REMOVED) || name == WRITING {
                remove_if_there(&path)?;
            } else if let Some(at) = name.strip_prefix(REPLACED).and_then(At::of) {
                let target = self.path(at);
                if target.exists() {
                    remove_if_there(&path)?;
                } else {
                    fs::rename(&path, &target)
                        .map_err(|error| Error::io("restore", &target, error))?;
                }
            }
        }
        Ok(())
    }

    /// Names of everything in the folder; none if it is missing.
    fn names(&self) -> Result<Vec<String>, Error> {
        match fs::read_dir(&self.folder) {
            Ok(entries) => {
                let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                Ok(names.collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("list", &self.folder, error)),
        }
    }

    /// All checkpoints, sound or not: first those between epochs, rising, then those within an epoch, rising.
    ///
    /// # Errors
    /// If the folder cannot be listed; a missing one has none.
    pub fn list(&self) -> Result<Vec<At>, Error> {
        let names = self.names()?;
        let mut found: Vec<At> = names.iter().filter_map(|name| At::of(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Epochs that have a checkpoint, rising.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn epochs(&self) -> Result<Vec<usize>, Error> {
        let epoch = |at| match at {
            At::Epoch(epoch) => Some(epoch),
            At::Step(_) => None,
        };
        Ok(self.list()?.into_iter().filter_map(epoch).collect())
    }

    /// Opens a checkpoint and verifies every file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a file is missing or damaged, [`Error::OtherVersion`] if another version
    /// of warmstart wrote it; another one if the disk refuses. Names the file.
    pub fn open(&self, at: At) -> Result<Checkpoint, Error> {
        verified(self.path(at))
    }

    /// The newest sound checkpoint, or `None` if there is none; `skipped` gets a line for each newer one, which is not.
    ///
    /// # Errors
    /// If there are checkpoints and none is sound.
    pub fn newest(&self, skipped: &mut dyn FnMut(String)) -> Result<Option<Checkpoint>, Error> {
        let within = |at: &At| matches!(at, At::Step(_));
        let mut others_only = true;
        let mut sound = |at: &At| match self.open(*at) {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                others_only &= matches!(error, Error::OtherVersion(_));
                skipped(error.to_string());
                None
            }
        };
        let found = self.list()?;
        let step = found
            .iter()
            .rev()
            .filter(|at| within(at))
            .find_map(&mut sound);
        let epoch = found
            .iter()
            .rev()
            .filter(|at| !within(at))
            .find_map(&mut sound);
        let newer = |checkpoint: &Checkpoint| checkpoint.state.progress();
        let newest = step.into_iter().chain(epoch).max_by_key(newer);
        if newest.is_none() && !found.is_empty() {
            let fix = if others_only {
                message!("continue with the version that wrote them")
            } else {
                message!("start again with warmstart train and another {}", Key::OUT)
            };
            let what = message!("none of its {} checkpoints is sound", found.len());
            let problem = Problem::new(what).of_file(&self.folder).fix(fix);
            return Err(Error::Checkpoint(Box::new(problem)));
        }
        Ok(newest)
    }

    /// The newest sound checkpoint between two epochs.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn newest_epoch(
        &self,
        skipped: &mut dyn FnMut(String),
    ) -> Result<Option<Checkpoint>, Error> {
        let mut sound = |epoch: usize| {
            let opened = self.open(At::Epoch(epoch));
            opened.map_err(|error| skipped(error.to_string())).ok()
        };
        Ok(self.epochs()?.into_iter().rev().find_map(&mut sound))
    }

    /// The newest state whose own checksum is right; other files are not verified; `None` if there is none.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn newest_state(&self) -> Result<Option<State>, Error> {
        let sound = |at| read_state(&self.path(at)).ok();
        let states = self.list()?.into_iter().filter_map(sound);
        Ok(states.max_by_key(State::progress))
    }

    /// Removes a checkpoint, whole or not at all. One of another version is only set aside, under a
    /// name of its own; one that the disk refuses to read stays.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(&self, at: At) -> Result<(), Error> {
        let path = self.path(at);
        let name = match read_state(&path) {
            Err(Error::OtherVersion(_)) => format!("{at}.of-another-version"),
            Err(Error::Io { .. }) => return Ok(()),
            // Sound or damaged: `read_state` has no other error.
            Ok(_) | Err(Error::Checkpoint(_)) => format!("{REMOVED}{at}"),
            Err(error) => return Err(error),
        };
        let aside = self.folder.join(&name);
        remove_if_there(&aside)?;
        match fs::rename(&path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(|error| Error::io("remove", &path, error))?,
        }
        if name.starts_with(REMOVED) {
            remove_if_there(&aside)?;
        }
        Ok(())
    }
}

/// Writes the files of a checkpoint into a folder, the state last, and flushes them.
fn fill(folder: &Path, mut state: State, files: &[Content]) -> Result<(), Error> {
    for (name, write) in files {
        fault::point();
        let path = folder.join(name);
        write(&path)?;
        fault::point();
        let sum = flush(&path)
            .and_then(|()| file_checksum(&path))
            .map_err(|error| Error::io("write", &path, error))?;
        state.files.insert((*name).to_owned(), sum);
    }
    write_flushed(&folder.join(STATE), state.to_json().as_bytes())?;
    flush_folder(folder)
}

/// Whether a folder is meant to be a checkpoint.
pub fn is_checkpoint(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.and_then(At::of).is_some() && folder.join(STATE).exists()
}

fn damaged(folder: &Path, name: &str, problem: String) -> Error {
    Error::Checkpoint(Box::new(Problem::new(problem).of_file(&folder.join(name))))
}

fn unread(folder: &Path, name: &str, error: io::Error) -> Error {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory => damaged(folder, name, message!("it is missing")),
        IsADirectory => damaged(folder, name, message!("it is a folder")),
        _ => Error::io("read", &folder.join(name), error),
    }
}

/// The state in a checkpoint's folder, its checksum verified.
///
/// # Errors
/// As [`Checkpoints::open`].
pub fn read_state(folder: &Path) -> Result<State, Error> {
    let text = warmstart_files::read(&folder.join(STATE), LARGEST_STATE)
        .map_err(|error| unread(folder, STATE, error))?;
    State::from_json(&text).map_err(|refusal| match refusal {
        Refusal::Damaged(problem) => damaged(folder, STATE, problem),
        Refusal::OtherVersion(problem) => {
            let problem = Problem::new(problem).of_file(&folder.join(STATE));
            Error::OtherVersion(Box::new(problem))
        }
    })
}

/// Verifies a file of a checkpoint.
///
/// # Errors
/// As [`Checkpoints::open`].
pub fn verify(folder: &Path, state: &State, name: &str) -> Result<(), Error> {
    let found = file_checksum(&folder.join(name)).map_err(|error| unread(folder, name, error))?;
    match state.files.get(name) {
        Some(expected) if *expected == found => Ok(()),
        _ => Err(damaged(
            folder,
            name,
            message!("its checksum does not match its content"),
        )),
    }
}

fn verified(folder: PathBuf) -> Result<Checkpoint, Error> {
    let state = read_state(&folder)?;
    for name in state.files.keys() {
        verify(&folder, &state, name)?;
    }
    Ok(Checkpoint { folder, state })
}

/// Removes a folder, or a file in its place.
fn remove_if_there(path: &Path) -> Result<(), Error> {
    let removed = if path.is_file() {
        fs::remove_file(path)
    } else {
        fs::remove_dir_all(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Points at which tests end the program.
mod fault {
    #[cfg(test)]
    thread_local! {
        /// Points until the end.
        pub(super) static LEFT: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
    }

    /// Panics at the point that a test has set; nothing after it is done, cleaning up included.
    #[inline]
    pub(super) fn point() {
        #[cfg(test)]
        LEFT.with(|left| {
            assert!(left.get() > 0, "the end that a test has set");
            left.set(left.get() - 1);
        });
    }
}

#[cfg(test)]
mod tests;
