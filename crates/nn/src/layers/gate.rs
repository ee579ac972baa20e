//! Gates: channels scaled by what 1×1 convolutions make of the means over the image.

use burn::tensor::{Device, Tensor};

use super::kind::{Shape, for_two_uses};
use super::linear::fold_linear;
use crate::forward::Forward;
use crate::ops::{self, Added};
use crate::parameter_info::{Kind, ParameterInfo};
use crate::{Activation, Parameters, Part};

/// A 1×1 convolution with a bias on the means over the image.
pub(super) struct GateUnit<'a> {
    /// Name of the convolution.
    pub conv: &'a str,
    /// `[out, in]`
    pub channels: [usize; 2],
    /// Applied last.
    pub activation: Activation,
}

/// The parameters of the convolutions of a gate.
pub(super) fn parameters(units: &[GateUnit]) -> Vec<ParameterInfo> {
    let parameters = units.iter().flat_map(|unit| {
        let &GateUnit {
            conv,
            channels: [outputs, inputs],
            activation,
        } = unit;
        let weight = vec![outputs, inputs, 1, 1];
        [
            ParameterInfo::new(conv, "weight", weight, Kind::ConvWeight, activation),
            ParameterInfo::new(conv, "bias", vec![outputs], Kind::ConvBias, activation),
        ]
    });
    parameters.collect()
}

/// Multiplications for an image of that shape: those of the convolutions, and one for each value that is scaled.
pub(super) fn multiply_adds(units: &[GateUnit], [height, width, channels]: Shape) -> usize {
    let of_units = units.iter().map(|unit| unit.channels[0] * unit.channels[1]);
    height * width * channels + of_units.sum::<usize>()
}

/// `x` with each channel of each image multiplied by the gate's value.
pub(super) fn scale(units: &[GateUnit], x: Tensor<4>, forward: &Forward) -> Tensor<4> {
    let (seen, x) = for_two_uses(x, forward);
    let mean = ops::image_means(seen);
    let gate = match forward {
        Forward::Inference(folded) => {
            let [batch, channels] = mean.dims();
            let units = units.iter().map(|unit| folded.part(unit.conv));
            let pixel = mean.reshape([batch, 1, 1, channels]);
            let gate = ops::branch_inference(pixel, units.collect(), Added::Nothing);
            let [_, _, _, channels] = gate.dims();
            gate.reshape([batch, channels])
        }
        Forward::Training { parameters, .. } => {
            let mut y = mean;
            for unit in units {
                let weight: Tensor<4> = parameters.get(&format!("{}.weight", unit.conv));
                let bias = parameters.get(&format!("{}.bias", unit.conv));
                y = ops::linear(y, weight.reshape(unit.channels), bias);
                y = ops::activate(y, unit.activation);
            }
            y
        }
    };
    ops::scale_channels(x, gate)
}

/// The convolutions of a gate, prepared for inference.
pub(super) fn fold(
    units: &[GateUnit],
    parameters: &Parameters,
    device: &Device,
) -> Vec<(String, Part)> {
    let fold = |unit: &GateUnit| {
        let values = |field: &str| parameters.values(&format!("{}.{field}", unit.conv));
        let (weight, bias) = (values("weight"), values("bias"));
        let folded = fold_linear(weight, unit.channels, bias, unit.activation, device);
        (unit.conv.to_owned(), Part::Unit(folded))
    };
    units.iter().map(fold).collect()
}
