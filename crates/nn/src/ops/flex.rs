//! [`VisionOps`] on the processor: slices out of Burn's tensors, `warmstart-kernels`, and back.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Shape, TensorData};
use warmstart_kernels::{self as kernels, BatchNorm, Convolution, Input, OutputGradient, Wanted};

use super::{
    BranchGradients, BranchOutput, ConvSpec, List, Residual, Statistics, UnitGradients, UnitResult,
    UnitResults, UnitSpec, UnitTensors, Units, VisionOps,
};

type Primitive = FloatTensor<Flex>;

/// The values of a tensor that went through [`contiguous`].
fn values(tensor: &Primitive) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("an f32 tensor that was made contiguous")
}

fn contiguous(tensor: Primitive) -> Primitive {
    if tensor.as_slice::<f32>().is_some() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape))
}

fn dimensions(tensor: &Primitive) -> [usize; 4] {
    tensor.layout().shape().dims()
}

fn geometry(x: [usize; 4], weight: [usize; 4], spec: ConvSpec) -> Convolution {
    let [batch, in_height, in_width, in_channels] = x;
    let [out_channels, _, kernel_height, kernel_width] = weight;
    Convolution {
        batch,
        in_height,
        in_width,
        in_channels,
        out_channels,
        kernel: [kernel_height, kernel_width],
        stride: spec.stride,
        padding: spec.padding,
        dilation: spec.dilation,
        groups: spec.groups,
    }
}

fn output_shape(conv: &Convolution) -> [usize; 4] {
    [
        conv.batch,
        conv.out_height(),
        conv.out_width(),
        conv.out_channels,
    ]
}

/// What is added to the values of the last unit.
fn residual_values<'a>(residual: &'a Residual<Flex>, x: &'a Primitive) -> Option<&'a [f32]> {
    match residual {
        Residual::None => None,
        Residual::Input => Some(values(x)),
        Residual::Add(residual) => Some(values(residual)),
    }
}

fn contiguous_residual(residual: Residual<Flex>) -> Residual<Flex> {
    match residual {
        Residual::Add(residual) => Residual::Add(contiguous(residual)),
        other => other,
    }
}

/// A unit of a branch that has run.
struct Unit {
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

/// What the unit behind `units` reads.
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
    let shape = units
        .last()
        .map_or(dimensions(x), |unit| output_shape(&unit.geometry));
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

impl VisionOps for Flex {
    fn conv_act(
        x: Primitive,
        weight: Primitive,
        bias: Primitive,
        residual: Residual<Self>,
        spec: UnitSpec,
    ) -> Primitive {
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        let residual = contiguous_residual(residual);
        let conv = geometry(dimensions(&x), dimensions(&weight), spec.conv);
        let output = kernels::convolution_inference(
            &conv,
            values(&x),
            values(&weight),
            values(&bias),
            residual_values(&residual, &x),
            spec.activation,
        );
        tensor(output, output_shape(&conv))
    }

    fn branch(
        x: Primitive,
        tensors: Units<Self>,
        residual: Residual<Self>,
        specs: Vec<UnitSpec>,
    ) -> BranchOutput<Self> {
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

    fn branch_backward(
        gradient: Primitive,
        x: Primitive,
        tensors: Units<Self>,
        residual: Residual<Self>,
        results: UnitResults<Self>,
        specs: Vec<UnitSpec>,
        need_input: bool,
    ) -> BranchGradients<Self> {
        let (x, residual) = (contiguous(x), contiguous_residual(residual));
        let mut units: Vec<Unit> = Vec::new();
        for ((tensors, result), spec) in tensors.0.into_iter().zip(results.0).zip(specs) {
            let shape = units
                .last()
                .map_or(dimensions(&x), |unit| output_shape(&unit.geometry));
            let [weight, gamma, beta] =
                [tensors.weight, tensors.gamma, tensors.beta].map(contiguous);
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
        backward(contiguous(gradient), &x, units, &residual, need_input)
    }
}

fn backward(
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
        let shape = units
            .last()
            .map_or(dimensions(x), |unit| output_shape(&unit.geometry));
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
