//! Passes of training of whole networks on any device, held against PyTorch.

use std::collections::HashSet;

use warmstart_models::{Architecture, by_name};
use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::layers::Layer;
use warmstart_nn::{Forward, Parameters, update_running_statistics};

use super::names::Names;
use super::{CLASSES, compare_gradients, difference, goldens, host, logits, loss, picture_on};
use crate::formula::{formula, symmetric};

/// One member of each structure with batch norms, whose training is compared as well.
pub const WITH_BATCH_NORMS: [&str; 10] = [
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "mobilenet_v3_small",
    "mobilenetv4_conv_small",
    "efficientnet_b0",
    "efficientnet_lite0",
    "resnet18d",
    "cspnext_tiny",
];

/// One member of each structure with layer norms, whose activations and training are compared as well, and the size of
/// its pictures.
pub const WITH_LAYER_NORMS: [(&str, [usize; 2]); 6] = [
    ("convnext_atto", [97, 65]),
    ("convnextv2_atto", [97, 65]),
    ("vit_tiny_patch16_224", [64, 96]),
    ("deit_tiny_distilled_patch16_224", [64, 96]),
    ("vit_small_patch14_dinov2", [56, 84]),
    ("vit_small_patch14_reg4_dinov2", [56, 84]),
];

/// Whether the batch norms of a network take their statistics from the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    Batch,
    Frozen,
}

/// Whether a network has layer norms.
pub fn has_layer_norms(architecture: &Architecture) -> bool {
    let mut layers = architecture.layers(0..architecture.stages.len());
    layers.any(|layer| matches!(layer, Layer::LayerNorm(_)))
}

/// The parameters that the goldens of a network were computed with.
pub fn parameters(architecture: &Architecture, device: &Device) -> Parameters {
    let ends = if has_layer_norms(architecture) {
        HashSet::new()
    } else {
        ends_of_branches(architecture.name)
    };
    let backbone = architecture.backbone_parameters().into_iter();
    let mut parameters = Parameters::new();
    for info in backbone.chain(architecture.classifier_parameters(CLASSES)) {
        let values = formula(&info, ends.contains(&info.name));
        parameters.insert_values(&info.name, &info.shape, values, device);
    }
    parameters
}

/// The scales of the batch norms that end a residual branch.
fn ends_of_branches(network: &str) -> HashSet<String> {
    let layers = Names::of(network).layers.into_iter();
    let ends = layers.filter(|layer| layer.kind == "norm_end");
    ends.map(|layer| format!("{}.weight", layer.names[0]))
        .collect()
}

/// The first pictures of the formula "input" of that size.
pub fn input(images: usize, [height, width]: [usize; 2], device: &Device) -> Tensor<4> {
    let shape = [images, 3, height, width];
    let values = symmetric("input", shape.iter().product(), 2.0);
    picture_on(&shape, values, device)
}

/// Holds a pass of a network with batch norms against the goldens of that mode.
pub fn compare_with_batch_norms(model: &str, mode: Statistics, device: &Device) {
    let (name, prefix, tolerance) = match mode {
        Statistics::Batch => ("train", "", 1e-3),
        Statistics::Frozen => ("frozen_norm", "frozen_norm_", 1e-4),
    };
    let architecture = by_name(model).unwrap();
    let goldens = goldens(model);
    let mut parameters = parameters(&architecture, device);
    let trained = |name: &str| !name.contains("running_");
    let tracked = parameters.tracked(trained);
    let (shape, values) = goldens[&format!("{name}_input")].clone();
    let mut statistics = Vec::new();
    let mut forward = Forward::Training {
        parameters: &tracked,
        frozen_statistics: mode == Statistics::Frozen,
        statistics: &mut statistics,
        stochastic_depth: None,
    };
    let features = architecture.forward(
        0..architecture.stages.len(),
        picture_on(&shape, values, device).autodiff(),
        &mut forward,
    );
    let logits = logits(&architecture, features, &tracked);
    let worst = difference(&host(logits.clone()), &goldens[&format!("{name}_logits")].1);
    assert!(worst < 1e-4, "{model} {name} logits: {worst:e}");

    let gradients = tracked.take_gradients(&mut loss(logits).backward());
    compare_gradients(model, &gradients, &goldens, prefix, tolerance);

    assert_eq!(statistics.is_empty(), mode == Statistics::Frozen);
    update_running_statistics(&mut parameters, &statistics);
    if mode == Statistics::Batch {
        for (name, (_, golden)) in &goldens {
            if let Some(statistic) = name.strip_prefix("after.") {
                let off = difference(&parameters.values(statistic), golden);
                assert!(off < 1e-4, "{model} {name}: {off:e}");
            }
        }
    }
}

/// Holds a pass of a network with layer norms, on pictures of that size, against its goldens.
pub fn compare_with_layer_norms(model: &str, size: [usize; 2], device: &Device) {
    let architecture = by_name(model).unwrap();
    let goldens = goldens(model);
    let tracked = parameters(&architecture, device).tracked(|_| true);
    let mut statistics = Vec::new();
    let mut forward = Forward::Training {
        parameters: &tracked,
        frozen_statistics: false,
        statistics: &mut statistics,
        stochastic_depth: None,
    };
    let all = 0..architecture.stages.len();
    let images = input(2, size, device).autodiff();
    let features = architecture.forward(all, images, &mut forward);
    let logits = logits(&architecture, features, &tracked);
    let off = difference(&host(logits.clone()), &goldens["train_logits"].1);
    assert!(off < 1e-4, "{model} logits: {off:e}");
    let loss = loss(logits);
    let off = difference(&host(loss.clone()), &goldens["loss"].1);
    assert!(off < 1e-4, "{model} loss: {off:e}");
    let gradients = tracked.take_gradients(&mut loss.backward());
    compare_gradients(model, &gradients, &goldens, "", 1e-4);
    assert!(statistics.is_empty(), "{model} has no batch norms");
}
