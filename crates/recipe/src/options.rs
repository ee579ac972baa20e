//! The options of a recipe: the one place where each is declared.
//!
//! Name, documentation, type, default (a rule, and the words that help prints), range, flag, and what `resume` may do
//! with it. Everything else follows (`declare.rs`): TOML, flags, help, checks, the words for a difference, and the
//! table in docs/recipes/options.md. Options whose default is `later` are decided once the data and the machine are
//! known, where the user leaves them open.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use warmstart_data::Fit;

use crate::augmentation::Augmentation;
use crate::checkpoint_every::CheckpointEvery;
use crate::choices::{Balance, BatchNorm, OnNonFinite, OptimizerKind, ScheduleKind, TaskKind};
use crate::declare::{
    checked_value, default_words, is_decided_later, options, resolved, stored_type,
};
use crate::defaults::TaskDefaults;
use crate::draft_augmentation::DraftAugmentation;
use crate::error::Error;
use crate::folds::FoldId;
use crate::init::Init;
use crate::keep::Keep;
use crate::memory::Memory;
use crate::option::{Flag, OptionInfo, PhaseFlag, Range, Resume};
use crate::scaling::{self, TrainingImages};
use crate::train::Train;
use crate::user_value::{Auto, UserValue};
use crate::views::Views;
use warmstart_files::Key;

/// Value of `weights` for a start from scratch.
pub const NO_WEIGHTS: &str = "none";
/// Share of the images that becomes the validation split, where the data set has none.
pub const VAL_SPLIT: f64 = 0.2;
/// Seed of a recipe that gives none.
pub const SEED: u64 = 42;
/// Share of a thaw's steps over which its learning rate rises.
pub const THAW_WARMUP: f64 = 0.1;
/// docs/decisions/0003-layer-decay-by-group.md
const LAYER_DECAY: f64 = 0.75;
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
    pub epochs: usize,
    pub optimizer: OptimizerKind,
    pub batch: usize,
    /// Batch that the default learning rates are for, where the batch is left open; else the batch.
    pub usual_batch: usize,
}

