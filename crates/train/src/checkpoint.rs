//! Checkpoints: a folder each, complete or not there.
//!
//! A checkpoint is written under a temporary name, every file is flushed to the disk, and one
//! rename makes it a checkpoint. `state.json` names every file with its checksum and carries its
//! own, so that damage is seen.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::record::EpochRecord;

/// Version of the layout that this program writes.
const FORMAT: u32 = 1;
/// The model's parameters.
pub const MODEL: &str = "model.safetensors";
/// The parameters as they are trained, where the model is their moving average.
pub const TRAINING: &str = "training.safetensors";
/// The optimizer's moments.
pub const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const PREFIX: &str = "epoch-";

/// Everything about a run's progress that isn't a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of this layout.
    pub format: u32,
    /// Version of warmstart that wrote it.
    pub warmstart: String,
    /// SIMD level that the kernels ran at: bits are promised within one level.
    pub simd: String,
    /// Finished epochs over all phases.
    pub epoch: usize,
    /// Steps over all phases.
    pub step: u64,
    /// Steps that the optimizer has done since its phase began.
    pub optimizer_steps: u64,
    /// Every finished epoch.
    pub history: Vec<EpochRecord>,
    /// Checksum (BLAKE3) of each file, by name.
    pub files: BTreeMap<String, String>,
}

impl State {
    /// The state after an epoch, not yet saved.
    pub fn new(step: u64, optimizer_steps: u64, history: Vec<EpochRecord>) -> Self {
        Self {
            format: FORMAT,
            warmstart: env!("CARGO_PKG_VERSION").to_owned(),
            simd: warmstart_nn::simd_level().unwrap_or_default().to_owned(),
            epoch: history.len(),
            step,
            optimizer_steps,
            history,
            files: BTreeMap::new(),
        }
    }

    /// The state as JSON with sorted keys and its own checksum.
    fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a state is plain data");
        let checksum = checksum(value.to_string().as_bytes());
        value["checksum"] = Value::String(checksum);
        serde_json::to_string_pretty(&value).expect("a state is plain data")
    }

    fn from_json(text: &str) -> Result<Self, String> {
        let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let found = value
            .as_object_mut()
            .and_then(|fields| fields.remove("checksum"))
            .ok_or("it carries no checksum")?;
        if found.as_str() != Some(&checksum(value.to_string().as_bytes())) {
            return Err("its checksum does not match its content".into());
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }
}

fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// As [`checksum`], of a file that need not fit into memory.
fn file_checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn flush(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
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

    /// Folder of an epoch's checkpoint.
    pub fn path(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("{PREFIX}{epoch:04}"))
    }

    /// Commits a checkpoint: all of its files, each written by a function, or nothing.
    ///
    /// # Errors
    /// If the disk refuses; what was there before is still there.
    pub fn write(&self, mut state: State, files: &[Content]) -> Result<PathBuf, Error> {
        fs::create_dir_all(&self.folder).map_err(|e| Error::io("create", &self.folder, e))?;
        let target = self.path(state.epoch);
        let temporary = self.folder.join(".writing");
        // A killed process may have left one.
        remove_if_there(&temporary)?;
        fs::create_dir(&temporary).map_err(|e| Error::io("create", &temporary, e))?;
        for (name, write) in files {
            let path = temporary.join(name);
            write(&path)?;
            let sum = flush(&path).and_then(|()| file_checksum(&path));
            let sum = sum.map_err(|error| Error::io("write", &path, error))?;
            state.files.insert((*name).to_owned(), sum);
        }
        write_flushed(&temporary.join(STATE), state.to_json().as_bytes())?;
        flush_folder(&temporary)?;
        remove_if_there(&target)?;
        fs::rename(&temporary, &target).map_err(|e| Error::io("write", &target, e))?;
        flush_folder(&self.folder)?;
        Ok(target)
    }

    /// Epochs that have a checkpoint, rising.
    ///
    /// # Errors
    /// If the folder cannot be listed; a missing one has none.
    pub fn epochs(&self) -> Result<Vec<usize>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("list", &self.folder, error)),
        };
        let mut epochs: Vec<usize> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok())
            .collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// Opens an epoch's checkpoint and verifies every file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a file is missing or damaged; another one if the disk refuses, or if
    /// a newer version of warmstart wrote it. Names the file.
    pub fn open(&self, epoch: usize) -> Result<Checkpoint, Error> {
        let folder = self.path(epoch);
        let damaged = |name: &str, problem: &str| {
            Error::Checkpoint(format!("{}: {problem}", folder.join(name).display()))
        };
        let unread = |name: &str, error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => damaged(name, "it is missing"),
            _ => Error::io("read", &folder.join(name), error),
        };
        let text = fs::read(folder.join(STATE)).map_err(|error| unread(STATE, error))?;
        let text = String::from_utf8(text)
            .map_err(|_| damaged(STATE, "its checksum does not match its content"))?;
        let state = State::from_json(&text).map_err(|problem| damaged(STATE, &problem))?;
        if state.format > FORMAT {
            return Err(Error::Model {
                path: folder.join(STATE),
                problem: "it was written by a newer version of warmstart: update this one".into(),
            });
        }
        for (name, expected) in &state.files {
            let found = file_checksum(&folder.join(name));
            if found.map_err(|error| unread(name, error))? != *expected {
                return Err(damaged(name, "its checksum does not match its content"));
            }
        }
        Ok(Checkpoint { folder, state })
    }

    /// The newest sound checkpoint, or `None` if there is none; `skipped` gets a line for each
    /// damaged one on the way.
    ///
    /// # Errors
    /// If there are checkpoints and none is sound, or one cannot be judged.
    pub fn newest(&self, skipped: &mut dyn FnMut(String)) -> Result<Option<Checkpoint>, Error> {
        let epochs = self.epochs()?;
        for &epoch in epochs.iter().rev() {
            match self.open(epoch) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(Error::Checkpoint(damage)) => skipped(damage),
                Err(error) => return Err(error),
            }
        }
        if epochs.is_empty() {
            return Ok(None);
        }
        Err(Error::Checkpoint(format!(
            "{}: none of its {} checkpoints is sound; start again with warmstart train and another --out",
            self.folder.display(),
            epochs.len()
        )))
    }

    /// Removes an epoch's checkpoint.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(&self, epoch: usize) -> Result<(), Error> {
        let path = self.path(epoch);
        fs::remove_dir_all(&path).map_err(|error| Error::io("remove", &path, error))
    }
}

