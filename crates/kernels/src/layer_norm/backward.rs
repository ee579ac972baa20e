//! The gradients of layer normalisation: two passes of sums over a few rows, then the results.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use std::ops::Range;

use super::norm::LayerNorm;
use super::rows::{Block, Deviations, RowKernel, Standard, add_lanes, over_channels};
use crate::memory::Output;
use crate::simd::Kernel;
use crate::vector::Vector;

/// Rows that are worked on together, with four sums each: as many as 16 registers hold.
const BLOCK_ROWS: usize = 2;

/// Differentiates the rows of a tile.
pub(super) struct Backward<'a> {
    pub gradient: &'a [f32],
    pub x: &'a [f32],
    pub norm: LayerNorm<'a>,
    pub output: Option<Output>,
    pub rows: Range<usize>,
    /// Sums of the tile.
    pub gamma: &'a mut [f32],
    pub beta: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
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

impl Backward<'_> {
    /// With `h = gradient · gamma` and the normalised row `n`, the gradient of `x` is
    /// `(h - mean(h) - n · mean(h · n)) / √(variance + epsilon)`.
    ///
    /// # Safety
    /// `ROWS` rows from `first_row` on are in the tile.
    #[inline(always)]
    unsafe fn block<V: Vector, const ROWS: usize>(&mut self, first_row: usize) {
        let channels = self.norm.gamma.len();
        let x = Block::<ROWS>::new(self.x, first_row, channels);
        let gradient = Block::<ROWS>::new(self.gradient, first_row, channels);
        // SAFETY: as the caller guarantees; gamma and the sums have the channels of a row.
        unsafe {
            let mut sums = GradientSums {
                deviations: Deviations::<V, ROWS>::new(x, channels),
                gradient,
                gamma: self.norm.gamma,
                sums: [V::splat(0.0); ROWS],
                products: [V::splat(0.0); ROWS],
            };
            over_channels::<V, _>(channels, &mut sums);
            let standard = sums.deviations.standard(channels, self.norm.epsilon);
            let (mut slopes, mut offsets) = ([0.0; ROWS], [0.0; ROWS]);
            for row in 0..ROWS {
                let [inverse, shift] = [standard[row].inverse, standard[row].shift].map(f64::from);
                let sum = f64::from(add_lanes(sums.sums[row]));
                let product = inverse * f64::from(add_lanes(sums.products[row])) + shift * sum;
                let share = -inverse / channels as f64;
                slopes[row] = (share * product) as f32;
                offsets[row] = (share * sum) as f32;
            }
            let mut differentiate = Differentiate {
                x,
                gradient,
                gamma: self.norm.gamma,
                standard,
                slopes,
                offsets,
                output: self.output,
                grad_gamma: &mut *self.gamma,
                grad_beta: &mut *self.beta,
            };
            over_channels::<V, _>(channels, &mut differentiate);
        }
    }
}

/// Sums for the gradient through the statistics: of `gradient · gamma`, and of its products with
/// the deviations.
struct GradientSums<'a, V, const ROWS: usize> {
    deviations: Deviations<'a, V, ROWS>,
    gradient: Block<'a, ROWS>,
    gamma: &'a [f32],
    sums: [V; ROWS],
    products: [V; ROWS],
}

impl<V: Vector, const ROWS: usize> RowKernel<V> for GradientSums<'_, V, ROWS> {
    #[inline(always)]
    unsafe fn step(&mut self, channel: usize, lanes: usize) {
        // SAFETY: as the loop guarantees.
        unsafe {
            let gamma = V::load(self.gamma.as_ptr().add(channel), lanes);
            for row in 0..ROWS {
                let deviation = self.deviations.add(row, channel, lanes);
                let scaled = self.gradient.load::<V>(row, channel, lanes).mul(gamma);
                self.sums[row] = self.sums[row].add(scaled);
                self.products[row] = scaled.mul_add(deviation, self.products[row]);
            }
        }
    }
}

/// Writes the gradient of `x`, and adds up those of gamma and beta.
struct Differentiate<'a, const ROWS: usize> {
    x: Block<'a, ROWS>,
    gradient: Block<'a, ROWS>,
    gamma: &'a [f32],
    standard: [Standard; ROWS],
    /// Factors of the normalised rows.
    slopes: [f32; ROWS],
    offsets: [f32; ROWS],
    output: Option<Output>,
    grad_gamma: &'a mut [f32],
    grad_beta: &'a mut [f32],
}

impl<V: Vector, const ROWS: usize> RowKernel<V> for Differentiate<'_, ROWS> {
    #[inline(always)]
    unsafe fn step(&mut self, channel: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every row is in one tile.
        unsafe {
            let gamma = V::load(self.gamma.as_ptr().add(channel), lanes);
            let gamma_sums = self.grad_gamma.as_mut_ptr().add(channel);
            let beta_sums = self.grad_beta.as_mut_ptr().add(channel);
            let mut gamma_sum = V::load(gamma_sums, lanes);
            let mut beta_sum = V::load(beta_sums, lanes);
            for row in 0..ROWS {
                let standard = self.standard[row];
                let normalized = standard.apply(self.x.load::<V>(row, channel, lanes));
                let gradient = self.gradient.load::<V>(row, channel, lanes);
                gamma_sum = normalized.mul_add(gradient, gamma_sum);
                beta_sum = beta_sum.add(gradient);
                if let Some(output) = self.output {
                    let [slope, offset] = [self.slopes[row], self.offsets[row]];
                    let through_statistics = normalized.mul_add(V::splat(slope), V::splat(offset));
                    let inverse = V::splat(standard.inverse);
                    let grad_x = gradient.mul(gamma).mul_add(inverse, through_statistics);
                    grad_x.store(output.at(self.x.starts[row] + channel), lanes);
                }
            }
            gamma_sum.store(gamma_sums, lanes);
            beta_sum.store(beta_sums, lanes);
        }
    }
}
