//! ConvNeXt, ViT, DeiT and DINOv2 against timm: logits at several sizes, activations on the way, and gradients, on the
//! same parameters.
//!
//! `tests/fixtures/README.md` says how the goldens were made.

mod comparison;
mod formula;

use warmstart_models::{Architecture, Tapped, by_name, records, with_record};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::{Forward, Parameters, StepKey, StochasticDepth};

use comparison::training::{self, WITH_LAYER_NORMS, compare_with_layer_norms};
use comparison::{difference, goldens, host, logits};

const NETWORKS: [&str; 18] = [
    "convnext_atto",
    "convnext_femto",
    "convnext_pico",
    "convnext_nano",
    "convnext_tiny",
    "convnextv2_atto",
    "convnextv2_femto",
    "convnextv2_pico",
    "convnextv2_nano",
    "convnextv2_tiny",
    "vit_tiny_patch16_224",
    "vit_small_patch16_224",
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit_small_distilled_patch16_224",
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
];

/// The network as a library publishes its weights.
fn published_by(library: &str, model: &str) -> Architecture {
    let mut records = records(model);
    let record = records
        .find(|record| record.library == library)
        .unwrap_or_else(|| panic!("{library} publishes weights of {model}"));
    with_record(model, record).unwrap()
}

fn parameters(architecture: &Architecture) -> Parameters {
    training::parameters(architecture, &warmstart_nn::device())
}

fn input(images: usize, size: [usize; 2]) -> Tensor<4> {
    training::input(images, size, &warmstart_nn::device())
}

fn inference_logits(
    architecture: &Architecture,
    parameters: &Parameters,
    images: Tensor<4>,
) -> Vec<f32> {
    let all = 0..architecture.stages.len();
    let folded = architecture.fold(all.clone(), parameters, &warmstart_nn::device());
    let features = architecture.forward(all, images, &mut Forward::Inference(&folded));
    host(logits(architecture, features, parameters))
}

/// Holds logits in inference against all goldens `eval_logits_<height>x<width><suffix>`, and returns their number.
fn compare_logits(architecture: &Architecture, suffix: &str) -> usize {
    let parameters = parameters(architecture);
    let mut compared = 0;
    for (name, (shape, golden)) in goldens(architecture.name) {
        let size = name.strip_prefix("eval_logits_");
        let size = size.and_then(|rest| rest.strip_suffix(suffix)?.split_once('x'));
        let Some((Ok(height), Ok(width))) =
            size.map(|(height, width)| (height.parse::<usize>(), width.parse::<usize>()))
        else {
            continue;
        };
        let images = input(shape[0], [height, width]);
        let off = difference(
            &inference_logits(architecture, &parameters, images),
            &golden,
        );
        assert!(off < 1e-4, "{} {name}: {off:e}", architecture.name);
        compared += 1;
    }
    compared
}

