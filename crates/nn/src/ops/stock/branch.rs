//! Branches: convolution, batch norm and activation.

use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice};
use warmstart_kernels::Activation;

use super::{by_channel, channels_first, channels_last, sums_by_channel};
use crate::ops::list::List;
use crate::ops::records::{
    BranchGradients, BranchOutput, ConvSpec, FoldedTensors, PackedWeight, Residual, Statistics,
    UnitGradients, UnitResult, UnitSpec, UnitTensors,
};

/// A convolution of an input that its zeros were added to.
fn options(spec: ConvSpec) -> ConvOptions<2> {
    ConvOptions::new(spec.stride, [0; 2], spec.dilation, spec.groups)
}

/// Zeros at `[top, left]` and at `[bottom, right]`.
type Zeros = [[usize; 2]; 2];

fn zeros(input: &Shape, weight: &Shape, spec: ConvSpec) -> Zeros {
    let [_, height, width, _] = input.dims();
    let [_, _, kernel_height, kernel_width] = weight.dims();
    spec.zeros([height, width], [kernel_height, kernel_width])
}

/// The input with its zeros around it, channels first.
fn padded<B: Backend>(x: FloatTensor<B>, [before, after]: Zeros) -> FloatTensor<B> {
    let mut x = channels_first::<B>(x);
    for (axis, zeros) in [(2, [before[0], after[0]]), (3, [before[1], after[1]])] {
        let strip = |extent: usize, x: &FloatTensor<B>| {
            let mut shape = x.shape();
            shape[axis] = extent;
            B::float_zeros(shape, &x.device(), x.dtype().into())
        };
        let parts = [strip(zeros[0], &x), x.clone(), strip(zeros[1], &x)];
        let parts = parts.into_iter().filter(|part| part.shape()[axis] > 0);
        x = B::float_cat(parts.collect(), axis);
    }
    x
}

fn convolve<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    spec: ConvSpec,
) -> FloatTensor<B> {
    let zeros = zeros(&x.shape(), &weight.shape(), spec);
    B::conv2d(padded::<B>(x, zeros), weight, bias, options(spec))
}

