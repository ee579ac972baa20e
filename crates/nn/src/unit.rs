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

/// Convolution → batch norm (or a bias, and a layer scale) → (+ residual) → activation. A linear layer on the channels
/// of each pixel is one, too: its kernel is 1×1.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Name of the convolution; its parameter is `<conv>.weight`.
    pub conv: String,
    /// Whether its weight is that of a linear layer, `[out, in]`, as in files; its kernel is 1×1.
    pub is_linear: bool,
    /// The batch norm.
    pub norm: Option<BatchNorm>,
    /// Whether a unit without a batch norm has a `<conv>.bias`.
    pub has_bias: bool,
    /// Name of the parameter `[out]` that scales its result by channel before the shortcut is added: a layer scale;
    /// Touvron and others, "Going Deeper with Image Transformers" (arXiv 2103.17239), section 2. Only a unit without a
    /// batch norm has one.
    pub layer_scale: Option<String>,
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
            is_linear: false,
            norm: None,
            has_bias: true,
            layer_scale: None,
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

    /// A linear layer on the channels of each pixel, with a bias.
    pub fn linear(name: &str, channels: [usize; 2], activation: Activation) -> Self {
        Self {
            is_linear: true,
            ..Self::with_bias(name, channels, 1, 1, 1, activation)
        }
    }

    /// The same unit without a bias.
    pub fn without_bias(self) -> Self {
        Self {
            has_bias: false,
            ..self
        }
    }

    /// The same unit with a [layer scale](Self::layer_scale) of that name.
    ///
    /// # Panics
    /// If it has a batch norm.
    pub fn scaled_by(self, name: &str) -> Self {
        assert!(self.norm.is_none(), "a batch norm has a scale of its own");
        Self {
            layer_scale: Some(name.to_owned()),
            ..self
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

    /// `[out, in / groups, height, width]` of its kernel, also where files have `[out, in]`.
    pub(crate) fn kernel_shape(&self) -> [usize; 4] {
        let [height, width] = self.kernel;
        let depth = self.in_channels / self.spec.conv.groups;
        [self.out_channels, depth, height, width]
    }

    /// The unit's parameters, in the order of PyTorch's `state_dict`, a layer scale last.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        let activation = self.spec.activation;
        let of_channels = |layer: &str, field, kind| {
            ParameterInfo::new(layer, field, vec![self.out_channels], kind, activation)
        };
        let (shape, kind) = if self.is_linear {
            let shape = vec![self.out_channels, self.in_channels];
            (shape, Kind::LinearWeight)
        } else {
            (self.kernel_shape().to_vec(), Kind::ConvWeight)
        };
        let weight = ParameterInfo::new(&self.conv, "weight", shape, kind, activation);
        let mut parameters = vec![weight];
        if let Some(BatchNorm { name, .. }) = &self.norm {
            parameters.extend([
                of_channels(name, "weight", Kind::NormScale),
                of_channels(name, "bias", Kind::NormShift),
                of_channels(name, "running_mean", Kind::RunningMean),
                of_channels(name, "running_var", Kind::RunningVariance),
            ]);
            return parameters;
        }
        if self.has_bias {
            let kind = if self.is_linear {
                Kind::LinearBias
            } else {
                Kind::ConvBias
            };
            parameters.push(of_channels(&self.conv, "bias", kind));
        }
        if let Some(name) = &self.layer_scale {
            parameters.push(ParameterInfo {
                name: name.clone(),
                shape: vec![self.out_channels],
                kind: Kind::LayerScale,
                activation,
            });
        }
        parameters
    }
}
