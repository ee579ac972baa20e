//! Which images are held out for validation, where no list or folder says so.

use crate::error::DataError;
use crate::random::{Purpose, stream};
use rand_chacha::rand_core::Rng;
use std::collections::BinaryHeap;
use std::path::Path;
use warmstart_language::{english, translated};

fn check_share(val_split: f64) -> Result<(), DataError> {
    if val_split > 0.0 && val_split < 1.0 {
        return Ok(());
    }
    let (name, expected) = ("val_split", english!("a fraction above 0 and below 1"));
    Err(DataError::OutOfRange {
        name,
        expected: translated(expected),
        found: val_split.to_string(),
    })
}

/// For each of some images, whether it goes to validation: the share `val_split` of them does, rounded, and
/// never all. They are drawn by the path below `root`.
pub(crate) fn drawn<'a>(
    paths: impl ExactSizeIterator<Item = &'a Path>,
    root: &Path,
    val_split: f64,
    seed: u64,
) -> Result<Vec<bool>, DataError> {
    check_share(val_split)?;
    let all = paths.len();
    let wanted = (all as f64 * val_split).round() as usize;
    let count = wanted.min(all.saturating_sub(1));
    // The smallest numbers so far. All of them would take much memory: a class may have a million images.
    let mut smallest = BinaryHeap::with_capacity(count);
    for (index, path) in paths.enumerate() {
        let number = (draw(seed, root, path), index);
        if smallest.len() < count {
            smallest.push(number);
        } else if let Some(mut largest) = smallest.peek_mut()
            && number < *largest
        {
            *largest = number;
        }
    }
    let mut chosen = vec![false; all];
    for (_, index) in smallest {
        chosen[index] = true;
    }
    Ok(chosen)
}

/// The number that decides whether an image goes to validation.
fn draw(seed: u64, root: &Path, path: &Path) -> u64 {
    let mut hasher = blake3::Hasher::new();
    // By component, so that the separator of the system does not count.
    for part in path.strip_prefix(root).unwrap_or(path).components() {
        hasher
            .update(part.as_os_str().as_encoded_bytes())
            .update(b"/");
    }
    let mut start = [0; 8];
    start.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    stream(seed, 0, u64::from_le_bytes(start), Purpose::Split).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn those_of_the_smallest_numbers_are_drawn() {
        let paths: Vec<PathBuf> = (0..200)
            .map(|number| PathBuf::from(format!("data/cat/{number}.jpg")))
            .collect();
        let root = Path::new("data");
        let mut order: Vec<usize> = (0..paths.len()).collect();
        order.sort_by_key(|&index| draw(7, root, &paths[index]));
        for (val_split, count) in [(0.001, 0), (0.2, 40), (0.5, 100), (0.999, 199)] {
            let each = paths.iter().map(PathBuf::as_path);
            let chosen = drawn(each, root, val_split, 7).unwrap();
            let mut expected = vec![false; paths.len()];
            for &index in &order[..count] {
                expected[index] = true;
            }
            assert_eq!(chosen, expected, "{val_split}");
        }
    }
}
