//! A run as one value: what is trained on what, and the list of its phases.
//!
//! [`Draft`] is what a user wrote, in a file or as flags; [`resolve`] turns it into a
//! [`Recipe`], in which every option has a value. The recipe is saved with the run and is all that
//! resuming needs.

mod augmentation;
mod check;
mod checkpoint_every;
mod choices;
pub mod command;
mod declare;
mod defaults;
mod device;
mod difference;
mod draft;
mod draft_augmentation;
mod error;
pub mod folds;
mod head_layers;
mod image_size;
mod init;
mod keep;
mod keys;
mod memory;
mod model_for_task;
mod named_weights;
pub mod near_miss;
mod number_or_word;
mod option;
mod options;
mod phase;
mod read;
mod recipe;
mod resolve;
pub mod run_files;
mod scaling;
mod table;
mod train;
mod two_phases;
mod undecided;
mod user_value;
mod views;

pub use augmentation::Augmentation;
pub use checkpoint_every::CheckpointEvery;
pub use choices::{
    Balance, BatchNorm, HeadKind, OnNonFinite, OptimizerKind, Precision, ScheduleKind, Shuffle,
    TaskKind,
};
pub use defaults::{THAW_WARMUP, TaskDefaults};
pub use draft_augmentation::DraftAugmentation;
pub use error::{Error, Fields, Mistake, Problem};
pub use head_layers::HeadLayers;
pub use image_size::{note_on_image_size, require_whole_patches};
pub use init::Init;
pub use keep::Keep;
pub use keys::has_flag;
pub use memory::{Memory, size_with_unit};
pub use named_weights::{
    DEFAULT_MODEL, USUAL_WEIGHTS, architecture, is_detector, model_names, named_detector,
    named_record, published, settle_names, source_of, weights_file,
};
pub use option::{Flag, OptionInfo, PhaseFlag, Resume, ResumeFlag};
pub use options::{
    Draft, DraftPhase, IMAGE_SIZES, NO_WEIGHTS, PHASE_OPTIONS, Phase, RUN_OPTIONS, Recipe, SEED,
    VAL_SPLIT,
};
pub use recipe::Position;
pub use resolve::{absolute, output_folder, require_weights, resolve};
pub use scaling::{SMALLEST_BATCH, TrainingImages, lr_factor};
pub use table::table;
pub use train::{NECK, Train};
pub use two_phases::phase_flags_given;
pub use undecided::{ByMemory, Undecided};
pub use user_value::{Auto, Choice, UserValue};
pub use views::{View, Views};
pub use warmstart_files::{Key, plain, spell};
