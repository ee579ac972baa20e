//! Channels scaled by a gate.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

use crate::ops::format::{in_format, single};

/// A gate `[batch, channels]` as `[batch, 1, 1, channels]`.
fn spread<B: Backend>(gate: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, channels] = gate.shape().dims();
    B::float_reshape(gate, Shape::new([batch, 1, 1, channels]))
}

/// See [`VisionOps::image_means`](crate::ops::VisionOps::image_means).
pub fn image_means<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, height, width, channels] = x.shape().dims();
    let pixels = Shape::new([batch, height * width, channels]);
    let pixels = B::float_reshape(single::<B>(x), pixels);
    B::float_reshape(B::float_mean_dim(pixels, 1), Shape::new([batch, channels]))
}

/// See [`VisionOps::image_means_backward`](crate::ops::VisionOps::image_means_backward).
pub fn image_means_backward<B: Backend>(
    gradient: FloatTensor<B>,
    [height, width]: [usize; 2],
) -> FloatTensor<B> {
    let [batch, channels] = gradient.shape().dims();
    let shares = B::float_div_scalar(spread::<B>(gradient), ((height * width) as f32).into());
    B::float_expand(shares, Shape::new([batch, height, width, channels]))
}

/// See [`VisionOps::scale_channels`](crate::ops::VisionOps::scale_channels).
pub fn scale_channels<B: Backend>(x: FloatTensor<B>, gate: FloatTensor<B>) -> FloatTensor<B> {
    let format = x.dtype();
    in_format::<B>(B::float_mul(single::<B>(x), spread::<B>(gate)), format)
}

/// See [`VisionOps::scale_channels_backward`](crate::ops::VisionOps::scale_channels_backward).
pub fn scale_channels_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    gate: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (shape, format) = (gate.shape(), x.dtype());
    let gradient = single::<B>(gradient);
    let by_gate = B::float_mul(gradient.clone(), single::<B>(x));
    let by_gate = B::float_sum_dim(B::float_sum_dim(by_gate, 1), 2);
    let by_x = B::float_mul(gradient, spread::<B>(gate));
    (
        in_format::<B>(by_x, format),
        B::float_reshape(by_gate, shape),
    )
}
