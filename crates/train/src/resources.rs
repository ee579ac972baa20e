//! The resources of a command.

use std::ffi::OsString;
use std::path::PathBuf;

use warmstart_data::FeatureCacheFolder;
use warmstart_run::stop::Stop;

/// The part of the machine that a command may use; its result does not depend on it.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Threads that prepare images.
    pub workers: usize,
    /// Folder of the cached features of frozen backbones.
    pub cache: Option<FeatureCacheFolder>,
    /// The program, which measures steps and starts again in processes of its own.
    pub program: PathBuf,
    /// Flags of its `resume` that continue a run after a failed allocation, with the same resources.
    pub restart_flags: Vec<OsString>,
    /// Ends the command early.
    pub stop: Stop,
}
