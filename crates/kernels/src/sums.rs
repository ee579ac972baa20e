//! Sums of two maps, a map times a number, value by value, and sums of a map by channel.
//!
//! Every value or channel is computed on its own, so the loops are plain Rust that the compiler turns into the instructions of the
//! level, and all levels have the same bits.

use rayon::prelude::*;

use crate::memory::zeroed_pieces;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Values of a task: 64 KB of each operand.
const CHUNK: usize = 16 * 1024;
/// Rows that are summed in f32.
const SUMMED_ROWS: usize = 512;

/// `a + b`.
///
/// # Panics
/// If the lengths differ.
pub fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "as many values in both");
    zeroed_pieces(1, a.len(), CHUNK, |_, chunk, sums| {
        let first = chunk * CHUNK;
        let [a, b] = [a, b].map(|values| &values[first..][..sums.len()]);
        dispatch(Sum { a, b, sums });
    })
}

/// Adds `values` to `sums`.
///
/// # Panics
/// If the lengths differ.
pub fn add(sums: &mut [f32], values: &[f32]) {
    assert_eq!(sums.len(), values.len(), "as many values in both");
    let chunks = sums.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
    chunks.for_each(|(sums, values)| dispatch(Add { sums, values }));
}

/// Multiplies `values` by `factor`.
pub fn scale(values: &mut [f32], factor: f32) {
    values
        .par_chunks_mut(CHUNK)
        .for_each(|values| dispatch(Scale { values, factor }));
}

/// The sums by channel of `values` `[.., channels]`. They do not depend on the number of threads.
///
/// # Panics
/// If the values are no whole rows of channels.
pub fn channel_sums(values: &[f32], channels: usize) -> Vec<f32> {
    assert!(
        channels > 0 && values.len().is_multiple_of(channels),
        "expected whole rows of {channels} channels, found {} values",
        values.len()
    );
    let tiles = values.par_chunks(SUMMED_ROWS * channels).map(|rows| {
        let mut sums = vec![0.0; channels];
        dispatch(AddRows {
            rows,
            sums: &mut sums,
        });
        sums
    });
    let tiles: Vec<Vec<f32>> = tiles.collect();
    let mut totals = vec![0.0; channels];
    for tile in tiles {
        for (total, sum) in totals.iter_mut().zip(tile) {
            *total += f64::from(sum);
        }
    }
    totals.into_iter().map(|total: f64| total as f32).collect()
}

struct AddRows<'a> {
    rows: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for row in self.rows.chunks_exact(self.sums.len()) {
            for (sum, value) in self.sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

struct Sum<'a> {
    a: &'a [f32],
    b: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for (sum, (a, b)) in self.sums.iter_mut().zip(self.a.iter().zip(self.b)) {
            *sum = a + b;
        }
    }
}

struct Add<'a> {
    sums: &'a mut [f32],
    values: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for (sum, value) in self.sums.iter_mut().zip(self.values) {
            *sum += value;
        }
    }
}

struct Scale<'a> {
    values: &'a mut [f32],
    factor: f32,
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for value in self.values {
            *value *= self.factor;
        }
    }
}
