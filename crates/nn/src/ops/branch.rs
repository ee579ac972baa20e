//! Branches of units: their tensor forms, in inference and in training.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::list::List;
use super::records::{
    ConvSpec, FoldedTensors, PackedWeight, Residual, Statistics, UnitSpec, UnitTensors,
};
use super::vision_ops::VisionOps;

/// [`VisionOps::pack_weight`] on a tensor.
pub fn pack_weight(weight: Tensor<4>, spec: ConvSpec) -> PackedWeight<Dispatch> {
    Dispatch::pack_weight(weight.into_dispatch(), spec)
}

/// A unit in inference, as tensors.
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
    /// Constant mean and variance, if they are not the batch's.
    pub frozen: Option<[Tensor<1>; 2]>,
    /// Geometry, epsilon and activation.
    pub spec: UnitSpec,
}

/// The tensor that is added to a branch before its last activation.
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
    /// Mean and biased variance of the batch by channel for each unit, without gradients.
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