#[test]
fn parameters_are_those_of_the_goldens() {
    let mut compared = 0;
    for (model, _) in WITH_LAYER_NORMS {
        let parameters = parameters(&by_name(model).unwrap());
        for (name, (_, golden)) in goldens(model) {
            if let Some(parameter) = name.strip_prefix("formula.") {
                let ours = parameters.values(parameter);
                assert_eq!(ours[..golden.len()], golden, "{model}: {parameter}");
                compared += 1;
            }
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn inference_logits_are_timms_at_every_size() {
    let compared = NETWORKS.map(|model| compare_logits(&published_by("timm", model), ""));
    assert!(compared.iter().all(|&sizes| sizes > 0), "{compared:?}");
    assert_eq!(compared.iter().sum::<usize>(), 18 + 6);
}

/// Meta's code resizes positions without antialiasing where there are no registers, and as timm does where there are.
#[test]
fn dinov2_s_positions_are_resized_as_whoever_published_the_weights_does() {
    let compared = [
        ("vit_small_patch14_dinov2", "_scaled"),
        ("vit_small_patch14_reg4_dinov2", ""),
    ]
    .map(|(model, suffix)| compare_logits(&published_by("facebookresearch", model), suffix));
    assert_eq!(compared, [3, 2]);
    for (model, _) in WITH_LAYER_NORMS
        .iter()
        .filter(|(model, _)| model.ends_with("dinov2"))
    {
        let usual = by_name(model).unwrap();
        assert_eq!(usual.record.library, "facebookresearch", "{model}");
    }
}

/// The tokens in their order (of class, registers, patches) with their positions, and maps of pixels.
#[test]
fn whole_activations_are_timms() {
    let mut compared = 0;
    for (model, size) in WITH_LAYER_NORMS {
        let architecture = published_by("timm", model);
        let parameters = parameters(&architecture);
        for (name, (shape, golden)) in goldens(model) {
            let Some(stage) = name.strip_prefix("stage.") else {
                continue;
            };
            let stages = 0..architecture.stage(stage).unwrap() + 1;
            let folded = architecture.fold(stages.clone(), &parameters, &warmstart_nn::device());
            let mut forward = Forward::Inference(&folded);
            let map = architecture.forward(stages, input(1, size), &mut forward);
            // Tokens are the pixels of a map of one row; timm has the channels of other maps in front.
            let map = match *shape {
                [_, tokens, channels] => {
                    assert_eq!(map.dims(), [1, 1, tokens, channels], "{model} {name}");
                    map
                }
                _ => map.permute([0, 3, 1, 2]),
            };
            let off = difference(&host(map), &golden);
            assert!(off < 1e-4, "{model} {name}: {off:e}");
            compared += 1;
        }
    }
    assert_eq!(compared, 6 * 2);
}

/// Of tokens, the mean of the class tokens and that of the patches are read.
#[test]
fn the_means_of_any_activation_can_be_read_in_inference() {
    let mut compared = 0;
    for (model, size) in WITH_LAYER_NORMS {
        let architecture = published_by("timm", model);
        let parameters = parameters(&architecture);
        let goldens = goldens(model);
        let taps = goldens.iter().filter_map(|(key, (_, golden))| {
            let (kind, name) = key.split_once('.')?;
            matches!(kind, "input_mean" | "output_mean").then_some((name, golden))
        });
        let (names, expected): (Vec<&str>, Vec<_>) = taps.unzip();
        let tapped = Tapped::new(&architecture, &names).unwrap();
        let channels: Vec<usize> = expected.iter().map(|golden| golden.len() / 2).collect();
        assert_eq!(tapped.channels(), channels, "{model}");
        let all = 0..architecture.stages.len();
        let folded = architecture.fold(all, &parameters, &warmstart_nn::device());
        let means = tapped.means(input(2, size), &folded);
        for ((mean, name), golden) in means.into_iter().zip(names).zip(expected) {
            let off = difference(&host(mean), golden);
            assert!(off < 1e-4, "{model} {name}: {off:e}");
            compared += 1;
        }
    }
    assert_eq!(compared, 2 * 4 + 4 * 3);
}

#[test]
fn gradients_of_all_parameters_are_timms() {
    for (model, size) in WITH_LAYER_NORMS {
        compare_with_layer_norms(model, size, &warmstart_nn::device());
    }
}

/// A folded prefix followed by a trained rest is the same network as the whole.
#[test]
fn a_network_can_be_cut_at_any_stage() {
    for (model, size) in [
        ("convnext_atto", [64, 32]),
        ("convnextv2_atto", [64, 32]),
        ("deit_tiny_distilled_patch16_224", [48, 32]),
        ("vit_small_patch14_reg4_dinov2", [28, 42]),
    ] {
        let architecture = by_name(model).unwrap();
        let parameters = parameters(&architecture);
        let device = warmstart_nn::device();
        let end = architecture.stages.len();
        let folded = architecture.fold(0..end, &parameters, &device);
        let mut forward = Forward::Inference(&folded);
        let whole = host(architecture.forward(0..end, input(1, size), &mut forward));
        let tracked = parameters.tracked(|_| true);
        for cut in 0..=end {
            let trunk = architecture.fold(0..cut, &parameters, &device);
            let mut forward = Forward::Inference(&trunk);
            let features = architecture.forward(0..cut, input(1, size), &mut forward);
            let mut forward = Forward::Training {
                parameters: &tracked,
                frozen_statistics: false,
                statistics: &mut Vec::new(),
                stochastic_depth: None,
            };
            let features = architecture.forward(cut..end, features.autodiff(), &mut forward);
            let off = difference(&host(features), &whole);
            assert!(off < 1e-4, "{model} cut at {cut}: {off:e}");
        }
    }
}

/// The features of a training step that leaves branches out at random with this probability, of images that have
/// others before them in the step's batch, and the gradients of their sum.
fn with_branches_left_out(
    architecture: &Architecture,
    tracked: &Parameters,
    images: Tensor<4>,
    probability: f64,
    images_before: usize,
) -> (Vec<f32>, Parameters) {
    let key = StepKey {
        seed: 5,
        step: 11,
        images_before,
    };
    let mut forward = Forward::Training {
        parameters: tracked,
        frozen_statistics: false,
        statistics: &mut Vec::new(),
        stochastic_depth: Some(StochasticDepth { key, probability }),
    };
    let all = 0..architecture.stages.len();
    let features = architecture.forward(all, images.autodiff(), &mut forward);
    let mut gradients = features.clone().sum().backward();
    (host(features), tracked.take_gradients(&mut gradients))
}

#[test]
fn micro_batches_leave_out_the_branches_that_the_batch_leaves_out() {
    for (model, edge) in [
        ("convnext_atto", 32),
        ("convnextv2_atto", 32),
        ("vit_tiny_patch16_224", 32),
        ("vit_small_patch14_dinov2", 28),
    ] {
        let architecture = by_name(model).unwrap();
        let tracked = parameters(&architecture).tracked(|_| true);
        let images = input(4, [edge; 2]);
        let step = |images: Tensor<4>, probability, before| {
            with_branches_left_out(&architecture, &tracked, images, probability, before)
        };
        let (whole, of_whole) = step(images.clone(), 0.5, 0);
        let (all_branches, _) = step(images.clone(), 0.0, 0);
        assert!(difference(&all_branches, &whole) > 0.05, "{model}");
        let (mut features, mut gradients) = step(images.clone().narrow(0, 0, 3), 0.5, 0);
        let (last, of_last) = step(images.narrow(0, 3, 1), 0.5, 3);
        features.extend(last);
        gradients.add(of_last);
        let off = difference(&features, &whole);
        assert!(off < 1e-5, "{model}: {off:e}");
        for name in of_whole.names() {
            let [expected, found] = [&of_whole, &gradients].map(|all| all.values(name));
            let largest = expected.iter().fold(1e-3f32, |a, v| a.max(v.abs()));
            let pairs = found.iter().zip(&expected);
            let off = pairs.fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(
                off < 1e-4 * largest,
                "{model} {name}: {off:e} of {largest:e}"
            );
        }
    }
}
