//! The tensors and names that a weight file is compared with.

use warmstart_models::{Architecture, full_name};
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
    let whole = warmstart_models::by_name(full_name(architecture));
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

/// The published weights whose constants a network has, which no file of weights tells, in a line of the load report.
pub fn record_line(architecture: &Architecture) -> String {
    let record = architecture.record;
    let pretrained = &record.pretrained;
    let numerics = &record.numerics;
    let padding = if numerics.same_padding {
        "padding as in TensorFlow"
    } else {
        "symmetric padding"
    };
    let three = |values: [f32; 3]| values.map(|value| format!("{value:.3}")).join(" ");
    format!(
        "assumed: {}, {} of {} pixels {}, mean {}, deviation {}, epsilon {:e}, {padding}",
        record.name,
        pretrained.image_size,
        pretrained.resized(pretrained.image_size),
        pretrained.interpolation,
        three(pretrained.mean),
        three(pretrained.deviation),
        numerics.epsilon
    )
}
