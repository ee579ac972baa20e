//! Branches: convolution, batch norm and activation.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

use super::activation::{activate, activation_gradient};
use super::batch_norm::{normalize, normalize_backward, statistics};
use super::{by_channel, convolution};
use crate::ops::format::{in_format, single};
use crate::ops::list::List;
use crate::ops::records::{
    BranchGradients, BranchOutput, ConvSpec, FoldedTensors, PackedWeight, Residual, Statistics,
    UnitGradients, UnitResult, UnitSpec, UnitTensors,
};

/// See [`VisionOps::pack_weight`](crate::ops::VisionOps::pack_weight).
pub fn pack_weight<B: Backend>(weight: FloatTensor<B>, spec: ConvSpec) -> PackedWeight<B> {
    convolution::packed::<B>(weight, spec)
}

/// See [`VisionOps::branch_inference`](crate::ops::VisionOps::branch_inference).
pub fn branch_inference<B: Backend>(
    x: FloatTensor<B>,
    units: Vec<FoldedTensors<B>>,
    residual: Residual<B>,
    specs: &[UnitSpec],
) -> FloatTensor<B> {
    let format = x.dtype();
    let last = specs.len() - 1;
    let mut output = x.clone();
    for (index, (unit, spec)) in units.into_iter().zip(specs).enumerate() {
        let conv = convolution::forward::<B>(output, unit.weight, spec.conv);
        let mut values = B::float_add(single::<B>(conv), by_channel::<B>(unit.bias));
        if index == last {
            values = add::<B>(values, &x, &residual);
        }
        output = in_format::<B>(activate::<B>(values, spec.activation), format);
    }
    output
}

/// `y + residual`, in f32.
fn add<B: Backend>(
    y: FloatTensor<B>,
    x: &FloatTensor<B>,
    residual: &Residual<B>,
) -> FloatTensor<B> {
    match residual {
        Residual::None => y,
        Residual::Input => B::float_add(y, single::<B>(x.clone())),
        Residual::Add(residual) => B::float_add(y, single::<B>(residual.clone())),
    }
}

/// See [`VisionOps::branch`](crate::ops::VisionOps::branch).
pub fn branch<B: Backend>(
    x: FloatTensor<B>,
    units: Vec<UnitTensors<B>>,
    residual: Residual<B>,
    specs: &[UnitSpec],
) -> BranchOutput<B> {
    let format = x.dtype();
    let last = specs.len() - 1;
    let mut output = x.clone();
    let mut results = Vec::new();
    for (index, (unit, spec)) in units.into_iter().zip(specs).enumerate() {
        let (mut normalized, result) = conv_norm::<B>(output, unit, spec);
        if index == last {
            normalized = add::<B>(normalized, &x, &residual);
        }
        output = in_format::<B>(activate::<B>(normalized, spec.activation), format);
        results.push(result);
    }
    BranchOutput {
        output,
        units: List(results),
    }
}

/// The normalized values in f32, and what the unit keeps.
fn conv_norm<B: Backend>(
    x: FloatTensor<B>,
    unit: UnitTensors<B>,
    spec: &UnitSpec,
) -> (FloatTensor<B>, UnitResult<B>) {
    let weight = convolution::packed::<B>(unit.weight.clone(), spec.conv);
    let conv = convolution::forward::<B>(x, weight, spec.conv);
    let values = single::<B>(conv.clone());
    let [mean, variance] = match &unit.statistics {
        Statistics::Batch => statistics::<B>(values.clone()),
        Statistics::Frozen { mean, variance } => [mean.clone(), variance.clone()],
    };
    let result = UnitResult {
        conv,
        mean,
        variance,
    };
    let normalized = normalize::<B>(values, &result, &unit, spec);
    (normalized, result)
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
    let format = x.dtype();
    let empty = || B::float_zeros(Shape::new([0]), &x.device(), format.into());
    let last = specs.len() - 1;
    // The inputs of each unit, and of its activation in f32.
    let mut inputs = vec![x.clone()];
    let mut arguments = Vec::new();
    for (index, (unit, spec)) in units.iter().zip(specs).enumerate() {
        let result = &results[index];
        let values = single::<B>(result.conv.clone());
        let mut normalized = normalize::<B>(values, result, unit, spec);
        if index == last {
            normalized = add::<B>(normalized, &x, &residual);
        }
        arguments.push(normalized.clone());
        if index < last {
            let output = activate::<B>(normalized, spec.activation);
            inputs.push(in_format::<B>(output, format));
        }
    }
    let mut gradient = activation_gradient::<B>(
        single::<B>(gradient),
        arguments[last].clone(),
        specs[last].activation,
    );
    let through_residual = gradient.clone();
    let mut unit_gradients = Vec::new();
    for index in (0..=last).rev() {
        let (unit, spec, result) = (&units[index], &specs[index], &results[index]);
        let values = single::<B>(result.conv.clone());
        let norm = normalize_backward::<B>(gradient, values, result, unit, spec);
        let by_conv = in_format::<B>(norm.conv, format);
        let shape = unit.weight.shape().dims();
        let input = inputs[index].clone();
        let [_, height, width, _] = input.shape().dims();
        unit_gradients.push(UnitGradients {
            weight: convolution::weight_gradient::<B>(input, by_conv.clone(), shape, spec.conv),
            gamma: norm.gamma,
            beta: norm.beta,
        });
        gradient = if index > 0 || need_input {
            let (weight, size) = (unit.weight.clone(), [height, width]);
            single::<B>(convolution::input_gradient::<B>(
                by_conv, weight, size, spec.conv,
            ))
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
        Residual::Add(residual) => {
            let of_residual = in_format::<B>(through_residual, residual.dtype());
            (gradient, of_residual)
        }
    };
    BranchGradients {
        input: in_format::<B>(input, format),
        residual,
        units: List(unit_gradients),
    }
}
