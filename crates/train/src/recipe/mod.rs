//! A run as one value: what is trained on what, and the list of its phases.
//!
//! [`Draft`] is what a user wrote, in a file or as flags; [`Draft::resolve`] turns it into a
//! [`Recipe`], in which everything is a number. The recipe is saved with the run and is all that
//! resuming needs.

mod batch;
mod check;
mod checkpoint_every;
mod difference;
mod draft;
mod draft_augmentation;
mod draft_phase;
mod init;
mod keys;
mod memory;
mod number_or_word;
mod open;
mod phase;
mod scaling;
mod two_phases;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use warmstart_data::Fit;

pub use batch::Batch;
pub use checkpoint_every::CheckpointEvery;
use draft::LONGEST_RECIPE;
pub use draft::{Draft, SEED, VAL_SPLIT};
pub use draft_phase::DraftPhase;
pub use init::Init;
pub(crate) use keys::explained;
pub use memory::{Memory, size_with_unit};
pub use open::{Automatic, Open, Scaled};
pub(crate) use phase::THAW_WARMUP;
pub use phase::{
    Augmentation, Balance, BatchNorm, OnNonFinite, OptimizerKind, Phase, ScheduleKind, Task, Train,
    View, Views,
};
pub use scaling::{SMALLEST_BATCH, TrainingImages, lr_factor, moving_average};

use crate::Error;
use crate::folds::Part;
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
    /// The copy of the network in that file that is taken, by the prefix of its tensors; `None` for the one that
    /// [`warmstart_weights::compare`] takes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_prefix: Option<String>,
    /// How parameters that no file gives are initialized.
    pub init: Init,
    /// True if a file that covers less than 95% of the backbone, or lacks the first layer, is accepted.
    pub allow_partial: bool,
    /// Everything random follows from it.
    pub seed: u64,
    /// Edge of the square image that goes into the network, in pixels.
    pub image_size: usize,
    /// How pictures fill that image.
    #[serde(default)]
    pub fit: Fit,
    /// Which part of a cross-validation it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Part>,
    /// Checkpoints kept.
    pub keep: Keep,
    /// How often a checkpoint is made within an epoch.
    #[serde(default)]
    pub checkpoint_every: CheckpointEvery,
    /// What to do about a step whose loss or gradient is not a number.
    #[serde(default)]
    pub on_nonfinite: OnNonFinite,
    /// Steps from one look at the network's health to the next, besides the one at each epoch's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_every: Option<usize>,
    /// Whether a thawed model is kept only if it beats the frozen one in a test; else the best epoch is.
    #[serde(default = "yes")]
    pub guard: bool,
    /// Memory to keep within.
    #[serde(default, skip_serializing_if = "Memory::is_auto")]
    pub memory: Memory,
    /// What happens, in order.
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
}

fn yes() -> bool {
    true
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
        let text = warmstart_files::read_text(path, LONGEST_RECIPE)
            .map_err(|error| Error::io("read", path, error))?;
        let recipe: Self =
            toml::from_str(&text).map_err(|error| Error::recipe(path, &text, &error))?;
        recipe.check()?;
        Ok(recipe)
    }
}
