//! What a task declares, and the facts that it depends on.

use warmstart_data::Fit;

use crate::augmentation::Augmentation;
use crate::choices::{BatchNorm, OptimizerKind};
use crate::draft_augmentation::DraftAugmentation;
use crate::error::Error;
use crate::scaling::TrainingImages;
use crate::train::Train;

/// The defaults and limits of a task, and the words for them.
pub struct TaskDefaults {
    /// The task as a noun.
    pub noun: &'static str,
    /// Name of the figure that picks the epoch.
    pub metric: &'static str,
    /// The things that have a class: `images` or `objects`.
    pub counted: &'static str,
    /// Edge of the image in pixels; `None` for that of the pretrained weights.
    pub image_size: Option<usize>,
    /// The edge is a multiple of this.
    pub image_size_step: usize,
    /// How pictures fill the image.
    pub fit: Fit,
    /// Whether that is the only way.
    pub has_one_fit: bool,
    /// Epochs of a run that names none.
    pub epochs: usize,
    /// Those of them with a frozen backbone.
    pub frozen_epochs: usize,
    /// Views of each image in a phase with a frozen backbone (docs/frozen-features.md has the measurements).
    pub views: usize,
    /// Batches of a frozen and of a thawed phase that the learning rates are for.
    pub batches: [usize; 2],
    /// Learning rates of a frozen and of a thawed phase.
    pub learning_rates: fn(OptimizerKind) -> [f64; 2],
    /// Weight decay, on pretrained features or not, for so many images.
    pub weight_decay: fn(OptimizerKind, bool, Option<TrainingImages>) -> f64,
    /// Label smoothing, on pretrained features or not.
    pub label_smoothing: fn(bool, Option<TrainingImages>) -> f64,
    /// Epochs without improvement after which a phase ends, on pretrained features or not; 0 for never.
    pub patience: fn(bool, Option<TrainingImages>) -> usize,
    /// Decay of the moving average of a phase's parameters, for so many steps.
    pub moving_average: fn(&Train, usize) -> f64,
    /// That decay at a phase's step, counted from 1, where it is `most` at last.
    pub average_decay: fn(most: f64, step: u64) -> f64,
    /// Batch norm after the thaw of pretrained weights where batches are small.
    pub small_batch_norm: BatchNorm,
    /// The augmentation of a phase.
    pub augmentation: fn(DraftAugmentation, &AugmentationContext) -> Result<Augmentation, Error>,
    /// Options of other tasks: they keep the value that has no effect. Each with the reason.
    pub without: &'static [(&'static str, &'static str)],
    /// The effect of micro-batches on the result.
    pub micro_batch_effect: fn(&Train, BatchNorm) -> &'static str,
}

/// The facts about a phase that its augmentation depends on.
#[derive(Clone, Copy, Debug)]
pub struct AugmentationContext {
    /// Whether its features are pretrained.
    pub pretrained: bool,
    /// Training images, once they are known.
    pub images: Option<TrainingImages>,
    /// Its epochs.
    pub epochs: usize,
    /// Share of its epochs, at its end, without mosaics.
    pub mosaic_closing: f64,
}
