//! Activations and their derivatives.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use warmstart_kernels::Activation;

pub(super) fn activate<B: Backend>(x: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => B::relu(x),
        Activation::Relu6 => B::float_clamp(x, 0f32.into(), 6f32.into()),
        Activation::HardSwish => B::float_mul(x.clone(), hard_sigmoid::<B>(x)),
        Activation::HardSigmoid => hard_sigmoid::<B>(x),
        Activation::Sigmoid => sigmoid::<B>(x),
        Activation::Silu => B::float_mul(x.clone(), sigmoid::<B>(x)),
        Activation::Gelu => B::gelu(x),
    }
}

/// `Relu6(x + 3) / 6`
fn hard_sigmoid<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let raised = B::float_add_scalar(x, 3f32.into());
    B::float_div_scalar(
        B::float_clamp(raised, 0f32.into(), 6f32.into()),
        6f32.into(),
    )
}

/// `1 / (1 + e⁻ˣ)`
fn sigmoid<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let power = B::float_exp(B::float_neg(x));
    B::float_recip(B::float_add_scalar(power, 1f32.into()))
}

/// `gradient` times the derivative at `argument`, which went into the activation.
pub(super) fn activation_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    argument: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    match activation {
        Activation::Identity => gradient,
        Activation::Relu => keep_between::<B>(gradient, argument, 0.0, f32::INFINITY),
        Activation::Relu6 => keep_between::<B>(gradient, argument, 0.0, 6.0),
        Activation::HardSwish => {
            let slope = B::float_div_scalar(argument.clone(), 6f32.into());
            let slope = keep_between::<B>(slope, argument.clone(), -3.0, 3.0);
            B::float_mul(gradient, B::float_add(hard_sigmoid::<B>(argument), slope))
        }
        Activation::HardSigmoid => {
            let slope = B::float_div_scalar(gradient, 6f32.into());
            keep_between::<B>(slope, argument, -3.0, 3.0)
        }
        Activation::Sigmoid => B::sigmoid_backward(sigmoid::<B>(argument), gradient),
        Activation::Gelu => B::float_mul(gradient, gelu_slope::<B>(argument)),
        Activation::Silu => {
            let sigmoid = sigmoid::<B>(argument.clone());
            let through_sigmoid = B::float_mul(gradient.clone(), argument);
            B::float_add(
                B::float_mul(gradient, sigmoid.clone()),
                B::sigmoid_backward(sigmoid, through_sigmoid),
            )
        }
    }
}

/// `Φ(x) + x · φ(x)`, where Φ is the normal distribution and φ its density. Burn's own derivative is that of an
/// approximation.
fn gelu_slope<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let error = B::float_erf(B::float_mul_scalar(x.clone(), FRAC_1_SQRT_2.into()));
    let below = B::float_mul_scalar(B::float_add_scalar(error, 1f32.into()), 0.5f32.into());
    let exponent = B::float_mul_scalar(B::float_mul(x.clone(), x.clone()), (-0.5f32).into());
    // 1 / √(2π)
    let highest = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
    let density = B::float_mul_scalar(B::float_exp(exponent), highest.into());
    B::float_add(below, B::float_mul(x, density))
}

/// `x` where `low < value < high`, else zero.
fn keep_between<B: Backend>(
    x: FloatTensor<B>,
    value: FloatTensor<B>,
    low: f32,
    high: f32,
) -> FloatTensor<B> {
    let bool_dtype = burn::backend::get_or_init_device_settings::<B>(&value.device()).bool_dtype;
    let outside = B::bool_or(
        B::float_lower_equal_elem(value.clone(), low.into(), bool_dtype),
        B::float_greater_equal_elem(value, high.into(), bool_dtype),
    );
    B::float_mask_fill(x, outside, 0f32.into())
}
