//! Data from elsewhere, for commands that have no flag for the cache.

use std::path::{Path, PathBuf};

use warmstart_run::stop::Stop;
use warmstart_workflows::settle_data;

use super::Failure;
use crate::arguments::usual_cache;
use crate::progress::{Output, Progress};

/// The folder or file of this machine that has the data, which are copied or unpacked where that is needed.
pub fn local_data(data: &Path) -> Result<PathBuf, Failure> {
    let mut progress = Progress::new(Output::BesideResults);
    let cache = usual_cache();
    // Without handlers of signals, the first one ends the process; what has arrived whole stays.
    let stop = Stop::default();
    let local = settle_data::local_data(data, cache.as_ref(), &stop, &mut |event| {
        progress.show(event);
    });
    progress.clear();
    Ok(local?)
}
