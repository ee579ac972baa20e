//! Which images are held out for validation, where no list or folder says so.

use crate::error::DataError;
use crate::random::{Purpose, stream};
use rand_chacha::rand_core::Rng;
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
pub(crate) fn drawn(
    paths: &[&Path],
    root: &Path,
    val_split: f64,
    seed: u64,
) -> Result<Vec<bool>, DataError> {
    check_share(val_split)?;
    let wanted = (paths.len() as f64 * val_split).round() as usize;
    let count = wanted.min(paths.len().saturating_sub(1));
    let mut order: Vec<(u64, usize)> = (0..paths.len())
        .map(|index| (draw(seed, root, paths[index]), index))
        .collect();
    order.sort_unstable();
    let mut chosen = vec![false; paths.len()];
    for (_, index) in &order[..count] {
        chosen[*index] = true;
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
