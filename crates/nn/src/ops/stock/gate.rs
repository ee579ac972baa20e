//! Channels scaled by a gate.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

/// A gate `[batch, channels]` as `[batch, 1, 1, channels]`.
fn spread<B: Backend>(gate: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, channels] = gate.shape().dims();
    B::float_reshape(gate, Shape::new([batch, 1, 1, channels]))
}

/// See [`VisionOps::scale_channels`](crate::ops::VisionOps::scale_channels).
pub fn scale_channels<B: Backend>(x: FloatTensor<B>, gate: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x, spread::<B>(gate))
}

/// See [`VisionOps::scale_channels_backward`](crate::ops::VisionOps::scale_channels_backward).
pub fn scale_channels_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    gate: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = gate.shape();
    let by_gate = B::float_mul(gradient.clone(), x);
    let by_gate = B::float_sum_dim(B::float_sum_dim(by_gate, 1), 2);
    let by_x = B::float_mul(gradient, spread::<B>(gate));
    (by_x, B::float_reshape(by_gate, shape))
}
