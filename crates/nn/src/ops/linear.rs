//! The linear layer: its tensor form and its derivative.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch};
use burn::tensor::Tensor;

use super::vision_ops::VisionOps;

/// `x · weightᵀ + bias`: x `[batch, in]`, weight `[out, in]`, bias `[out]`, the result
/// `[batch, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::linear_layer(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// Its parents are input, weight and bias.
#[derive(Debug)]
struct LinearBackward;

impl<B: VisionOps> Backward<B, 3> for LinearBackward {
    /// Input and weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let (x, weight) = ops.state;
        let [input, weight_node, bias] = &ops.parents;
        let gradients = B::linear_layer_backward(gradient, x, weight, input.is_some());
        if let Some(input) = input {
            grads.register::<B>(input.id, gradients.x);
        }
        if let Some(weight) = weight_node {
            grads.register::<B>(weight.id, gradients.weight);
        }
        if let Some(bias) = bias {
            grads.register::<B>(bias.id, gradients.bias);
        }
    }
}

pub(super) fn tracked_linear<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let (x, x_node) = x.into_parts();
    let (weight, weight_node) = weight.into_parts();
    let (bias, bias_node) = bias.into_parts();
    let output = B::linear_layer(x.clone(), weight.clone(), bias);
    match LinearBackward
        .prepare::<C>([x_node, weight_node, bias_node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => prepared.finish((x, weight), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}
