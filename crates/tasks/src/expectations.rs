//! The tensors and names that a weight file is compared with.

use warmstart_language::{english, message, translated};
use warmstart_models::detector::STRIDES;
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
                copies: copies(&info.name),
                ..Expected::new(info.name.as_str(), &info.shape, part)
            })
            .collect()
    };
    [part(backbone, Part::Backbone), part(head, Part::Head)].concat()
}

/// The names under which MMDetection's RTMDet has a convolution again that its levels share: the head of every level
/// lists it as its own.
fn copies(name: &str) -> Vec<String> {
    let branches = ["bbox_head.cls_convs", "bbox_head.reg_convs"];
    let in_branch = |branch: &str| -> Option<Vec<String>> {
        let rest = name.strip_prefix(branch)?.strip_prefix(".0.")?;
        let levels = 1..STRIDES.len();
        let is_shared = rest.ends_with(".conv.weight");
        is_shared.then(|| {
            levels
                .map(|level| format!("{branch}.{level}.{rest}"))
                .collect()
        })
    };
    branches.into_iter().find_map(in_branch).unwrap_or_default()
}

/// The tensors of a whole detector for that many classes.
pub fn of_detector(detector: &Architecture, classes: usize) -> Vec<Expected> {
    let head = detector.detector(classes).parameters();
    expectations(&detector.backbone_parameters(), &head)
}

/// Tensors of the architecture's own classifier that this model lacks.
pub fn beyond(architecture: &Architecture, expected: &[Expected]) -> Vec<Expected> {
    if architecture.is_detector {
        return Vec::new();
    }
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
        translated(english!("padding as in TensorFlow"))
    } else {
        translated(english!("symmetric padding"))
    };
    let three = |values: [f32; 3]| values.map(|value| format!("{value:.3}")).join(" ");
    let size = pretrained.image_size;
    let size = if architecture.is_detector {
        message!("letterboxed into {size} pixels")
    } else {
        message!("{size} of {} pixels", pretrained.resized(size))
    };
    message!(
        "assumed: {}, {size} {}, mean {}, deviation {}, epsilon {:e}, {padding}",
        record.name,
        pretrained.interpolation,
        three(pretrained.mean),
        three(pretrained.deviation),
        numerics.epsilon
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_that_levels_share_has_a_name_for_each() {
        let shared = copies("bbox_head.reg_convs.0.1.conv.weight");
        let expected = [
            "bbox_head.reg_convs.1.1.conv.weight",
            "bbox_head.reg_convs.2.1.conv.weight",
        ];
        assert_eq!(shared, expected);
        for own in [
            "bbox_head.reg_convs.0.1.bn.weight",
            "bbox_head.rtm_cls.0.weight",
            "head.cls_convs.0.0.conv.weight",
            "backbone.stem.0.conv.weight",
        ] {
            assert!(copies(own).is_empty(), "{own}");
        }
    }
}
