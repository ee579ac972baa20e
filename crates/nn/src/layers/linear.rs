//! The linear layer.

use burn::tensor::{Device, Tensor, TensorData};

use super::kind::{LayerKind, Shape, only};
use crate::forward::Forward;
use crate::ops::{self, Added, ConvSpec, InferenceUnit, Padding, UnitSpec};
use crate::parameter_info::{Kind, ParameterInfo};
use crate::{Activation, Parameters, Part};

/// `activation(x · weightᵀ + bias)` on the channels of each pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Its parameters are `<name>.weight` and `<name>.bias`.
    pub name: String,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Kind of the bias: [`Kind::LinearBias`] or [`Kind::PriorBias`].
    pub bias: Kind,
    /// Applied last.
    pub activation: Activation,
}

/// A 1×1 convolution.
const POINTWISE: ConvSpec = ConvSpec {
    stride: [1; 2],
    padding: Padding::Each([0; 2]),
    dilation: [1; 2],
    groups: 1,
};

/// A linear layer of pixels in inference: a 1×1 convolution with a bias. `weight` is `[out, in]`.
pub(super) fn fold_linear(
    weight: Vec<f32>,
    [outputs, inputs]: [usize; 2],
    bias: Vec<f32>,
    activation: Activation,
    device: &Device,
) -> InferenceUnit {
    let weight = TensorData::new(weight, [outputs, inputs, 1, 1]);
    InferenceUnit {
        weight: ops::pack_weight(Tensor::from_data(weight, device), POINTWISE),
        bias: Tensor::from_data(TensorData::new(bias, [outputs]), device),
        spec: UnitSpec {
            conv: POINTWISE,
            epsilon: 0.0,
            activation,
        },
    }
}

/// The linear layer of that name on the channels of each pixel of x `[batch, height, width, channels]`, in training: it
/// keeps nothing of its result.
pub(super) fn train_linear(name: &str, x: Tensor<4>, parameters: &Parameters) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let y = ops::linear(
        x.reshape([batch * height * width, channels]),
        parameters.get(&format!("{name}.weight")),
        parameters.get(&format!("{name}.bias")),
    );
    let [_, outputs] = y.dims();
    y.reshape([batch, height, width, outputs])
}

impl LayerKind for Linear {
    fn parameters(&self) -> Vec<ParameterInfo> {
        let parameter = |field, shape, kind| {
            ParameterInfo::new(&self.name, field, shape, kind, self.activation)
        };
        vec![
            parameter(
                "weight",
                vec![self.outputs, self.inputs],
                Kind::LinearWeight,
            ),
            parameter("bias", vec![self.outputs], self.bias),
        ]
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [height, width, _] = inputs[0];
        [height, width, self.outputs]
    }

    fn multiply_adds(&self, inputs: &[Shape]) -> usize {
        let [height, width, _] = inputs[0];
        height * width * self.inputs * self.outputs
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Tensor<4> {
        let x = only(inputs);
        match forward {
            Forward::Inference(folded) => {
                ops::branch_inference(x, vec![folded.part(&self.name)], Added::Nothing)
            }
            Forward::Training { parameters, .. } => {
                ops::activate(train_linear(&self.name, x, parameters), self.activation)
            }
        }
    }

    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, Part)> {
        let values = |field: &str| parameters.values(&format!("{}.{field}", self.name));
        let shape = [self.outputs, self.inputs];
        let (weight, bias) = (values("weight"), values("bias"));
        let unit = fold_linear(weight, shape, bias, self.activation, device);
        vec![(self.name.clone(), Part::Unit(unit))]
    }
}
