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
    /// The program itself, which is started again to measure steps, and after a failed allocation.
    pub program: PathBuf,
    /// Flags that give `resume` the same resources, after a failed allocation.
    pub restart_flags: Vec<OsString>,
    /// Ends the command early.
    pub stop: Stop,
}
