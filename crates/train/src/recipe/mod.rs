//! A run as one value: what is trained on what, and the list of its phases.
//!
//! [`Draft`] is what a user wrote, in a file or as flags; [`Draft::resolve`] turns it into a
//! [`Recipe`], in which everything is a number. The recipe is saved with the run and is all that
//! resuming needs.

mod check;
mod checkpoint_every;
mod difference;
mod draft;
mod draft_augmentation;
mod draft_phase;
mod init;
mod memory;
mod number_or_word;
mod phase;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use checkpoint_every::CheckpointEvery;
pub use draft::{Automatic, Draft, SEED, VAL_SPLIT};
pub use draft_phase::{DraftPhase, usual_batch};
pub use init::Init;
pub use memory::Memory;
pub use phase::{
    Augmentation, BatchNorm, OnNonFinite, OptimizerKind, Phase, ScheduleKind, Task, Train, View,
    Views,
};

use crate::Error;
use number_or_word::number_or_word;

/// What `weights` says if there are none.
pub const NO_WEIGHTS: &str = "none";

/// A run with nothing left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of warmstart that wrote it.
    pub warmstart: String,
    /// What is learned.
    pub task: Task,
    /// Folder of the data set.
    pub data: PathBuf,
    /// Share of each class that validates, where the data set has no split of its own; 0..1.
    pub val_split: f64,
    /// Name of the architecture.
    pub model: String,
    /// Path of the pretrained file, or `none`.
    pub weights: String,
    /// How parameters that no file gives are initialized.
    pub init: Init,
    /// Whether a file that covers less than 95% of the backbone is accepted.
    pub allow_partial: bool,
    /// Everything random follows from it.
    pub seed: u64,
    /// Edge of the square image that goes into the network, in pixels.
    pub image_size: usize,
    /// Checkpoints kept.
    pub keep: Keep,
    /// How often a checkpoint is made within an epoch.
    #[serde(default)]
    pub checkpoint_every: CheckpointEvery,
    /// What to do about a step whose loss or gradient is not a number.
    #[serde(default)]
    pub on_nonfinite: OnNonFinite,
    /// Memory to keep within.
    #[serde(default, skip_serializing_if = "Memory::is_auto")]
    pub memory: Memory,
    /// What happens, in order.
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
}

/// Checkpoints that are kept, besides the best and the last of each phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The last that many.
    Last(usize),
    /// Every one.
    All,
}

const ALL: &str = "all";

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = match self {
            Self::Last(count) => Some(*count),
            Self::All => None,
        };
        number_or_word::serialize(count, ALL, serializer)
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = number_or_word(deserializer, ALL)?;
        Ok(count.map_or(Self::All, Self::Last))
    }
}

/// Where an epoch lies in a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index of the phase.
    pub phase: usize,
    /// Epochs of that phase before this one.
    pub epoch_in_phase: usize,
}

impl Recipe {
    /// Epochs of all phases together.
    pub fn epochs(&self) -> usize {
        self.phases.iter().map(|phase| phase.epochs).sum()
    }

    /// The phase of an epoch, counted from 1 over all phases; `None` past the last.
    pub fn position(&self, epoch: usize) -> Option<Position> {
        let mut before = 0;
        for (index, phase) in self.phases.iter().enumerate() {
            if epoch <= before + phase.epochs {
                return Some(Position {
                    phase: index,
                    epoch_in_phase: epoch - before - 1,
                });
            }
            before += phase.epochs;
        }
        None
    }

    /// Whether an epoch is the last of its phase.
    pub fn ends_phase(&self, epoch: usize) -> bool {
        self.position(epoch).is_some_and(|position| {
            position.epoch_in_phase + 1 == self.phases[position.phase].epochs
        })
    }

    /// Refuses values that no run can work with.
    ///
    /// # Errors
    /// A usage error that names the value and its range.
    pub fn check(&self) -> Result<(), Error> {
        check::check(self)
    }

    /// How it differs from an earlier one of the same run: a line for each value, with what that means
    /// for the result.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        difference::differences(before, self)
    }

    /// The recipe as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe holds nothing that TOML cannot say")
    }

    /// Reads a resolved recipe.
    ///
    /// # Errors
    /// If the file is missing or isn't one, or no run could work with it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
        let recipe: Self =
            toml::from_str(&text).map_err(|error| Error::recipe(path, &text, &error))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// The same run for another number of epochs, `done` of which are behind it: the last phase
    /// becomes longer or shorter, or, if all its epochs are done, a further phase like it is added.
    ///
    /// # Errors
    /// If fewer epochs are asked for than are done or than come before the last phase.
    pub fn with_epochs(mut self, epochs: usize, done: usize) -> Result<Self, Error> {
        let total = self.epochs();
        let last = self.phases.last().expect("a recipe has a phase").clone();
        let before_last = total - last.epochs;
        if epochs <= done.max(before_last) {
            return Err(Error::usage(format!(
                "--epochs {epochs}: {done} of {total} epochs are done and the last phase begins \
                 after epoch {before_last}; ask for more than {}",
                done.max(before_last)
            )));
        }
        if done < total {
            let last = self.phases.last_mut().expect("a recipe has a phase");
            last.close_as_in(total, epochs, epochs - before_last);
            last.epochs = epochs - before_last;
        } else {
            let mut last = last;
            last.close_as_in(total, epochs, epochs - total);
            self.phases.push(Phase {
                name: format!("extension-{}", self.phases.len()),
                epochs: epochs - total,
                warmup: last.warmup.max(phase::THAW_WARMUP),
                ..last
            });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n";

    fn draft(text: &str) -> Draft {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn positions_count_epochs_over_all_phases() {
        let flags = Draft {
            freeze_epochs: Some(2),
            epochs: Some(3),
            ..draft(MINIMAL)
        };
        let recipe = flags.resolve(224).unwrap();
        let position = recipe.position(3).unwrap();
        assert_eq!((position.phase, position.epoch_in_phase), (1, 0));
        assert_eq!(recipe.position(4), None);
        assert_eq!(
            [1, 2, 3].map(|epoch| recipe.ends_phase(epoch)),
            [false, true, true]
        );
    }

    #[test]
    fn more_epochs_lengthen_the_last_phase_or_add_one_to_a_finished_run() {
        let flags = Draft {
            freeze_epochs: Some(2),
            epochs: Some(4),
            ..draft(MINIMAL)
        };
        let recipe = flags.resolve(224).unwrap();
        let longer = recipe.clone().with_epochs(6, 3).unwrap();
        assert_eq!(
            longer.phases.iter().map(|p| p.epochs).collect::<Vec<_>>(),
            [2, 4]
        );
        let extended = recipe.clone().with_epochs(6, 4).unwrap();
        assert_eq!(
            extended.phases.iter().map(|p| p.epochs).collect::<Vec<_>>(),
            [2, 2, 2]
        );
        assert_eq!(extended.phases[2].name, "extension-2");
        assert!(recipe.with_epochs(4, 4).is_err());
    }
}
