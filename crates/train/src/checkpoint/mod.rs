//! Checkpoints: a folder each, complete or not there.
//!
//! A checkpoint is written under a temporary name, every file is flushed to the disk, and one
//! rename makes it a checkpoint. `state.json` names every file with its checksum and carries its
//! own, so that damage is seen.

mod at;
mod file;
mod state;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use at::At;
pub use file::{checksum, replace_by_copy, replace_file};
use file::{file_checksum, flush, flush_folder, write_flushed};
use state::Refusal;
pub use state::State;

use crate::Error;

/// The model's parameters.
pub const MODEL: &str = "model.safetensors";
/// The parameters as they are trained, where the model is their moving average.
pub const TRAINING: &str = "training.safetensors";
/// The optimizer's moments.
pub const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
/// Folder of a run's checkpoints.
pub const FOLDER: &str = "checkpoints";
/// A checkpoint that is not one yet.
const WRITING: &str = ".writing";
/// In front of the name of one that makes place for another.
const REPLACED: &str = ".replaced-";
/// In front of the name of one that is none any more.
const REMOVED: &str = ".removed-";

/// The checkpoints of a run.
pub struct Checkpoints {
    folder: PathBuf,
}

/// Writes a file of a checkpoint at a path.
pub type Write<'a> = &'a dyn Fn(&Path) -> Result<(), Error>;
/// A file of a checkpoint: its name, and what writes it.
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
            folder: run.join(FOLDER),
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
        // A killed process may have left one.
        remove_if_there(&temporary)?;
        fs::create_dir(&temporary).map_err(|e| Error::io("create", &temporary, e))?;
        let at = state.at();
        let written = fill(&temporary, state, files).and_then(|()| self.put(&temporary, at));
        if written.is_err() {
            // What there is of it would take the room that a full disk lacks.
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        fault::point();
        flush_folder(&self.folder)?;
        Ok(self.path(at))
    }

    /// Makes the folder, if the run is there.
    fn create(&self) -> Result<(), Error> {
        match fs::create_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(Error::io("create", &self.folder, error))
            }
            Err(_) => Ok(()),
            Ok(()) => flush_folder(self.folder.parent().unwrap_or(&self.folder)),
        }
    }

    /// Gives a complete folder its name. What has that name is there until then, or can be found again by
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

    /// Brings back what a process was about to replace when it ended, and removes what it was about to
    /// remove. To be called by a run's only process.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn recover(&self) -> Result<(), Error> {
        for name in self.names()? {
            let path = self.folder.join(&name);
            if name.starts_with(REMOVED) {
                remove_if_there(&path)?;
            } else if let Some(at) = name.strip_prefix(REPLACED).and_then(At::of) {
                let target = self.path(at);
                match target.exists() {
                    true => remove_if_there(&path)?,
                    false => fs::rename(&path, &target)
                        .map_err(|error| Error::io("bring back", &target, error))?,
                }
            }
        }
        Ok(())
    }

    /// Names of everything in the folder; a missing one has nothing.
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

    /// All that are there, sound or not: first those between epochs, rising, then those within one,
    /// rising.
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

    /// The newest sound checkpoint, or `None` if there is none; `skipped` gets a line for each
    /// other one on the way.
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
            let mend = match others_only {
                true => "go on with the version that wrote them",
                false => "start again with warmstart train and another --out",
            };
            return Err(Error::Checkpoint(format!(
                "{}: none of its {} checkpoints is sound; {mend}",
                self.folder.display(),
                found.len()
            )));
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

    /// The newest state, its checksum verified but no other file; `None` if there is none.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn newest_state(&self) -> Result<Option<State>, Error> {
        let states = self.list()?.into_iter();
        let states = states.filter_map(|at| read_state(&self.path(at)).ok());
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
            _ => format!("{REMOVED}{at}"),
        };
        let aside = self.folder.join(&name);
        remove_if_there(&aside)?;
        match fs::rename(&path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(|error| Error::io("remove", &path, error))?,
        }
        match name.starts_with(REMOVED) {
            true => remove_if_there(&aside),
            false => Ok(()),
        }
    }
}

