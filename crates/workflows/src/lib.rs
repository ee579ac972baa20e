//! The commands of warmstart, a file each.
//!
//! Each takes a request, calls the crates below in the order in which things happen, and returns a result; events are
//! reported, and nothing here prints.

pub mod cross_validate;
pub mod init_check;
pub mod inspect;
pub mod lr_find;
pub mod plan;
mod prepare;
pub mod rank;
pub mod resume;
pub mod run_data;
pub mod train;

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
