//! Channels scaled by a gate, and the means that a gate is made of: tensor forms and derivatives.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch, TensorMetadata};
use burn::tensor::{DType, Tensor};

use super::format::in_format;
use super::vision_ops::VisionOps;

/// The mean over the pixels of each image in f32: x `[batch, height, width, channels]`, the result `[batch, channels]`.
pub fn image_means(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::image_means(x.into_dispatch()))
}

/// `x · gate` for each channel of each image: x and the result are `[batch, height, width, channels]`, gate
/// `[batch, channels]` in f32.
pub fn scale_channels(x: Tensor<4>, gate: Tensor<2>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::scale_channels(
        x.into_dispatch(),
        gate.into_dispatch(),
    ))
}

/// Its parents are input and gate.
#[derive(Debug)]
struct ScaleChannelsBackward;

impl<B: VisionOps> Backward<B, 2> for ScaleChannelsBackward {
    /// Input and gate.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, gate) = ops.state;
        let (by_x, by_gate) = B::scale_channels_backward(gradient, x, gate);
        let [x, gate] = &ops.parents;
        if let Some(x) = x {
            grads.register::<B>(x.id, by_x);
        }
        if let Some(gate) = gate {
            grads.register::<B>(gate.id, by_gate);
        }
    }
}

#[derive(Debug)]
struct ImageMeansBackward;

impl<B: VisionOps> Backward<B, 1> for ImageMeansBackward {
    /// Height and width of the input, and its format.
    type State = ([usize; 2], DType);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (size, format) = ops.state;
        if let [Some(input)] = &ops.parents {
            let gradient = B::image_means_backward(gradient, size);
            grads.register::<B>(input.id, in_format::<B>(gradient, format));
        }
    }
}

pub(super) fn tracked_image_means<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, node) = x.into_parts();
    let [_, height, width, _] = x.shape().dims();
    let format = x.dtype();
    let output = B::image_means(x);
    match Backward::<B, 1>::prepare::<C>(ImageMeansBackward, [node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish(([height, width], format), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

pub(super) fn tracked_scale_channels<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    gate: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, x_node) = x.into_parts();
    let (gate, gate_node) = gate.into_parts();
    let output = B::scale_channels(x.clone(), gate.clone());
    match ScaleChannelsBackward
        .prepare::<C>([x_node, gate_node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish((x, gate), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}