/// Writes the files of a checkpoint into a folder, the state last, and flushes them.
fn fill(folder: &Path, mut state: State, files: &[Content]) -> Result<(), Error> {
    for (name, write) in files {
        fault::point();
        let path = folder.join(name);
        write(&path)?;
        fault::point();
        let sum = flush(&path).and_then(|()| file_checksum(&path));
        let sum = sum.map_err(|error| Error::io("write", &path, error))?;
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

fn damaged(folder: &Path, name: &str, problem: &str) -> Error {
    Error::Checkpoint(format!("{}: {problem}", folder.join(name).display()))
}

fn unread(folder: &Path, name: &str, error: io::Error) -> Error {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory => damaged(folder, name, "it is missing"),
        IsADirectory => damaged(folder, name, "it is a folder"),
        _ => Error::io("read", &folder.join(name), error),
    }
}

/// The state in a checkpoint's folder, its checksum verified.
///
/// # Errors
/// As [`Checkpoints::open`].
pub fn read_state(folder: &Path) -> Result<State, Error> {
    let text = fs::read(folder.join(STATE)).map_err(|error| unread(folder, STATE, error))?;
    State::from_json(&text).map_err(|refusal| match refusal {
        Refusal::Damaged(problem) => damaged(folder, STATE, &problem),
        Refusal::OtherVersion(problem) => {
            Error::OtherVersion(format!("{}: {problem}", folder.join(STATE).display()))
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
            "its checksum does not match its content",
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

/// Removes a folder, or a file that is in the place of one.
fn remove_if_there(path: &Path) -> Result<(), Error> {
    let removed = match path.is_file() {
        true => fs::remove_file(path),
        false => fs::remove_dir_all(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Moments at which tests end the program.
mod fault {
    #[cfg(test)]
    thread_local! {
        /// Points until the end.
        pub(super) static LEFT: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
    }

    /// Panics where a test wants it: nothing that would come after, no tidying up, is done then.
    #[inline]
    pub(super) fn point() {
        #[cfg(test)]
        LEFT.with(|left| {
            assert!(left.get() > 0, "the end that a test wants");
            left.set(left.get() - 1);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::job::EpochSums;
    use crate::recipe::Draft;
    use crate::record::EpochRecord;

    fn state(epochs: usize) -> State {
        let record = |epoch| EpochRecord {
            epoch,
            phase: "freeze".into(),
            train_loss: 0.1 + 0.2,
            val_loss: 1.0 / 3.0,
            metric: 0.5,
            others: Default::default(),
            skipped_steps: 0,
            lr: 3e-3,
            images_per_second: 1.0,
            seconds: 1.0,
            peak_memory_mb: 1.0,
        };
        let draft: Draft = toml::from_str("data = 'd'\nmodel = 'm'\nweights = 'w'").unwrap();
        State {
            format: State::FORMAT,
            warmstart: "0".into(),
            simd: "avx2".into(),
            recipe: draft.resolve(224).unwrap(),
            phase: "freeze".into(),
            data: "d".into(),
            frozen_features: vec!["k".into()],
            epoch: epochs,
            epoch_in_hand: None,
            step: 7 * epochs as u64,
            optimizer_steps: 7,
            skipped_in_a_row: 0,
            history: (1..=epochs).map(record).collect(),
            files: Default::default(),
        }
    }

    fn within(epochs: usize, steps: u64) -> State {
        let mut state = state(epochs);
        state.step += steps;
        state.epoch_in_hand = Some(EpochSums {
            seen: 8 * steps as usize,
            ..Default::default()
        });
        state
    }

    fn write(checkpoints: &Checkpoints, state: State) -> PathBuf {
        let content = [state.step as u8; 100];
        let write = |path: &Path| write_flushed(path, &content);
        let files: [(_, Write); 2] = [(MODEL, &write), (OPTIMIZER, &write)];
        checkpoints.write(state, &files).unwrap()
    }

    fn newest(checkpoints: &Checkpoints) -> State {
        checkpoints.newest(&mut |_| {}).unwrap().unwrap().state
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        for expected in [state(2), within(2, 3)] {
            write(&checkpoints, expected.clone());
            let back = checkpoints.open(expected.at()).unwrap().state;
            assert_eq!(back.files.len(), 2);
            let files = back.files.clone();
            assert_eq!(back, State { files, ..expected });
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_every_file_is_seen() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        let folder = write(&checkpoints, state(1));
        let refused = |what: &str| {
            let error = checkpoints.open(At::Epoch(1)).unwrap_err();
            assert!(matches!(error, Error::Checkpoint(_)), "{what}: {error}");
        };
        for name in [MODEL, OPTIMIZER, STATE] {
            let path = folder.join(name);
            let good = fs::read(&path).unwrap();
            for index in 0..good.len() {
                let mut bad = good.clone();
                bad[index] ^= 1 << (index % 8);
                fs::write(&path, &bad).unwrap();
                refused(&format!("{name}, byte {index}"));
            }
            for len in [0, 1, good.len() / 2, good.len() - 1] {
                fs::write(&path, &good[..len]).unwrap();
                refused(&format!("{name}, {len} bytes"));
            }
            fs::remove_file(&path).unwrap();
            refused(&format!("{name}, removed"));
            fs::write(&path, &good).unwrap();
        }
        checkpoints.open(At::Epoch(1)).unwrap();
    }

    #[test]
    fn the_newest_is_the_one_that_is_furthest() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        write(&checkpoints, state(1));
        write(&checkpoints, within(1, 3));
        assert_eq!(newest(&checkpoints).at(), At::Step(10));
        // Killed before it removed the one within the epoch.
        write(&checkpoints, state(2));
        assert_eq!(newest(&checkpoints).at(), At::Epoch(2));
        assert_eq!(checkpoints.newest_state().unwrap().unwrap().epoch, 2);
    }

    #[test]
    fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_used() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        write(&checkpoints, state(1));
        let damaged = [
            (write(&checkpoints, state(2)), MODEL),
            (write(&checkpoints, within(2, 1)), STATE),
        ];
        for (folder, name) in &damaged {
            fs::write(folder.join(name), [2; 99]).unwrap();
        }
        let mut skipped = Vec::new();
        let newest = checkpoints.newest(&mut |line| skipped.push(line));
        assert_eq!(newest.unwrap().unwrap().state.epoch, 1);
        assert!(
            skipped[0].contains("step-00000015/state.json"),
            "{skipped:?}"
        );
        assert!(
            skipped[1].contains("epoch-0002/model.safetensors"),
            "{skipped:?}"
        );
        fs::remove_file(checkpoints.path(At::Epoch(1)).join(STATE)).unwrap();
        let error = checkpoints.newest(&mut |_| {}).unwrap_err().to_string();
        assert!(
            error.contains("none of its 3 checkpoints is sound"),
            "{error}"
        );
    }

    #[test]
    fn one_of_another_version_is_named_as_such() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        write(&checkpoints, state(1));
        for (format, words) in [
            (State::FORMAT + 1, "a newer"),
            (State::FORMAT - 1, "an older"),
        ] {
            write(&checkpoints, State { format, ..state(2) });
            let mut skipped = Vec::new();
            let newest = checkpoints.newest(&mut |line| skipped.push(line));
            assert_eq!(newest.unwrap().unwrap().state.epoch, 1);
            assert!(
                skipped[0].contains(&format!("written by {words} version")),
                "{skipped:?}"
            );
        }
    }

    #[test]
    fn ended_at_any_moment_of_a_write_the_old_or_the_new_one_is_there() {
        let mut ends = 0;
        for left in 0.. {
            let run = tempfile::tempdir().unwrap();
            let checkpoints = Checkpoints::of(run.path());
            write(&checkpoints, state(1));
            // A sound one is in the way.
            write(&checkpoints, state(2));
            fault::LEFT.set(left);
            let ended = catch_unwind(AssertUnwindSafe(|| write(&checkpoints, state(2)))).is_err();
            fault::LEFT.set(usize::MAX);
            checkpoints.recover().unwrap();
            assert_eq!(newest(&checkpoints).epoch, 2, "the old one or the new one");
            if !ended {
                break;
            }
            ends += 1;
            assert_eq!(checkpoints.list().unwrap(), [At::Epoch(1), At::Epoch(2)]);
            write(&checkpoints, state(3));
            assert_eq!(newest(&checkpoints).epoch, 3);
            assert!(!run.path().join("checkpoints").join(WRITING).exists());
        }
        assert_eq!(
            ends, 8,
            "two for each of two files, and four around the renames"
        );
    }

    #[test]
    fn what_was_being_removed_is_gone_and_what_is_of_another_version_is_set_aside() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        write(&checkpoints, state(1));
        write(&checkpoints, state(2));
        let format = State::FORMAT + 1;
        write(&checkpoints, State { format, ..state(3) });
        // Half removed when the process ended, and somebody's copy.
        let folder = run.path().join(FOLDER);
        fs::create_dir(folder.join(format!("{REMOVED}epoch-0000"))).unwrap();
        fs::create_dir(folder.join("epoch-2")).unwrap();
        checkpoints.recover().unwrap();
        for epoch in [2, 3, 4] {
            checkpoints.remove(At::Epoch(epoch)).unwrap();
        }
        let mut names = checkpoints.names().unwrap();
        names.sort();
        assert_eq!(
            names,
            ["epoch-0001", "epoch-0003.of-another-version", "epoch-2"]
        );
        assert_eq!(checkpoints.list().unwrap(), [At::Epoch(1)]);
    }

    #[test]
    fn a_run_that_is_gone_is_not_made_again() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(&run.path().join("gone"));
        let error = checkpoints.write(state(1), &[]).unwrap_err();
        assert!(error.to_string().contains("gone/checkpoints"), "{error}");
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        write(&checkpoints, state(1));
        let good = |path: &Path| write_flushed(path, &[1; 100]);
        let full = |path: &Path| -> Result<(), Error> {
            fs::write(path, [1; 10]).unwrap();
            Err(Error::io("write", path, io::ErrorKind::StorageFull.into()))
        };
        let files: [(_, Write); 2] = [(MODEL, &good), (OPTIMIZER, &full)];
        let error = checkpoints.write(state(2), &files).unwrap_err();
        assert!(
            error.to_string().contains("optimizer.safetensors"),
            "{error}"
        );
        let left = fs::read_dir(run.path().join("checkpoints")).unwrap();
        assert_eq!(left.count(), 1);
        assert_eq!(newest(&checkpoints).epoch, 1);
    }
}
