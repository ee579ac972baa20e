//! The operations that the networks are made of, as one extension of Burn's backends.
//!
//! Shapes: activations `[batch, height, width, channels]`, convolution weights
//! `[out, in / groups, kernel_height, kernel_width]`, everything per channel `[channels]`.

mod autodiff;
mod flex;
mod linear;
mod list;
mod optimizer;
mod pool;
pub mod stock;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, backend_extension};
use burn::tensor::Tensor;
pub use linear::{LinearGradients, linear};
pub use list::List;
pub use optimizer::{AnyTensor, Rates, Tensors};
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

/// A convolution's weight in the order in which a backend's inference reads it.
#[derive(ExtensionType, Clone, Debug)]
pub struct PackedWeight<B: Backend> {
    /// In an order, and of a shape, that only the backend knows.
    pub values: FloatTensor<B>,
    /// `[out, in / groups, kernel_height, kernel_width]`
    pub shape: [usize; 4],
}

/// A unit in inference, batch norm folded into weight and bias.
#[derive(ExtensionType, Clone, Debug)]
pub struct FoldedTensors<B: Backend> {
    /// The convolution's weight.
    #[extension_type]
    pub weight: PackedWeight<B>,
    /// One value a channel.
    pub bias: FloatTensor<B>,
}

/// What is added in front of the last activation.
#[derive(ExtensionType, Clone, Debug)]
pub enum Residual<B: Backend> {
    /// Nothing.
    None,
    /// The branch's own input, which has the output's shape.
    Input,
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

/// The parameters of a unit.
#[derive(ExtensionType, Clone, Debug)]
pub struct UnitTensors<B: Backend> {
    /// The convolution's weight.
    pub weight: FloatTensor<B>,
    /// Batch norm's scale.
    pub gamma: FloatTensor<B>,
    /// Batch norm's shift.
    pub beta: FloatTensor<B>,
    /// Batch norm's mean and variance.
    #[extension_type]
    pub statistics: Statistics<B>,
}

/// What a unit keeps for its backward pass.
#[derive(ExtensionType, Clone, Debug)]
pub struct UnitResult<B: Backend> {
    /// The convolution before batch norm.
    pub conv: FloatTensor<B>,
    /// The mean that was subtracted, by channel.
    pub mean: FloatTensor<B>,
    /// The (biased) variance that was divided by, by channel.
    pub variance: FloatTensor<B>,
}

/// A branch's result and what its backward pass needs.
#[derive(ExtensionType, Clone, Debug)]
pub struct BranchOutput<B: Backend> {
    /// The last unit's activations, with the residual: the one differentiable field.
    pub output: FloatTensor<B>,
    /// One for each unit.
    #[extension_type]
    pub units: UnitResults<B>,
}

/// The gradients of a unit's parameters.
#[derive(ExtensionType, Clone, Debug)]
pub struct UnitGradients<B: Backend> {
    /// The convolution's weight.
    pub weight: FloatTensor<B>,
    /// Batch norm's scale.
    pub gamma: FloatTensor<B>,
    /// Batch norm's shift.
    pub beta: FloatTensor<B>,
}

/// The gradients of a branch.
#[derive(ExtensionType, Clone, Debug)]
pub struct BranchGradients<B: Backend> {
    /// With respect to the input, an added [`Residual::Input`] included; `[0]` elements if it was
    /// not asked for.
    pub input: FloatTensor<B>,
    /// With respect to a residual that was added; `[0]` elements if there was none.
    pub residual: FloatTensor<B>,
    /// One for each unit.
    #[extension_type]
    pub units: UnitGradientList<B>,
}

/// One for each unit of a branch.
pub type FoldedUnits<B> = List<FoldedTensors<B>>;
/// One for each unit of a branch. Burn's macros want types of one generic argument.
pub type Units<B> = List<UnitTensors<B>>;
/// One for each unit of a branch.
pub type UnitResults<B> = List<UnitResult<B>>;
/// One for each unit of a branch.
pub type UnitGradientList<B> = List<UnitGradients<B>>;

/// The branches of convolutional networks: units of convolution, batch norm and activation, one after
/// the other, and a residual in front of the last activation.
///
/// A branch and not a unit is the operation, because what lies between its units need never be in
/// memory as a whole. A backend that implements nothing gets the stock bodies of [`stock`].
#[backend_extension(Flex, Autodiff)]
pub trait VisionOps: Backend {
    /// Prepares a weight, once, for [`branch_inference`](Self::branch_inference) on any number of
    /// batches and images of any size.
    fn pack_weight(weight: FloatTensor<Self>, spec: ConvSpec) -> PackedWeight<Self> {
        stock::pack_weight::<Self>(weight, spec)
    }

    /// Inference: `activation(conv(…) + bias + residual)` over the units. An image's result depends on
    /// no other image of the batch.
    fn branch_inference(
        x: FloatTensor<Self>,
        #[extension_type] units: FoldedUnits<Self>,
        #[extension_type] residual: Residual<Self>,
        specs: Vec<UnitSpec>,
    ) -> FloatTensor<Self> {
        stock::branch_inference::<Self>(x, units.0, residual, &specs)
    }

