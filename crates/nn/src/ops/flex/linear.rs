//! The linear layer on the processor.

use burn::backend::Flex;
use warmstart_kernels::{self as kernels, Activation, Convolution};

use super::primitive::{Primitive, contiguous, geometry, tensor, values};
use crate::ops::{ConvSpec, LinearGradients, Padding};

/// A linear layer is a 1×1 convolution of images of one pixel.
fn linear_geometry(x: &Primitive, weight: &Primitive) -> Convolution {
    let [batch, inputs] = x.layout().shape().dims();
    let [outputs, _] = weight.layout().shape().dims();
    let spec = ConvSpec {
        stride: [1; 2],
        padding: Padding::Each([0; 2]),
        dilation: [1; 2],
        groups: 1,
    };
    geometry([batch, 1, 1, inputs], [outputs, inputs, 1, 1], spec)
}

pub(super) fn linear(x: Primitive, weight: Primitive, bias: Primitive) -> Primitive {
    let [x, weight, bias] = [x, weight, bias].map(contiguous);
    let linear = linear_geometry(&x, &weight);
    let unit = kernels::InferenceUnit {
        convolution: linear,
        packed: &kernels::pack_weights(&linear, values(&weight)),
        bias: values(&bias),
        activation: Activation::Identity,
    };
    let output = kernels::branch_inference(&[unit], values(&x), None);
    tensor(output, [linear.batch, linear.out_channels])
}

pub(super) fn linear_backward(
    gradient: Primitive,
    x: Primitive,
    weight: Primitive,
    need_x: bool,
) -> LinearGradients<Flex> {
    let [gradient, x, weight] = [gradient, x, weight].map(contiguous);
    let linear = linear_geometry(&x, &weight);
    let [inputs, outputs] = [linear.in_channels, linear.out_channels];
    let gradient = values(&gradient);
    let mut bias = vec![0.0; outputs];
    for row in gradient.chunks_exact(outputs) {
        for (sum, value) in bias.iter_mut().zip(row) {
            *sum += value;
        }
    }
    let weight_gradient = kernels::convolution_weight_gradient(&linear, values(&x), gradient);
    LinearGradients {
        x: if need_x {
            tensor(
                kernels::convolution_input_gradient(&linear, gradient, values(&weight)),
                [linear.batch, inputs],
            )
        } else {
            tensor(Vec::new(), [0])
        },
        weight: tensor(weight_gradient, [outputs, inputs]),
        bias: tensor(bias, [outputs]),
    }
}
