//! Layer norm and global response norm: their tensor forms and their derivatives.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch};
use burn::tensor::Tensor;

use super::vision_ops::VisionOps;

/// `γ · (x − mean) / √(variance + ε) + β`, where mean and (biased) variance are those of a pixel's channels: Ba, Kiros
/// and Hinton, "Layer Normalization" (arXiv 1607.06450), section 3. x and the result are
/// `[batch, height, width, channels]`, γ and β `[channels]`.
pub fn layer_norm(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::layer_normalization(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
    ))
}

/// `x · (1 + γ · n / (mean + ε)) + β`, where n is the length of a channel over the pixels of an image, and the mean is
/// that of n over the channels: Woo and others, "ConvNeXt V2" (arXiv 2301.00808), section 3.2. x and the result are
/// `[batch, height, width, channels]`, γ and β `[channels]`.
pub fn response_norm(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::response_normalization(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
    ))
}

#[derive(Clone, Copy, Debug)]
enum Norm {
    Layer,
    Response,
}

#[derive(Clone, Debug)]
struct Saved<B: Backend> {
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    norm: Norm,
    epsilon: f32,
}

/// Its parents are input, scale and shift.
#[derive(Debug)]
struct NormBackward;

impl<B: VisionOps> Backward<B, 3> for NormBackward {
    type State = Saved<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = grads.consume::<B>(&ops.node);
        let saved = ops.state;
        let [input, scale, shift] = &ops.parents;
        let of_norm = match saved.norm {
            Norm::Layer => B::layer_normalization_backward,
            Norm::Response => B::response_normalization_backward,
        };
        let need_x = input.is_some();
        let found = of_norm(gradient, saved.x, saved.gamma, saved.epsilon, need_x);
        if let Some(input) = input {
            grads.register::<B>(input.id, found.x);
        }
        if let Some(scale) = scale {
            grads.register::<B>(scale.id, found.gamma);
        }
        if let Some(shift) = shift {
            grads.register::<B>(shift.id, found.beta);
        }
    }
}

fn normalized<B: VisionOps, C: CheckpointStrategy>(
    norm: Norm,
    tensors: [FloatTensor<Autodiff<B, C>>; 3],
    epsilon: f32,
) -> FloatTensor<Autodiff<B, C>> {
    let [x, gamma, beta] = tensors;
    let (x, x_node) = x.into_parts();
    let (gamma, gamma_node) = gamma.into_parts();
    let (beta, beta_node) = beta.into_parts();
    let of_norm = match norm {
        Norm::Layer => B::layer_normalization,
        Norm::Response => B::response_normalization,
    };
    let output = of_norm(x.clone(), gamma.clone(), beta, epsilon);
    match Backward::<B, 3>::prepare::<C>(NormBackward, [x_node, gamma_node, beta_node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prepared) => {
            let saved = Saved {
                x,
                gamma,
                norm,
                epsilon,
            };
            prepared.finish(saved, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

pub(super) fn tracked_layer_norm<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    gamma: FloatTensor<Autodiff<B, C>>,
    beta: FloatTensor<Autodiff<B, C>>,
    epsilon: f32,
) -> FloatTensor<Autodiff<B, C>> {
    normalized::<B, C>(Norm::Layer, [x, gamma, beta], epsilon)
}

pub(super) fn tracked_response_norm<B: VisionOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    gamma: FloatTensor<Autodiff<B, C>>,
    beta: FloatTensor<Autodiff<B, C>>,
    epsilon: f32,
) -> FloatTensor<Autodiff<B, C>> {
    normalized::<B, C>(Norm::Response, [x, gamma, beta], epsilon)
}
