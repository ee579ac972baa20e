//! The tensors and names that a weight file is compared with.

use warmstart_language::{english, message, translated};
use warmstart_models::detector::STRIDES;
use warmstart_models::{
    Architecture, full_name, other_tensors, parts_of, prefix_of_positions, token_of_positions,
};
use warmstart_nn::ParameterInfo;
use warmstart_nn::layers::resized_positions;
use warmstart_weights::{Convention, Expected, Grid, Part};

/// Classes of the usual pretrained classifier.
pub const IMAGENET_CLASSES: usize = 1000;

/// The architecture's parameters as `warmstart-weights` expects them.
pub fn expectations(backbone: &[ParameterInfo], head: &[ParameterInfo]) -> Vec<Expected> {
    let part = |infos: &[ParameterInfo], part: Part| -> Vec<Expected> {
        infos
            .iter()
            .map(|info| Expected {
                copies: copies(&info.name),
                parts: parts_of(&info.name),
                position_of: token_of_positions(&info.name, infos),
                grid: prefix_of_positions(&info.name, infos).map(|prefix| Grid {
                    prefix,
                    resize: resized_positions,
                }),
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

/// Tensors of the architecture's own classifier that this model lacks, and those that its files have for other
/// purposes.
pub fn beyond(architecture: &Architecture, expected: &[Expected]) -> Vec<Expected> {
    if architecture.is_detector {
        return Vec::new();
    }
    let whole = warmstart_models::by_name(full_name(architecture));
    let of_whole = |whole: Architecture| {
        let classifier = whole.classifier_parameters(IMAGENET_CLASSES);
        let backbone = whole.backbone_parameters();
        let mut tensors = expectations(&backbone, &classifier);
        let others = other_tensors(&backbone, IMAGENET_CLASSES).into_iter();
        tensors.extend(others.map(|(name, shape)| Expected::new(name, &shape, Part::Beyond)));
        tensors
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
    use warmstart_models::by_name;

    use super::*;

    #[test]
    fn a_projection_may_come_in_parts_and_a_class_token_with_its_position() {
        let network = by_name("vit_small_patch14_reg4_dinov2").unwrap();
        let expected = expectations(&network.backbone_parameters(), &[]);
        let named = |name: &str| expected.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!(
            named("blocks.3.attn.qkv.weight").parts[1],
            "blocks.3.attn.k.weight"
        );
        assert!(named("blocks.3.attn.proj.weight").parts.is_empty());
        let token = named("pos_embed").position_of.as_deref();
        assert_eq!(token, Some("cls_token"));
        assert_eq!(named("reg_token").position_of, None);
        assert_eq!(named("pos_embed").grid.map(|grid| grid.prefix), Some(0));
        assert!(named("cls_token").grid.is_none());
    }

    #[test]
    fn tensors_for_other_purposes_are_neither_loaded_nor_unused() {
        let network = by_name("vit_small_patch14_dinov2").unwrap();
        let expected = expectations(&network.backbone_parameters(), &[]);
        let beyond = beyond(&network, &expected);
        let mask = beyond.iter().find(|tensor| tensor.name == "mask_token");
        assert_eq!(mask.unwrap().part, Part::Beyond);
        assert!(beyond.iter().all(|tensor| tensor.part == Part::Beyond));
    }

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
