//! Decoding every image once before anything is trained on them.

use crate::check_cache::{CheckCache, PictureKey, path_number};
use crate::decode::decode;
use crate::error::{DataError, some_of};
use crate::sample::Sample;
use crate::sketch::Sketch;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Most images that all are sketched of; of more, about so many or half as many are.
pub const SKETCHED: usize = 100_000;

/// Images that are checked together at first, until it is known how many take a second.
const FIRST_TOGETHER: usize = 64;
/// Time between two reports of how many images are checked.
const REPORTED: Duration = Duration::from_secs(1);

/// The sketch of an image, if it has one, or why it cannot be read.
type CheckResult = Result<Option<Box<Sketch>>, Box<str>>;

/// Images that can be decoded, and those that cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<L = usize> {
    /// Those that can, in the order given.
    pub readable: Vec<Sample<L>>,
    /// The places among them of those that have a sketch, rising: all of them up to [`SKETCHED`] images, and of more a
    /// sample that is drawn by their paths, so that the sketches stay within bounds.
    pub sketched: Vec<usize>,
    /// A sketch of each of these, in the same order.
    pub sketches: Vec<Sketch>,
    /// Those that cannot, in the order given, with a message that names the file.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Decodes and sketches every image, on all threads of the current rayon pool.
///
/// `progress` is called after each image with the number done and the total, from any thread and
/// not always in rising order.
pub fn check<L: Sync>(
    samples: Vec<Sample<L>>,
    progress: impl Fn(usize, usize) + Sync,
) -> Checked<L> {
    let (done, all) = (AtomicUsize::new(0), samples.len());
    let results = samples.par_iter().map(|sample| {
        let result = check_one(&sample.path, all, None);
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, all);
        result
    });
    let results = results.collect();
    told_apart(samples, results)
}

/// [`check`], which takes the word of an earlier check for an image of the same path, size and time.
///
/// `progress` is called on this thread with the number done, about once a second.
pub fn check_cached<L: Sync>(
    samples: Vec<Sample<L>>,
    cache: Option<&CheckCache>,
    progress: &mut dyn FnMut(usize),
) -> Checked<L> {
    let all = samples.len();
    let mut results = Vec::with_capacity(all);
    let mut together = FIRST_TOGETHER;
    let mut reported = Instant::now();
    while results.len() < all {
        let began = Instant::now();
        let next = &samples[results.len()..];
        let next = &next[..together.min(next.len())];
        let next = next.par_iter();
        results.par_extend(next.map(|sample| check_one(&sample.path, all, cache)));
        if reported.elapsed() >= REPORTED {
            progress(results.len());
            reported = Instant::now();
        }
        if began.elapsed() < REPORTED / 2 {
            together *= 2;
        }
    }
    told_apart(samples, results)
}

