//! Layer norm.

use burn::tensor::{Device, Tensor};

use super::affine;
use super::kind::{LayerKind, Shape, only};
use crate::forward::Forward;
use crate::ops;
use crate::parameter_info::{Kind, ParameterInfo};
use crate::{Parameters, Part};

/// The channels of each pixel brought to a mean of 0 and a variance of 1, then scaled and shifted by channel: Ba, Kiros
/// and Hinton, "Layer Normalization" (arXiv 1607.06450), equation 4.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// Its parameters are `<name>.weight` and `<name>.bias`.
    pub name: String,
    /// Channels of input and output.
    pub channels: usize,
    /// Added to the variance before its square root is taken.
    pub epsilon: f32,
}

impl LayerKind for LayerNorm {
    fn parameters(&self) -> Vec<ParameterInfo> {
        affine::parameters(&self.name, self.channels, Kind::NormScale)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        inputs[0]
    }

    /// A square and a scaling for each value.
    fn multiply_adds(&self, inputs: &[Shape]) -> usize {
        let [height, width, channels] = inputs[0];
        2 * height * width * channels
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Tensor<4> {
        let [gamma, beta] = affine::tensors(&self.name, forward);
        ops::layer_norm(only(inputs), gamma, beta, self.epsilon)
    }

    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, Part)> {
        affine::fold(&self.name, parameters, device)
    }
}
