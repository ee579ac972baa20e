//! [`VisionOps`](super::VisionOps) in stock Burn operations: the default on every backend, and the
//! reference that the CPU kernels are tested against.
//!
//! Stock convolutions take `[batch, channels, height, width]`, so each body permutes around them.

use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;
use warmstart_kernels::Activation;

pub use super::linear::{stock_linear as linear, stock_linear_backward as linear_backward};
pub use super::optimizer::{
    stock_adam_step as adam_step, stock_move_averages as move_averages, stock_sgd_step as sgd_step,
    stock_sum_of_squares as sum_of_squares,
};
pub use super::pool::{
    stock_average_pool as average_pool, stock_average_pool_backward as average_pool_backward,
    stock_max_pool as max_pool, stock_max_pool_backward as max_pool_backward,
};
use super::{ConvSpec, NormGradients, Residual, Statistics, UnitOutput, UnitSpec};

fn options(spec: ConvSpec) -> ConvOptions<2> {
    ConvOptions::new(spec.stride, spec.padding, spec.dilation, spec.groups)
}

pub(super) fn channels_first<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 3, 1, 2])
}

pub(super) fn channels_last<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 2, 3, 1])
}

fn convolve<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    spec: ConvSpec,
) -> FloatTensor<B> {
    B::conv2d(channels_first::<B>(x), weight, bias, options(spec))
}

/// Adds the residual and applies the activation.
fn finish<B: Backend>(
    x: FloatTensor<B>,
    residual: Residual<B>,
    activation: Activation,
) -> FloatTensor<B> {
    let x = match residual {
        Residual::None => x,
        Residual::Add(residual) => B::float_add(x, residual),
    };
    match activation {
        Activation::Identity => x,
        Activation::Relu => B::relu(x),
        Activation::Relu6 => B::float_clamp(x, 0f32.into(), 6f32.into()),
    }
}

/// See [`VisionOps::conv_act`](super::VisionOps::conv_act).
pub fn conv_act<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    residual: Residual<B>,
    spec: UnitSpec,
) -> FloatTensor<B> {
    let y = channels_last::<B>(convolve::<B>(x, weight, Some(bias), spec.conv));
    finish::<B>(y, residual, spec.activation)
}

/// See [`VisionOps::conv_norm_act`](super::VisionOps::conv_norm_act).
pub fn conv_norm_act<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    statistics: Statistics<B>,
    residual: Residual<B>,
    spec: UnitSpec,
) -> UnitOutput<B> {
    let conv = convolve::<B>(x, weight, None, spec.conv);
    let epsilon = f64::from(spec.epsilon);
    let (normalized, mean, variance) = match statistics {
        Statistics::Batch => {
            let norm = B::batch_norm_train(conv.clone(), gamma, beta, epsilon);
            (norm.output, norm.mean, norm.variance)
        }
        Statistics::Frozen { mean, variance } => {
            let output = B::batch_norm(
                conv.clone(),
                gamma,
                beta,
                mean.clone(),
                variance.clone(),
                epsilon,
            );
            (output, mean, variance)
        }
    };
    UnitOutput {
        output: finish::<B>(channels_last::<B>(normalized), residual, spec.activation),
        conv: channels_last::<B>(conv),
        mean,
        variance,
    }
}

/// See [`VisionOps::norm_act_backward`](super::VisionOps::norm_act_backward).
pub fn norm_act_backward<B: Backend>(
    gradient: FloatTensor<B>,
    forward: UnitOutput<B>,
    gamma: FloatTensor<B>,
    spec: UnitSpec,
    batch_statistics: bool,
    need_residual: bool,
) -> NormGradients<B> {
    let device = gradient.device();
    let dtype = gradient.dtype();
    let gradient = activation_gradient::<B>(gradient, forward.output, spec.activation);
    let residual = if need_residual {
        gradient.clone()
    } else {
        B::float_zeros(Shape::new([0]), &device, dtype.into())
    };
    let epsilon = f64::from(spec.epsilon);
    if batch_statistics {
        let norm = B::batch_norm_train_backward(
            channels_first::<B>(forward.conv),
            gamma,
            forward.mean,
            forward.variance,
            epsilon,
            channels_first::<B>(gradient),
        );
        return NormGradients {
            conv: channels_last::<B>(norm.x_grad),
            gamma: norm.gamma_grad,
            beta: norm.beta_grad,
            residual,
        };
    }
    let shape = forward.conv.shape();
    let channels = shape[3];
    let rows = shape.num_elements() / channels;
    let per_channel = Shape::new([1, 1, 1, channels]);
    let sum_rows = |x: FloatTensor<B>| {
        let sum = B::float_sum_dim(B::float_reshape(x, Shape::new([rows, channels])), 0);
        B::float_reshape(sum, Shape::new([channels]))
    };
    let inverse_deviation = B::float_reshape(
        B::float_recip(B::float_sqrt(B::float_add_scalar(
            forward.variance,
            epsilon.into(),
        ))),
        per_channel.clone(),
    );
    let centred = B::float_sub(
        forward.conv,
        B::float_reshape(forward.mean, per_channel.clone()),
    );
    let normalized = B::float_mul(centred, inverse_deviation.clone());
    let scale = B::float_mul(B::float_reshape(gamma, per_channel), inverse_deviation);
    NormGradients {
        gamma: sum_rows(B::float_mul(gradient.clone(), normalized)),
        beta: sum_rows(gradient.clone()),
        conv: B::float_mul(gradient, scale),
        residual,
    }
}

fn activation_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    output: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    let bool_dtype = burn::backend::get_or_init_device_settings::<B>(&output.device()).bool_dtype;
    let blocked = match activation {
        Activation::Identity => return gradient,
        Activation::Relu => B::float_lower_equal_elem(output, 0f32.into(), bool_dtype),
        Activation::Relu6 => B::bool_or(
            B::float_lower_equal_elem(output.clone(), 0f32.into(), bool_dtype),
            B::float_greater_equal_elem(output, 6f32.into(), bool_dtype),
        ),
    };
    B::float_mask_fill(gradient, blocked, 0f32.into())
}

/// See [`VisionOps::conv_input_gradient`](super::VisionOps::conv_input_gradient).
pub fn conv_input_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    weight: FloatTensor<B>,
    [height, width]: [usize; 2],
    spec: ConvSpec,
) -> FloatTensor<B> {
    let [batch, channels] = [gradient.shape()[0], weight.shape()[1] * spec.groups];
    // Stock Burn reads no more than the shape of the input.
    let x = B::float_zeros(
        Shape::new([batch, channels, height, width]),
        &gradient.device(),
        gradient.dtype().into(),
    );
    channels_last::<B>(B::conv2d_x_backward(
        x,
        weight,
        channels_first::<B>(gradient),
        options(spec),
    ))
}

/// See [`VisionOps::conv_weight_gradient`](super::VisionOps::conv_weight_gradient).
pub fn conv_weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    weight_shape: [usize; 4],
    spec: ConvSpec,
) -> FloatTensor<B> {
    let weight = B::float_zeros(Shape::new(weight_shape), &x.device(), x.dtype().into());
    B::conv2d_weight_backward(
        channels_first::<B>(x),
        weight,
        channels_first::<B>(gradient),
        options(spec),
    )
}