    /// Training: `activation(batch_norm(conv(…)) + residual)` over the units, at most
    /// [`MAX_UNITS`].
    fn branch(
        x: FloatTensor<Self>,
        #[extension_type] units: Units<Self>,
        #[extension_type] residual: Residual<Self>,
        specs: Vec<UnitSpec>,
    ) -> BranchOutput<Self> {
        stock::branch::<Self>(x, units.0, residual, &specs)
    }

    /// The gradients of a [`branch`](Self::branch), given that of its output and what it kept.
    fn branch_backward(
        gradient: FloatTensor<Self>,
        x: FloatTensor<Self>,
        #[extension_type] units: Units<Self>,
        #[extension_type] residual: Residual<Self>,
        #[extension_type] results: UnitResults<Self>,
        specs: Vec<UnitSpec>,
        need_input: bool,
    ) -> BranchGradients<Self> {
        stock::branch_backward::<Self>(
            gradient, x, units.0, residual, results.0, &specs, need_input,
        )
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

/// The longest branch: a node of Burn's gradient graph has a fixed number of parents.
pub const MAX_UNITS: usize = 3;

/// [`VisionOps::pack_weight`] on a tensor.
pub fn pack_weight(weight: Tensor<4>, spec: ConvSpec) -> PackedWeight<Dispatch> {
    Dispatch::pack_weight(weight.into_dispatch(), spec)
}

/// The weight and bias of a unit in inference, as tensors, and the rest of it.
#[derive(Clone)]
pub struct InferenceUnit {
    /// See [`pack_weight`].
    pub weight: PackedWeight<Dispatch>,
    /// One value a channel.
    pub bias: Tensor<1>,
    /// Geometry and activation.
    pub spec: UnitSpec,
}

/// [`VisionOps::branch_inference`] on tensors: x and the result are
/// `[batch, height, width, channels]`.
pub fn branch_inference(x: Tensor<4>, units: Vec<InferenceUnit>, added: Added) -> Tensor<4> {
    let specs = units.iter().map(|unit| unit.spec).collect();
    let units = units.into_iter().map(|unit| FoldedTensors {
        weight: unit.weight,
        bias: unit.bias.into_dispatch(),
    });
    let units = List(units.collect());
    let branch = Dispatch::branch_inference(x.into_dispatch(), units, added.into(), specs);
    Tensor::from_dispatch(branch)
}

/// The parameters of a unit as tensors.
#[derive(Clone)]
pub struct TrainingUnit {
    /// `[out, in / groups, kernel_height, kernel_width]`
    pub weight: Tensor<4>,
    /// Batch norm's scale.
    pub gamma: Tensor<1>,
    /// Batch norm's shift.
    pub beta: Tensor<1>,
    /// Mean and variance where they are given, and constant.
    pub frozen: Option<[Tensor<1>; 2]>,
    /// Geometry, epsilon and activation.
    pub spec: UnitSpec,
}

/// What is added to a branch in front of its last activation.
#[derive(Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "one of them exists at a time, and moves once"
)]
pub enum Added {
    /// Nothing.
    Nothing,
    /// The branch's input.
    Input,
    /// A tensor of the output's shape.
    Tensor(Tensor<4>),
}

impl From<Added> for Residual<Dispatch> {
    fn from(added: Added) -> Self {
        match added {
            Added::Nothing => Self::None,
            Added::Input => Self::Input,
            Added::Tensor(tensor) => Self::Add(tensor.into_dispatch()),
        }
    }
}

/// The result of [`branch`] on tensors.
pub struct TrainedBranch {
    /// `[batch, height, width, channels]`, differentiable.
    pub output: Tensor<4>,
    /// Mean and biased variance of the batch by channel for each unit, no gradient.
    pub statistics: Vec<[Tensor<1>; 2]>,
}

/// [`VisionOps::branch`] on tensors.
pub fn branch(x: Tensor<4>, units: Vec<TrainingUnit>, added: Added) -> TrainedBranch {
    let specs = units.iter().map(|unit| unit.spec).collect();
    let units = units.into_iter().map(|unit| UnitTensors {
        weight: unit.weight.into_dispatch(),
        gamma: unit.gamma.into_dispatch(),
        beta: unit.beta.into_dispatch(),
        statistics: match unit.frozen {
            Some([mean, variance]) => Statistics::Frozen {
                mean: mean.into_dispatch(),
                variance: variance.into_dispatch(),
            },
            None => Statistics::Batch,
        },
    });
    let units = List(units.collect());
    let branch = Dispatch::branch(x.into_dispatch(), units, added.into(), specs);
    let statistics = branch.units.0.into_iter().map(|unit| {
        [unit.mean, unit.variance].map(|tensor| Tensor::<1>::from_dispatch(tensor).inner())
    });
    TrainedBranch {
        output: Tensor::from_dispatch(branch.output),
        statistics: statistics.collect(),
    }
}
