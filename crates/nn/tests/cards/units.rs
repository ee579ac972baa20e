//! Branches of units, in training and in inference.

use warmstart_nn::Activation;
use warmstart_nn::burn::tensor::{Device, FloatDType, Tensor};
use warmstart_nn::ops::{self, ConvSpec, Padding, UnitSpec};

use crate::branches::{Case, Shortcut, Unit};
use crate::card::card;
use crate::common::{filled_on, host, tensor_on, values};
use crate::numbers::Numbers;
use crate::{NEAR, Results, check};

/// Nearest that an argument may be to a kink of its activation: many times its rounding.
const OFF: f32 = 2e-5;
/// Fewest values of a channel over which a batch norm takes its statistics: of fewer, nearly nothing is left.
const FEWEST: usize = 16;

const ACTIVATIONS: [Activation; 8] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSwish,
    Activation::HardSigmoid,
    Activation::Sigmoid,
    Activation::Silu,
    Activation::Gelu,
];

/// A unit whose padding keeps the size at stride 1.
pub fn unit(
    out_channels: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    activation: Activation,
) -> Unit {
    Unit {
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
    }
}

/// A unit of a random shape; its number decides on what every kind has to be tried of.
fn random_unit(number: usize, numbers: &mut Numbers) -> Case {
    let [inner, outer] = [(); 2].map(|()| numbers.between(1, 6));
    let (in_channels, out_channels, groups) = match number % 3 {
        0 => (inner, outer, 1),
        1 => (inner, inner, inner),
        _ => (2 * inner, 2 * outer, 2),
    };
    let (kernel, stride) = (numbers.one_of(&[1, 3, 5]), numbers.between(1, 2));
    let activation = ACTIVATIONS[number % ACTIVATIONS.len()];
    let mut unit = unit(out_channels, kernel, stride, groups, activation);
    unit.spec.conv.dilation = [numbers.between(1, 2); 2];
    unit.spec.conv.padding = match number % 4 {
        3 => Padding::Same,
        _ => Padding::Each([numbers.between(0, 2); 2]),
    };
    Case {
        input: numbers.images(in_channels),
        units: vec![unit],
        frozen: number / ACTIVATIONS.len() % 2 == 1,
        residual: match number % 5 {
            0 | 1 => Shortcut::Tensor,
            _ => Shortcut::None,
        },
    }
}

/// An inverted residual or a bottleneck of a random shape.
fn random_branch(number: usize, numbers: &mut Numbers) -> Case {
    let [channels, hidden] = [numbers.between(1, 8), numbers.between(1, 12)];
    let activation = ACTIVATIONS[number % ACTIVATIONS.len()];
    let residual = [Shortcut::None, Shortcut::Input, Shortcut::Tensor][number % 3];
    let stride = match residual {
        Shortcut::Input => 1,
        Shortcut::None | Shortcut::Tensor => numbers.between(1, 2),
    };
    let groups = if number.is_multiple_of(2) { hidden } else { 1 };
    let last = match number % 4 {
        0 | 1 => Activation::Identity,
        _ => activation,
    };
    let [height, width] = [(); 2].map(|()| numbers.between(3, 9));
    Case {
        input: [numbers.between(1, 4), height, width, channels],
        units: vec![
            unit(hidden, 1, 1, 1, activation),
            unit(hidden, 3, stride, groups, activation),
            unit(channels, 1, 1, 1, last),
        ],
        frozen: number / 3 % 2 == 1,
        residual,
    }
}

/// Whether the kernels fit into the maps, and rounding decides on nothing that can be seen.
fn is_well_posed(case: &Case) -> bool {
    let [_, height, width, _] = case.input;
    let Unit { kernel, spec, .. } = &case.units[0];
    let fits = match spec.conv.padding {
        Padding::Each([padding, _]) => {
            let reach = spec.conv.dilation[0] * (kernel - 1) + 1;
            height.min(width) + 2 * padding >= reach
        }
        Padding::Same => true,
    };
    if !fits {
        return false;
    }
    let [batch, height, width, _] = case.output();
    (case.frozen || batch * height * width >= FEWEST) && case.is_off_the_kinks(OFF)
}

/// What makes a random case out of its number.
type Random = fn(usize, &mut Numbers) -> Case;

/// Units and branches of random shapes, and some of the edges of what there can be.
fn cases() -> Vec<Case> {
    let mut numbers = Numbers(30);
    let mut all = Vec::new();
    let kinds: [(usize, Random); 2] = [(24, random_unit), (12, random_branch)];
    for (count, random) in kinds {
        for number in 0..count {
            let tries = std::iter::repeat_with(|| random(number, &mut numbers));
            all.extend(tries.take(1000).find(is_well_posed));
        }
    }
    assert_eq!(all.len(), 36, "there is a shape of every kind");
    let gelu = Activation::Gelu;
    let edges = [
        // One pixel, one channel, and the two together.
        ([3, 1, 1, 5], unit(4, 1, 1, 1, gelu), true),
        ([2, 1, 1, 1], unit(1, 3, 1, 1, gelu), true),
        ([4, 7, 5, 1], unit(1, 3, 2, 1, gelu), false),
        // More channels than a vector has, and an odd number of them.
        ([2, 6, 5, 40], unit(24, 1, 1, 1, gelu), false),
        ([1, 9, 7, 33], unit(33, 7, 1, 33, gelu), false),
        // A kernel that is as large as its stride: patches.
        ([2, 12, 8, 3], unit(10, 4, 4, 1, Activation::Identity), true),
    ];
    all.extend(edges.map(|(input, unit, frozen)| Case {
        input,
        units: vec![unit],
        frozen,
        residual: Shortcut::None,
    }));
    all
}

/// A case in training, with activations in that format.
pub fn train(case: &Case, device: &Device, format: FloatDType) -> Results {
    let leaves = case.leaves(device);
    let mut gradients = leaves.results(leaves.branch(format));
    Results {
        outputs: gradients.split_off(case.gradients()),
        gradients,
    }
}

#[test]
fn branches_in_training_and_all_their_gradients_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    for case in cases() {
        check(&card, NEAR, &format!("{case:?}"), |device| {
            train(&case, device, FloatDType::F32)
        });
    }
}

#[test]
fn branches_in_inference_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    for case in cases() {
        check(&card, NEAR, &format!("{case:?}"), |device| {
            Results::of(vec![case.infer(device)])
        });
    }
}

#[test]
fn a_view_may_be_handed_in() {
    let Some(card) = card() else { return };
    let unit = unit(4, 3, 1, 1, Activation::Relu);
    let weight = filled_on(&values(4 * 3 * 9, 1), [4, 3, 3, 3], &card);
    let unit = ops::InferenceUnit {
        weight: ops::pack_weight(weight, unit.spec.conv),
        bias: tensor_on([4], 2, &card),
        spec: unit.spec,
    };
    let view: Tensor<4> = tensor_on([2, 3, 5, 6], 3, &card).permute([0, 2, 3, 1]);
    let copy: Tensor<4> = Tensor::from_data(view.clone().into_data(), &card);
    let [of_view, of_copy] = [view, copy].map(|x| {
        host(ops::branch_inference(
            x,
            vec![unit.clone()],
            ops::Added::Nothing,
        ))
    });
    assert_eq!(of_view, of_copy);
}
