//! Pooling.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

use super::{channels_first, channels_last};
use crate::ops::format::{in_format, single};
use crate::ops::records::PoolSpec;

const NO_DILATION: [usize; 2] = [1; 2];

/// See [`VisionOps::max_pool`](crate::ops::VisionOps::max_pool).
pub fn max_pool<B: Backend>(x: FloatTensor<B>, spec: PoolSpec) -> FloatTensor<B> {
    channels_last::<B>(B::max_pool2d(
        channels_first::<B>(x),
        spec.size,
        spec.stride,
        spec.padding,
        NO_DILATION,
        spec.ceil,
    ))
}

/// See [`VisionOps::max_pool_backward`](crate::ops::VisionOps::max_pool_backward).
pub fn max_pool_backward<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    spec: PoolSpec,
) -> FloatTensor<B> {
    let indices = burn::backend::get_or_init_device_settings::<B>(&x.device()).int_dtype;
    let format = x.dtype();
    let (x, gradient) = (single::<B>(x), single::<B>(gradient));
    let x = channels_first::<B>(x);
    let PoolSpec {
        size,
        stride,
        padding,
        ceil,
    } = spec;
    let forward =
        B::max_pool2d_with_indices(x.clone(), size, stride, padding, NO_DILATION, ceil, indices);
    let backward = B::max_pool2d_with_indices_backward(
        x,
        size,
        stride,
        padding,
        NO_DILATION,
        ceil,
        channels_first::<B>(gradient),
        forward.indices,
    );
    in_format::<B>(channels_last::<B>(backward.x_grad), format)
}

/// See [`VisionOps::average_pool`](crate::ops::VisionOps::average_pool).
pub fn average_pool<B: Backend>(x: FloatTensor<B>, spec: PoolSpec) -> FloatTensor<B> {
    let format = x.dtype();
    let means = B::avg_pool2d(
        channels_first::<B>(single::<B>(x)),
        spec.size,
        spec.stride,
        spec.padding,
        false,
        spec.ceil,
    );
    in_format::<B>(channels_last::<B>(means), format)
}

/// See [`VisionOps::average_pool_backward`](crate::ops::VisionOps::average_pool_backward).
pub fn average_pool_backward<B: Backend>(
    gradient: FloatTensor<B>,
    [height, width]: [usize; 2],
    spec: PoolSpec,
) -> FloatTensor<B> {
    let format = gradient.dtype();
    let gradient = single::<B>(gradient);
    let [batch, _, _, channels] = gradient.shape().dims();
    // Stock Burn reads no more than the shape of the input.
    let x = B::float_empty(
        Shape::new([batch, channels, height, width]),
        &gradient.device(),
        gradient.dtype().into(),
    );
    let by_x = B::avg_pool2d_backward(
        x,
        channels_first::<B>(gradient),
        spec.size,
        spec.stride,
        spec.padding,
        false,
        spec.ceil,
    );
    in_format::<B>(channels_last::<B>(by_x), format)
}
