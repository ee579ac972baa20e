//! The softmax of rows of scores, and its gradient.
//!
//! A row is read in whole registers; the tokens that it lacks at its end are given no weight.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use crate::exponential::exp;
use crate::simd::Kernel;
use crate::vector::{Vector, combine_lanes};

/// From here down, [`exp`] stays the same.
const LOWEST: f32 = -87.0;

/// Replaces each row's scores by `exp(score - largest score of the row)` and writes the inverse of
/// their sum. The softmax is the product of both.
pub(super) struct Exponentials<'a> {
    /// `[rows, pitch]`
    pub scores: &'a mut [f32],
    pub pitch: usize,
    pub tokens: usize,
    /// One for each row.
    pub inverses: &'a mut [f32],
}

impl Kernel for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let len = self.tokens.next_multiple_of(V::LANES);
        let lowest = exp(V::splat(LOWEST));
        let rows = self.scores.chunks_exact_mut(self.pitch);
        for (row, inverse) in rows.zip(self.inverses) {
            let (row, rest) = row.split_at_mut(len);
            rest.fill(0.0);
            row[self.tokens..].fill(f32::NEG_INFINITY);
            let mut most = V::splat(f32::NEG_INFINITY);
            for register in row.chunks_exact(V::LANES) {
                // SAFETY: the slice is a register long.
                let score: V = unsafe { V::load(register.as_ptr(), V::LANES) };
                most = score.clamp(most, V::splat(f32::INFINITY));
            }
            let most = V::splat(combine_lanes(most, f32::max));
            let mut sum = V::splat(0.0);
            for register in row.chunks_exact_mut(V::LANES) {
                // SAFETY: as above.
                unsafe {
                    let score: V = V::load(register.as_ptr(), V::LANES);
                    // Far scores and tokens that don't exist become zero, and not numbers so small
                    // that arithmetic with them is slow.
                    let value = exp(score.sub(most)).sub(lowest);
                    value.store(register.as_mut_ptr(), V::LANES);
                    sum = sum.add(value);
                }
            }
            *inverse = 1.0 / combine_lanes(sum, |a, b| a + b);
        }
    }
}

/// Replaces exponentials by the softmax `p`, and its gradient `g` by that of the scores,
/// `p · (g - Σ p · g)`.
pub(super) struct ScoreGradients<'a> {
    /// The result of [`Exponentials`], `[rows, pitch]`.
    pub exponentials: &'a mut [f32],
    pub inverses: &'a [f32],
    /// `[rows, pitch]`
    pub gradients: &'a mut [f32],
    pub pitch: usize,
    pub tokens: usize,
}

impl Kernel for ScoreGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let len = self.tokens.next_multiple_of(V::LANES);
        let exponentials = self.exponentials.chunks_exact_mut(self.pitch);
        let gradients = self.gradients.chunks_exact_mut(self.pitch);
        for ((shares, gradients), inverse) in exponentials.zip(gradients).zip(self.inverses) {
            gradients[self.tokens..].fill(0.0);
            let (shares, gradients) = (&mut shares[..len], &mut gradients[..len]);
            let inverse = V::splat(*inverse);
            let mut mean = V::splat(0.0);
            let registers = shares.chunks_exact_mut(V::LANES);
            for (share, gradient) in registers.zip(gradients.chunks_exact(V::LANES)) {
                // SAFETY: the slices are a register long.
                unsafe {
                    let value = V::load(share.as_ptr(), V::LANES).mul(inverse);
                    value.store(share.as_mut_ptr(), V::LANES);
                    mean = value.mul_add(V::load(gradient.as_ptr(), V::LANES), mean);
                }
            }
            let mean = V::splat(combine_lanes(mean, |a, b| a + b));
            let registers = shares.chunks_exact(V::LANES);
            for (share, gradient) in registers.zip(gradients.chunks_exact_mut(V::LANES)) {
                // SAFETY: as above.
                unsafe {
                    let difference = V::load(gradient.as_ptr(), V::LANES).sub(mean);
                    let value = V::load(share.as_ptr(), V::LANES).mul(difference);
                    value.store(gradient.as_mut_ptr(), V::LANES);
                }
            }
        }
    }
}
