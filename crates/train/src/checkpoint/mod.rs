//! Checkpoints: a folder each, complete or not there.
//!
//! A checkpoint is written under a temporary name, every file is flushed to the disk, and one
//! rename makes it a checkpoint. `state.json` names every file with its checksum and carries its
//! own, so that damage is seen.

mod file;
mod state;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use file::{checksum, replace_by_copy, replace_file};
use file::{file_checksum, flush, flush_folder, write_flushed};
pub use state::State;

use crate::Error;

/// The model's parameters.
pub const MODEL: &str = "model.safetensors";
/// The parameters as they are trained, where the model is their moving average.
pub const TRAINING: &str = "training.safetensors";
/// The optimizer's moments.
pub const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
/// A checkpoint that is not one yet.
const WRITING: &str = ".writing";

/// When a checkpoint was made: the name of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// After so many finished epochs.
    Epoch(usize),
    /// Within an epoch, after so many steps of the run.
    Step(u64),
}

impl At {
    fn of(folder: &str) -> Option<Self> {
        let number = |prefix: &str| folder.strip_prefix(prefix)?.parse().ok();
        number("epoch-")
            .map(|epoch: u64| Self::Epoch(epoch as usize))
            .or_else(|| number("step-").map(Self::Step))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Epoch(epoch) => write!(f, "epoch-{epoch:04}"),
            Self::Step(step) => write!(f, "step-{step:08}"),
        }
    }
}

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
            folder: run.join("checkpoints"),
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
        fs::create_dir_all(&self.folder).map_err(|e| Error::io("create", &self.folder, e))?;
        let temporary = self.folder.join(WRITING);
        // A killed process may have left one.
        remove_if_there(&temporary)?;
        fs::create_dir(&temporary).map_err(|e| Error::io("create", &temporary, e))?;
        let target = self.path(state.at());
        let written = fill(&temporary, state, files).and_then(|()| {
            fault::point();
            // Only a damaged one can be in the way.
            remove_if_there(&target)?;
            fault::point();
            fs::rename(&temporary, &target).map_err(|e| Error::io("write", &target, e))
        });
        if let Err(error) = written {
            // What there is of it would take the room that a full disk lacks.
            let _ = fs::remove_dir_all(&temporary);
            return Err(error);
        }
        fault::point();
        flush_folder(&self.folder)?;
        Ok(target)
    }

    /// All that are there, sound or not: first those between epochs, rising, then those within one,
    /// rising.
    ///
    /// # Errors
    /// If the folder cannot be listed; a missing one has none.
    pub fn list(&self) -> Result<Vec<At>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("list", &self.folder, error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut found: Vec<At> = names.filter_map(|name| At::of(&name)).collect();
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
    /// [`Error::Checkpoint`] if a file is missing or damaged, or if another version of warmstart wrote
    /// it; another one if the disk refuses. Names the file.
    pub fn open(&self, at: At) -> Result<Checkpoint, Error> {
        verified(self.path(at))
    }

    /// The newest sound checkpoint, or `None` if there is none; `skipped` gets a line for each
    /// damaged one on the way.
    ///
    /// # Errors
    /// If there are checkpoints and none is sound, or one cannot be judged.
    pub fn newest(&self, skipped: &mut dyn FnMut(String)) -> Result<Option<Checkpoint>, Error> {
        let found = self.list()?;
        let within = |at: &&At| matches!(at, At::Step(_));
        let mut newest_of = |found: Vec<&At>| -> Result<_, Error> {
            for &at in found.into_iter().rev() {
                match self.open(at) {
                    Ok(checkpoint) => return Ok(Some(checkpoint)),
                    Err(Error::Checkpoint(damage)) => skipped(damage),
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        };
        let step = newest_of(found.iter().filter(within).collect())?;
        let epoch = newest_of(found.iter().filter(|at| !within(at)).collect())?;
        let newer = |checkpoint: &Checkpoint| checkpoint.state.progress();
        let newest = step.into_iter().chain(epoch).max_by_key(newer);
        if newest.is_none() && !found.is_empty() {
            return Err(Error::Checkpoint(format!(
                "{}: none of its {} checkpoints is sound; start again with warmstart train and \
                 another --out",
                self.folder.display(),
                found.len()
            )));
        }
        Ok(newest)
    }

    /// The newest state, its checksum verified but no other file; `None` if there is none.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn newest_state(&self) -> Result<Option<State>, Error> {
        let states = self.list()?.into_iter().filter_map(|at| {
            let text = fs::read(self.path(at).join(STATE)).ok()?;
            State::from_json(&text).ok()
        });
        Ok(states.max_by_key(State::progress))
    }

    /// Removes a checkpoint.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(&self, at: At) -> Result<(), Error> {
        let path = self.path(at);
        let removed = match path.is_file() {
            // Not one of ours, and in the way of one.
            true => fs::remove_file(&path),
            false => fs::remove_dir_all(&path),
        };
        removed.map_err(|error| Error::io("remove", &path, error))
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

/// The checkpoint in a folder, every file verified.
///
/// # Errors
/// As [`Checkpoints::open`].
pub fn verified(folder: PathBuf) -> Result<Checkpoint, Error> {
    let damaged = |name: &str, problem: &str| {
        Error::Checkpoint(format!("{}: {problem}", folder.join(name).display()))
    };
    let unread = |name: &str, error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => damaged(name, "it is missing"),
        _ => Error::io("read", &folder.join(name), error),
    };
    let text = fs::read(folder.join(STATE)).map_err(|error| unread(STATE, error))?;
    let state = State::from_json(&text).map_err(|problem| damaged(STATE, &problem))?;
    for (name, expected) in &state.files {
        let found = file_checksum(&folder.join(name));
        if found.map_err(|error| unread(name, error))? != *expected {
            return Err(damaged(name, "its checksum does not match its content"));
        }
    }
    Ok(Checkpoint { folder, state })
}

fn remove_if_there(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder, error))
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
            // A damaged one is in the way.
            fs::create_dir(checkpoints.path(At::Epoch(2))).unwrap();
            fault::LEFT.set(left);
            let ended = catch_unwind(AssertUnwindSafe(|| write(&checkpoints, state(2)))).is_err();
            fault::LEFT.set(usize::MAX);
            let epoch = newest(&checkpoints).epoch;
            assert!(epoch == 1 || epoch == 2);
            if !ended {
                assert_eq!(epoch, 2);
                break;
            }
            ends += 1;
            write(&checkpoints, state(3));
            assert_eq!(newest(&checkpoints).epoch, 3);
            assert!(!run.path().join("checkpoints").join(WRITING).exists());
        }
        assert_eq!(
            ends, 7,
            "two for each of two files, and three around the rename"
        );
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
