//! Sums of two maps, and a map times a number, value by value.
//!
//! Every value is computed on its own, so the loops are plain Rust that the compiler turns into the instructions of the
//! level, and all levels have the same bits.

use rayon::prelude::*;

use crate::memory::zeroed_pieces;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Values of a task: 64 KB of each operand.
const CHUNK: usize = 16 * 1024;

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