fn activate<B: Backend>(x: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => B::relu(x),
        Activation::Relu6 => B::float_clamp(x, 0f32.into(), 6f32.into()),
        Activation::HardSwish => B::float_mul(x.clone(), hard_sigmoid::<B>(x)),
        Activation::HardSigmoid => hard_sigmoid::<B>(x),
        Activation::Sigmoid => B::sigmoid(x),
        Activation::Silu => B::float_mul(x.clone(), B::sigmoid(x)),
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

/// See [`VisionOps::pack_weight`](crate::ops::VisionOps::pack_weight): stock Burn reads weights as they are.
pub fn pack_weight<B: Backend>(weight: FloatTensor<B>, _spec: ConvSpec) -> PackedWeight<B> {
    PackedWeight {
        shape: weight.shape().dims(),
        values: weight,
    }
}

/// See [`VisionOps::branch_inference`](crate::ops::VisionOps::branch_inference).
pub fn branch_inference<B: Backend>(
    x: FloatTensor<B>,
    units: Vec<FoldedTensors<B>>,
    residual: Residual<B>,
    specs: &[UnitSpec],
) -> FloatTensor<B> {
    let last = specs.len() - 1;
    let mut output = x.clone();
    for (index, (unit, spec)) in units.into_iter().zip(specs).enumerate() {
        output = convolve::<B>(output, unit.weight.values, Some(unit.bias), spec.conv);
        output = channels_last::<B>(output);
        if index == last {
            output = add::<B>(output, &x, &residual);
        }
        output = activate::<B>(output, spec.activation);
    }
    output
}

fn add<B: Backend>(
    y: FloatTensor<B>,
    x: &FloatTensor<B>,
    residual: &Residual<B>,
) -> FloatTensor<B> {
    match residual {
        Residual::None => y,
        Residual::Input => B::float_add(y, x.clone()),
        Residual::Add(residual) => B::float_add(y, residual.clone()),
    }
}

/// See [`VisionOps::branch`](crate::ops::VisionOps::branch).
pub fn branch<B: Backend>(
    x: FloatTensor<B>,
    units: Vec<UnitTensors<B>>,
    residual: Residual<B>,
    specs: &[UnitSpec],
) -> BranchOutput<B> {
    let last = specs.len() - 1;
    let mut output = x.clone();
    let mut results = Vec::new();
    for (index, (unit, spec)) in units.into_iter().zip(specs).enumerate() {
        let (mut normalized, result) = conv_norm::<B>(output, unit, spec);
        if index == last {
            normalized = add::<B>(normalized, &x, &residual);
        }
        output = activate::<B>(normalized, spec.activation);
        results.push(result);
    }
    BranchOutput {
        output,
        units: List(results),
    }
}

fn conv_norm<B: Backend>(
    x: FloatTensor<B>,
    unit: UnitTensors<B>,
    spec: &UnitSpec,
) -> (FloatTensor<B>, UnitResult<B>) {
    let conv = convolve::<B>(x, unit.weight, None, spec.conv);
    let epsilon = f64::from(spec.epsilon);
    let (normalized, mean, variance) = match unit.statistics {
        Statistics::Batch => {
            let norm = B::batch_norm_train(conv.clone(), unit.gamma, unit.beta, epsilon);
            (norm.output, norm.mean, norm.variance)
        }
        Statistics::Frozen { mean, variance } => {
            let output = B::batch_norm(
                conv.clone(),
                unit.gamma,
                unit.beta,
                mean.clone(),
                variance.clone(),
                epsilon,
            );
            (output, mean, variance)
        }
    };
    let result = UnitResult {
        conv: channels_last::<B>(conv),
        mean,
        variance,
    };
    (channels_last::<B>(normalized), result)
}

/// See [`VisionOps::branch_backward`](crate::ops::VisionOps::branch_backward).
pub fn branch_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    units: Vec<UnitTensors<B>>,
    residual: Residual<B>,
    results: Vec<UnitResult<B>>,
    specs: &[UnitSpec],
    need_input: bool,
) -> BranchGradients<B> {
    let empty = || B::float_zeros(Shape::new([0]), &x.device(), x.dtype().into());
    let last = specs.len() - 1;
    // The inputs of each unit, and of its activation.
    let mut inputs = vec![x.clone()];
    let mut arguments = Vec::new();
    for (index, (unit, spec)) in units.iter().zip(specs).enumerate() {
        let mut normalized = normalize::<B>(&results[index], unit, spec);
        if index == last {
            normalized = add::<B>(normalized, &x, &residual);
        }
        arguments.push(normalized.clone());
        if index < last {
            inputs.push(activate::<B>(normalized, spec.activation));
        }
    }
    let mut gradient =
        activation_gradient::<B>(gradient, arguments[last].clone(), specs[last].activation);
    let through_residual = gradient.clone();
    let mut unit_gradients = Vec::new();
    for index in (0..=last).rev() {
        let (unit, spec) = (&units[index], &specs[index]);
        let norm = norm_backward::<B>(gradient, &results[index], unit, spec);
        let shape = unit.weight.shape().dims();
        let input = inputs[index].clone();
        let [_, height, width, _] = input.shape().dims();
        unit_gradients.push(UnitGradients {
            weight: conv_weight_gradient::<B>(input, norm.conv.clone(), shape, spec.conv),
            gamma: norm.gamma,
            beta: norm.beta,
        });
        gradient = if index > 0 || need_input {
            conv_input_gradient::<B>(norm.conv, unit.weight.clone(), [height, width], spec.conv)
        } else {
            empty()
        };
        if index > 0 {
            let activation = specs[index - 1].activation;
            let argument = arguments[index - 1].clone();
            gradient = activation_gradient::<B>(gradient, argument, activation);
        }
    }
    unit_gradients.reverse();
    let (input, residual) = match residual {
        Residual::Input if need_input => (B::float_add(gradient, through_residual), empty()),
        Residual::None | Residual::Input => (gradient, empty()),
        Residual::Add(_) => (gradient, through_residual),
    };
    BranchGradients {
        input,
        residual,
        units: List(unit_gradients),
    }
}

fn inverse_deviation<B: Backend>(result: &UnitResult<B>, spec: &UnitSpec) -> FloatTensor<B> {
    let epsilon = f64::from(spec.epsilon);
    let variance = B::float_add_scalar(result.variance.clone(), epsilon.into());
    by_channel::<B>(B::float_recip(B::float_sqrt(variance)))
}

