//! Batch normalisation over all but the last dimension, with the activation that follows.
//!
//! Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
//! Covariate Shift", 2015.

use crate::epilogue::Activation;

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

/// The product of two parameters of each channel.
pub(crate) fn products(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "one parameter a channel");
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}
