//! The commands of warmstart, one file each.
//!
//! Each takes a request, calls the crates below in the order of execution, and returns a result. Progress is reported
//! as events; nothing here prints.

pub mod box_labels;
mod common;
pub mod compare;
mod complete;
pub mod convert;
pub mod cross_validate;
pub mod demo;
pub mod devices;
pub mod export;
pub mod features;
pub mod init_check;
pub mod inspect;
pub mod labels;
mod library_classifiers;
pub mod lr_find;
pub mod models;
pub mod named_weights;
pub mod new_recipe;
pub mod plan;
mod prepare;
pub mod rank;
mod recognise;
pub mod report;
pub mod resume;
pub mod run_data;
pub mod settle_data;
pub mod train;
mod twins;

/// Starts the pool of threads for computing. To be called once.
///
/// # Errors
/// If the pool exists already or the system refuses.
pub fn use_threads(count: usize) -> Result<(), rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .num_threads(count)
        .build_global()
}
