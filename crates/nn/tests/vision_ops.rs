//! The seam against stock Burn: every output and every gradient, in every batch-norm mode.

mod common;

use proptest::prelude::*;
use warmstart_nn::Activation;
use warmstart_nn::burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use warmstart_nn::burn::backend::tensor::FloatTensor;
use warmstart_nn::burn::backend::{Autodiff, Flex};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::{
    self, Added, ConvSpec, FoldedTensors, InferenceUnit, Padding, Residual, Statistics,
    TrainingUnit, UnitSpec, UnitTensors, stock,
};

use common::{filled, host, values};

/// Stock Burn with its own derivatives: the stock body on Burn's autodiff backend.
type Stock = Autodiff<Flex, NoCheckpointing>;

#[derive(Clone, Debug)]
struct Case {
    input: [usize; 4],
    units: Vec<Unit>,
    frozen: bool,
    residual: Shortcut,
}

#[derive(Clone, Debug)]
struct Unit {
    out_channels: usize,
    kernel: usize,
    spec: UnitSpec,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shortcut {
    None,
    Input,
    Tensor,
}

struct Inputs {
    x: Vec<f32>,
    units: Vec<UnitInputs>,
    residual: (Vec<f32>, [usize; 4]),
}

struct UnitInputs {
    weight: (Vec<f32>, [usize; 4]),
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

impl Unit {
    fn output(&self, [batch, height, width, _]: [usize; 4]) -> [usize; 4] {
        let conv = &self.spec.conv;
        let [height, width] = conv.output_size([height, width], [self.kernel; 2]);
        [batch, height, width, self.out_channels]
    }

    fn inputs(&self, in_channels: usize, seed: u64) -> UnitInputs {
        let out = self.out_channels;
        let groups = self.spec.conv.groups;
        let weight = [out, in_channels / groups, self.kernel, self.kernel];
        UnitInputs {
            weight: (values(weight.iter().product(), seed), weight),
            gamma: values(out, seed + 1)
                .iter()
                .map(|v| 1.0 + v / 2.0)
                .collect(),
            beta: values(out, seed + 2),
            mean: values(out, seed + 3),
            variance: values(out, seed + 4).iter().map(|v| 1.2 + v).collect(),
        }
    }
}

impl Case {
    fn output(&self) -> [usize; 4] {
        self.units
            .iter()
            .fold(self.input, |input, unit| unit.output(input))
    }

    fn inputs(&self) -> Inputs {
        let mut shape = self.input;
        let mut units = Vec::new();
        for (unit, seed) in self.units.iter().zip((10..).step_by(10)) {
            units.push(unit.inputs(shape[3], seed));
            shape = unit.output(shape);
        }
        Inputs {
            x: values(self.input.iter().product(), 1),
            units,
            residual: (values(shape.iter().product(), 7), shape),
        }
    }

