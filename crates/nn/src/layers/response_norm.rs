//! Global response norm.

use burn::tensor::{Device, Tensor};

use super::affine;
use super::kind::{LayerKind, Shape, only};
use crate::forward::Forward;
use crate::ops;
use crate::parameter_info::{Kind, ParameterInfo};
use crate::{Parameters, Part};

/// Channels scaled by their length over the image, relative to the mean length of all channels, then shifted and added to
/// the input: Woo and others, "ConvNeXt V2" (arXiv 2301.00808), section 3.2.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseNorm {
    /// Its parameters are `<name>.weight` and `<name>.bias`.
    pub name: String,
    /// Channels of input and output.
    pub channels: usize,
}

impl ResponseNorm {
    /// Added to the mean length of the channels: that of the paper's code.
    pub const EPSILON: f32 = 1e-6;
}

impl LayerKind for ResponseNorm {
    fn parameters(&self) -> Vec<ParameterInfo> {
        affine::parameters(&self.name, self.channels, Kind::ResponseScale)
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
        ops::response_norm(only(inputs), gamma, beta, Self::EPSILON)
    }

    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, Part)> {
        affine::fold(&self.name, parameters, device)
    }
}