impl PhaseContext<'_> {
    fn is_thawed(&self) -> bool {
        *self.train != Train::Head
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
        /// Folder of the data set, or its data.yaml
        data: PathBuf {
            default: required "DIR",
            range: Range::any(),
            flag: Flag::Value("DIR"),
            resume: Resume::EDITED
                .effect("")
                .by_flag("The data set, where it has moved: the same files, sizes and labels"),
        }
        /// Architecture: mobilenet_v2, resnet18, resnet34 or resnet50
        model: String {
            default: required "NAME",
            range: Range::any(),
            flag: Flag::Value("NAME"),
            resume: Resume::EDITED,
        }
        /// Pretrained file (.pth, .pt, .safetensors, .index.json), the folder of another run, or "none" to start from scratch
        weights: String {
            default: required "FILE",
            range: Range::any(),
            flag: Flag::Value("FILE"),
            resume: Resume::EDITED,
        }
        /// Prefix of the tensors to take, where the file has several copies of the network, such as encoder_q
        weights_prefix: String {
            default: optional
                "the copy with most tensors; among equals, learned weights before their moving average, a teacher before its student",
            range: Range::any(),
            flag: Flag::Value("PREFIX"),
            resume: Resume::EDITED,
            stored: #[serde(default, skip_serializing_if = "Option::is_none")],
        }
        /// Task: classification or detection
        task: TaskKind {
            default: rule ("detect where the data have boxes, else classify", |run: &RunContext| run.task),
            range: Range::any(),
            flag: Flag::Value("TASK"),
            resume: Resume::EDITED,
        }
        /// Share of each class (of the images, where they have boxes) used for validation, where the data have no val/
        val_split: f64 {
            default: rule ("0.2", |_: &RunContext| VAL_SPLIT),
            range: Range::of("between 0 and 1", |share| *share > 0.0 && *share < 1.0),
            flag: Flag::Value("SHARE"),
            resume: Resume::EDITED,
        }
        /// Initialization of weights that no file gives: normal(0.02), trunc_normal(0.02), xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal(out), orthogonal or lsuv
        init: Init {
            default: rule ("as torchvision", |_: &RunContext| Init::default()),
            range: Range::any(),
            flag: Flag::Value("SCHEME"),
            resume: Resume::EDITED,
        }
        /// Whether to accept a file that covers less than 95% of the backbone, or lacks its first layer
        allow_partial: bool {
            default: rule ("false", |_: &RunContext| false),
            range: Range::any(),
            flag: Flag::Switch {
                name: "allow_partial",
                value: "true",
                documentation: "Accept a file that covers less than 95% of the backbone, or lacks its first layer",
            },
            resume: Resume::EDITED,
        }
        /// Seed of everything random
        seed: u64 {
            default: rule ("42", |_: &RunContext| SEED),
            range: Range::any(),
            flag: Flag::Value("SEED"),
            resume: Resume::EDITED,
        }
        /// Edge of the square image that goes into the network, in pixels
        image_size: usize {
            default: rule ("the model's own; 320 for detectors, which need a multiple of 32", |run: &RunContext| {
                run.task.defaults().image_size.unwrap_or(run.native_image_size)
            }),
            range: Range::of("from 32 to 2048", |size| (32..=2048).contains(size)),
            flag: Flag::Value("PIXELS"),
            resume: Resume::EDITED,
        }
        /// How a picture fills the network's square
        fit: Auto<Fit> {
            default: later ("auto; letterbox for detectors", |run: &RunContext| run.task.defaults().fit),
            range: Range::any(),
            flag: Flag::Value("FIT"),
            resume: Resume::EDITED,
            stored: #[serde(default)],
        }
        /// Checkpoints kept, besides those of the best epoch and of each phase's last; or "all"
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
        /// Treatment of a step whose loss or gradient is not finite
        on_nonfinite: OnNonFinite {
            default: rule ("stop", |_: &RunContext| OnNonFinite::Stop),
            range: Range::any(),
            flag: Flag::Value("TREATMENT"),
            resume: Resume::EDITED
                .by_flag("Treatment of a step whose loss or gradient is not finite, from here on"),
            stored: #[serde(default)],
        }
        /// Steps between two checks of gradients, updates and activations, besides that at each epoch's end
        health_every: usize {
            default: optional "only at each epoch's end",
            range: Range::of("a number of steps from 1", |steps| *steps > 0),
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
                documentation: "Keep the epoch with the highest figure, even if the thaw does not significantly beat the frozen model",
            },
            resume: Resume::EDITED
                .by_flag(""),
            stored: #[serde(default = "yes")],
        }
        /// Memory limit, such as 6GiB
        memory: Memory {
            default: rule ("auto: nine tenths of the available memory", |_: &RunContext| Memory::Auto),
            range: Range::any(),
            flag: Flag::Value("SIZE"),
            resume: Resume::EDITED
                .effect("")
                .by_flag("Memory limit from here on, such as 6GiB, or auto"),
            stored: #[serde(default, skip_serializing_if = "Memory::is_auto")],
        }
    }
    phase {
        /// Passes over the training images
        epochs: usize {
            default: required "a number",
            range: Range::of("from 1 to 100000", |epochs| (1..=100_000).contains(epochs)),
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
                    default: "14; 20 for detectors",
                }),
            },
            resume: Resume::EDITED
                .effect(
                    "the learning rate falls over the new length; earlier epochs were trained at the old one's rates, so \
                     the result is not that of a run of this length from the start",
                )
                .by_flag("New total of epochs: the last phase gets longer or shorter; a finished run gets another phase"),
        }
        /// Part that learns: "head", "all", or "from:STAGE" on; the rest is frozen
        train: Train {
            default: required "head, all or from:STAGE",
            range: Range::any(),
            flag: Flag::None,
            resume: Resume::FIXED_IN_PHASE,
        }
        /// Images a step, or auto
        batch: Auto<usize> {
            default: later ("auto", |phase: &PhaseContext| phase.batch),
            range: Range::of("from 1 to 65536", |images| (1..=65_536).contains(images)),
            flag: Flag::Phases {
                value: "N",
                frozen: Some(PhaseFlag {
                    name: "freeze_batch",
                    documentation: "Images a step while the backbone is frozen, or auto",
                    default: "auto: 32, 8 for detectors, or less for small data or little memory",
                }),
                thawed: Some(PhaseFlag {
                    name: "batch",
                    documentation: "Images a step after the thaw, or auto",
                    default: "auto: 16, 8 for detectors, or less for small data or little memory",
                }),
            },
            resume: Resume::EDITED
                .effect("other steps from here on, so another result; each image is still seen once an epoch")
                .by_flag(""),
        }
        /// Images that go through the trained part at a time, where the batch does not fit into memory; their gradients are averaged
        micro_batch: usize {
            default: optional "the whole batch, or fewer where memory is scarce",
            range: Range::of("from 1 to 65536", |images| (1..=65_536).contains(images)),
            flag: Flag::None,
            resume: Resume::EDITED.effect(
                "batch norm's statistics, where it does not keep its own, and a detector's loss are computed over these, \
                 so the result may differ a little",
            ),
            stored: #[serde(default, skip_serializing_if = "Option::is_none")],
        }
        /// Highest learning rate of the phase
        lr: f64 {
            default: later ("the optimizer's; it follows an automatic batch", |phase: &PhaseContext| {
                let [frozen, thawed] = (phase.defaults.learning_rates)(phase.optimizer);
                let factor = scaling::lr_factor(phase.optimizer, phase.usual_batch, phase.batch);
                factor * if phase.is_thawed() { thawed } else { frozen }
            }),
            range: Range::of("a positive number", |lr| (f64::MIN_POSITIVE..=f64::MAX).contains(lr)),
            flag: Flag::Phases {
                value: "RATE",
                frozen: Some(PhaseFlag {
                    name: "freeze_lr",
                    documentation: "Highest learning rate while the backbone is frozen",
                    default: "3e-3, 3e-2 with sgd; 1e-3, 1e-2 for detectors",
                }),
                thawed: Some(PhaseFlag {
                    name: "lr",
                    documentation: "Highest learning rate after the thaw",
                    default: "3e-4, 3e-3 with sgd; 1e-3, 1e-2 for detectors",
                }),
            },
            resume: Resume::EDITED
                .effect("the rest of the phase learns at this rate, unlike the steps before")
                .by_flag(""),
        }
        /// How the learning rate changes over the phase
        schedule: ScheduleKind {
            default: rule ("cosine", |_: &PhaseContext| ScheduleKind::Cosine),
            range: Range::any(),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Share of the phase's steps over which the learning rate rises from zero
        warmup: f64 {
            default: rule ("0.1 after the thaw, else 0", |phase: &PhaseContext| {
                if phase.is_thawed() { THAW_WARMUP } else { 0.0 }
            }),
            range: Range::of("from 0 to 1", |share| (0.0..=1.0).contains(share)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Factor on the learning rate from one group of layers to the next one nearer to the image
        layer_decay: f64 {
            // Without pretrained features there is nothing in lower layers to protect.
            default: rule ("0.75 with pretrained weights, else 1", |phase: &PhaseContext| {
                if phase.pretrained { LAYER_DECAY } else { 1.0 }
            }),
            range: Range::of("above 0 and at most 1", |factor| (1e-6..=1.0).contains(factor)),
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
        /// Pull of the weights towards zero; none on norms and biases
        weight_decay: f64 {
            default: later ("adamw: 0.01 to 0.1, more for fewer images, 0.05 for detectors; sgd: 5e-4; adam: 0", |phase: &PhaseContext| {
                (phase.defaults.weight_decay)(phase.optimizer, phase.pretrained, phase.images)
            }),
            range: Range::of("0 or more", |decay| (0.0..=f64::MAX).contains(decay)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Share of the target that is spread over all classes
        label_smoothing: f64 {
            default: later ("up to 0.1, less for fewer images; 0 for detectors", |phase: &PhaseContext| {
                (phase.defaults.label_smoothing)(phase.pretrained, phase.images)
            }),
            range: Range::of("from 0 to 0.99", |share| (0.0..=0.99).contains(share)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// Largest global norm of the gradients; 0 for no limit
        clip_norm: f64 {
            default: rule ("0", |_: &PhaseContext| 0.0),
            range: Range::of("0 (no limit) or more", |norm| (0.0..=f64::MAX).contains(norm)),
            flag: Flag::None,
            resume: Resume::EDITED,
        }
        /// End a phase after this many epochs without improvement; 0 trains all epochs
        patience: usize {
            default: later ("20 to 50, fewer for fewer images; 0 for detectors", |phase: &PhaseContext| {
                (phase.defaults.patience)(phase.pretrained, phase.images)
            }),
            range: Range::of("from 0 to 100000", |epochs| *epochs <= 100_000),
            flag: Flag::Value("EPOCHS"),
            resume: Resume::EDITED,
            above_the_phases: patience,
            stored: #[serde(default)],
        }
        /// Decay of the exponential moving average (EMA) of the parameters, which is evaluated and kept; 0 for none
        ema_decay: f64 {
            default: later ("an average over a tenth of a thaw's steps; 0.9998 for detectors", |phase: &PhaseContext| {
                (phase.defaults.moving_average)(phase.train, phase.steps())
            }),
            range: Range::of("from 0 to below 1", |decay| (0.0..=0.999_999).contains(decay)),
            flag: Flag::None,
            resume: Resume::EDITED,
            stored: #[serde(default)],
        }
        /// Probability that a feature is left out in front of the classifier
        dropout: f64 {
            default: optional "the architecture's own",
            range: Range::of("from 0 to 0.99", |share| (0.0..=0.99).contains(share)),
            flag: Flag::None,
            resume: Resume::EDITED,
            stored: #[serde(default, skip_serializing_if = "Option::is_none")],
        }
        /// How to handle class imbalance
        balance: Balance {
            default: later ("loss where classes are rare in training and not in validation, else none", |phase: &PhaseContext| {
                scaling::balance(phase.images)
            }),
            range: Range::any(),
            flag: Flag::Value("BALANCE"),
            resume: Resume::EDITED,
            above_the_phases: balance,
            stored: #[serde(default)],
        }
        /// Views of each image while part of the network is frozen, whose features are computed once and cached; "fresh" is a new view in every epoch
        views: Views {
            // Above another boundary features are large, and fill a disk.
            default: rule ("8 where the whole backbone is frozen, 2 for detectors; else fresh", |phase: &PhaseContext| {
                match phase.train {
                    Train::Head => Views::Number(phase.defaults.views),
                    Train::From(_) | Train::All => Views::Fresh,
                }
            }),
            range: Range::of("\"fresh\", or from 1 to 1000", |views| match views {
                Views::Fresh => true,
                Views::Number(views) => (1..=1000).contains(views),
            }),
            flag: Flag::Phases {
                value: "N",
                frozen: Some(PhaseFlag {
                    name: "views",
                    documentation: "Views of each image in the frozen phase, whose features are computed once and cached; \"fresh\" is a new view in every epoch",
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
