//! The linear layer: its tensor form, its body in stock Burn operations and its derivative.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, TensorMetadata};
use burn::tensor::{Shape, Tensor};

use super::VisionOps;

/// Gradients of a linear layer.
#[derive(ExtensionType, Clone, Debug)]
pub struct LinearGradients<B: Backend> {
    /// With respect to the input; `[0]` elements if it was not asked for.
    pub x: FloatTensor<B>,
    /// With respect to the weight.
    pub weight: FloatTensor<B>,
    /// With respect to the bias.
    pub bias: FloatTensor<B>,
}

/// `x · weightᵀ + bias`: x `[batch, in]`, weight `[out, in]`, bias `[out]`, the result
/// `[batch, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::linear_layer(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// See [`VisionOps::linear_layer`].
pub fn stock_linear<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let outputs = weight.shape()[0];
    B::float_add(
        B::float_matmul(x, B::float_swap_dims(weight, 0, 1)),
        B::float_reshape(bias, Shape::new([1, outputs])),
    )
}

/// See [`VisionOps::linear_layer_backward`].
pub fn stock_linear_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    need_x: bool,
) -> LinearGradients<B> {
    let (device, dtype) = (gradient.device(), gradient.dtype());
    let outputs = weight.shape()[0];
    LinearGradients {
        x: if need_x {
            B::float_matmul(gradient.clone(), weight)
        } else {
            B::float_zeros(Shape::new([0]), &device, dtype.into())
        },
        weight: B::float_matmul(B::float_swap_dims(gradient.clone(), 0, 1), x),
        bias: B::float_reshape(B::float_sum_dim(gradient, 0), Shape::new([outputs])),
    }
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