    fn specs(&self) -> Vec<UnitSpec> {
        self.units.iter().map(|unit| unit.spec).collect()
    }
}

fn leaf<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    filled(values, shape).autodiff().require_grad()
}

/// The gradients of x, of each unit's parameters and of the residual, and the output, means and
/// variances.
fn run(case: &Case, through_seam: bool) -> Vec<Vec<f32>> {
    let inputs = case.inputs();
    let x = leaf(&inputs.x, case.input);
    let residual = leaf(&inputs.residual.0, inputs.residual.1);
    let units: Vec<_> = inputs
        .units
        .iter()
        .zip(&case.units)
        .map(|(inputs, unit)| {
            let channels = [unit.out_channels];
            TrainingUnit {
                weight: leaf(&inputs.weight.0, inputs.weight.1),
                gamma: leaf(&inputs.gamma, channels),
                beta: leaf(&inputs.beta, channels),
                frozen: case.frozen.then(|| {
                    [&inputs.mean, &inputs.variance].map(|values| filled(values, channels))
                }),
                spec: unit.spec,
            }
        })
        .collect();
    let (output, statistics) = if through_seam {
        let added = match case.residual {
            Shortcut::None => Added::Nothing,
            Shortcut::Input => Added::Input,
            Shortcut::Tensor => Added::Tensor(residual.clone()),
        };
        let branch = ops::branch(x.clone(), units.clone(), added);
        (branch.output, branch.statistics)
    } else {
        stock_branch(case, &x, &units, &residual)
    };
    // Weighted, so that every output has a gradient of its own.
    let weights = filled(&values(output.dims().iter().product(), 8), output.dims());
    let gradients = (output.clone() * weights.autodiff()).sum().backward();
    let gradient4 = |t: &Tensor<4>| host(t.grad(&gradients).unwrap());
    let gradient1 = |t: &Tensor<1>| host(t.grad(&gradients).unwrap());
    let mut results = vec![gradient4(&x)];
    for unit in &units {
        results.extend([
            gradient4(&unit.weight),
            gradient1(&unit.gamma),
            gradient1(&unit.beta),
        ]);
    }
    if case.residual == Shortcut::Tensor {
        results.push(gradient4(&residual));
    }
    results.push(host(output));
    results.extend(statistics.into_iter().flatten().map(host));
    results
}

fn stock_branch(
    case: &Case,
    x: &Tensor<4>,
    units: &[TrainingUnit],
    residual: &Tensor<4>,
) -> (Tensor<4>, Vec<[Tensor<1>; 2]>) {
    let primitive = |t: &Tensor<4>| t.clone().try_into_primitive::<Stock>().unwrap();
    let vector = |t: &Tensor<1>| -> FloatTensor<Stock> {
        t.clone().autodiff().try_into_primitive::<Stock>().unwrap()
    };
    let tensors = units.iter().map(|unit| UnitTensors::<Stock> {
        weight: primitive(&unit.weight),
        gamma: vector(&unit.gamma),
        beta: vector(&unit.beta),
        statistics: match &unit.frozen {
            Some([mean, variance]) => Statistics::Frozen {
                mean: vector(mean),
                variance: vector(variance),
            },
            None => Statistics::Batch,
        },
    });
    let added = match case.residual {
        Shortcut::None => Residual::None,
        Shortcut::Input => Residual::Input,
        Shortcut::Tensor => Residual::Add(primitive(residual)),
    };
    let branch = stock::branch::<Stock>(primitive(x), tensors.collect(), added, &case.specs());
    let statistics = branch.units.0.into_iter().map(|unit| {
        [unit.mean, unit.variance].map(|t| Tensor::<1>::from_primitive::<Stock>(t).inner())
    });
    (
        Tensor::from_primitive::<Stock>(branch.output),
        statistics.collect(),
    )
}

/// The gradients that [`run`] begins with, from the stock body of the backward pass.
fn stock_backward(case: &Case) -> Vec<Vec<f32>> {
    fn flex<const D: usize>(values: &[f32], shape: [usize; D]) -> FloatTensor<Flex> {
        filled(values, shape).try_into_primitive::<Flex>().unwrap()
    }
    fn back<const D: usize>(values: FloatTensor<Flex>) -> Vec<f32> {
        host(Tensor::<D>::from_primitive::<Flex>(values))
    }
    let inputs = case.inputs();
    let x = flex(&inputs.x, case.input);
    let unit_inputs = inputs.units.iter().zip(&case.units);
    let units = unit_inputs.map(|(inputs, unit)| {
        let vector = |values: &[f32]| flex(values, [unit.out_channels]);
        UnitTensors::<Flex> {
            weight: flex(&inputs.weight.0, inputs.weight.1),
            gamma: vector(&inputs.gamma),
            beta: vector(&inputs.beta),
            statistics: if case.frozen {
                Statistics::Frozen {
                    mean: vector(&inputs.mean),
                    variance: vector(&inputs.variance),
                }
            } else {
                Statistics::Batch
            },
        }
    });
    let units: Vec<_> = units.collect();
    let (residual, shape) = &inputs.residual;
    let added = match case.residual {
        Shortcut::None => Residual::None,
        Shortcut::Input => Residual::Input,
        Shortcut::Tensor => Residual::Add(flex(residual, *shape)),
    };
    let specs = case.specs();
    let branch = stock::branch::<Flex>(x.clone(), units.clone(), added.clone(), &specs);
    let gradient = flex(&values(shape.iter().product(), 8), *shape);
    let results = branch.units.0;
    let found = stock::branch_backward::<Flex>(gradient, x, units, added, results, &specs, true);
    let mut gradients = vec![back::<4>(found.input)];
    for unit in found.units.0 {
        gradients.extend([
            back::<4>(unit.weight),
            back::<1>(unit.gamma),
            back::<1>(unit.beta),
        ]);
    }
    if case.residual == Shortcut::Tensor {
        gradients.push(back::<4>(found.residual));
    }
    gradients
}

/// All outputs and gradients through the seam are those of Burn's own derivatives and of the stock
/// body of the backward pass.
fn check(case: &Case) {
    let stock = run(case, false);
    assert_close(case, &run(case, true), &stock);
    let gradients = stock_backward(case);
    assert_close(case, &gradients, &stock[..gradients.len()]);
}

fn assert_close(case: &Case, ours: &[Vec<f32>], stock: &[Vec<f32>]) {
    assert_eq!(ours.len(), stock.len());
    for (index, (ours, stock)) in ours.iter().zip(stock).enumerate() {
        assert_eq!(ours.len(), stock.len(), "result {index} of {case:?}");
        // Inputs are about 1. Where batch norm cancels nearly all of a gradient, the rest of it is
        // small and carries the rounding of the cancelled part.
        let largest = stock.iter().fold(1e-2f32, |a, v| a.max(v.abs()));
        for (a, b) in ours.iter().zip(stock) {
            assert!(
                (a - b).abs() <= 2e-3 * largest,
                "result {index}: {a} is not {b} (largest {largest}) in {case:?}"
            );
        }
    }
}

/// The values at which an activation has no derivative.
fn kinks(activation: Activation) -> &'static [f32] {
    match activation {
        Activation::Identity | Activation::Silu | Activation::Sigmoid | Activation::Gelu => &[],
        Activation::Relu => &[0.0],
        Activation::Relu6 => &[0.0, 6.0],
        Activation::HardSwish | Activation::HardSigmoid => &[-3.0, 3.0],
    }
}