fn remove_if_there(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder, error))
        }
        _ => Ok(()),
    }
}

fn write_flushed(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| Error::io("write", path, error))
}

/// Makes a rename within a folder outlive a power cut. Only Unix can open a folder.
fn flush_folder(folder: &Path) -> Result<(), Error> {
    match cfg!(unix) {
        true => flush(folder).map_err(|error| Error::io("flush", folder, error)),
        false => Ok(()),
    }
}

/// Replaces a file in one step: whoever reads it sees the old or the new one.
///
/// # Errors
/// If the disk refuses; the old file is still there.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, |temporary| write_flushed(temporary, bytes))
}

/// As [`replace_file`], by the content of another file, unless it is the same already.
///
/// # Errors
/// If the disk refuses; the old file is still there.
pub fn replace_by_copy(path: &Path, original: &Path) -> Result<(), Error> {
    let sum = file_checksum(original).map_err(|error| Error::io("read", original, error))?;
    if file_checksum(path).is_ok_and(|old| old == sum) {
        return Ok(());
    }
    replace(path, |temporary| {
        let copied = fs::copy(original, temporary).and_then(|_| flush(temporary));
        copied.map_err(|error| Error::io("write", temporary, error))
    })
}

fn replace(path: &Path, write: impl Fn(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.writing"));
    write(&temporary)?;
    fs::rename(&temporary, path).map_err(|error| Error::io("write", path, error))?;
    flush_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(epochs: usize) -> State {
        let record = |epoch| EpochRecord {
            epoch,
            phase: "freeze".into(),
            train_loss: 0.1 + 0.2,
            val_loss: 1.0 / 3.0,
            metric: 0.5,
            others: Default::default(),
            lr: 3e-3,
            images_per_second: 1.0,
            seconds: 1.0,
            peak_memory_mb: 1.0,
        };
        let history: Vec<_> = (1..=epochs).map(record).collect();
        State::new(7, 7, history)
    }

    fn write(checkpoints: &Checkpoints, epoch: usize) -> PathBuf {
        let write = |path: &Path| write_flushed(path, &[epoch as u8; 100]);
        let files: [(_, Write); 2] = [(MODEL, &write), (OPTIMIZER, &write)];
        checkpoints.write(state(epoch), &files).unwrap()
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        write(&checkpoints, 2);
        let back = checkpoints.open(2).unwrap().state;
        assert_eq!(back.history, state(2).history);
        assert_eq!(back.files.len(), 2);
    }

    #[test]
    fn every_flipped_byte_of_every_file_is_seen() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        let folder = write(&checkpoints, 1);
        for name in [MODEL, OPTIMIZER, STATE] {
            let path = folder.join(name);
            let good = fs::read(&path).unwrap();
            for index in 0..good.len() {
                let mut bad = good.clone();
                bad[index] ^= 0x04;
                fs::write(&path, &bad).unwrap();
                // Indentation may turn into another kind of blank: the content is the same then.
                if checkpoints.open(1).is_ok() {
                    assert!(good[index].is_ascii_whitespace(), "{name}, byte {index}");
                }
            }
            fs::write(&path, &good).unwrap();
        }
        checkpoints.open(1).unwrap();
    }

    #[test]
    fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_used() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        write(&checkpoints, 1);
        let damaged = write(&checkpoints, 2);
        fs::write(damaged.join(MODEL), [2; 99]).unwrap();
        let mut skipped = Vec::new();
        let newest = checkpoints
            .newest(&mut |line| skipped.push(line))
            .unwrap()
            .unwrap();
        assert_eq!(newest.state.epoch, 1);
        assert!(
            skipped[0].contains("epoch-0002") && skipped[0].contains(MODEL),
            "{skipped:?}"
        );
        fs::remove_file(checkpoints.path(1).join(STATE)).unwrap();
        assert!(checkpoints.newest(&mut |_| {}).is_err());
    }

    #[test]
    fn what_a_killed_process_left_is_no_checkpoint() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        let half = run.path().join("checkpoints/.writing");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join(MODEL), [1]).unwrap();
        assert!(checkpoints.newest(&mut |_| {}).unwrap().is_none());
        write(&checkpoints, 1);
        assert_eq!(checkpoints.epochs().unwrap(), [1]);
        assert!(!half.exists());
    }
}
