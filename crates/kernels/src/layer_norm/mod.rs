//! Layer normalisation: the channels of each row get mean 0 and variance 1, then a scale and a
//! shift of their own.
//!
//! Ba, Kiros and Hinton, "Layer Normalization", 2016 (arXiv 1607.06450), section 3; a row is one
//! pixel or one token. Each way is one pass over memory: a few rows stay in the L1 cache from their
//! first sum to their last store. A row is summed in one register, whose lanes are added as a tree,
//! so it has the same bits alone and among others. Its mean is found in two steps, the second over
//! the deviations from the first, so a mean far from zero costs no accuracy.
#![allow(unsafe_code, reason = "tiles write disjoint rows of one buffer")]

mod backward;
mod forward;
mod norm;
mod rows;

use std::ops::Range;

use rayon::prelude::*;

use crate::memory::Unwritten;
use crate::simd::dispatch;
use backward::Backward;
use forward::Forward;
pub use norm::{LayerNorm, NormGradients};

/// Values of a tile.
const TILE_VALUES: usize = 32 * 1024;
/// Limits how many rows are summed in f32.
const MAX_TILE_ROWS: usize = 512;

/// Layer normalisation over the channels of `x` `[.., channels]`, with the shift `beta`.
///
/// # Panics
/// If the lengths don't fit.
pub fn layer_norm(x: &[f32], norm: LayerNorm<'_>, beta: &[f32]) -> Vec<f32> {
    let channels = norm.gamma.len();
    assert_eq!(beta.len(), channels, "one shift a channel");
    let mut y = Unwritten::new(x.len());
    let output = y.output();
    tiles(x.len(), channels).for_each(|rows| {
        dispatch(Forward {
            x,
            norm,
            beta,
            output,
            rows,
        });
    });
    // SAFETY: the tiles cover all rows.
    unsafe { y.written(x.len()) }
}

/// The gradients of [`layer_norm`], given that of its result, in the shape of `x`. The statistics
/// are computed from `x` again.
///
/// # Panics
/// If the lengths don't fit.
pub fn layer_norm_backward(
    gradient: &[f32],
    x: &[f32],
    norm: LayerNorm<'_>,
    need_x: bool,
) -> NormGradients {
    let channels = norm.gamma.len();
    assert_eq!(gradient.len(), x.len(), "the gradient has the shape of x");
    let mut grad_x = need_x.then(|| Unwritten::new(x.len()));
    let output = grad_x.as_mut().map(Unwritten::output);
    let sums = tiles(x.len(), channels).map(|rows| {
        let mut gamma = vec![0.0; channels];
        let mut beta = vec![0.0; channels];
        dispatch(Backward {
            gradient,
            x,
            norm,
            output,
            rows,
            gamma: &mut gamma,
            beta: &mut beta,
        });
        [gamma, beta]
    });
    let sums: Vec<[Vec<f32>; 2]> = sums.collect();
    let total = |part: usize| add_in_order(sums.iter().map(|tile| &tile[part]), channels);
    NormGradients {
        // SAFETY: the tiles cover all rows.
        x: grad_x.map(|grad_x| unsafe { grad_x.written(x.len()) }),
        gamma: total(0),
        beta: total(1),
    }
}

/// The ranges of rows of all tiles, in order. They depend on the shape alone.
fn tiles(len: usize, channels: usize) -> impl IndexedParallelIterator<Item = Range<usize>> {
    assert!(
        channels > 0 && len.is_multiple_of(channels),
        "expected whole rows of {channels} channels, found {len} values"
    );
    let rows = len / channels;
    let tile_rows = (TILE_VALUES / channels).clamp(1, MAX_TILE_ROWS);
    (0..rows.div_ceil(tile_rows))
        .into_par_iter()
        .map(move |tile| {
            let first = tile * tile_rows;
            first..rows.min(first + tile_rows)
        })
}

/// The sums by channel of all tiles.
fn add_in_order<'a>(tiles: impl Iterator<Item = &'a Vec<f32>>, channels: usize) -> Vec<f32> {
    let mut totals = vec![0.0; channels];
    for tile in tiles {
        for (total, sum) in totals.iter_mut().zip(tile) {
            *total += f64::from(*sum);
        }
    }
    totals.into_iter().map(|total: f64| total as f32).collect()
}
