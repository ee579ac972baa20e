//! Layer normalisation itself: two passes of sums over a few rows, then the result.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use std::ops::Range;

use super::norm::LayerNorm;
use super::rows::{Block, Deviations, RowKernel, Standard, over_channels};
use crate::memory::Output;
use crate::simd::Kernel;
use crate::vector::Vector;

/// Rows that are normalised together: their sums do not wait for each other.
const BLOCK_ROWS: usize = 4;

/// Normalises the rows of a tile.
pub(super) struct Forward<'a> {
    pub x: &'a [f32],
    pub norm: LayerNorm<'a>,
    pub beta: &'a [f32],
    pub output: Output,
    pub rows: Range<usize>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let mut row = self.rows.start;
        // SAFETY: the rows of a block are in the tile.
        unsafe {
            while row + BLOCK_ROWS <= self.rows.end {
                self.block::<V, BLOCK_ROWS>(row);
                row += BLOCK_ROWS;
            }
            while row < self.rows.end {
                self.block::<V, 1>(row);
                row += 1;
            }
        }
    }
}

impl Forward<'_> {
    /// # Safety
    /// `ROWS` rows from `first_row` on are in the tile.
    #[inline(always)]
    unsafe fn block<V: Vector, const ROWS: usize>(&self, first_row: usize) {
        let channels = self.norm.gamma.len();
        let x = Block::<ROWS>::new(self.x, first_row, channels);
        // SAFETY: as the caller guarantees; gamma and beta have the channels of a row.
        unsafe {
            let mut deviations = Deviations::<V, ROWS>::new(x, channels);
            over_channels::<V, _>(channels, &mut deviations);
            let mut normalize = Normalize {
                x,
                standard: deviations.standard(channels, self.norm.epsilon),
                gamma: self.norm.gamma,
                beta: self.beta,
                output: self.output,
            };
            over_channels::<V, _>(channels, &mut normalize);
        }
    }
}

struct Normalize<'a, const ROWS: usize> {
    x: Block<'a, ROWS>,
    standard: [Standard; ROWS],
    gamma: &'a [f32],
    beta: &'a [f32],
    output: Output,
}

impl<V: Vector, const ROWS: usize> RowKernel<V> for Normalize<'_, ROWS> {
    #[inline(always)]
    unsafe fn step(&mut self, channel: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every row is in one tile.
        unsafe {
            let gamma = V::load(self.gamma.as_ptr().add(channel), lanes);
            let beta = V::load(self.beta.as_ptr().add(channel), lanes);
            for row in 0..ROWS {
                let normalized = self.standard[row].apply(self.x.load::<V>(row, channel, lanes));
                let y = normalized.mul_add(gamma, beta);
                y.store(self.output.at(self.x.starts[row] + channel), lanes);
            }
        }
    }
}
