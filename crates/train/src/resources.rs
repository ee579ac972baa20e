//! The resources of a command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use warmstart_data::FeatureCacheFolder;
use warmstart_ranks::Ranks;
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
    /// The processes that train together, as this one sees them.
    pub ranks: Ranks,
}

impl Resources {
    /// Does work that needs the other ranks, which takes at most so long while all of them are there. If it takes longer,
    /// a request to stop ends the process.
    pub fn with_others<R>(&self, most: Duration, work: impl FnOnce() -> R) -> R {
        if self.ranks.is_alone() {
            return work();
        }
        self.stop.waits_until(Some(Instant::now() + most));
        let result = work();
        self.stop.waits_until(None);
        result
    }
}
