//! Batch normalisation over all but the last dimension, with the activation that follows.
//!
//! Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
//! Covariate Shift", 2015.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use rayon::prelude::*;

use crate::channels::ChannelKernel;
use crate::epilogue::Activation;
use crate::memory::{Output, Unwritten};
use crate::operand::{Affine, Normalized};
use crate::vector::Vector;

/// `act((z - mean) / √(variance + epsilon) · gamma + beta)`, one parameter a channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Subtracted.
    pub mean: &'a [f32],
    /// Biased variance.
    pub variance: &'a [f32],
    /// Scale.
    pub gamma: &'a [f32],
    /// Shift.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
    /// Applied last.
    pub activation: Activation,
}

/// `1 / √(variance + eps)` of each channel.
pub(crate) fn inverse_deviations(variance: &[f32], epsilon: f32) -> Vec<f32> {
    let inverse = |v: &f32| (1.0 / (f64::from(*v) + f64::from(epsilon)).sqrt()) as f32;
    variance.iter().map(inverse).collect()
}

pub(crate) fn products(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "one parameter a channel");
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// `y = act(batch_norm(z) [+ residual])` for `z` and `residual` `[.., channels]`.
///
/// # Panics
/// If the lengths don't fit.
pub fn normalize(z: &[f32], norm: BatchNorm<'_>, residual: Option<&[f32]>) -> Vec<f32> {
    if let Some(residual) = residual {
        assert_eq!(residual.len(), z.len(), "the residual has the shape of z");
    }
    let normalized = Normalized::new(z, norm);
    let mut y = Unwritten::new(z.len());
    let output = y.output();
    normalized.layout.tiles().for_each(|range| {
        let kernel = Normalize {
            affine: normalized.affine(),
            activation: norm.activation,
            residual,
            output,
        };
        normalized.layout.run(range, kernel);
    });
    // SAFETY: the tiles cover all values.
    unsafe { y.written(z.len()) }
}

struct Normalize<'a> {
    affine: Affine<'a>,
    activation: Activation,
    residual: Option<&'a [f32]>,
    output: Output,
}

impl ChannelKernel for Normalize<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every value is in one tile.
        unsafe {
            let [_, mut value] = self.affine.before::<V>(offset, place, lanes);
            if let Some(residual) = self.residual {
                value = value.add(V::load(residual.as_ptr().add(offset), lanes));
            }
            let y = self.activation.apply(value);
            y.store(self.output.at(offset), lanes);
        }
    }
}
