//! Mean and variance of each channel.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use std::ops::Range;

use rayon::prelude::*;

use crate::channels::{ChannelKernel, Channels};
use crate::vector::Vector;

/// Mean and biased variance of each channel of `x` `[.., channels]`: `(mean, variance)`.
///
/// Each tile is read twice while it is in the cache, the second time for the deviations from its
/// own mean, and the tiles are merged in f64 (Chan, Golub and LeVeque, "Algorithms for Computing
/// the Sample Variance", 1983), so a mean far from zero costs no accuracy. Without rows both are
/// zero.
///
/// # Panics
/// If `x` is not a whole number of rows.
pub fn batch_statistics(x: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let layout = Channels::new(x.len(), channels);
    let tiles = layout.tiles().map(|range| {
        // SAFETY: the tiles are ranges of x.
        unsafe { Moments::of(layout, x.as_ptr(), range) }
    });
    merge(&tiles.collect::<Vec<_>>(), channels)
}

/// Mean of each channel of a tile, and its sum of squared deviations.
pub(crate) struct Moments {
    rows: f64,
    channels: Vec<(f64, f64)>,
}

impl Moments {
    /// The moments of the rows in `range`.
    ///
    /// # Safety
    /// The values in `range` must be readable from `x`.
    pub(crate) unsafe fn of(layout: Channels, x: *const f32, range: Range<usize>) -> Self {
        let rows = (range.len() / layout.channels()) as f64;
        let mut sums = vec![0.0; layout.width()];
        let sum = Sum { x, sums: &mut sums };
        layout.run(range.clone(), sum);
        let near: Vec<_> = layout
            .fold(&sums)
            .iter()
            .map(|s| (s / rows) as f32)
            .collect();
        let center = layout.widen(&near);
        sums.fill(0.0);
        let mut squares = vec![0.0; layout.width()];
        let deviations = Deviations {
            x,
            center: &center,
            sums: &mut sums,
            squares: &mut squares,
        };
        layout.run(range, deviations);
        let sums = layout.fold(&sums).into_iter().zip(layout.fold(&squares));
        let moments = sums.zip(near).map(|((sum, square), near)| {
            let mean = f64::from(near) + sum / rows;
            (mean, square - sum * sum / rows)
        });
        Self {
            rows,
            channels: moments.collect(),
        }
    }
}

/// Mean and biased variance over all tiles.
pub(crate) fn merge(tiles: &[Moments], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let total: f64 = tiles.iter().map(|tile| tile.rows).sum();
    let total = total.max(1.0);
    let mut means = vec![0.0; channels];
    for tile in tiles {
        for (mean, moment) in means.iter_mut().zip(&tile.channels) {
            *mean += tile.rows * moment.0;
        }
    }
    means.iter_mut().for_each(|mean| *mean /= total);
    let mut variances = vec![0.0; channels];
    for tile in tiles {
        for ((variance, moment), mean) in variances.iter_mut().zip(&tile.channels).zip(&means) {
            *variance += moment.1 + tile.rows * (moment.0 - mean).powi(2);
        }
    }
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    variances
        .iter_mut()
        .for_each(|variance| *variance = f64::max(*variance / total, 0.0));
    (single(means), single(variances))
}

struct Sum<'a> {
    x: *const f32,
    sums: &'a mut [f32],
}

impl ChannelKernel for Sum<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees.
        unsafe {
            let x = V::load(self.x.add(offset), lanes);
            let sum = self.sums.as_mut_ptr().add(place);
            V::load(sum, lanes).add(x).store(sum, lanes);
        }
    }
}

struct Deviations<'a> {
    x: *const f32,
    center: &'a [f32],
    sums: &'a mut [f32],
    squares: &'a mut [f32],
}

impl ChannelKernel for Deviations<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees.
        unsafe {
            let x = V::load(self.x.add(offset), lanes);
            let deviation = x.sub(V::load(self.center.as_ptr().add(place), lanes));
            let sum = self.sums.as_mut_ptr().add(place);
            V::load(sum, lanes).add(deviation).store(sum, lanes);
            let square = self.squares.as_mut_ptr().add(place);
            let total = deviation.mul_add(deviation, V::load(square, lanes));
            total.store(square, lanes);
        }
    }
}
