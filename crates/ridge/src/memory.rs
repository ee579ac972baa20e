//! Memory of a solver, before there is one.

use crate::product::BAND;
use crate::rows::{BLOCK, SAMPLE};
use crate::solver::kept_limit;

/// Bytes that a product of matrices packs its operands into, on each thread: tiles of 256 × 1,024 and 256 × 64 f64.
const PACKED: u64 = 3 << 20;

/// Bytes that a [`Solver`](crate::Solver) of `images` images with these layers and classes takes at most, solving
/// included, on the threads of the current pool. The formula is in the description of this crate.
pub fn memory(images: usize, layers: &[usize], classes: usize) -> u64 {
    let values: usize = layers.iter().sum();
    let limit = kept_limit(values);
    let (block, band) = (BLOCK as u64, BAND as u64);
    let kept = images.min(limit).next_multiple_of(BLOCK) as u64;
    let folded = images > limit;
    let judged = if folded { SAMPLE } else { images } as u64;
    let size = if folded { values } else { values.min(images) } as u64;
    let (values, classes) = (values as u64, classes as u64);
    let threads = rayon::current_num_threads() as u64;

    // A label is kept with each row, in a vector that may have grown to twice what it holds, and so are the numbers
    // and the hashes of a sample.
    let pending = if folded { 2 * block } else { 0 };
    let rows = (kept + pending) * (4 * values + 64);
    let sums = if folded {
        2 * 8 * values * (values + classes)
    } else {
        0
    };
    let systems = 2 * 8 * size * size;
    let standards = 64 * values;
    // Two candidates of coefficients and scores, the targets of the system, and probabilities.
    let candidates = 8 * classes * (4 * size + 2 * judged) + 4 * classes * judged;
    let heads = (8 + 4) * classes * values;
    // A block of rows or of values, and what the factor keeps beside its matrix.
    let panels = 8 * (block + 2 * band) * size;
    let of_threads = threads * (8 * band * (2 * size + classes) + PACKED);
    rows + sums + systems + standards + candidates + heads + panels + of_threads
}
