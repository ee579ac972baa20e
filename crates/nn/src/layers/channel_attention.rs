//! Channel attention.

use burn::tensor::{Device, Tensor};

use super::gate::{self, GateUnit};
use super::kind::{LayerKind, Shape, only};
use crate::forward::Forward;
use crate::parameter_info::ParameterInfo;
use crate::{Activation, Parameters, Part};

/// Channels scaled by a gate of one layer that sees the whole image: `x · gate(conv(mean(x)))`; Lyu and others,
/// "RTMDet" (arXiv 2212.07784), section 3.2.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelAttention {
    /// Name of the 1×1 convolution; it has a bias.
    pub conv: String,
    /// Channels of input and output.
    pub channels: usize,
    /// The activation that makes the gate, whose values are from 0 to 1.
    pub gate: Activation,
}

impl ChannelAttention {
    fn units(&self) -> [GateUnit<'_>; 1] {
        [GateUnit {
            conv: &self.conv,
            channels: [self.channels; 2],
            activation: self.gate,
        }]
    }
}

impl LayerKind for ChannelAttention {
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

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::layers::{Layer, fold};

    /// Two images of two pixels and two channels, whose means are (2, −1) and (0, 0.5).
    const PIXELS: [f32; 8] = [1., 0., 3., -2., -1., 1., 1., 0.];

    fn attention() -> ChannelAttention {
        ChannelAttention {
            conv: "attention.fc".into(),
            channels: 2,
            gate: Activation::HardSigmoid,
        }
    }

    fn parameters() -> Parameters {
        let device = crate::device();
        let mut parameters = Parameters::new();
        let weight = vec![3., 0., -3., 3.];
        parameters.insert_values("attention.fc.weight", &[2, 2, 1, 1], weight, &device);
        parameters.insert_values("attention.fc.bias", &[2], vec![0., 3.], &device);
        parameters
    }

    fn images(values: [f32; 8]) -> Tensor<4> {
        let data = TensorData::new(values.to_vec(), [2, 1, 2, 2]);
        Tensor::from_data(data, &crate::device())
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn each_channel_is_scaled_by_a_gate_of_the_means() {
        let (attention, parameters) = (attention(), parameters());
        let layer = Layer::ChannelAttention(attention.clone());
        let folded = fold(&parameters, [&layer], &crate::device());
        let mut forward = Forward::Inference(&folded);
        let scaled = attention.forward(vec![images(PIXELS)], &mut forward);
        let scaled: Vec<f32> = scaled.into_data().try_into_vec().unwrap();
        // What goes into the gates is (6, −6) and (0, 4.5); they are x / 6 + 1/2 between 0 and 1.
        assert_close(&scaled, &[1., 0., 3., 0., -0.5, 1., 0.5, 0.]);
    }

    #[test]
    fn the_gate_learns_in_training() {
        let (attention, tracked) = (attention(), parameters().tracked(|_| true));
        let mut statistics = Vec::new();
        let mut forward = Forward::Training {
            parameters: &tracked,
            frozen_statistics: false,
            statistics: &mut statistics,
            stochastic_depth: None,
        };
        let scaled = attention.forward(vec![images(PIXELS).autodiff()], &mut forward);
        let values: Vec<f32> = scaled.clone().inner().into_data().try_into_vec().unwrap();
        assert_close(&values, &[1., 0., 3., 0., -0.5, 1., 0.5, 0.]);
        // The last pixel alone counts: a gate of its image is neither 0 nor 1, and its input is 0 · w + 0.5 · v + b.
        let last = images([0., 0., 0., 0., 0., 0., 1., 1.]).autodiff();
        let gradients = tracked.take_gradients(&mut (scaled * last).sum().backward());
        assert_close(&gradients.values("attention.fc.bias"), &[1. / 6., 0.]);
        let by_weight = [0., 1. / 12., 0., 0.];
        assert_close(&gradients.values("attention.fc.weight"), &by_weight);
    }
}
