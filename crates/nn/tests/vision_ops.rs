//! The seam against stock Burn: every output and every gradient, in every batch-norm mode.

#[path = "common/branches.rs"]
mod branches;
mod common;

use proptest::prelude::*;
use warmstart_nn::Activation;
use warmstart_nn::burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use warmstart_nn::burn::backend::tensor::FloatTensor;
use warmstart_nn::burn::backend::{Autodiff, Flex};
use warmstart_nn::burn::tensor::{FloatDType, Tensor};
use warmstart_nn::ops::{
    self, Added, ConvSpec, FoldedTensors, InferenceUnit, Padding, Residual, Statistics,
    TrainedBranch, TrainingUnit, UnitSpec, UnitTensors, stock,
};

use branches::{Case, Leaves, Shortcut, Unit};
use common::{filled, host, leaf, values};

/// Stock Burn with its own derivatives: the stock body on Burn's autodiff backend.
type Stock = Autodiff<Flex, NoCheckpointing>;

/// Nearest that an argument may be to a kink of its activation.
const OFF: f32 = 1e-4;

/// The results of a case, through the seam or by stock Burn.
fn run(case: &Case, through_seam: bool) -> Vec<Vec<f32>> {
    let leaves = case.leaves(&warmstart_nn::device());
    leaves.results(if through_seam {
        leaves.branch(FloatDType::F32)
    } else {
        stock_branch(case, &leaves)
    })
}

fn stock_branch(case: &Case, leaves: &Leaves) -> TrainedBranch {
    let primitive = |t: &Tensor<4>| t.clone().try_into_primitive::<Stock>().unwrap();
    let vector = |t: &Tensor<1>| -> FloatTensor<Stock> {
        t.clone().autodiff().try_into_primitive::<Stock>().unwrap()
    };
    let tensors = leaves.units.iter().map(|unit| UnitTensors::<Stock> {
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
        Shortcut::Tensor => Residual::Add(primitive(&leaves.residual)),
    };
    let x = primitive(&leaves.x);
    let branch = stock::branch::<Stock>(x, tensors.collect(), added, &case.specs());
    let statistics = branch.units.0.into_iter().map(|unit| {
        [unit.mean, unit.variance].map(|t| Tensor::<1>::from_primitive::<Stock>(t).inner())
    });
    TrainedBranch {
        output: Tensor::from_primitive::<Stock>(branch.output),
        statistics: statistics.collect(),
    }
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
        prop_assume!(case.is_off_the_kinks(OFF));
        check(&case);
    }

    #[test]
    fn branches_and_all_their_gradients_equal_stock_burn(case in branches()) {
        let output = case.output();
        prop_assume!(case.frozen || output[0] * output[1] * output[2] >= 8);
        prop_assume!(case.is_off_the_kinks(OFF));
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
    let specs = case.specs();
    let units = inputs.units.iter().zip(&case.units);
    let units = units.map(|(inputs, unit)| {
        let weight = flex(filled(&inputs.weight.0, inputs.weight.1));
        FoldedTensors {
            weight: stock::pack_weight::<Flex>(weight, unit.spec.conv),
            bias: flex(filled(&inputs.beta, [unit.out_channels])),
        }
    });
    let added = match case.residual {
        Shortcut::None => Residual::None,
        Shortcut::Input => Residual::Input,
        Shortcut::Tensor => Residual::Add(flex(filled(&inputs.residual.0, inputs.residual.1))),
    };
    let stock = stock::branch_inference::<Flex>(flex(x), units.collect(), added, &specs);
    let stock = Tensor::<4>::from_primitive::<Flex>(stock);
    let ours = case.infer(&warmstart_nn::device());
    assert_close(case, &[ours], &[host(stock)]);
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
    let weight = leaf([5, 3, 1, 1], 2);
    let gamma = filled(&[1.0; 5], [5]).autodiff();
    let beta = filled(&[0.1; 5], [5]).autodiff().require_grad();
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
