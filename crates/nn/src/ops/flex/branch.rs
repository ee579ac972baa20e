//! A branch on the processor: units of convolution, batch norm and activation.

use burn::backend::Flex;
use warmstart_kernels::{self as kernels, BatchNorm, Convolution, Input, OutputGradient, Wanted};

use super::primitive::{
    Primitive, contiguous, contiguous_residual, dimensions, geometry, output_shape,
    residual_values, tensor, values,
};
use crate::ops::{
    BranchGradients, BranchOutput, List, Residual, Statistics, UnitGradients, UnitResult,
    UnitResults, UnitSpec, UnitTensors, Units,
};

/// A unit of a branch that has run.
pub(super) struct Unit {
    geometry: Convolution,
    spec: UnitSpec,
    weight: Primitive,
    gamma: Primitive,
    beta: Primitive,
    batch_statistics: bool,
    result: UnitResult<Flex>,
}

impl Unit {
    fn norm(&self) -> BatchNorm<'_> {
        BatchNorm {
            mean: values(&self.result.mean),
            variance: values(&self.result.variance),
            gamma: values(&self.gamma),
            beta: values(&self.beta),
            epsilon: self.spec.epsilon,
            activation: self.spec.activation,
        }
    }

    fn conv(&self) -> &[f32] {
        values(&self.result.conv)
    }
}

/// The shape of the input of the unit after `units`.
fn input_shape(units: &[Unit], x: &Primitive) -> [usize; 4] {
    units
        .last()
        .map_or(dimensions(x), |unit| output_shape(&unit.geometry))
}

/// The input of the unit after `units`.
fn input<'a>(units: &'a [Unit], x: &'a Primitive) -> Input<'a> {
    match units.last() {
        None => Input::Values(values(x)),
        Some(unit) => Input::Normalized {
            z: unit.conv(),
            norm: unit.norm(),
        },
    }
}

fn run_unit(units: &[Unit], x: &Primitive, tensors: UnitTensors<Flex>, spec: UnitSpec) -> Unit {
    let shape = input_shape(units, x);
    let [weight, gamma, beta] = [tensors.weight, tensors.gamma, tensors.beta].map(contiguous);
    let geometry = geometry(shape, dimensions(&weight), spec.conv);
    let batch_statistics = matches!(tensors.statistics, Statistics::Batch);
    let (conv, found) = kernels::training_forward(
        &geometry,
        input(units, x),
        values(&weight),
        batch_statistics,
    );
    let [mean, variance] = match (tensors.statistics, found) {
        (Statistics::Frozen { mean, variance }, _) => [contiguous(mean), contiguous(variance)],
        (Statistics::Batch, found) => found
            .expect("statistics that were asked for")
            .map(|values| tensor(values, [geometry.out_channels])),
    };
    Unit {
        result: UnitResult {
            conv: tensor(conv, output_shape(&geometry)),
            mean,
            variance,
        },
        geometry,
        spec,
        weight,
        gamma,
        beta,
        batch_statistics,
    }
}

/// See [`VisionOps::branch`](crate::ops::VisionOps::branch).
pub(super) fn forward(
    x: Primitive,
    tensors: Units<Flex>,
    residual: Residual<Flex>,
    specs: Vec<UnitSpec>,
) -> BranchOutput<Flex> {
    let (x, residual) = (contiguous(x), contiguous_residual(residual));
    let mut units = Vec::new();
    for (tensors, spec) in tensors.0.into_iter().zip(specs) {
        units.push(run_unit(&units, &x, tensors, spec));
    }
    let last = units.last().expect("a branch has units");
    let residual = residual_values(&residual, &x);
    let output = kernels::normalize(last.conv(), last.norm(), residual);
    BranchOutput {
        output: tensor(output, output_shape(&last.geometry)),
        units: List(units.into_iter().map(|unit| unit.result).collect()),
    }
}

/// The units of a branch that has run, as its backward pass needs them.
pub(super) fn units(
    x: &Primitive,
    tensors: Units<Flex>,
    results: UnitResults<Flex>,
    specs: Vec<UnitSpec>,
) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for ((tensors, result), spec) in tensors.0.into_iter().zip(results.0).zip(specs) {
        let shape = input_shape(&units, x);
        let [weight, gamma, beta] = [tensors.weight, tensors.gamma, tensors.beta].map(contiguous);
        units.push(Unit {
            geometry: geometry(shape, dimensions(&weight), spec.conv),
            spec,
            weight,
            gamma,
            beta,
            batch_statistics: matches!(tensors.statistics, Statistics::Batch),
            result,
        });
    }
    units
}

/// See [`VisionOps::branch_backward`](crate::ops::VisionOps::branch_backward).
pub(super) fn backward(
    gradient: Primitive,
    x: &Primitive,
    mut units: Vec<Unit>,
    residual: &Residual<Flex>,
    need_input: bool,
) -> BranchGradients<Flex> {
    let empty = || tensor(Vec::new(), [0]);
    let last = units.last().expect("a branch has units");
    let (masked, mut sums) = kernels::activation_backward(
        values(&gradient),
        last.conv(),
        last.norm(),
        residual_values(residual, x),
    );
    let mut gradient = masked.map_or(gradient, |masked| {
        tensor(masked, output_shape(&last.geometry))
    });
    let (to_input, residual_gradient) = match residual {
        Residual::None => (None, empty()),
        Residual::Input => (Some(gradient.clone()), empty()),
        Residual::Add(_) => (None, gradient.clone()),
    };
    let mut unit_gradients = Vec::new();
    while let Some(unit) = units.pop() {
        let is_first = units.is_empty();
        let wanted = Wanted {
            input: !is_first || need_input,
            weight: true,
        };
        let [gamma, beta] =
            sums.parameter_gradients(values(&unit.result.variance), unit.spec.epsilon);
        let gradients = kernels::training_backward(
            &unit.geometry,
            input(&units, x),
            values(&unit.weight),
            OutputGradient {
                masked: values(&gradient),
                z: unit.conv(),
                norm: unit.norm(),
                sums: &sums,
                batch_statistics: unit.batch_statistics,
            },
            to_input.as_ref().filter(|_| is_first).map(values),
            wanted,
        );
        let channels = [unit.geometry.out_channels];
        unit_gradients.push(UnitGradients {
            weight: tensor(
                gradients.weight.expect("a gradient that was asked for"),
                dimensions(&unit.weight),
            ),
            gamma: tensor(gamma, channels),
            beta: tensor(beta, channels),
        });
        let shape = input_shape(&units, x);
        gradient = empty();
        if let Some((values, input_sums)) = gradients.input {
            gradient = tensor(values, shape);
            if let Some(input_sums) = input_sums {
                sums = input_sums;
            }
        }
    }
    unit_gradients.reverse();
    BranchGradients {
        input: gradient,
        residual: residual_gradient,
        units: List(unit_gradients),
    }
}
