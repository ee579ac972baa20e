//! The options of a recipe: the one place where each is declared.
//!
//! Name, documentation, type, default (a rule, and the words that help prints), range, flag, and the rules of `resume`
//! for it. Everything else follows (`declare.rs`): TOML, flags, help, checks, the words for a difference, and the
//! table in docs/recipes/options.md. Options whose default is `later` are decided once the data and the machine are
//! known, where the user leaves them open.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use warmstart_data::{Decode, Fit};
use warmstart_language::{english, message};
use warmstart_nn::devices::DeviceName;

use crate::augmentation::Augmentation;
use crate::checkpoint_every::CheckpointEvery;
use crate::choices::{
    Balance, BatchNorm, HeadKind, OnNonFinite, OptimizerKind, Precision, ScheduleKind, Shuffle,
    TaskKind,
};
use crate::declare::{
    checked_value, default_words, is_decided_later, name_above, options, resolved, stored_type,
};
use crate::defaults::TaskDefaults;
use crate::draft_augmentation::DraftAugmentation;
use crate::error::Error;
use crate::folds::FoldId;
use crate::head_layers::HeadLayers;
use crate::init::Init;
use crate::keep::Keep;
use crate::memory::Memory;
use crate::option::{Flag, OptionInfo, PhaseFlag, Range, Resume, ResumeFlag, fits_phase, fits_run};
use crate::scaling::{self, TrainingImages};
use crate::train::Train;
use crate::user_value::{Auto, UserValue};
use crate::views::Views;
use warmstart_files::Key;

/// Value of `weights` for a start from scratch.
pub const NO_WEIGHTS: &str = "none";
/// Share of the images that becomes the validation split, where the data set has none.
pub const VAL_SPLIT: f64 = 0.2;
/// Edges of the images that go into a network, in pixels.
pub const IMAGE_SIZES: RangeInclusive<usize> = 32..=2048;
/// Seed of a recipe that gives none.
pub const SEED: u64 = 42;
/// Largest batch whose own statistics are worse than batch norm's pretrained ones:
/// docs/decisions/0013-the-thaw-keeps-its-statistics.md
const SMALL_BATCH: usize = 32;

/// The facts that the defaults of a run's options depend on.
pub(crate) struct RunContext {
    /// The error for an option that must be given: its key, and words for its value.
    pub missing: fn(Key, &str) -> Error,
    pub task: TaskKind,
    /// Edge of the images of the model's pretrained weights, in pixels.
    pub native_image_size: usize,
    /// The device that is given, or that `auto` stands for.
    pub device: DeviceName,
    /// Whether the draft is the recipe of a run, which gives every option that its version had.
    pub is_of_a_run: bool,
}

/// The facts that the defaults of a phase's options depend on.
pub(crate) struct PhaseContext<'a> {
    /// The error for an option that must be given: its key, and words for its value.
    pub missing: &'a dyn Fn(Key, &str) -> Error,
    pub defaults: &'static TaskDefaults,
    pub pretrained: bool,
    /// Training images, once they are known.
    pub images: Option<TrainingImages>,
    pub train: &'a Train,
    /// How the head is found.
    pub head: HeadKind,
    pub epochs: usize,
    pub optimizer: OptimizerKind,
    pub batch: usize,
    /// Batch that the default learning rates are for, where the batch is left open; else the batch.
    pub usual_batch: usize,
}

impl PhaseContext<'_> {
    fn is_thawed(&self) -> bool {
        !self.train.freezes_backbone()
    }

    fn steps(&self) -> usize {
        let images = self.images.map_or(0, |images| images.count);
        images.div_ceil(self.batch.max(1)) * self.epochs
    }

    fn has_small_batches(&self) -> bool {
        self.batch <= SMALL_BATCH || self.images.is_some_and(|of| of.count <= SMALL_BATCH)
    }
}

/// Calls a rule; the type of `context` is that of the rule's argument.
fn in_context<C, T>(rule: impl Fn(&C) -> T, context: &C) -> T {
    rule(context)
}

