//! A layer norm, and the gradients of norms.

/// `(x - mean) / √(variance + epsilon) · gamma + beta`, with the mean and the biased variance of
/// each row.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// Scale, one value a channel.
    pub gamma: &'a [f32],
    /// Added to the variance, above 0.
    pub epsilon: f32,
}

/// The gradients of a norm that takes its statistics from its input.
#[derive(Clone, Debug, PartialEq)]
pub struct NormGradients {
    /// Of the input, in its shape; `None` if it was not needed.
    pub x: Option<Vec<f32>>,
    /// Of the scale, one value a channel.
    pub gamma: Vec<f32>,
    /// Of the shift, one value a channel.
    pub beta: Vec<f32>,
}
