//! The operations that the networks are made of, as one extension of Burn's backends.
//!
//! Shapes: activations `[batch, height, width, channels]`, convolution weights
//! `[out, in / groups, kernel_height, kernel_width]`, everything per channel `[channels]`.

mod autodiff;
mod flex;
mod linear;
mod optimizer;
mod pool;
pub mod stock;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, backend_extension};
use burn::tensor::Tensor;
pub use linear::{LinearGradients, linear};
pub use optimizer::{Rates, Tensors};
pub use pool::{PoolSpec, average_pool, global_average_pool, max_pool};
use warmstart_kernels::Activation;
pub use warmstart_kernels::{Adam, Sgd};

/// Geometry of a convolution, as PyTorch's `Conv2d` has it; each pair is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Step between output pixels, in input pixels; at least 1.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Distance between kernel taps; at least 1.
    pub dilation: [usize; 2],
    /// Number of groups that channels are cut into; divides both channel counts.
    pub groups: usize,
}

/// What a unit does: its convolution, the batch norm's epsilon, and its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitSpec {
    /// The convolution's geometry.
    pub conv: ConvSpec,
    /// Added to the variance before its square root is taken.
    pub epsilon: f32,
    /// Applied last, after the residual was added.
    pub activation: Activation,
}

/// What is added to the normalised convolution before the activation.
#[derive(ExtensionType, Clone, Debug)]
pub enum Residual<B: Backend> {
    /// Nothing.
    None,
    /// A tensor of the output's shape.
    Add(FloatTensor<B>),
}

/// Where batch norm takes its mean and variance from.
#[derive(ExtensionType, Clone, Debug)]
pub enum Statistics<B: Backend> {
    /// From the batch itself: the gradient flows through them.
    Batch,
    /// Given, and constant: scale and shift still learn.
    Frozen {
        /// Mean by channel.
        mean: FloatTensor<B>,
        /// Variance by channel.
        variance: FloatTensor<B>,
    },
}

/// A training unit's result and what its backward pass needs.
#[derive(ExtensionType, Clone, Debug)]
pub struct UnitOutput<B: Backend> {
    /// `activation(batch_norm(conv) + residual)`: the one differentiable field.
    pub output: FloatTensor<B>,
    /// The convolution before batch norm.
    pub conv: FloatTensor<B>,
    /// The mean that was subtracted, by channel.
    pub mean: FloatTensor<B>,
    /// The (biased) variance that was divided by, by channel.
    pub variance: FloatTensor<B>,
}

/// Gradients through activation, residual and batch norm.
#[derive(ExtensionType, Clone, Debug)]
pub struct NormGradients<B: Backend> {
    /// With respect to the convolution's output.
    pub conv: FloatTensor<B>,
    /// With respect to batch norm's scale.
    pub gamma: FloatTensor<B>,
    /// With respect to batch norm's shift.
    pub beta: FloatTensor<B>,
    /// With respect to the residual; `[0]` elements if it was not asked for.
    pub residual: FloatTensor<B>,
}

