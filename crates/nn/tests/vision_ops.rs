//! The seam against stock Burn: every output and every gradient, in every batch-norm mode.

use proptest::prelude::*;
use warmstart_nn::Activation;
use warmstart_nn::burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use warmstart_nn::burn::backend::tensor::FloatTensor;
use warmstart_nn::burn::backend::{Autodiff, Flex};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{self, ConvSpec, Residual, Statistics, UnitSpec, stock};

/// Stock Burn with its own derivatives: the stock body on Burn's autodiff backend.
type Stock = Autodiff<Flex, NoCheckpointing>;

#[derive(Clone, Debug)]
struct Case {
    input: [usize; 4],
    out_channels: usize,
    kernel: usize,
    spec: UnitSpec,
    frozen: bool,
    residual: bool,
}

fn values(length: usize, seed: u64) -> Vec<f32> {
    // A small generator of its own, so that a case is the same everywhere.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

struct Inputs {
    x: Vec<f32>,
    weight: (Vec<f32>, [usize; 4]),
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    residual: (Vec<f32>, [usize; 4]),
}

impl Case {
    fn output(&self) -> [usize; 4] {
        let side = |size: usize| {
            let reach = self.spec.conv.dilation[0] * (self.kernel - 1) + 1;
            (size + 2 * self.spec.conv.padding[0] - reach) / self.spec.conv.stride[0] + 1
        };
        let [batch, height, width, _] = self.input;
        [batch, side(height), side(width), self.out_channels]
    }

    fn inputs(&self) -> Inputs {
        let out = self.out_channels;
        let weight = [
            out,
            self.input[3] / self.spec.conv.groups,
            self.kernel,
            self.kernel,
        ];
        Inputs {
            x: values(self.input.iter().product(), 1),
            weight: (values(weight.iter().product(), 2), weight),
            gamma: values(out, 3).iter().map(|v| 1.0 + v / 2.0).collect(),
            beta: values(out, 4),
            mean: values(out, 5),
            variance: values(out, 6).iter().map(|v| 1.2 + v).collect(),
            residual: (values(self.output().iter().product(), 7), self.output()),
        }
    }
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), shape),
        &warmstart_nn::device(),
    )
}

fn leaf<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    tensor(values, shape).autodiff().require_grad()
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

/// Output, mean, variance, and the gradients of x, weight, gamma, beta and the residual.
fn run(case: &Case, through_seam: bool) -> Vec<Vec<f32>> {
    let inputs = case.inputs();
    let channels = [case.out_channels];
    let x = leaf(&inputs.x, case.input);
    let weight = leaf(&inputs.weight.0, inputs.weight.1);
    let gamma = leaf(&inputs.gamma, channels);
    let beta = leaf(&inputs.beta, channels);
    let residual = leaf(&inputs.residual.0, inputs.residual.1);
    let frozen = [&inputs.mean, &inputs.variance].map(|values| tensor(values, channels));
    let (output, mean, variance) = if through_seam {
        let unit = ops::conv_norm_act(
            x.clone(),
            weight.clone(),
            [gamma.clone(), beta.clone()],
            case.frozen.then(|| frozen.clone()),
            case.residual.then(|| residual.clone()),
            case.spec,
        );
        (unit.output, unit.mean, unit.variance)
    } else {
        let primitive = |t: Tensor<4>| t.try_into_primitive::<Stock>().unwrap();
        let vector = |t: Tensor<1>| -> FloatTensor<Stock> {
            t.autodiff().try_into_primitive::<Stock>().unwrap()
        };
        let statistics = if case.frozen {
            let [mean, variance] = frozen.clone();
            Statistics::Frozen {
                mean: vector(mean),
                variance: vector(variance),
            }
        } else {
            Statistics::Batch
        };
        let added = if case.residual {
            Residual::Add(primitive(residual.clone()))
        } else {
            Residual::None
        };
        let unit = stock::conv_norm_act::<Stock>(
            primitive(x.clone()),
            primitive(weight.clone()),
            vector(gamma.clone()),
            vector(beta.clone()),
            statistics,
            added,
            case.spec,
        );
        (
            Tensor::from_primitive::<Stock>(unit.output),
            Tensor::from_primitive::<Stock>(unit.mean),
            Tensor::from_primitive::<Stock>(unit.variance),
        )
    };
    // Weighted, so that every output has a gradient of its own.
    let weights = tensor(&values(output.dims().iter().product(), 8), output.dims());
    let gradients = (output.clone() * weights.autodiff()).sum().backward();
    let gradient4 = |t: &Tensor<4>| host(t.grad(&gradients).unwrap());
    let gradient1 = |t: &Tensor<1>| host(t.grad(&gradients).unwrap());
    let mut results = vec![
        gradient4(&x),
        gradient4(&weight),
        gradient1(&gamma),
        gradient1(&beta),
    ];
    if case.residual {
        results.push(gradient4(&residual));
    }
    results.extend([host(output), host(mean), host(variance)]);
    results
}

