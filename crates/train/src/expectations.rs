//! The tensors and names that a weight file is compared with.

use warmstart_models::Architecture;
use warmstart_nn::ParameterInfo;
use warmstart_weights::{Convention, Expected, Part};

/// Classes of the usual pretrained classifier.
pub const IMAGENET_CLASSES: usize = 1000;

/// The architecture's parameters as `warmstart-weights` expects them.
pub fn expectations(backbone: &[ParameterInfo], head: &[ParameterInfo]) -> Vec<Expected> {
    let part = |infos: &[ParameterInfo], part: Part| -> Vec<Expected> {
        infos
            .iter()
            .map(|info| Expected {
                name: info.name.clone(),
                shape: info.shape.clone(),
                part,
                optional: false,
            })
            .collect()
    };
    [part(backbone, Part::Backbone), part(head, Part::Head)].concat()
}

/// Tensors of the architecture's own classifier that this model lacks.
pub fn beyond(architecture: &Architecture, expected: &[Expected]) -> Vec<Expected> {
    let whole = warmstart_models::by_name(architecture.name);
    let of_whole = |whole: Architecture| {
        let classifier = whole.classifier_parameters(IMAGENET_CLASSES);
        expectations(&whole.backbone_parameters(), &classifier)
    };
    let mut beyond = whole.map(of_whole).unwrap_or_default();
    beyond.retain(|tensor| expected.iter().all(|own| own.name != tensor.name));
    for tensor in &mut beyond {
        tensor.part = Part::Beyond;
    }
    beyond
}

/// The architecture's naming conventions as `warmstart-weights` expects them.
pub fn conventions(architecture: &Architecture) -> Vec<Convention> {
    architecture
        .conventions
        .iter()
        .map(|convention| Convention {
            name: convention.name,
            to_native: convention.to_native,
        })
        .collect()
}
