//! Pooling: its tensor form, its body in stock Burn operations and its derivative.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::{Shape, Tensor};

use super::VisionOps;
use super::stock::{channels_first, channels_last};

/// Windows of a pooling; each pair is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Edges of a window in pixels, at least 1.
    pub size: [usize; 2],
    /// Step between windows in pixels, at least 1.
    pub stride: [usize; 2],
    /// Pixels without a value added on each side, at most half a window.
    pub padding: [usize; 2],
}

/// The largest value of each window: x and the result are `[batch, height, width, channels]`.
pub fn max_pool(x: Tensor<4>, spec: PoolSpec) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::max_pool(x.into_dispatch(), spec))
}

/// The mean of each window, without the padding: x and the result are
/// `[batch, height, width, channels]`.
pub fn average_pool(x: Tensor<4>, spec: PoolSpec) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::average_pool(x.into_dispatch(), spec))
}

/// The mean over each image: x `[batch, height, width, channels]`, the result `[batch, channels]`.
pub fn global_average_pool(x: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    let spec = PoolSpec {
        size: [height, width],
        stride: [1; 2],
        padding: [0; 2],
    };
    average_pool(x, spec).reshape([batch, channels])
}

const NO_DILATION: [usize; 2] = [1; 2];

/// See [`VisionOps::max_pool`].
pub fn stock_max_pool<B: Backend>(x: FloatTensor<B>, spec: PoolSpec) -> FloatTensor<B> {
    channels_last::<B>(B::max_pool2d(
        channels_first::<B>(x),
        spec.size,
        spec.stride,
        spec.padding,
        NO_DILATION,
        false,
    ))
}

/// See [`VisionOps::max_pool_backward`].
pub fn stock_max_pool_backward<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    spec: PoolSpec,
) -> FloatTensor<B> {
    let indices = burn::backend::get_or_init_device_settings::<B>(&x.device()).int_dtype;
    let x = channels_first::<B>(x);
    let PoolSpec {
        size,
        stride,
        padding,
    } = spec;
    let forward = B::max_pool2d_with_indices(
        x.clone(),
        size,
        stride,
        padding,
        NO_DILATION,
        false,
        indices,
    );
    let backward = B::max_pool2d_with_indices_backward(
        x,
        size,
        stride,
        padding,
        NO_DILATION,
        false,
        channels_first::<B>(gradient),
        forward.indices,
    );
    channels_last::<B>(backward.x_grad)
}

/// See [`VisionOps::average_pool`].
pub fn stock_average_pool<B: Backend>(x: FloatTensor<B>, spec: PoolSpec) -> FloatTensor<B> {
    channels_last::<B>(B::avg_pool2d(
        channels_first::<B>(x),
        spec.size,
        spec.stride,
        spec.padding,
        false,
        false,
    ))
}

/// See [`VisionOps::average_pool_backward`].
pub fn stock_average_pool_backward<B: Backend>(
    gradient: FloatTensor<B>,
    [height, width]: [usize; 2],
    spec: PoolSpec,
) -> FloatTensor<B> {
    let [batch, _, _, channels] = gradient.shape().dims();
    // Stock Burn reads no more than the shape of the input.
    let x = B::float_zeros(
        Shape::new([batch, channels, height, width]),
        &gradient.device(),
        gradient.dtype().into(),
    );
    channels_last::<B>(B::avg_pool2d_backward(
        x,
        channels_first::<B>(gradient),
        spec.size,
        spec.stride,
        spec.padding,
        false,
        false,
    ))
}

#[derive(Debug)]
struct MaxPoolBackward;

impl<B: VisionOps> Backward<B, 1> for MaxPoolBackward {
    /// The input, and the windows.
    type State = (FloatTensor<B>, PoolSpec);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, spec) = ops.state;
        if let [Some(input)] = &ops.parents {
            grads.register::<B>(input.id, B::max_pool_backward(x, gradient, spec));
        }
    }
}

#[derive(Debug)]
struct AveragePoolBackward;

impl<B: VisionOps> Backward<B, 1> for AveragePoolBackward {
    /// Height and width of the input, and the windows.
    type State = ([usize; 2], PoolSpec);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (size, spec) = ops.state;
        if let [Some(input)] = &ops.parents {
            grads.register::<B>(input.id, B::average_pool_backward(gradient, size, spec));
        }
    }
}

pub(super) fn tracked_max_pool<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    spec: PoolSpec,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, node) = x.into_parts();
    let output = B::max_pool(x.clone(), spec);
    match MaxPoolBackward
        .prepare::<C>([node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish((x, spec), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

pub(super) fn tracked_average_pool<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    spec: PoolSpec,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, node) = x.into_parts();
    let [_, height, width, _] = x.shape().dims();
    let output = B::average_pool(x, spec);
    match Backward::<B, 1>::prepare::<C>(AveragePoolBackward, [node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish(([height, width], spec), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}