fn assert_close(case: &Case, ours: &[Vec<f32>], stock: &[Vec<f32>]) {
    assert_eq!(ours.len(), stock.len());
    for (index, (ours, stock)) in ours.iter().zip(stock).enumerate() {
        assert_eq!(ours.len(), stock.len(), "result {index} of {case:?}");
        let largest = stock.iter().fold(1e-3f32, |a, v| a.max(v.abs()));
        for (a, b) in ours.iter().zip(stock) {
            assert!(
                (a - b).abs() <= 2e-3 * largest,
                "result {index}: {a} is not {b} (largest {largest}) in {case:?}"
            );
        }
    }
}

/// Whether every activation is far enough from its kinks that rounding cannot move it across one.
fn off_the_kinks(case: &Case) -> bool {
    let identity = Case {
        spec: UnitSpec {
            activation: Activation::Identity,
            ..case.spec
        },
        ..case.clone()
    };
    let results = run(&identity, true);
    let output = &results[results.len() - 3];
    output
        .iter()
        .all(|v| v.abs() > 1e-4 && (v - 6.0).abs() > 1e-4)
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1..4usize, 1..9usize, 1..9usize, 1..6usize, 1..6usize);
    let geometry = (
        prop_oneof![Just(1usize), Just(3), Just(5)],
        1..3usize,
        0..3usize,
        1..3usize,
    );
    let activation = prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::Relu6)
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
                let fits = height.min(width) + 2 * padding >= reach;
                let case = Case {
                    input: [batch, height, width, in_channels],
                    out_channels,
                    kernel,
                    spec: UnitSpec {
                        conv: ConvSpec {
                            stride: [stride; 2],
                            padding: [padding; 2],
                            dilation: [dilation; 2],
                            groups,
                        },
                        epsilon: 1e-3,
                        activation,
                    },
                    frozen,
                    residual,
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
        assert_close(&case, &run(&case, true), &run(&case, false));
    }

    #[test]
    fn inference_units_equal_stock_burn(case in cases()) {
        let inputs = case.inputs();
        let x = tensor(&inputs.x, case.input);
        let weight = tensor(&inputs.weight.0, inputs.weight.1);
        let bias = tensor(&inputs.beta, [case.out_channels]);
        let residual = tensor(&inputs.residual.0, inputs.residual.1);
        let ours = ops::conv_act(
            x.clone(), weight.clone(), bias.clone(), case.residual.then(|| residual.clone()), case.spec,
        );
        let added = if case.residual {
            Residual::Add(residual.try_into_primitive::<Flex>().unwrap())
        } else {
            Residual::None
        };
        let stock = stock::conv_act::<Flex>(
            x.try_into_primitive::<Flex>().unwrap(),
            weight.try_into_primitive::<Flex>().unwrap(),
            bias.try_into_primitive::<Flex>().unwrap(),
            added,
            case.spec,
        );
        assert_close(&case, &[host(ours)], &[host(Tensor::<4>::from_primitive::<Flex>(stock))]);
    }
}

#[test]
fn a_view_may_be_handed_in() {
    let conv = ConvSpec {
        stride: [1; 2],
        padding: [1; 2],
        dilation: [1; 2],
        groups: 1,
    };
    let spec = UnitSpec {
        conv,
        epsilon: 1e-5,
        activation: Activation::Relu,
    };
    let weight = tensor(&values(4 * 3 * 9, 1), [4, 3, 3, 3]);
    let bias = tensor(&values(4, 2), [4]);
    let channels_first = tensor(&values(2 * 3 * 5 * 6, 3), [2, 3, 5, 6]);
    let view = channels_first.permute([0, 2, 3, 1]);
    let copy: Tensor<4> = Tensor::from_data(view.clone().into_data(), &view.device());
    let [a, b] =
        [view, copy].map(|x| host(ops::conv_act(x, weight.clone(), bias.clone(), None, spec)));
    assert_eq!(a, b);
}

#[test]
fn only_what_needs_a_gradient_gets_one() {
    let conv = ConvSpec {
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
        groups: 1,
    };
    let spec = UnitSpec {
        conv,
        epsilon: 1e-5,
        activation: Activation::Relu,
    };
    let x = tensor(&values(2 * 4 * 4 * 3, 1), [2, 4, 4, 3]).autodiff();
    let weight = leaf(&values(5 * 3, 2), [5, 3, 1, 1]);
    let gamma = tensor(&[1.0; 5], [5]).autodiff();
    let beta = leaf(&[0.1; 5], [5]);
    let unit = ops::conv_norm_act(
        x.clone(),
        weight.clone(),
        [gamma.clone(), beta.clone()],
        None,
        None,
        spec,
    );
    let gradients = unit.output.sum().backward();
    assert!(weight.grad(&gradients).is_some() && beta.grad(&gradients).is_some());
    assert!(x.grad(&gradients).is_none() && gamma.grad(&gradients).is_none());
}
