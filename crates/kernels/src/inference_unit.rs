//! One step of a branch in inference.

use crate::epilogue::{Activation, Epilogue};
use crate::geometry::Convolution;

/// `act(conv(x, w) + bias)`.
#[derive(Clone, Copy, Debug)]
pub struct InferenceUnit<'a> {
    /// Geometry of the convolution.
    pub convolution: Convolution,
    /// The weights `w`, packed by [`pack_weights`](crate::pack_weights).
    pub packed: &'a [f32],
    /// `[out_channels]`
    pub bias: &'a [f32],
    /// Applied last.
    pub activation: Activation,
}

impl<'a> InferenceUnit<'a> {
    pub(crate) fn epilogue(&self, residual: Option<&'a [f32]>) -> Epilogue<'a> {
        Epilogue::new(Some(self.bias), residual, self.activation)
    }
}
