//! Squeeze and excitation.

use burn::tensor::{Device, Tensor};

use super::gate::{self, GateUnit};
use super::kind::{LayerKind, Shape, only};
use crate::forward::Forward;
use crate::parameter_info::ParameterInfo;
use crate::{Activation, Parameters, Part};

/// Channels scaled by a gate that sees the whole image: `x · gate(expand(act(reduce(mean(x)))))`; Hu, Shen and
/// Sun, "Squeeze-and-Excitation Networks" (arXiv 1709.01507), section 3.
#[derive(Clone, Debug, PartialEq)]
pub struct SqueezeExcite {
    /// Name of the 1×1 convolution to fewer channels; it has a bias.
    pub reduce: String,
    /// Name of the 1×1 convolution back; it has a bias.
    pub expand: String,
    /// Channels of input and output.
    pub channels: usize,
    /// Channels between the two convolutions.
    pub reduced: usize,
    /// The activation between the two convolutions.
    pub activation: Activation,
    /// The activation that makes the gate, whose values are from 0 to 1.
    pub gate: Activation,
}

impl SqueezeExcite {
    fn units(&self) -> [GateUnit<'_>; 2] {
        [
            GateUnit {
                conv: &self.reduce,
                channels: [self.reduced, self.channels],
                activation: self.activation,
            },
            GateUnit {
                conv: &self.expand,
                channels: [self.channels, self.reduced],
                activation: self.gate,
            },
        ]
    }
}

impl LayerKind for SqueezeExcite {
    fn parameters(&self) -> Vec<ParameterInfo> {
        gate::parameters(&self.units())
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        inputs[0]
    }

    fn multiply_adds(&self, inputs: &[Shape]) -> usize {
        gate::multiply_adds(&self.units(), inputs[0])
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Tensor<4> {
        gate::scale(&self.units(), only(inputs), forward)
    }

    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, Part)> {
        gate::fold(&self.units(), parameters, device)
    }
}