/// Whether every activation is far enough from its kinks that rounding cannot move it across one.
fn off_the_kinks(case: &Case) -> bool {
    (1..=case.units.len()).all(|count| {
        let mut part = case.clone();
        part.units.truncate(count);
        if count < case.units.len() {
            part.residual = Shortcut::None;
        }
        let activation = &mut part.units[count - 1].spec.activation;
        let kinks = kinks(*activation);
        *activation = Activation::Identity;
        let results = run(&part, true);
        let output = &results[results.len() - 1 - 2 * count];
        let is_off = |v: &f32| kinks.iter().all(|kink| (v - kink).abs() > 1e-4);
        output.iter().all(is_off)
    })
}

/// An inverted residual or a bottleneck, as small as can be.
fn branches() -> impl Strategy<Value = Case> {
    let shape = (1..4usize, 3..7usize, 3..7usize, 1..6usize, 1..9usize);
    let activation = prop_oneof![
        Just(Activation::Relu),
        Just(Activation::Relu6),
        Just(Activation::HardSwish),
        Just(Activation::Silu),
        Just(Activation::Sigmoid),
        Just(Activation::HardSigmoid),
        Just(Activation::Gelu)
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 1..3usize);
    let shortcut = prop_oneof![
        Just(Shortcut::None),
        Just(Shortcut::Input),
        Just(Shortcut::Tensor)
    ];
    (shape, activation, flags, shortcut).prop_map(|(shape, activation, flags, residual)| {
        let (batch, height, width, channels, hidden) = shape;
        let (frozen, depthwise, is_linear, stride) = flags;
        let stride = if residual == Shortcut::Input {
            1
        } else {
            stride
        };
        let unit = |out_channels, kernel: usize, stride, groups, activation| Unit {
            out_channels,
            kernel,
            spec: UnitSpec {
                conv: ConvSpec {
                    stride: [stride; 2],
                    padding: Padding::Each([kernel / 2; 2]),
                    dilation: [1; 2],
                    groups,
                },
                epsilon: 1e-3,
                activation,
            },
        };
        let last = if is_linear {
            Activation::Identity
        } else {
            activation
        };
        Case {
            input: [batch, height, width, channels],
            units: vec![
                unit(hidden, 1, 1, 1, activation),
                unit(
                    hidden,
                    3,
                    stride,
                    if depthwise { hidden } else { 1 },
                    activation,
                ),
                unit(channels, 1, 1, 1, last),
            ],
            frozen,
            residual,
        }
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1..4usize, 1..9usize, 1..9usize, 1..6usize, 1..6usize);
    let geometry = (
        prop_oneof![Just(1usize), Just(3), Just(5)],
        1..3usize,
        prop_oneof![
            3 => (0..3usize).prop_map(|padding| Padding::Each([padding; 2])),
            1 => Just(Padding::Same)
        ],
        1..3usize,
    );
    let activation = prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::Relu6),
        Just(Activation::HardSwish),
        Just(Activation::Silu),
        Just(Activation::Sigmoid),
        Just(Activation::HardSigmoid),
        Just(Activation::Gelu)
    ];
    let groups = prop_oneof![Just("one"), Just("depthwise"), Just("two")];
    (
        shape,
        geometry,
        activation,
        groups,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_filter_map(
            "a kernel that fits",
            |(
                (batch, height, width, inner, outer),
                (kernel, stride, padding, dilation),
                activation,
                groups,
                frozen,
                residual,
            )| {
                let (in_channels, out_channels, groups) = match groups {
                    "depthwise" => (inner, inner, inner),
                    "two" => (2 * inner, 2 * outer, 2),
                    _ => (inner, outer, 1),
                };
                let reach = dilation * (kernel - 1) + 1;
                let fits = match padding {
                    Padding::Each([padding, _]) => height.min(width) + 2 * padding >= reach,
                    Padding::Same => true,
                };
                let case = Case {
                    input: [batch, height, width, in_channels],
                    units: vec![Unit {
                        out_channels,
                        kernel,
                        spec: UnitSpec {
                            conv: ConvSpec {
                                stride: [stride; 2],
                                padding,
                                dilation: [dilation; 2],
                                groups,
                            },
                            epsilon: 1e-3,
                            activation,
                        },
                    }],
                    frozen,
                    residual: if residual {
                        Shortcut::Tensor
                    } else {
                        Shortcut::None
                    },
                };
                fits.then_some(case)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn training_units_and_all_their_gradients_equal_stock_burn(case in cases()) {
        // A channel whose batch has (nearly) no variance has gradients of any size.
        let output = case.output();
        prop_assume!(case.frozen || output[0] * output[1] * output[2] >= 8);
        prop_assume!(off_the_kinks(&case));
        check(&case);
    }

    #[test]
    fn branches_and_all_their_gradients_equal_stock_burn(case in branches()) {
        let output = case.output();
        prop_assume!(case.frozen || output[0] * output[1] * output[2] >= 8);
        prop_assume!(off_the_kinks(&case));
        check(&case);
    }

    #[test]
    fn inference_units_equal_stock_burn(case in cases()) {
        check_inference(&case);
    }

    #[test]
    fn inference_branches_equal_stock_burn(case in branches()) {
        check_inference(&case);
    }
}

/// Inference with the units' betas for biases.
fn check_inference(case: &Case) {
    fn flex<const D: usize>(tensor: Tensor<D>) -> FloatTensor<Flex> {
        tensor.try_into_primitive::<Flex>().unwrap()
    }
    let inputs = case.inputs();
    let x = filled(&inputs.x, case.input);
    let residual = filled(&inputs.residual.0, inputs.residual.1);
    let specs = case.specs();
    let parts = || {
        let parts = inputs.units.iter().zip(&case.units);
        parts.map(|(inputs, unit)| {
            let weight = filled(&inputs.weight.0, inputs.weight.1);
            (weight, filled(&inputs.beta, [unit.out_channels]))
        })
    };
    let units = parts()
        .zip(&specs)
        .map(|((weight, bias), spec)| InferenceUnit {
            weight: ops::pack_weight(weight, spec.conv),
            bias,
            spec: *spec,
        });
    let (added, stock_added) = match case.residual {
        Shortcut::None => (Added::Nothing, Residual::None),
        Shortcut::Input => (Added::Input, Residual::Input),
        Shortcut::Tensor => (
            Added::Tensor(residual.clone()),
            Residual::Add(flex(residual)),
        ),
    };
    let ours = ops::branch_inference(x.clone(), units.collect(), added);
    let units = parts()
        .zip(&specs)
        .map(|((weight, bias), spec)| FoldedTensors {
            weight: stock::pack_weight::<Flex>(flex(weight), spec.conv),
            bias: flex(bias),
        });
    let stock = stock::branch_inference::<Flex>(flex(x), units.collect(), stock_added, &specs);
    let stock = Tensor::<4>::from_primitive::<Flex>(stock);
    assert_close(case, &[host(ours)], &[host(stock)]);
}

#[test]
fn a_view_may_be_handed_in() {
    let conv = ConvSpec {
        stride: [1; 2],
        padding: Padding::Each([1; 2]),
        dilation: [1; 2],
        groups: 1,
    };
    let spec = UnitSpec {
        conv,
        epsilon: 1e-5,
        activation: Activation::Relu,
    };
    let weight = filled(&values(4 * 3 * 9, 1), [4, 3, 3, 3]);
    let bias = filled(&values(4, 2), [4]);
    let channels_first = filled(&values(2 * 3 * 5 * 6, 3), [2, 3, 5, 6]);
    let view = channels_first.permute([0, 2, 3, 1]);
    let copy: Tensor<4> = Tensor::from_data(view.clone().into_data(), &view.device());
    let unit = InferenceUnit {
        weight: ops::pack_weight(weight, conv),
        bias,
        spec,
    };
    let [a, b] =
        [view, copy].map(|x| host(ops::branch_inference(x, vec![unit.clone()], Added::Nothing)));
    assert_eq!(a, b);
}

#[test]
fn only_what_needs_a_gradient_gets_one() {
    let conv = ConvSpec {
        stride: [1; 2],
        padding: Padding::Each([0; 2]),
        dilation: [1; 2],
        groups: 1,
    };
    let spec = UnitSpec {
        conv,
        epsilon: 1e-5,
        activation: Activation::Relu,
    };
    let x = filled(&values(2 * 4 * 4 * 3, 1), [2, 4, 4, 3]).autodiff();
    let weight = leaf(&values(5 * 3, 2), [5, 3, 1, 1]);
    let gamma = filled(&[1.0; 5], [5]).autodiff();
    let beta = leaf(&[0.1; 5], [5]);
    let unit = TrainingUnit {
        weight: weight.clone(),
        gamma: gamma.clone(),
        beta: beta.clone(),
        frozen: None,
        spec,
    };
    let unit = ops::branch(x.clone(), vec![unit], Added::Nothing);
    let gradients = unit.output.sum().backward();
    assert!(weight.grad(&gradients).is_some() && beta.grad(&gradients).is_some());
    assert!(x.grad(&gradients).is_none() && gamma.grad(&gradients).is_none());
}
