use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use warmstart_language::message;
use warmstart_recipe::{Position, Recipe};

use super::at::At;
use crate::atomic_file::checksum;
use crate::epoch_progress::EpochProgress;
use crate::loss_scale::LossScale;
use crate::position;
use crate::record::EpochRecord;

/// Placeholder for the checksum while it is computed.
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Reason for refusing a state.
pub(super) enum Refusal {
    /// It was changed after it was written.
    Damaged(String),
    /// Another version wrote it.
    OtherVersion(String),
}

/// Everything about a run's progress that isn't a tensor.
///
/// The best epoch follows from the history, and everything random from the recipe's seed and the run's position:
/// neither is stored a second time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of this layout.
    pub format: u64,
    /// Version of warmstart that wrote it.
    pub warmstart: String,
    /// SIMD level that the kernels ran at: bits are promised within one level.
    pub simd: String,
    /// Everything about the graphics card that bits depend on, and the format of its numbers where it is not f32;
    /// `None` for the processor, and then not in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Recipe of the run.
    pub recipe: Recipe,
    /// Name of the phase that is in progress, or has just ended.
    pub phase: String,
    /// Checksum of the list of the data set's files, their sizes and labels.
    pub data: String,
    /// Keys of the phase's frozen features in the cache; empty where none are cached.
    pub frozen_features: Vec<String>,
    /// Finished epochs over all phases.
    pub epoch: usize,
    /// Progress within the epoch after them; `null` between two epochs. In JSON it is `epoch_in_hand`.
    #[serde(rename = "epoch_in_hand")]
    pub epoch_in_progress: Option<EpochProgress>,
    /// Steps over all phases.
    pub step: u64,
    /// Steps that the optimizer has done since its phase began, which are also those of the moving
    /// average.
    pub optimizer_steps: u64,
    /// Consecutive steps skipped up to now.
    pub skipped_in_a_row: u64,
    /// The factor on the loss of a run in f16; `None` in other formats, and then not in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// Every finished epoch.
    pub history: Vec<EpochRecord>,
    /// Checksum (BLAKE3) of each file, by name.
    pub files: BTreeMap<String, String>,
}

impl State {
    /// Version of the layout that this program writes, and reads.
    pub const FORMAT: u64 = 2;

    /// The time of the checkpoint, in epochs or steps.
    pub fn at(&self) -> At {
        match self.epoch_in_progress {
            None => At::Epoch(self.epoch),
            Some(_) => At::Step(self.step),
        }
    }

    /// The position in a recipe of the epoch in progress, or else of the last finished one; `None` if the recipe has
    /// fewer epochs.
    pub fn position(&self, recipe: &Recipe) -> Option<Position> {
        match self.epoch_in_progress {
            None => position::last(recipe, &self.history),
            Some(_) => position::next(recipe, &self.history),
        }
    }

    /// Images of the epoch in progress already processed.
    pub fn images_in_epoch(&self) -> usize {
        self.epoch_in_progress.as_ref().map_or(0, |sums| sums.seen)
    }

    /// The progress of the run: finished epochs, and images of the next one already processed.
    pub fn progress(&self) -> (usize, usize) {
        (self.epoch, self.images_in_epoch())
    }

    /// The state as JSON with sorted keys and its own checksum: that of the whole text, in which the
    /// checksum is zeros.
    pub(super) fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a state is plain data");
        value["checksum"] = Value::String(ZEROS.to_owned());
        let text = serde_json::to_string_pretty(&value).expect("a state is plain data") + "\n";
        text.replacen(ZEROS, &checksum(text.as_bytes()), 1)
    }

    /// The state out of such a text, or the reason for refusing it.
    pub(super) fn from_json(text: &[u8]) -> Result<Self, Refusal> {
        let damaged = |problem: String| Refusal::Damaged(problem);
        let text = str::from_utf8(text).map_err(|_| damaged(message!("it is not text")))?;
        let value: Value = serde_json::from_str(text).map_err(|error| match text {
            "" => damaged(message!("it is empty")),
            _ => damaged(message!("it is not whole JSON ({error})")),
        })?;
        let found = value["checksum"]
            .as_str()
            .ok_or_else(|| damaged(message!("it carries no checksum")))?;
        if checksum(text.replacen(found, ZEROS, 1).as_bytes()) != found {
            return Err(damaged(message!("its checksum does not match its content")));
        }
        let unknown = message!("unknown");
        let writer = value["warmstart"].as_str().unwrap_or(&unknown);
        let format = value["format"].as_u64().unwrap_or(0);
        if format != Self::FORMAT {
            return Err(Refusal::OtherVersion(if format > Self::FORMAT {
                message!(
                    "it was written by a newer version of warmstart ({writer}), which alone can continue from it"
                )
            } else {
                message!(
                    "it was written by an older version of warmstart ({writer}), which alone can continue from it"
                )
            }));
        }
        serde_json::from_value(value).map_err(|error| damaged(error.to_string()))
    }
}