/// Convolution, batch norm, residual and activation as one operation.
///
/// A backend that implements nothing gets the stock bodies of [`stock`].
#[backend_extension(Flex, Autodiff)]
pub trait VisionOps: Backend {
    /// Inference: `activation(conv(x) + bias + residual)`, batch norm folded into weight and bias.
    fn conv_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
        spec: UnitSpec,
    ) -> FloatTensor<Self> {
        stock::conv_act::<Self>(x, weight, bias, residual, spec)
    }

    /// Training: `activation(batch_norm(conv(x)) + residual)`.
    fn conv_norm_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        #[extension_type] statistics: Statistics<Self>,
        #[extension_type] residual: Residual<Self>,
        spec: UnitSpec,
    ) -> UnitOutput<Self> {
        stock::conv_norm_act::<Self>(x, weight, gamma, beta, statistics, residual, spec)
    }

    /// Backward through everything after the convolution of [`conv_norm_act`](Self::conv_norm_act),
    /// from the gradient of its output. `batch_statistics` says whether mean and variance came from
    /// the batch.
    fn norm_act_backward(
        gradient: FloatTensor<Self>,
        #[extension_type] forward: UnitOutput<Self>,
        gamma: FloatTensor<Self>,
        spec: UnitSpec,
        batch_statistics: bool,
        need_residual: bool,
    ) -> NormGradients<Self> {
        stock::norm_act_backward::<Self>(
            gradient,
            forward,
            gamma,
            spec,
            batch_statistics,
            need_residual,
        )
    }

    /// Gradient of a convolution with respect to its input, whose `[height, width]` is `input_size`.
    fn conv_input_gradient(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        input_size: [usize; 2],
        spec: ConvSpec,
    ) -> FloatTensor<Self> {
        stock::conv_input_gradient::<Self>(gradient, weight, input_size, spec)
    }

    /// Gradient of a convolution with respect to its weight, of shape `weight_shape`.
    fn conv_weight_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        weight_shape: [usize; 4],
        spec: ConvSpec,
    ) -> FloatTensor<Self> {
        stock::conv_weight_gradient::<Self>(x, gradient, weight_shape, spec)
    }

    /// The largest value of each window, NaN if there is one.
    fn max_pool(x: FloatTensor<Self>, spec: PoolSpec) -> FloatTensor<Self> {
        stock::max_pool::<Self>(x, spec)
    }

    /// Gradient of [`max_pool`](Self::max_pool) with respect to its input `x`: a window's goes to the
    /// first of its largest values.
    fn max_pool_backward(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        spec: PoolSpec,
    ) -> FloatTensor<Self> {
        stock::max_pool_backward::<Self>(x, gradient, spec)
    }

    /// The mean of each window, without the padding.
    fn average_pool(x: FloatTensor<Self>, spec: PoolSpec) -> FloatTensor<Self> {
        stock::average_pool::<Self>(x, spec)
    }

    /// Gradient of [`average_pool`](Self::average_pool) with respect to its input, whose
    /// `[height, width]` is `input_size`.
    fn average_pool_backward(
        gradient: FloatTensor<Self>,
        input_size: [usize; 2],
        spec: PoolSpec,
    ) -> FloatTensor<Self> {
        stock::average_pool_backward::<Self>(gradient, input_size, spec)
    }

    /// `x · weightᵀ + bias` of x `[batch, in]`, weight `[out, in]` and bias `[out]`.
    fn linear_layer(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        stock::linear::<Self>(x, weight, bias)
    }

    /// Gradients of [`linear_layer`](Self::linear_layer), from that of its output `[batch, out]`.
    fn linear_layer_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        need_x: bool,
    ) -> LinearGradients<Self> {
        stock::linear_backward::<Self>(gradient, x, weight, need_x)
    }

    /// One step of SGD on every parameter, each with its gradient (of its shape), its velocity
    /// `[values]` and its rates: the new parameters and velocities. A tensor that nobody else holds
    /// is changed in place.
    fn sgd_step(
        #[extension_type] parameters: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] velocities: Tensors<Self>,
        rates: Vec<Rates>,
        sgd: Sgd,
    ) -> (Tensors<Self>, Tensors<Self>) {
        stock::sgd_step::<Self>(parameters, gradients, velocities, rates, sgd)
    }

    /// One step of Adam or AdamW, as [`sgd_step`](Self::sgd_step): the new parameters, mean
    /// gradients and mean squared gradients.
    fn adam_step(
        #[extension_type] parameters: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] means: Tensors<Self>,
        #[extension_type] squares: Tensors<Self>,
        rates: Vec<Rates>,
        adam: Adam,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        stock::adam_step::<Self>(parameters, gradients, means, squares, rates, adam)
    }

    /// The sum of the squares of all values.
    fn sum_of_squares(#[extension_type] tensors: Tensors<Self>) -> f64 {
        stock::sum_of_squares::<Self>(tensors)
    }

    /// Moves averages towards values of the same shapes: `(1 − share) · average + share · factor ·
    /// value`, with one factor a tensor.
    fn move_averages(
        #[extension_type] averages: Tensors<Self>,
        #[extension_type] values: Tensors<Self>,
        factors: Vec<f64>,
        share: f64,
    ) -> Tensors<Self> {
        stock::move_averages::<Self>(averages, values, factors, share)
    }
}

fn dispatch_residual(residual: Option<Tensor<4>>) -> Residual<Dispatch> {
    match residual {
        Some(residual) => Residual::Add(residual.into_dispatch()),
        None => Residual::None,
    }
}

/// [`VisionOps::conv_act`] on tensors: x and the result are `[batch, height, width, channels]`.
pub fn conv_act(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
    spec: UnitSpec,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::conv_act(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        dispatch_residual(residual),
        spec,
    ))
}

/// The result of [`conv_norm_act`] on tensors.
pub struct TrainedUnit {
    /// `[batch, height, width, channels]`, differentiable.
    pub output: Tensor<4>,
    /// Mean of the batch by channel, no gradient.
    pub mean: Tensor<1>,
    /// Biased variance of the batch by channel, no gradient.
    pub variance: Tensor<1>,
}

/// [`VisionOps::conv_norm_act`] on tensors; `frozen` holds mean and variance where they are given.
pub fn conv_norm_act(
    x: Tensor<4>,
    weight: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    frozen: Option<[Tensor<1>; 2]>,
    residual: Option<Tensor<4>>,
    spec: UnitSpec,
) -> TrainedUnit {
    let statistics = match frozen {
        Some([mean, variance]) => Statistics::Frozen {
            mean: mean.into_dispatch(),
            variance: variance.into_dispatch(),
        },
        None => Statistics::Batch,
    };
    let unit = Dispatch::conv_norm_act(
        x.into_dispatch(),
        weight.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        statistics,
        dispatch_residual(residual),
        spec,
    );
    TrainedUnit {
        output: Tensor::from_dispatch(unit.output),
        mean: Tensor::from_dispatch(unit.mean).inner(),
        variance: Tensor::from_dispatch(unit.variance).inner(),
    }
}