fn normalize<B: Backend>(
    result: &UnitResult<B>,
    unit: &UnitTensors<B>,
    spec: &UnitSpec,
) -> FloatTensor<B> {
    let centred = B::float_sub(result.conv.clone(), by_channel::<B>(result.mean.clone()));
    let gamma = by_channel::<B>(unit.gamma.clone());
    let scale = B::float_mul(gamma, inverse_deviation::<B>(result, spec));
    B::float_add(
        B::float_mul(centred, scale),
        by_channel::<B>(unit.beta.clone()),
    )
}

struct NormGradients<B: Backend> {
    conv: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
}

fn norm_backward<B: Backend>(
    gradient: FloatTensor<B>,
    result: &UnitResult<B>,
    unit: &UnitTensors<B>,
    spec: &UnitSpec,
) -> NormGradients<B> {
    if matches!(unit.statistics, Statistics::Batch) {
        let norm = B::batch_norm_train_backward(
            channels_first::<B>(result.conv.clone()),
            unit.gamma.clone(),
            result.mean.clone(),
            result.variance.clone(),
            f64::from(spec.epsilon),
            channels_first::<B>(gradient),
        );
        return NormGradients {
            conv: channels_last::<B>(norm.x_grad),
            gamma: norm.gamma_grad,
            beta: norm.beta_grad,
        };
    }
    let inverse_deviation = inverse_deviation::<B>(result, spec);
    let centred = B::float_sub(result.conv.clone(), by_channel::<B>(result.mean.clone()));
    let normalized = B::float_mul(centred, inverse_deviation.clone());
    let scale = B::float_mul(by_channel::<B>(unit.gamma.clone()), inverse_deviation);
    NormGradients {
        gamma: sums_by_channel::<B>(B::float_mul(gradient.clone(), normalized)),
        beta: sums_by_channel::<B>(gradient.clone()),
        conv: B::float_mul(gradient, scale),
    }
}

/// `gradient` times the derivative at `argument`, which went into the activation.
fn activation_gradient<B: Backend>(
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
        Activation::Sigmoid => B::sigmoid_backward(B::sigmoid(argument), gradient),
        Activation::Gelu => B::gelu_backward(argument, gradient),
        Activation::Silu => {
            let sigmoid = B::sigmoid(argument.clone());
            let through_sigmoid = B::float_mul(gradient.clone(), argument);
            B::float_add(
                B::float_mul(gradient, sigmoid.clone()),
                B::sigmoid_backward(sigmoid, through_sigmoid),
            )
        }
    }
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

fn conv_input_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    weight: FloatTensor<B>,
    [height, width]: [usize; 2],
    spec: ConvSpec,
) -> FloatTensor<B> {
    let [batch, channels] = [gradient.shape()[0], weight.shape()[1] * spec.groups];
    let input = Shape::new([batch, height, width, channels]);
    let [before, after] = zeros(&input, &weight.shape(), spec);
    let [padded_height, padded_width] =
        [0, 1].map(|axis| [height, width][axis] + before[axis] + after[axis]);
    // Stock Burn reads no more than the shape of the input.
    let x = B::float_zeros(
        Shape::new([batch, channels, padded_height, padded_width]),
        &gradient.device(),
        gradient.dtype().into(),
    );
    let padded = B::conv2d_x_backward(x, weight, channels_first::<B>(gradient), options(spec));
    let all = |extent: usize| Slice::from(0..extent);
    let inner = |axis: usize, extent: usize| Slice::from(before[axis]..before[axis] + extent);
    let slices = [all(batch), all(channels), inner(0, height), inner(1, width)];
    channels_last::<B>(B::float_slice(padded, &slices))
}

fn conv_weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    weight_shape: [usize; 4],
    spec: ConvSpec,
) -> FloatTensor<B> {
    let weight = Shape::new(weight_shape);
    let zeros = zeros(&x.shape(), &weight, spec);
    let weight = B::float_zeros(weight, &x.device(), x.dtype().into());
    let gradient = channels_first::<B>(gradient);
    B::conv2d_weight_backward(padded::<B>(x, zeros), weight, gradient, options(spec))
}
