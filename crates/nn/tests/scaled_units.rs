//! Units that are linear layers, that lack a bias, or that have a layer scale: inference, training and arithmetic by hand
//! agree.

mod common;
#[path = "common/passes.rs"]
mod passes;

use common::{assert_close, host, tensor};
use passes::{all_ways, parameters_of};
use warmstart_nn::layers::{Branch, Layer, Shortcut};
use warmstart_nn::{Activation, Kind, Unit};

#[test]
fn a_linear_unit_has_the_parameters_of_a_linear_layer_and_its_scale_last() {
    let assert_has = |unit: &Unit, expected: &[(&str, &[usize], Kind)]| {
        let infos = unit.parameters();
        let found = infos.iter();
        let found = found.map(|info| (info.name.as_str(), info.shape.as_slice(), info.kind));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    };
    let linear = Unit::linear("attn.proj", [3, 2], Activation::Identity).scaled_by("ls1.gamma");
    let weight = ("attn.proj.weight", &[2, 3][..], Kind::LinearWeight);
    let bias = ("attn.proj.bias", &[2][..], Kind::LinearBias);
    let scale = ("ls1.gamma", &[2][..], Kind::LayerScale);
    assert_has(&linear, &[weight, bias, scale]);
    let depthwise = Unit::with_bias("conv_dw", [4, 4], 7, 1, 4, Activation::Identity);
    let weight = ("conv_dw.weight", &[4, 1, 7, 7][..], Kind::ConvWeight);
    assert_has(&depthwise.without_bias(), &[weight]);
    for kind in [Kind::LayerScale, Kind::Token, Kind::ResponseScale] {
        assert!(
            kind.is_trained() && !kind.decays() && !kind.is_weight(),
            "{kind:?}"
        );
    }
}

#[test]
#[should_panic(expected = "a batch norm has a scale of its own")]
fn a_unit_with_a_batch_norm_takes_no_layer_scale() {
    let _ = Unit::new("conv", "bn", [1, 1], 1, 1, 1, Activation::Identity).scaled_by("gamma");
}

#[test]
fn a_scaled_unit_learns_as_arithmetic_by_hand_says() {
    const INPUTS: usize = 3;
    const OUTPUTS: usize = 2;
    let unit = Unit::linear("proj", [INPUTS, OUTPUTS], Activation::Identity).scaled_by("gamma");
    let layer = Layer::Branch(Branch::new(vec![unit], Shortcut::Second));
    let parameters = parameters_of(&layer);
    let [x, shortcut] = [INPUTS, OUTPUTS].map(|channels| tensor([2, 1, 5, channels], 1));
    let trained = all_ways(&layer, &parameters, &[x.clone(), shortcut.clone()]);

    let [weight, bias, scale] =
        ["proj.weight", "proj.bias", "gamma"].map(|name| parameters.values(name));
    let (x, mut output) = (host(x), host(shortcut));
    let (mut by_weight, mut by_x) = (vec![0.0; weight.len()], vec![0.0; x.len()]);
    let (mut by_bias, mut by_scale) = (vec![0.0; OUTPUTS], vec![0.0; OUTPUTS]);
    for pixel in 0..10 {
        for out in 0..OUTPUTS {
            let gradient = trained.weights[pixel * OUTPUTS + out];
            let mut linear = bias[out];
            for input in 0..INPUTS {
                let (at, place) = (pixel * INPUTS + input, out * INPUTS + input);
                linear += x[at] * weight[place];
                by_weight[place] += gradient * scale[out] * x[at];
                by_x[at] += gradient * scale[out] * weight[place];
            }
            output[pixel * OUTPUTS + out] += scale[out] * linear;
            by_bias[out] += gradient * scale[out];
            by_scale[out] += gradient * linear;
        }
    }
    let found = |name: &str| trained.parameters.values(name);
    assert_close(&trained.output, &output, 1e-5);
    assert_close(&found("proj.weight"), &by_weight, 1e-5);
    assert_close(&found("proj.bias"), &by_bias, 1e-5);
    assert_close(&found("gamma"), &by_scale, 1e-5);
    assert_close(&trained.inputs[0], &by_x, 1e-5);
    assert_eq!(trained.inputs[1], trained.weights);
}

#[test]
fn branches_with_and_without_bias_and_scale_run_alike_in_inference_and_in_training() {
    let conv =
        |name: &str, channels, activation| Unit::with_bias(name, channels, 1, 1, 1, activation);
    let (wide, narrow) = ([6, 24], [24, 6]);
    let (gelu, identity) = (Activation::Gelu, Activation::Identity);
    let branches = [
        vec![
            Unit::linear("fc1", wide, gelu),
            Unit::linear("fc2", narrow, identity).scaled_by("gamma"),
        ],
        vec![
            Unit::linear("fc1", wide, gelu).without_bias(),
            Unit::linear("fc2", narrow, identity).without_bias(),
        ],
        vec![
            conv("fc1", wide, gelu),
            conv("fc2", narrow, identity).scaled_by("gamma"),
        ],
        vec![
            Unit::linear("fc", [6, 6], identity)
                .without_bias()
                .scaled_by("gamma"),
        ],
        vec![Unit::with_bias("conv_dw", [6, 6], 7, 1, 6, identity).scaled_by("gamma")],
    ];
    for units in branches {
        for shortcut in [Shortcut::None, Shortcut::Identity, Shortcut::Second] {
            let layer = Layer::Branch(Branch::new(units.clone(), shortcut));
            let parameters = parameters_of(&layer);
            let [x, second] = [1, 2].map(|seed| tensor([2, 5, 4, 6], seed));
            let inputs = match shortcut {
                Shortcut::None | Shortcut::Identity => vec![x],
                Shortcut::Second => vec![x, second],
            };
            let trained = all_ways(&layer, &parameters, &inputs);
            let all = layer.kind().parameters();
            let learned = trained.parameters.names().count();
            assert_eq!(learned, all.len(), "each parameter has a gradient");
        }
    }
}
