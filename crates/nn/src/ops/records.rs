//! The arguments and results of [`VisionOps`](super::VisionOps).

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType};
use warmstart_kernels::Activation;

use super::list::List;

/// Zeros around the input of a convolution; each pair is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many on each side, as in PyTorch.
    Each([usize; 2]),
    /// As many as make the output `⌈input / stride⌉` pixels wide; an odd one goes to the bottom and the right, as
    /// in TensorFlow's `SAME`.
    Same,
}

/// Geometry of a convolution; each pair is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Step between output pixels, in input pixels; at least 1.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding,
    /// Distance between kernel taps; at least 1.
    pub dilation: [usize; 2],
    /// Number of groups that channels are cut into; divides both channel counts.
    pub groups: usize,
}

impl ConvSpec {
    /// Zeros at `[top, left]` and at `[bottom, right]` of an input of `[height, width]` pixels.
    pub fn zeros(&self, input: [usize; 2], kernel: [usize; 2]) -> [[usize; 2]; 2] {
        match self.padding {
            Padding::Each(padding) => [padding; 2],
            Padding::Same => {
                let all: [usize; 2] = std::array::from_fn(|axis| {
                    let steps = input[axis].div_ceil(self.stride[axis]).saturating_sub(1);
                    let reach = steps * self.stride[axis] + self.reach(axis, kernel);
                    reach.saturating_sub(input[axis])
                });
                [all.map(|all| all / 2), all.map(|all| all.div_ceil(2))]
            }
        }
    }

    /// `[height, width]` of the output for an input of that size.
    pub fn output_size(&self, input: [usize; 2], kernel: [usize; 2]) -> [usize; 2] {
        let [before, after] = self.zeros(input, kernel);
        std::array::from_fn(|axis| {
            let padded = input[axis] + before[axis] + after[axis];
            (padded - self.reach(axis, kernel)) / self.stride[axis] + 1
        })
    }

    /// Input pixels that one output pixel spans.
    fn reach(&self, axis: usize, kernel: [usize; 2]) -> usize {
        self.dilation[axis] * (kernel[axis] - 1) + 1
    }
}

/// The settings of a unit: its convolution, the batch norm's epsilon, and its activation.
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
    /// Values in an order and shape that only the backend knows.
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

/// The tensor that is added before the last activation.
#[derive(ExtensionType, Clone, Debug)]
pub enum Residual<B: Backend> {
    /// Nothing.
    None,
    /// The branch's own input, which has the output's shape.
    Input,
    /// A tensor of the output's shape.
    Add(FloatTensor<B>),
}

/// The source of batch norm's mean and variance.
#[derive(ExtensionType, Clone, Debug)]
pub enum Statistics<B: Backend> {
    /// The batch itself: the gradient flows through them.
    Batch,
    /// Given constants: scale and shift still learn.
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

/// The values that a unit keeps for its backward pass.
#[derive(ExtensionType, Clone, Debug)]
pub struct UnitResult<B: Backend> {
    /// The convolution before batch norm.
    pub conv: FloatTensor<B>,
    /// The mean that was subtracted, by channel.
    pub mean: FloatTensor<B>,
    /// The (biased) variance that was divided by, by channel.
    pub variance: FloatTensor<B>,
}

/// A branch's result and the values that its backward pass needs.
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
    /// not requested.
    pub input: FloatTensor<B>,
    /// With respect to a residual that was added; `[0]` elements if there was none.
    pub residual: FloatTensor<B>,
    /// One for each unit.
    #[extension_type]
    pub units: UnitGradientList<B>,
}

/// Windows of a pooling; each pair is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Edges of a window in pixels, at least 1.
    pub size: [usize; 2],
    /// Step between windows in pixels, at least 1.
    pub stride: [usize; 2],
    /// Pixels without a value added on each side, at most half a window.
    pub padding: [usize; 2],
    /// Whether a last window may reach beyond the padding, so that no pixel is left out.
    pub ceil: bool,
}

impl PoolSpec {
    /// `[height, width]` of the output for an input of that size.
    pub fn output_size(&self, input: [usize; 2]) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let room = input[axis] + 2 * self.padding[axis] - self.size[axis];
            let steps = if self.ceil {
                room.div_ceil(self.stride[axis])
            } else {
                room / self.stride[axis]
            };
            // As in PyTorch, a window begins in the image or in the padding before it.
            let most = (input[axis] + self.padding[axis]).div_ceil(self.stride[axis]);
            (steps + 1).min(most)
        })
    }
}

/// Gradients of a linear layer.
#[derive(ExtensionType, Clone, Debug)]
pub struct LinearGradients<B: Backend> {
    /// With respect to the input; `[0]` elements if it was not requested.
    pub x: FloatTensor<B>,
    /// With respect to the weight.
    pub weight: FloatTensor<B>,
    /// With respect to the bias.
    pub bias: FloatTensor<B>,
}

/// Gradients of a norm.
#[derive(ExtensionType, Clone, Debug)]
pub struct NormGradients<B: Backend> {
    /// With respect to the input; `[0]` elements if it was not requested.
    pub x: FloatTensor<B>,
    /// With respect to the scale.
    pub gamma: FloatTensor<B>,
    /// With respect to the shift.
    pub beta: FloatTensor<B>,
}

/// The step size and weight decay of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Step size, at least 0.
    pub learning_rate: f64,
    /// Weight decay, at least 0.
    pub weight_decay: f64,
}

/// One for each unit of a branch.
pub type FoldedUnits<B> = List<FoldedTensors<B>>;
/// One for each unit of a branch. Burn's macros want types of one generic argument.
pub type Units<B> = List<UnitTensors<B>>;
/// One for each unit of a branch.
pub type UnitResults<B> = List<UnitResult<B>>;
/// One for each unit of a branch.
pub type UnitGradientList<B> = List<UnitGradients<B>>;
