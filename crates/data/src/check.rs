//! Decoding every image once before anything is trained on them.

use crate::decode::decode;
use crate::error::{DataError, some_of};
use crate::sample::Sample;
use crate::sketch::Sketch;
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Images that can be decoded, and those that cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<L = usize> {
    /// Those that can, in the order given.
    pub readable: Vec<Sample<L>>,
    /// A sketch of each of them, in the same order.
    pub sketches: Vec<Sketch>,
    /// Those that cannot, in the order given, with a message that names the file.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Decodes and sketches every image, on all threads of the current rayon pool.
///
/// `progress` is called after each image with the number done and the total, from any thread and
/// not always in rising order.
pub fn check<L: Clone + Sync>(
    samples: &[Sample<L>],
    progress: impl Fn(usize, usize) + Sync,
) -> Checked<L> {
    let done = AtomicUsize::new(0);
    let results: Vec<Result<Sketch, String>> = samples
        .par_iter()
        .map(|sample| {
            let result = decode(&sample.path).map(|image| Sketch::of(&image));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, samples.len());
            result.map_err(|error| error.to_string())
        })
        .collect();
    let mut checked = Checked {
        readable: Vec::new(),
        sketches: Vec::new(),
        unreadable: Vec::new(),
    };
    for (sample, result) in samples.iter().zip(results) {
        match result {
            Ok(sketch) => {
                checked.readable.push(sample.clone());
                checked.sketches.push(sketch);
            }
            Err(reason) => checked.unreadable.push((sample.path.clone(), reason)),
        }
    }
    checked
}

/// Fails if more than the share `limit` (0 to 1; 0.05 is usual) of the images cannot be decoded.
pub fn require_readable<L>(checked: &Checked<L>, limit: f64) -> Result<(), DataError> {
    let unreadable = checked.unreadable.len();
    let total = unreadable + checked.readable.len();
    if unreadable as f64 <= limit * total as f64 {
        return Ok(());
    }
    let reasons: Vec<String> = checked
        .unreadable
        .iter()
        .map(|(_, reason)| reason.clone())
        .collect();
    let percent = limit * 100.0;
    Err(DataError::TooManyUnreadable {
        unreadable,
        total,
        percent,
        examples: some_of(&reasons),
    })
}
