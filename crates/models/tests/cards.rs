//! Whole networks on a graphics card: inference as on the processor, and training as in PyTorch.
//!
//! `scripts/test-cards` passes these tests; where the environment variable WARMSTART_DEVICE names no card, they are
//! left out. Training of all families takes long, and is asked for with `-- --ignored`.

#[path = "../../nn/tests/common/card.rs"]
mod card;
mod comparison;
mod formula;

use warmstart_models::by_name;
use warmstart_models::detector::Predictions;
use warmstart_nn::Forward;
use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::initialization::Initialization;
use warmstart_nn::layers::fold;

use card::card;
use comparison::training::{
    Statistics, WITH_BATCH_NORMS, WITH_LAYER_NORMS, compare_with_batch_norms,
    compare_with_layer_norms, input, parameters,
};
use comparison::{CLASSES, difference, host};

/// The smallest network of each family, and the size of its pictures: small, and odd where there are no patches.
const FAMILIES: [(&str, [usize; 2]); 10] = [
    ("mobilenet_v2", [41, 33]),
    ("mobilenet_v3_small", [41, 33]),
    ("mobilenetv4_conv_small", [41, 33]),
    ("resnet18", [41, 33]),
    ("efficientnet_b0", [41, 33]),
    ("efficientnet_lite0", [41, 33]),
    ("convnext_atto", [32, 64]),
    ("convnextv2_atto", [32, 64]),
    ("vit_tiny_patch16_224", [32, 48]),
    ("vit_small_patch14_dinov2", [28, 42]),
];

/// The smallest detector of each kind.
const DETECTORS: [&str; 3] = ["mobilenet_v2", "yolox_nano", "rtmdet_tiny"];

/// The features of a backbone in inference, with the parameters of its goldens.
fn features(model: &str, size: [usize; 2], device: &Device) -> Vec<Vec<f32>> {
    let network = by_name(model).unwrap();
    let parameters = parameters(&network, device);
    let all = 0..network.stages.len();
    let folded = network.fold(all.clone(), &parameters, device);
    let images = vec![input(2, size, device)];
    let maps = network.forward_maps(all, images, &mut Forward::Inference(&folded));
    maps.into_iter().map(host).collect()
}

/// The maps and the predictions of a detector in inference, with random parameters.
fn predictions(model: &str, device: &Device) -> Vec<Vec<f32>> {
    let network = by_name(model).unwrap().with_taps().unwrap();
    let detector = network.detector(CLASSES);
    let mut infos = network.backbone_parameters();
    infos.extend(detector.parameters());
    let defaults = network.initialization();
    let parameters = Initialization::default().parameters(&infos, &defaults, 1, device);
    let all = 0..network.stages.len();
    let layers = network.layers(all.clone());
    let layers = layers.chain(detector.graph().layers());
    let folded = fold(&parameters, layers, device);
    let mut forward = Forward::Inference(&folded);
    let images = vec![input(2, [64, 64], device)];
    let maps = network.forward_maps(all, images, &mut forward);
    let mut results: Vec<Vec<f32>> = maps.iter().cloned().map(host).collect();
    let maps: [Tensor<4>; 3] = maps
        .try_into()
        .unwrap_or_else(|_| panic!("{model} gives three maps"));
    let Predictions {
        classes,
        boxes,
        objectness,
    } = detector.forward(maps, &mut forward);
    results.extend([host(classes), host(boxes)]);
    results.extend(objectness.map(host));
    results
}

/// Fails unless a card computes nearly what the processor does.
#[track_caller]
fn require_near(card: &Device, model: &str, compute: impl Fn(&Device) -> Vec<Vec<f32>>) {
    let [found, expected] = [card, &warmstart_nn::device()].map(compute);
    assert_eq!(found.len(), expected.len(), "{model}");
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(found.iter().all(|value| value.is_finite()), "{model}");
        let off = difference(found, expected);
        assert!(off < 1e-4, "tensor {index} of {model}: {off:e}");
    }
}

#[test]
fn inference_of_every_family_is_that_of_the_processor() {
    let Some(card) = card() else { return };
    for (model, size) in FAMILIES {
        require_near(&card, model, |device| features(model, size, device));
    }
}

#[test]
fn predictions_of_detectors_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    for model in DETECTORS {
        require_near(&card, model, |device| predictions(model, device));
    }
}

#[test]
fn a_mobilenet_trains_as_in_pytorch() {
    let Some(card) = card() else { return };
    for mode in [Statistics::Batch, Statistics::Frozen] {
        compare_with_batch_norms("mobilenet_v2", mode, &card);
    }
}

#[test]
#[ignore = "it takes long on a card that is a program"]
fn every_family_trains_as_in_pytorch() {
    let Some(card) = card() else { return };
    for model in WITH_BATCH_NORMS {
        for mode in [Statistics::Batch, Statistics::Frozen] {
            compare_with_batch_norms(model, mode, &card);
        }
    }
    for (model, size) in WITH_LAYER_NORMS {
        compare_with_layer_norms(model, size, &card);
    }
}
