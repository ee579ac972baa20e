//! The defaults of a task, and the facts that they depend on.

use warmstart_data::Fit;

use crate::augmentation::Augmentation;
use crate::choices::{BatchNorm, HeadKind, OptimizerKind};
use crate::draft_augmentation::DraftAugmentation;
use crate::error::Error;
use crate::scaling::TrainingImages;
use crate::train::Train;

/// Share of a thaw's steps over which its learning rate rises.
pub const THAW_WARMUP: f64 = 0.1;
/// docs/decisions/0003-layer-decay-by-group.md
pub const LAYER_DECAY: f64 = 0.75;

/// The defaults and limits of a task, and the words for them.
pub struct TaskDefaults {
    /// The task as an English noun.
    pub noun: &'static str,
    /// English name of the metric that picks the epoch.
    pub metric: &'static str,
    /// The things that have a class, in English: `images` or `objects`.
    pub counted: &'static str,
    /// Edge of the image in pixels; `None` for that of the pretrained weights.
    pub image_size: Option<usize>,
    /// The edge is a multiple of this.
    pub image_size_step: usize,
    /// Default fit.
    pub fit: Fit,
    /// Whether `fit` is the only way.
    pub has_one_fit: bool,
    /// Epochs of a run, unless the user gives them.
    pub epochs: usize,
    /// Epochs of these with a frozen backbone.
    pub frozen_epochs: usize,
    /// Views of each image in a phase with a frozen backbone (docs/frozen-features.md has the measurements).
    pub views: usize,
    /// How the head of a phase with a frozen backbone is found.
    pub head: HeadKind,
    /// Batches of a frozen and of a thawed phase that the learning rates are for.
    pub batches: [usize; 2],
    /// Learning rates of a frozen and of a thawed phase.
    pub learning_rates: fn(OptimizerKind) -> [f64; 2],
    /// Factor by which they follow a batch, from the first one to the second.
    pub lr_factor: fn(OptimizerKind, usize, usize) -> f64,
    /// Whether they follow a batch that the user gives, too, and not an automatic one alone.
    pub rates_follow_any_batch: bool,
    /// Share of a thawed phase's steps over which its learning rate rises.
    pub warmup: f64,
    /// Factor on the learning rate from each group of layers to the next one closer to the input, on pretrained
    /// features.
    pub layer_decay: f64,
    /// Weight decay, on pretrained features or not.
    pub weight_decay: fn(OptimizerKind, bool, Option<TrainingImages>) -> f64,
    /// Label smoothing, on pretrained features or not.
    pub label_smoothing: fn(bool, Option<TrainingImages>) -> f64,
    /// Epochs without improvement after which a phase ends, on pretrained features or not; 0 for never.
    pub patience: fn(bool, Option<TrainingImages>) -> usize,
    /// Decay of the moving average of a phase's parameters, by the phase's number of steps.
    pub moving_average: fn(&Train, usize) -> f64,
    /// Decay at a step of a phase, counted from 1; it rises to `most`.
    pub average_decay: fn(most: f64, step: u64) -> f64,
    /// Batch norm after the thaw of pretrained weights where batches are small.
    pub small_batch_norm: BatchNorm,
    /// The augmentation of a phase.
    pub augmentation: fn(DraftAugmentation, &AugmentationContext) -> Result<Augmentation, Error>,
    /// Options that the task does not have, which keep the value without effect, each with the reason in English.
    pub without: &'static [(&'static str, &'static str)],
    /// The effect of micro-batches on the result, in the user's language, by whether a batch norm takes its statistics
    /// from them.
    pub micro_batch_effect: fn(takes_statistics: bool) -> &'static str,
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
    /// Epochs of the run.
    pub run_epochs: usize,
    /// Whether it is the run's last phase.
    pub is_last: bool,
}