/// The samples that can be read, with their sketches, and those that cannot, by the result of each.
fn told_apart<L>(mut samples: Vec<Sample<L>>, results: Vec<CheckResult>) -> Checked<L> {
    let mut results = results.into_iter();
    let mut place = 0;
    let (mut sketched, mut sketches, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    // In place: a copy of a million samples would be the largest thing in memory.
    samples.retain(|sample| match results.next() {
        Some(Err(reason)) => {
            unreadable.push((sample.path.clone(), String::from(reason)));
            false
        }
        Some(Ok(sketch)) => {
            if let Some(sketch) = sketch {
                sketched.push(place);
                sketches.push(*sketch);
            }
            place += 1;
            true
        }
        None => true,
    });
    Checked {
        readable: samples,
        sketched,
        sketches,
        unreadable,
    }
}

/// The sketch of an image that can be read, if it is among those of `all` that have one, or why it cannot be read.
fn check_one(path: &Path, all: usize, cache: Option<&CheckCache>) -> CheckResult {
    let sketch = sketch_of(path, all, cache);
    sketch.map_err(|error| error.to_string().into_boxed_str())
}

fn sketch_of(
    path: &Path,
    all: usize,
    cache: Option<&CheckCache>,
) -> Result<Option<Box<Sketch>>, DataError> {
    let number = path_number(path);
    // By halves, so that a few images more or less rarely change which of them have one.
    let share = all.div_ceil(SKETCHED).next_power_of_two() as u64;
    let is_sketched = number.is_multiple_of(share);
    let decoded = || {
        let image = decode(path)?;
        Ok(is_sketched.then(|| Box::new(Sketch::of(&image))))
    };
    // Before it is decoded: a change meanwhile is noticed the next time.
    let Some((cache, key)) = cache.and_then(|cache| Some((cache, PictureKey::of(path, number)?)))
    else {
        return decoded();
    };
    let known = cache.find(key, is_sketched);
    let is_known = known.is_some();
    let sketch = known.map_or_else(decoded, Ok)?;
    cache.add(key, sketch.clone(), is_known);
    Ok(sketch)
}

/// Fails if more than the share `limit` (0 to 1; 0.05 is usual) of the images cannot be decoded: those `unreadable`,
/// beside so many that can.
pub fn require_readable(
    readable: usize,
    unreadable: &[(PathBuf, String)],
    limit: f64,
) -> Result<(), DataError> {
    let total = unreadable.len() + readable;
    if unreadable.len() as f64 <= limit * total as f64 {
        return Ok(());
    }
    let reasons: Vec<String> = unreadable
        .iter()
        .map(|(_, reason)| reason.clone())
        .collect();
    let percent = limit * 100.0;
    Err(DataError::TooManyUnreadable {
        unreadable: unreadable.len(),
        total,
        percent,
        examples: some_of(&reasons),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::save_picture;
    use crate::rgb_image::RgbImage;

    fn samples(folder: &Path) -> Vec<Sample> {
        let mut samples = Vec::new();
        for label in 0..6 {
            let path = folder.join(format!("{label}.png"));
            let mut image = RgbImage::black(24, 18);
            image.pixels.fill(40 * label as u8);
            save_picture(&path, &image).unwrap();
            samples.push(Sample { path, label });
        }
        std::fs::write(&samples[2].path, "no picture").unwrap();
        samples
    }

    fn checked(samples: &[Sample], cache: &Path) -> Checked {
        let cache = CheckCache::open(cache, Path::new("data"));
        let checked = check_cached(samples.to_vec(), Some(&cache), &mut |_| ());
        cache.keep().unwrap();
        checked
    }

    #[test]
    fn a_check_finds_the_same_with_a_cache_and_without() {
        let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let samples = samples(folder.path());
        let expected = check(samples.clone(), |_, _| ());
        assert_eq!(expected.sketched, [0, 1, 2, 3, 4]);
        assert_eq!(expected.unreadable.len(), 1);
        for _ in 0..2 {
            assert_eq!(checked(&samples, cache.path()), expected);
        }
    }

    #[test]
    fn an_unchanged_image_is_not_decoded_again_and_a_changed_one_is() {
        let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let samples = samples(folder.path());
        let before = checked(&samples, cache.path());
        // The size and the time of a file that is no picture any more: only the cache says that it can be read.
        let path = &samples[4].path;
        let metadata = std::fs::metadata(path).unwrap();
        let times = std::fs::FileTimes::new().set_modified(metadata.modified().unwrap());
        std::fs::write(path, vec![0u8; metadata.len() as usize]).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_times(times).unwrap();
        assert_eq!(checked(&samples, cache.path()), before);
        std::fs::write(path, "short").unwrap();
        let after = checked(&samples, cache.path());
        assert_eq!(after.unreadable.len(), 2);
        assert_eq!(after.readable.len(), 4);
    }

    #[test]
    fn an_image_that_cannot_be_read_is_tried_again() {
        let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let samples = samples(folder.path());
        checked(&samples, cache.path());
        let again = checked(&samples, cache.path());
        assert_eq!(again.unreadable[0].0, samples[2].path);
    }
}
