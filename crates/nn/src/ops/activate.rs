//! Activations of small tensors, between the layers that have them fused.

use burn::tensor::activation::{gelu, hard_sigmoid, hard_swish, relu, sigmoid, silu};
use burn::tensor::{FloatDType, Tensor};
use warmstart_kernels::Activation;

/// The activation of every value, in Burn's own operations.
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    let format = x.dtype();
    let x = x.cast(FloatDType::F32);
    let y = match activation {
        Activation::Identity => x,
        Activation::Relu => relu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::HardSwish => hard_swish(x),
        Activation::HardSigmoid => hard_sigmoid(x, 1.0 / 6.0, 0.5),
        Activation::Sigmoid => sigmoid(x),
        Activation::Silu => silu(x),
        Activation::Gelu => gelu(x),
    };
    y.cast(format)
}
