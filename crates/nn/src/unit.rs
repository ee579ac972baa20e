//! The parameters of a model, and the unit that names most of them.

use crate::Activation;
use crate::ops::{ConvSpec, UnitSpec};

/// The kind of a parameter: decides its initial value, its weight decay and whether it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[out, in / groups, height, width]`
    ConvWeight,
    /// Batch norm's scale, `[channels]`
    NormScale,
    /// Batch norm's shift, `[channels]`
    NormShift,
    /// Batch norm's running mean, `[channels]`; not trained
    RunningMean,
    /// Batch norm's running variance (unbiased), `[channels]`; not trained
    RunningVariance,
    /// `[out, in]`
    LinearWeight,
    /// `[out]`
    LinearBias,
    /// `[out]`, of a classifier for which nearly everything is background
    PriorBias,
}

impl Kind {
    /// Whether gradients change it; running statistics follow the batches instead.
    pub fn is_trained(self) -> bool {
        match self {
            Self::RunningMean | Self::RunningVariance => false,
            Self::ConvWeight
            | Self::NormScale
            | Self::NormShift
            | Self::LinearWeight
            | Self::LinearBias
            | Self::PriorBias => true,
        }
    }

    /// Whether weight decay applies: to weights, never to norms and biases.
    pub fn decays(self) -> bool {
        self.is_weight()
    }

    /// Whether it is the weight of a convolution or of a linear layer.
    pub(crate) fn is_weight(self) -> bool {
        match self {
            Self::ConvWeight | Self::LinearWeight => true,
            Self::NormScale
            | Self::NormShift
            | Self::RunningMean
            | Self::RunningVariance
            | Self::LinearBias
            | Self::PriorBias => false,
        }
    }
}

/// A parameter that a model has, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Native name, e.g. `features.0.0.weight`.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its kind.
    pub kind: Kind,
    /// The activation after its layer.
    pub activation: Activation,
}

/// Convolution (no bias) → batch norm → (+ residual) → activation.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Name of the convolution; its parameter is `<conv>.weight`.
    pub conv: String,
    /// Name of the batch norm; its parameters are `<norm>.weight`, `.bias`, `.running_mean` and
    /// `.running_var`.
    pub norm: String,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// `[height, width]` of the kernel.
    pub kernel: [usize; 2],
    /// Geometry, epsilon and activation.
    pub spec: UnitSpec,
}

impl Unit {
    /// A unit of a square kernel whose padding keeps the size at stride 1, with PyTorch's default
    /// epsilon.
    pub fn new(
        conv: &str,
        norm: &str,
        [in_channels, out_channels]: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Activation,
    ) -> Self {
        Self {
            conv: conv.to_owned(),
            norm: norm.to_owned(),
            in_channels,
            out_channels,
            kernel: [kernel; 2],
            spec: UnitSpec {
                conv: ConvSpec {
                    stride: [stride; 2],
                    padding: [kernel / 2; 2],
                    dilation: [1; 2],
                    groups,
                },
                epsilon: 1e-5,
                activation,
            },
        }
    }

    /// `[height, width]` of the result for an input of that size.
    pub(crate) fn output_size(&self, input: [usize; 2]) -> [usize; 2] {
        let conv = &self.spec.conv;
        std::array::from_fn(|axis| {
            let reach = conv.dilation[axis] * (self.kernel[axis] - 1) + 1;
            (input[axis] + 2 * conv.padding[axis] - reach) / conv.stride[axis] + 1
        })
    }

    /// The unit's parameters, in the order of PyTorch's `state_dict`.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        let weight = ParameterInfo {
            name: format!("{}.weight", self.conv),
            shape: vec![
                self.out_channels,
                self.in_channels / self.spec.conv.groups,
                self.kernel[0],
                self.kernel[1],
            ],
            kind: Kind::ConvWeight,
            activation: self.spec.activation,
        };
        let norm = |field: &str, kind| ParameterInfo {
            name: format!("{}.{field}", self.norm),
            shape: vec![self.out_channels],
            kind,
            activation: self.spec.activation,
        };
        vec![
            weight,
            norm("weight", Kind::NormScale),
            norm("bias", Kind::NormShift),
            norm("running_mean", Kind::RunningMean),
            norm("running_var", Kind::RunningVariance),
        ]
    }
}
