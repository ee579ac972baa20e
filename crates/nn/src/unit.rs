//! The unit that convolutional networks are made of.

use crate::Activation;
use crate::ops::{ConvSpec, Padding, UnitSpec};
use crate::parameter_info::{Kind, ParameterInfo};

/// The batch norm of a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Its parameters are `<name>.weight`, `.bias`, `.running_mean` and `.running_var`.
    pub name: String,
    /// Share of a new batch in the running statistics, in 0..1.
    pub momentum: f64,
}

/// Convolution → batch norm (or a bias) → (+ residual) → activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Name of the convolution; its parameter is `<conv>.weight`.
    pub conv: String,
    /// The batch norm; without one, the convolution has a `<conv>.bias`.
    pub norm: Option<BatchNorm>,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// `[height, width]` of the kernel.
    pub kernel: [usize; 2],
    /// Geometry, epsilon and activation.
    pub spec: UnitSpec,
}

/// PyTorch's default share of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;
/// PyTorch's default epsilon.
const EPSILON: f32 = 1e-5;

impl Unit {
    /// A unit of a square kernel whose padding keeps the size at stride 1, with PyTorch's default
    /// epsilon and momentum.
    pub fn new(
        conv: &str,
        norm: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Activation,
    ) -> Self {
        Self {
            norm: Some(BatchNorm {
                name: norm.to_owned(),
                momentum: MOMENTUM,
            }),
            ..Self::with_bias(conv, channels, kernel, stride, groups, activation)
        }
    }

    /// As [`new`](Self::new), with a bias in place of the batch norm.
    pub fn with_bias(
        conv: &str,
        [in_channels, out_channels]: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Activation,
    ) -> Self {
        Self {
            conv: conv.to_owned(),
            norm: None,
            in_channels,
            out_channels,
            kernel: [kernel; 2],
            spec: UnitSpec {
                conv: ConvSpec {
                    stride: [stride; 2],
                    padding: Padding::Each([kernel / 2; 2]),
                    dilation: [1; 2],
                    groups,
                },
                epsilon: EPSILON,
                activation,
            },
        }
    }

    /// The name that its batch norm, or, without one, its convolution has: no other unit has it, although
    /// units may share a convolution.
    pub fn name(&self) -> &str {
        match &self.norm {
            Some(norm) => &norm.name,
            None => &self.conv,
        }
    }

    /// `[height, width, channels]` of the result for an input of that shape.
    pub fn output_shape(&self, [height, width, _]: [usize; 3]) -> [usize; 3] {
        let [height, width] = self.spec.conv.output_size([height, width], self.kernel);
        [height, width, self.out_channels]
    }

    /// Multiplications of one image of that shape, `[height, width, channels]`.
    pub fn multiply_adds(&self, input: [usize; 3]) -> usize {
        let [height, width, channels] = self.output_shape(input);
        let depth = self.in_channels / self.spec.conv.groups;
        height * width * channels * depth * self.kernel[0] * self.kernel[1]
    }

    /// The unit's parameters, in the order of PyTorch's `state_dict`.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        let activation = self.spec.activation;
        let weight = vec![
            self.out_channels,
            self.in_channels / self.spec.conv.groups,
            self.kernel[0],
            self.kernel[1],
        ];
        let channels = || vec![self.out_channels];
        let weight = ParameterInfo::new(&self.conv, "weight", weight, Kind::ConvWeight, activation);
        let Some(BatchNorm { name, .. }) = &self.norm else {
            let bias =
                ParameterInfo::new(&self.conv, "bias", channels(), Kind::ConvBias, activation);
            return vec![weight, bias];
        };
        let norm = |field, kind| ParameterInfo::new(name, field, channels(), kind, activation);
        vec![
            weight,
            norm("weight", Kind::NormScale),
            norm("bias", Kind::NormShift),
            norm("running_mean", Kind::RunningMean),
            norm("running_var", Kind::RunningVariance),
        ]
    }
}
