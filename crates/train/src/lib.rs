//! Training: recipe → phases → steps → checkpoints, and everything that a finished model is used for.
//!
//! The way of a run: a [`Draft`](recipe::Draft) (file and flags) resolves to a
//! [`Recipe`](recipe::Recipe); [`train`] and [`resume`] open data and weights, and a session goes
//! through the phases, committing a checkpoint after every epoch. What happens is told as
//! [`Event`](event::Event)s; nothing here prints.

mod checkpoint;
pub mod classifier;
pub mod classify;
mod command;
mod course;
pub mod cross_validation;
mod data_files;
pub mod detect;
pub mod detector;
mod error;
pub mod event;
pub mod folds;
pub mod frozen;
pub mod guard;
pub mod health;
pub mod init_check;
mod job;
mod kills;
mod launch;
mod layer_sequential;
mod lock;
pub mod loss;
pub mod lr_find;
pub mod memory;
pub mod model_file;
mod model_metadata;
pub mod near_miss;
pub mod optimizer;
mod path_bytes;
pub mod phase_setup;
pub mod plan;
pub mod preprocessing;
pub mod probe;
pub mod rank;
mod readable;
pub mod recipe;
pub mod record;
mod resume;
mod ridge;
pub mod run;
pub mod run_data;
pub mod runs;
mod saver;
pub mod schedule;
mod session;
mod settle;
pub mod start;
pub mod step;
mod stop;
pub mod suitability;
pub mod task;
pub mod trained;
mod writer;

pub use error::Error;
pub use job::Resources;
pub use launch::{architecture, plan, train};
pub use resume::{Changes, resume};
pub use stop::Stop;

/// SIMD level that the CPU kernels run at.
///
/// # Errors
/// If `WARMSTART_SIMD` asks for a level that this processor lacks; the text is for users.
pub fn simd_level() -> Result<&'static str, String> {
    warmstart_nn::simd_level().map_err(|error| error.to_string())
}

/// Lets a process that a failed allocation ends say so in a line of its own. To be called once, before anything else.
pub fn explain_exhaustion() {
    warmstart_nn::explain_exhaustion();
}

/// Makes the pool of threads that computes. To be called once.
///
/// # Errors
/// If the pool exists already or the system refuses.
pub fn use_threads(count: usize) -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .num_threads(count)
        .build_global()
}
