//! The progress of an epoch.

use std::time::Duration;

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
    /// The part of it in which a graphics card waited for images; `None` on the processor, and then not in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<f64>,
}

impl EpochProgress {
    /// Adds a step on so many images, whose mean loss was `loss`.
    pub fn add_step(&mut self, loss: f64, images: usize, lr: f64, time: Duration) {
        self.lr = lr;
        self.seconds += time.as_secs_f64();
        self.loss += loss * images as f64;
        self.images += images;
    }

    /// Mean loss over the images learned from.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images as f64
    }

    /// Images learned from per second of steps.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds
    }
}
