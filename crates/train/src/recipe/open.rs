use super::Draft;

/// What of a run is decided once its data are known, because the user left it open.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// What the user said.
    pub draft: Draft,
    /// How pictures fill the network's square.
    pub fit: bool,
    /// What a plan decides of each phase.
    pub phases: Vec<Automatic>,
    /// What the training images decide of each phase.
    pub scaled: Vec<Scaled>,
}

/// What of a phase a plan decides, because the user left it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Automatic {
    /// Its batch, smaller where memory is scarce.
    pub batch: bool,
    /// Its micro-batch.
    pub micro_batch: bool,
    /// Its learning rate, which follows an automatic batch.
    pub lr: bool,
    /// The moving average of its parameters, which follows the number of steps.
    pub ema_decay: bool,
}

/// What of a phase the training images decide, because the user left it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaled {
    /// How much of the target all classes share.
    pub label_smoothing: bool,
    /// How much its weights decay.
    pub weight_decay: bool,
    /// The magnitude of its RandAugment.
    pub rand_augment: bool,
    /// How often a part of an image is hidden.
    pub erase: bool,
    /// After how many epochs without a better one it ends.
    pub patience: bool,
    /// What is done about unequal classes.
    pub balance: bool,
}
