//! Pooling: its tensor form and its derivative.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch, TensorMetadata};
use burn::tensor::{FloatDType, Tensor};

use super::records::PoolSpec;
use super::vision_ops::VisionOps;

/// The largest value of each window: x and the result are `[batch, height, width, channels]`.
pub fn max_pool(x: Tensor<4>, spec: PoolSpec) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::max_pool(x.into_dispatch(), spec))
}

/// The mean of each window, without the padding: x and the result are
/// `[batch, height, width, channels]`.
pub fn average_pool(x: Tensor<4>, spec: PoolSpec) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::average_pool(x.into_dispatch(), spec))
}

/// The mean over each image in f32: x `[batch, height, width, channels]`, the result `[batch, channels]`.
pub fn global_average_pool(x: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    let spec = PoolSpec {
        size: [height, width],
        stride: [1; 2],
        padding: [0; 2],
        ceil: false,
    };
    average_pool(x.cast(FloatDType::F32), spec).reshape([batch, channels])
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
