//! Layer norm and global response norm on the processor.

use burn::backend::Flex;
use warmstart_kernels::{self as kernels, LayerNorm, ResponseNorm};

use super::primitive::{Primitive, contiguous, dimensions, tensor, values};
use crate::ops::NormGradients;

pub(super) fn layer_norm(
    x: Primitive,
    gamma: Primitive,
    beta: Primitive,
    epsilon: f32,
) -> Primitive {
    let [x, gamma, beta] = [x, gamma, beta].map(contiguous);
    let norm = LayerNorm {
        gamma: values(&gamma),
        epsilon,
    };
    let output = kernels::layer_norm(values(&x), norm, values(&beta));
    tensor(output, dimensions(&x))
}

pub(super) fn layer_norm_backward(
    gradient: Primitive,
    x: Primitive,
    gamma: Primitive,
    epsilon: f32,
    need_x: bool,
) -> NormGradients<Flex> {
    let [gradient, x, gamma] = [gradient, x, gamma].map(contiguous);
    let norm = LayerNorm {
        gamma: values(&gamma),
        epsilon,
    };
    let found = kernels::layer_norm_backward(values(&gradient), values(&x), norm, need_x);
    gradients(found, dimensions(&x))
}

pub(super) fn response_norm(
    x: Primitive,
    gamma: Primitive,
    beta: Primitive,
    epsilon: f32,
) -> Primitive {
    let [x, gamma, beta] = [x, gamma, beta].map(contiguous);
    let shape = dimensions(&x);
    let norm = ResponseNorm {
        batch: shape[0],
        gamma: values(&gamma),
        epsilon,
    };
    let output = kernels::response_norm(values(&x), norm, values(&beta));
    tensor(output, shape)
}

pub(super) fn response_norm_backward(
    gradient: Primitive,
    x: Primitive,
    gamma: Primitive,
    epsilon: f32,
    need_x: bool,
) -> NormGradients<Flex> {
    let [gradient, x, gamma] = [gradient, x, gamma].map(contiguous);
    let shape = dimensions(&x);
    let norm = ResponseNorm {
        batch: shape[0],
        gamma: values(&gamma),
        epsilon,
    };
    let found = kernels::response_norm_backward(values(&gradient), values(&x), norm, need_x);
    gradients(found, shape)
}

fn gradients(found: kernels::NormGradients, shape: [usize; 4]) -> NormGradients<Flex> {
    let channels = [shape[3]];
    NormGradients {
        x: match found.x {
            Some(x) => tensor(x, shape),
            None => tensor(Vec::new(), [0]),
        },
        gamma: tensor(found.gamma, channels),
        beta: tensor(found.beta, channels),
    }
}
