//! Squeeze and excitation.

use burn::tensor::{Device, Tensor};

use super::kind::{LayerKind, Shape, only};
use super::linear::fold_linear;
use crate::forward::Forward;
use crate::ops::{self, Added, InferenceUnit};
use crate::parameter_info::{Kind, ParameterInfo};
use crate::{Activation, Parameters};

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
    /// Name, `[out, in]` and activation of both convolutions.
    fn convolutions(&self) -> [(&str, [usize; 2], Activation); 2] {
        let Self {
            reduce,
            expand,
            channels,
            reduced,
            activation,
            gate,
        } = self;
        [
            (reduce, [*reduced, *channels], *activation),
            (expand, [*channels, *reduced], *gate),
        ]
    }
}

impl LayerKind for SqueezeExcite {
    fn parameters(&self) -> Vec<ParameterInfo> {
        let convolutions = self.convolutions().into_iter();
        let parameters = convolutions.flat_map(|(name, [outputs, inputs], activation)| {
            let weight = vec![outputs, inputs, 1, 1];
            [
                ParameterInfo::new(name, "weight", weight, Kind::ConvWeight, activation),
                ParameterInfo::new(name, "bias", vec![outputs], Kind::ConvBias, activation),
            ]
        });
        parameters.collect()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        inputs[0]
    }

    fn multiply_adds(&self, inputs: &[Shape]) -> usize {
        let [height, width, channels] = inputs[0];
        height * width * channels + 2 * self.channels * self.reduced
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Tensor<4> {
        let x = only(inputs);
        let mean = ops::image_means(x.clone());
        let gate = match forward {
            Forward::Inference(folded) => {
                let [batch, channels] = mean.dims();
                let units = self.convolutions().map(|(name, ..)| folded.part(name));
                let pixel = mean.reshape([batch, 1, 1, channels]);
                let gate = ops::branch_inference(pixel, units.into(), Added::Nothing);
                gate.reshape([batch, channels])
            }
            Forward::Training { parameters, .. } => {
                let mut y = mean;
                for (name, shape, activation) in self.convolutions() {
                    let weight: Tensor<4> = parameters.get(&format!("{name}.weight"));
                    let bias = parameters.get(&format!("{name}.bias"));
                    y = ops::linear(y, weight.reshape(shape), bias);
                    y = ops::activate(y, activation);
                }
                y
            }
        };
        ops::scale_channels(x, gate)
    }

    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, InferenceUnit)> {
        let fold = |(name, shape, activation): (&str, _, _)| {
            let values = |field: &str| parameters.values(&format!("{name}.{field}"));
            let unit = fold_linear(values("weight"), shape, values("bias"), activation, device);
            (name.to_owned(), unit)
        };
        self.convolutions().map(fold).into()
    }
}