options! {
    run {
        /// Folder of the data set, its data.yaml, a list, a table (pets.csv) or TAR shards
        data: PathBuf {
            default: required "DIR",
            range: Range::any(),
            flag: Flag::Value("DIR"),
            resume: Resume::EDITED
                .effect("")
                .by_flag(ResumeFlag::Documented("The data set, where it has moved: the same files, sizes and labels")),
        }
        /// Architecture (warmstart models): a classifier, which may be a detector's backbone, or a detector; or the name of its published weights; without it, that of the weights
        model: String {
            default: required "NAME",
            range: Range::any(),
            flag: Flag::Value("NAME"),
            resume: Resume::FIXED_BY_CHECKPOINT,
        }
        /// Name of published weights (warmstart weights list) or of a detector (rtmdet_tiny), "imagenet" for the model's usual ones, a pretrained file (.pth, .pt, .safetensors, .index.json), the folder of another run, or "none" to start from scratch; with neither weights nor a model: imagenet
        weights: String {
            default: required "FILE",
            range: Range::any(),
            flag: Flag::Value("NAME|FILE"),
            resume: Resume::INITIAL,
        }
        /// Prefix of the tensors to load if the file holds several copies of the network, such as encoder_q
        weights_prefix: String {
            default: optional
                "the copy with the most tensors; if tied, trained weights before their moving average, a teacher before its student",
            range: Range::any(),
            flag: Flag::Value("PREFIX"),
            resume: Resume::INITIAL,
            stored: #[serde(default, skip_serializing_if = "Option::is_none")],
        }
        /// Task: classification or detection
        task: TaskKind {
            default: rule ("detect if the data have boxes, otherwise classify", |run: &RunContext| run.task),
            range: Range::any(),
            flag: Flag::Value("TASK"),
            resume: Resume::FIXED_BY_CHECKPOINT,
        }
        /// Share of each class (in detection: of all images) used for validation if there is no val/. 0: all images train, the head alone, and are judged by leaving each out
        val_split: f64 {
            default: rule ("0.2", |_: &RunContext| VAL_SPLIT),
            range: Range::of(english!("from 0 to below 1"), |share| (0.0..1.0).contains(share)),
            flag: Flag::Value("SHARE"),
            resume: Resume::EDITED.effect(english!("a change of the data if there is no val/")),
        }
        /// Initialization of weights that are not loaded from a file: normal(0.02), trunc_normal(0.02), xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal(out), orthogonal or lsuv
        init: Init {
            default: rule ("torchvision", |_: &RunContext| Init::default()),
            range: Range::any(),
            flag: Flag::Value("SCHEME"),
            resume: Resume::INITIAL,
        }
        /// Whether to accept a file that covers less than 95% of the backbone, lacks its first layer or its positions, or has layers of another network
        allow_partial: bool {
            default: rule ("false", |_: &RunContext| false),
            range: Range::any(),
            flag: Flag::Switch {
                name: "allow_partial",
                value: "true",
                documentation: "Accept a file that covers less than 95% of the backbone, lacks its first layer or its positions, or has layers of another network",
            },
            resume: Resume::INITIAL,
        }
        /// Random seed
        seed: u64 {
            default: rule ("42", |_: &RunContext| SEED),
            range: Range::any(),
            flag: Flag::Value("SEED"),
            resume: Resume::EDITED.effect(english!("from here on; a change of the data if there is no val/")),
        }
        /// Edge of the square image that goes into the network, in pixels
        image_size: usize {
            default: rule ("the model's own; vision transformers need a multiple of their patch; 320 for detectors, which need a multiple of 32", |run: &RunContext| {
                run.task.defaults().image_size.unwrap_or(run.native_image_size)
            }),
            range: Range::of(english!("from 32 to 2048"), |size| IMAGE_SIZES.contains(size)),
            flag: Flag::Value("PIXELS"),
            resume: Resume::FIXED_BY_CHECKPOINT,
        }
        /// How an image fills the network's square
        fit: Auto<Fit> {
            default: later ("auto; letterbox for detectors", |run: &RunContext| run.task.defaults().fit),
            range: Range::any(),
            flag: Flag::Value("FIT"),
            resume: Resume::FIXED_BY_CHECKPOINT,
            stored: #[serde(default)],
        }
        /// How much of a JPEG is decoded, in training, in validation and by the model later
        decode: Decode {
            default: rule ("full", |_: &RunContext| Decode::Full),
            range: Range::any(),
            flag: Flag::Value("DECODE"),
            resume: Resume::FIXED_BY_CHECKPOINT,
            stored: #[serde(default)],
        }
        /// How an epoch orders the training images
        shuffle: Shuffle {
            default: rule ("permutation", |run: &RunContext| {
                if run.is_of_a_run { Shuffle::List } else { Shuffle::Permutation }
            }),
            range: Range::any(),
            flag: Flag::Value("SHUFFLE"),
            resume: Resume::FIXED_BY_CHECKPOINT,
            stored: #[serde(default = "listed")],
        }
        /// Parts of each batch, whose gradients are added in a fixed tree, so that 1, 2, 4 or more processes compute the same bits; where batch norm takes statistics of the batch, they are those of a part
        virtual_shards: usize {
            default: rule ("1; of a run that MPI starts 8, or as many as its processes if these are more", |_: &RunContext| 1),
            range: Range::of(english!("1, 2, 4, 8, 16, 32 or 64"), |shards| {
                *shards <= 64 && shards.is_power_of_two()
            }),
            flag: Flag::Value("N"),
            resume: Resume::FIXED_BY_CHECKPOINT,
            stored: #[serde(default = "one_shard")],
        }
        /// Number of latest checkpoints to keep, besides the best epoch's and the last of each phase; or "all"
        keep: Keep {
            default: rule ("3", |_: &RunContext| Keep::Last(3)),
            range: Range::any(),
            flag: Flag::None,
            resume: Resume::EDITED.effect(""),
        }
        /// Interval between checkpoints within an epoch: a time, such as 90s or 5min, or a number of steps
        checkpoint_every: CheckpointEvery {
            default: rule ("5min", |_: &RunContext| CheckpointEvery::default()),
            range: Range::any(),
            flag: Flag::Value("TIME|STEPS"),
            resume: Resume::EDITED.effect(""),
            stored: #[serde(default)],
        }
        /// Handling of a step whose loss or gradient is not finite
        on_nonfinite: OnNonFinite {
            default: rule ("stop", |_: &RunContext| OnNonFinite::Stop),
            range: Range::any(),
            flag: Flag::Value("HANDLING"),
            resume: Resume::EDITED
                .by_flag(ResumeFlag::Documented("Handling of a step whose loss or gradient is not finite, from here on")),
            stored: #[serde(default)],
        }
        /// Also check gradients, updates and activations every STEPS steps
        health_every: usize {
            default: optional "only at each epoch's end",
            range: Range::of(english!("a number of steps from 1"), |steps| *steps > 0),
            flag: Flag::Value("STEPS"),
            resume: Resume::EDITED,
            stored: #[serde(default, skip_serializing_if = "Option::is_none")],
        }
        /// Whether the thaw has to beat the frozen model significantly to be kept
        guard: bool {
            default: rule ("true", |_: &RunContext| true),
            range: Range::any(),
            flag: Flag::Switch {
                name: "no_guard",
                value: "false",
                documentation: "Keep the epoch with the highest metric, even if the thawed model is not significantly better than the frozen one",
            },
            resume: Resume::EDITED
                .by_flag(ResumeFlag::AsInTrain),
            stored: #[serde(default = "yes")],
        }
        /// Memory limit, such as 6GiB
        memory: Memory {
            default: rule ("auto (90% of the available memory)", |_: &RunContext| Memory::Auto),
            range: Range::any(),
            flag: Flag::Value("SIZE"),
            resume: Resume::EDITED
                .effect("")
                .by_flag(ResumeFlag::Documented("Memory limit from here on, such as 6GiB, or auto")),
            stored: #[serde(default, skip_serializing_if = "Memory::is_auto")],
        }
        /// Device to compute on: cpu, gpu, or a certain graphics card such as gpu:1 (warmstart devices). auto: that of the environment variable WARMSTART_DEVICE, else the first card if it has memory of its own or is Apple's, else cpu
        device: Auto<DeviceName> {
            default: later ("auto", |run: &RunContext| run.device),
            range: Range::any(),
            flag: Flag::Value("DEVICE"),
            resume: Resume::EDITED
                .effect(english!("equally good from here on, but not bit-identical"))
                .by_flag(ResumeFlag::Documented("Device from here on: auto, cpu, gpu, or such as gpu:1")),
            stored: #[serde(default = "processor")],
        }
        /// Format of the activations on a graphics card, of their gradients, and of what is multiplied; parameters, sums and losses stay f32
        precision: Precision {
            default: rule ("f32", |_: &RunContext| Precision::F32),
            range: Range::any(),
            flag: Flag::Value("FORMAT"),
            resume: Resume::EDITED
                .by_flag(ResumeFlag::Documented("Format of the activations on a graphics card, from here on")),
            stored: #[serde(default)],
        }
    }
    phase {
        /// Passes over the training images
        epochs: usize {
            default: required "a number",
            range: Range::of(english!("from 1 to 100000"), |epochs| (1..=100_000).contains(epochs)),
            flag: Flag::Phases {
                value: "N",
                frozen: Some(PhaseFlag {
                    name: "freeze_epochs",
                    documentation: "Epochs with a frozen backbone",
                    default: "4/7 of the epochs; 1/5 for detectors; none without pretrained weights",
                }),
                thawed: Some(PhaseFlag {
                    name: "epochs",
                    documentation: "Epochs of all phases together",
                    default: "14; 20 for detectors, 10 for RTMDet and YOLOX from their weights",
                }),
            },
            resume: Resume::EDITED
                .effect(english!(
                    "the learning rate schedule spans the new length; earlier epochs used the old one, so the result \
                     differs from a run of this length from the start"
                ))
                .by_flag(ResumeFlag::Thawed("New total of epochs: changes the last phase; adds a phase to a finished run")),
        }
        /// Part to train: "head", "neck" (neck and head of RTMDet and YOLOX; the other detectors' neck is part of their head), "all", or "from:STAGE" (that stage and all after it)
        train: Train {
            default: required "head, neck, all or from:STAGE",
            range: Range::any(),
            flag: Flag::None,
            resume: Resume::FIXED_IN_PHASE,
        }
        /// How the head is found while the backbone is frozen
        head: HeadKind {
            default: rule ("ridge while the whole backbone is frozen; linear for detectors, and where an option of its steps is given", |phase: &PhaseContext| phase.head),
            range: Range::any(),
            flag: Flag::Phases {
                value: "HEAD",
                frozen: Some(PhaseFlag {
                    name: "head",
                    documentation: "How the head is found while the backbone is frozen. A ridge head is solved once, so its phase is one epoch",
                    default: "ridge; linear for detectors, and where an option of its steps is given, such as a learning rate",
                }),
                thawed: None,
            },
            resume: Resume::FIXED_IN_PHASE,
            stored: #[serde(default = "trained_by_steps")],
        }
        /// Layers that a ridge head reads: "auto", "last", or names of stages and convolutions, whose input is read, besides the last
        head_layers: HeadLayers {
            default: rule ("auto", |_: &PhaseContext| HeadLayers::Auto),
            range: Range::any(),
            flag: Flag::Phases {
                value: "LAYERS",
                frozen: Some(PhaseFlag {
                    name: "head_layers",
                    documentation: "Layers that a ridge head reads: auto, last, or names of stages and convolutions, whose input is read, besides the last",
                    default: "auto: late layers of each network (docs/small-data.md)",
                }),
                thawed: None,
            },
            resume: Resume::FIXED_IN_PHASE,
            stored: #[serde(default, skip_serializing_if = "HeadLayers::is_auto")],
        }
        /// Batch size, or auto
        batch: Auto<usize> {
            default: later ("auto", |phase: &PhaseContext| phase.batch),
            range: Range::of(english!("from 1 to 65536"), |images| (1..=65_536).contains(images)),
            flag: Flag::Phases {
                value: "N",
                frozen: Some(PhaseFlag {
                    name: "freeze_batch",
                    documentation: "Batch size while the backbone is frozen, or auto",
                    default: "auto (32; 8 for detectors; smaller for small data or little memory)",
                }),
                thawed: Some(PhaseFlag {
                    name: "batch",
                    documentation: "Batch size after the thaw, or auto",
                    default: "auto (16; 8 for detectors; smaller for small data or little memory)",
                }),
            },
            resume: Resume::EDITED
                .effect(english!(
                    "the steps differ from here on, so the result does too; each image is still seen once per epoch"
                ))
                // A new value is a number: `auto` would need the measurements of a new run.
                .by_flag(ResumeFlag::Phases {
                    frozen: "Batch size while the backbone is frozen",
                    thawed: "Batch size after the thaw",
                }),
        }
        /// Micro-batch size (gradient accumulation): images processed at once if the batch does not fit into memory
        micro_batch: usize {
            default: optional "the whole batch, or less if memory is scarce",
            range: Range::of(english!("from 1 to 65536"), |images| (1..=65_536).contains(images)),
            flag: Flag::None,
            resume: Resume::EDITED.effect(english!(
                "batch norm statistics (unless frozen) and a detector's loss are computed per micro-batch, so the result \
                 may differ slightly"
            )),
            stored: #[serde(default, skip_serializing_if = "Option::is_none")],
        }
        /// Highest learning rate of the phase. The default follows the batch: an automatic one by the square root (with sgd in proportion), and any in proportion where RTMDet or YOLOX begin with their weights
        lr: f64 {
            default: later ("the optimizer's; it follows the batch", |phase: &PhaseContext| {
                let [frozen, thawed] = (phase.defaults.learning_rates)(phase.optimizer);
                let factor = (phase.defaults.lr_factor)(phase.optimizer, phase.usual_batch, phase.batch);
                factor * if phase.is_thawed() { thawed } else { frozen }
            }),
            range: Range::of(english!("a positive number"), |lr| (f64::MIN_POSITIVE..=f64::MAX).contains(lr)),
            flag: Flag::Phases {
                value: "RATE",
                frozen: Some(PhaseFlag {
                    name: "freeze_lr",
                    documentation: "Highest learning rate while the backbone is frozen",
                    default: "3e-3, 3e-2 with sgd; 1e-3, 1e-2 for detectors; RTMDet and YOLOX from their weights at a batch of 8: 1e-3, 5e-3",
                }),
                thawed: Some(PhaseFlag {
                    name: "lr",
                    documentation: "Highest learning rate after the thaw",
                    default: "3e-4, 3e-3 with sgd; vision transformers from their weights: 6.25e-5, 1e-3; ConvNeXt from its weights: 5e-5, 3e-3; 1e-3, 1e-2 for detectors; RTMDet and YOLOX from their weights at a batch of 8: 3e-4, 1.25e-3",
                }),
            },
            resume: Resume::EDITED
                .effect(english!("applies to the rest of the phase"))
                .by_flag(ResumeFlag::AsInTrain),
        }
        /// Learning rate schedule of the phase
        schedule: ScheduleKind {
            default: rule ("cosine", |_: &PhaseContext| ScheduleKind::Cosine),
            range: Range::any(),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Share of the phase's steps over which the learning rate rises from zero
        warmup: f64 {
            default: rule ("0.1 after the thaw, 0.05 for vision transformers from their weights; else 0", |phase: &PhaseContext| {
                if phase.is_thawed() { phase.defaults.warmup } else { 0.0 }
            }),
            range: Range::of(english!("from 0 to 1"), |share| (0.0..=1.0).contains(share)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Factor on the learning rate from each group of layers to the next one closer to the input
        layer_decay: f64 {
            // Without pretrained features there is nothing in lower layers to protect.
            default: rule ("with pretrained weights 0.75, for a classifier of ConvNeXt 0.8; else 1", |phase: &PhaseContext| {
                if phase.pretrained { phase.defaults.layer_decay } else { 1.0 }
            }),
            range: Range::of(english!("above 0 and at most 1"), |factor| (1e-6..=1.0).contains(factor)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Statistics of batch norm in the trained part
        batch_norm: BatchNorm {
            default: rule ("frozen for classifiers in small batches after the thaw, else batch", |phase: &PhaseContext| {
                if phase.pretrained && phase.is_thawed() && phase.has_small_batches() {
                    phase.defaults.small_batch_norm
                } else {
                    BatchNorm::Batch
                }
            }),
            range: Range::any(),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Optimizer
        optimizer: OptimizerKind {
            default: rule ("adamw", |phase: &PhaseContext| phase.optimizer),
            range: Range::any(),
            flag: Flag::Value("OPTIMIZER"),
            resume: Resume::FIXED_IN_PHASE,
            above_the_phases: optimizer,
        }
        /// Weight decay; not applied to norms, biases, layer scales, tokens and positions
        weight_decay: f64 {
            default: later ("adamw: 0.01 to 0.1, more for fewer images; 0.05 for detectors, vision transformers and ConvNeXt, 1e-8 for a classifier of ConvNeXt from its weights; sgd: 5e-4, 0 for vision transformers from their weights; adam: 0", |phase: &PhaseContext| {
                (phase.defaults.weight_decay)(phase.optimizer, phase.pretrained, phase.images)
            }),
            range: Range::of(english!("0 or more"), |decay| (0.0..=f64::MAX).contains(decay)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Share of the target that is spread over all classes
        label_smoothing: f64 {
            default: later ("up to 0.1, less for fewer images; 0 for detectors", |phase: &PhaseContext| {
                (phase.defaults.label_smoothing)(phase.pretrained, phase.images)
            }),
            range: Range::of(english!("from 0 to 0.99"), |share| (0.0..=0.99).contains(share)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Maximum global gradient norm; 0 disables clipping
        clip_norm: f64 {
            default: rule ("0", |_: &PhaseContext| 0.0),
            range: Range::of(english!("0 (no limit) or more"), |norm| (0.0..=f64::MAX).contains(norm)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// End a phase after this many epochs without improvement; 0 trains all epochs
        patience: usize {
            default: later ("20 to 50, fewer for fewer images; 0 for detectors", |phase: &PhaseContext| {
                (phase.defaults.patience)(phase.pretrained, phase.images)
            }),
            range: Range::of(english!("from 0 to 100000"), |epochs| *epochs <= 100_000),
            flag: Flag::Value("EPOCHS"),
            resume: Resume::EDITED,
            above_the_phases: patience,
            stored: #[serde(default)],
        }
        /// Decay of the exponential moving average (EMA) of the parameters, which is evaluated and kept; 0 for none
        ema_decay: f64 {
            default: later ("1 − 10 ÷ steps after the thaw, at most 0.9999; 0.9998 for detectors", |phase: &PhaseContext| {
                (phase.defaults.moving_average)(phase.train, phase.steps())
            }),
            range: Range::of(english!("from 0 to below 1"), |decay| (0.0..=0.999_999).contains(decay)),
            flag: Flag::None,
            resume: Resume::EDITED,
            stored: #[serde(default)],
        }
        /// Dropout probability before the classifier
        dropout: f64 {
            default: optional "the architecture's own",
            range: Range::of(english!("from 0 to 0.99"), |share| (0.0..=0.99).contains(share)),
            flag: Flag::None,
            resume: Resume::EDITED,
            stored: #[serde(default, skip_serializing_if = "Option::is_none")],
        }
        /// Probability of leaving the last residual branch out for an image (stochastic depth); earlier branches have a share of it
        stochastic_depth: f64 {
            default: optional "the architecture's own: 0.2 for EfficientNet-B0 to B2, 0 for others",
            range: Range::of(english!("from 0 to 0.9"), |share| (0.0..=0.9).contains(share)),
            flag: Flag::None,
            resume: Resume::EDITED,
            stored: #[serde(default, skip_serializing_if = "Option::is_none")],
        }
        /// Handling of class imbalance
        balance: Balance {
            default: later ("if classes are rare in training but not in validation: prior with a ridge head, else loss; otherwise none", |phase: &PhaseContext| {
                scaling::balance(phase.images, phase.head)
            }),
            range: Range::any(),
            flag: Flag::Value("BALANCE"),
            resume: Resume::EDITED,
            above_the_phases: balance,
            stored: #[serde(default)],
        }
        /// Random views per image while layers are frozen; their features are computed once and cached. "fresh": a new view every epoch, not cached
        views: Views {
            // Above another boundary features are large, and fill a disk.
            default: rule ("8 where the whole backbone is frozen, 2 for detectors; else fresh", |phase: &PhaseContext| {
                match phase.train {
                    Train::Head => Views::Number(phase.defaults.views),
                    Train::From(_) | Train::All => Views::Fresh,
                }
            }),
            range: Range::of(english!("\"fresh\", or from 1 to 1000"), |views| match views {
                Views::Fresh => true,
                Views::Number(views) => (1..=1000).contains(views),
            }),
            flag: Flag::Phases {
                value: "N",
                frozen: Some(PhaseFlag {
                    name: "views",
                    documentation: "Random views per image while layers are frozen; their features are computed once and cached. \"fresh\": a new view every epoch, not cached",
                    default: "8; 2 for detectors",
                }),
                thawed: None,
            },
            resume: Resume::EDITED,
            stored: #[serde(default)],
        }
    }
}

fn yes() -> bool {
    true
}

/// The device of runs of earlier versions.
fn processor() -> DeviceName {
    DeviceName::Cpu
}

/// The order of the images in runs of earlier versions.
fn listed() -> Shuffle {
    Shuffle::List
}

/// The parts of a batch in runs of earlier versions.
fn one_shard() -> usize {
    1
}

/// The head of phases that earlier versions wrote.
fn trained_by_steps() -> HeadKind {
    HeadKind::Linear
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskKind;

    fn all() -> impl Iterator<Item = &'static OptionInfo> {
        RUN_OPTIONS.iter().chain(PHASE_OPTIONS)
    }

    #[test]
    fn every_flag_sets_its_option() {
        let known = |set: Result<(), String>| {
            set.map_or_else(|error| !error.contains("no option"), |()| true)
        };
        for option in all() {
            let mut draft = Draft::default();
            let text = OsStr::new("7");
            let is_set = match option.flag {
                Flag::None => true,
                Flag::Value(_) => known(draft.set(option.key, text)),
                Flag::Switch { value, .. } => draft.set(option.key, OsStr::new(value)) == Ok(()),
                Flag::Phases { .. } => known(draft.thawed.set(option.key, text)),
            };
            assert!(is_set, "{}", option.key);
        }
    }

    #[test]
    fn defaults_in_words_are_those_of_the_rules() {
        let text = "data = 'd'\nmodel = 'm'\nweights = 'w'";
        let draft: Draft = toml::from_str(text).unwrap();
        let recipe = draft.resolve(224, None).unwrap();
        let of_run = serde_json::to_value(&recipe).unwrap();
        let of_phase = serde_json::to_value(&recipe.phases[1]).unwrap();
        let mut compared = 0;
        for (options, values) in [(RUN_OPTIONS, of_run), (PHASE_OPTIONS, of_phase)] {
            for option in options {
                let is_value = (option.parse)(OsStr::new(option.default)).is_ok();
                // Any text is a value of an option that has neither choices nor a default of its own.
                let value = values.get(option.key).filter(|_| is_value);
                let Some(value) = value.filter(|_| !["", "auto"].contains(&option.default)) else {
                    continue;
                };
                let words = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let number = |text: &str| text.parse::<f64>().ok();
                let is_same = words == option.default
                    || number(&words)
                        .is_some_and(|number_of| number(option.default) == Some(number_of));
                assert!(is_same, "{}: {words}, not {}", option.key, option.default);
                compared += 1;
            }
        }
        assert!(compared >= 8, "{compared}");
    }

    #[test]
    fn defaults_in_words_are_those_of_the_tasks() {
        let [classify, detect] = [TaskKind::Classify, TaskKind::Detect].map(TaskKind::defaults);
        let fine_tuned = Draft {
            task: Some(TaskKind::Detect),
            model: Some("rtmdet_tiny".to_owned()),
            weights: Some("w.pth".to_owned()),
            ..Draft::default()
        };
        let fine_tuned = fine_tuned.defaults();
        let flags = |key: &str| {
            let mut options = PHASE_OPTIONS.iter();
            let option = options.find(|option| option.key == key).unwrap();
            let Flag::Phases { frozen, thawed, .. } = option.flag else {
                panic!("{key}")
            };
            [frozen, thawed].map(|flag| flag.map_or("", |flag| flag.default))
        };
        let [_, epochs] = flags("epochs");
        assert_eq!(
            epochs,
            format!(
                "{}; {} for detectors, {} for RTMDet and YOLOX from their weights",
                classify.epochs, detect.epochs, fine_tuned.epochs
            )
        );
        let [views, _] = flags("views");
        assert_eq!(
            views,
            format!("{}; {} for detectors", classify.views, detect.views)
        );
        for (words, place) in flags("batch").into_iter().zip(0..) {
            let [one, other] = [classify, detect].map(|defaults| defaults.batches[place]);
            let start = format!("auto ({one}; {other} for detectors");
            assert!(words.starts_with(&start), "{words}");
        }
        let sizes = all()
            .find(|option| option.key == Key::IMAGE_SIZE.0)
            .unwrap();
        assert_eq!(
            sizes.range,
            format!("from {} to {}", IMAGE_SIZES.start(), IMAGE_SIZES.end())
        );
    }
}
