//! The progress of an epoch.

use serde::{Deserialize, Serialize};

use crate::health::Health;

/// Images of an epoch already processed, and sums over its steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochProgress {
    /// Images of the epoch already processed: the next batch begins with the one after them.
    pub seen: usize,
    /// Images learned from: those of skipped steps do not count.
    pub images: usize,
    /// Loss, over the images learned from.
    pub loss: f64,
    /// Steps that were skipped.
    pub skipped: u64,
    /// Measurements of the network's health.
    pub health: Vec<Health>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Time of the frozen part and the steps.
    pub seconds: f64,
    /// Time of the epoch so far, in seconds, over all processes that trained it.
    pub elapsed: f64,
}
