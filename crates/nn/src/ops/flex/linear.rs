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
    let [gradient, x, weight] = [&gradient, &x, &weight].map(values);
    let (grad_x, grad_weight) = if need_x {
        let [grad_x, grad_weight] = kernels::convolution_gradients(&linear, x, weight, gradient);
        (tensor(grad_x, [linear.batch, inputs]), grad_weight)
    } else {
        let grad_weight = kernels::convolution_weight_gradient(&linear, x, gradient);
        (tensor(Vec::new(), [0]), grad_weight)
    };
    LinearGradients {
        x: grad_x,
        weight: tensor(grad_weight, [outputs, inputs]),
        bias: tensor(kernels::channel_sums(gradient, outputs), [outputs]),
    }
}
