//! Families of models, recognised by the names of their tensors.

use warmstart_language::english;

/// A family has a key like each of `present` and none like any of `absent`. A pattern is a
/// run of whole path segments anywhere in a key: `#` stands for digits, `*` for any segment.
struct Family {
    name: &'static str,
    present: &'static [&'static str],
    absent: &'static [&'static str],
}

/// The families. The first that fits counts, so special ones come before general ones.
const FAMILIES: &[Family] = &[
    Family {
        name: english!("an optimizer's state (not a model)"),
        present: &["state.#.exp_avg"],
        absent: &["running_mean", "features"],
    },
    // EfficientNet as lukemelas's efficientnet_pytorch names it.
    Family {
        name: english!("EfficientNet-Lite (lukemelas names)"),
        present: &["_conv_stem.weight", "_blocks.#._depthwise_conv.weight"],
        absent: &["_blocks.#._se_reduce.weight"],
    },
    Family {
        name: english!("EfficientNet (lukemelas names)"),
        present: &["_conv_stem.weight", "_blocks.#._se_reduce.weight"],
        absent: &[],
    },
    // Detectors contain backbones, so they come before those.
    Family {
        name: english!("Faster or Mask R-CNN (torchvision names)"),
        present: &["rpn.head", "roi_heads"],
        absent: &[],
    },
    Family {
        name: english!("RetinaNet, FCOS or SSD (torchvision names)"),
        present: &["head.classification_head"],
        absent: &[],
    },
    Family {
        name: "DETR",
        present: &["query_embed.weight", "transformer.encoder.layers.#"],
        absent: &[],
    },
    Family {
        name: "RTMDet",
        present: &["rtm_cls.#.weight"],
        absent: &[],
    },
    Family {
        name: "YOLOX",
        present: &["backbone.backbone.dark2"],
        absent: &[],
    },
    Family {
        name: english!("YOLOX (MMDetection names)"),
        present: &["bbox_head.multi_level_conv_cls.#.weight"],
        absent: &[],
    },
    Family {
        name: english!("a detector (MMDetection names)"),
        present: &["bbox_head"],
        absent: &[],
    },
    Family {
        name: english!("CSPNeXt (OpenMMLab names)"),
        present: &["stage1.#.attention.fc.weight"],
        absent: &[],
    },
    Family {
        name: english!("YOLOv8 or later (Ultralytics names)"),
        present: &["#.cv1.conv.weight", "#.dfl.conv.weight"],
        absent: &[],
    },
    Family {
        name: english!("YOLOv5 or a relative (Ultralytics names)"),
        present: &["#.cv1.conv.weight", "#.m.#"],
        absent: &[],
    },
    // MobileNetV3 and EfficientNet squeeze and excite; MobileNetV2 and Lite do not.
    Family {
        name: english!("MobileNetV3 (torchvision names)"),
        present: &[
            "features.#.block.#.fc1.weight",
            "features.#.block.#.0.weight",
        ],
        absent: &["features.#.#.block.#.fc1.weight"],
    },
    Family {
        name: english!("EfficientNet (torchvision names)"),
        present: &["features.#.#.block.#.fc1.weight"],
        absent: &[],
    },
    Family {
        name: english!("MobileNetV3 (timm names)"),
        present: &["blocks.#.#.se.conv_reduce.weight", "conv_head.bias"],
        absent: &[],
    },
    Family {
        name: english!("EfficientNet (timm names)"),
        present: &["blocks.#.#.se.conv_reduce.weight", "conv_head.weight"],
        absent: &[],
    },
    Family {
        name: english!("MobileNetV2 or EfficientNet-Lite (timm names)"),
        present: &["conv_stem.weight", "blocks.#.#.conv_pwl.weight"],
        absent: &["blocks.#.#.se"],
    },
    Family {
        name: english!("MobileNetV2 (torchvision names)"),
        present: &["features.#.conv.#.#.weight", "features.0.0.weight"],
        absent: &[],
    },
    Family {
        name: english!("ConvNeXt (timm names)"),
        present: &["stages.#.blocks.#.conv_dw.weight"],
        absent: &[],
    },
    Family {
        name: english!("ConvNeXt (torchvision names)"),
        present: &["features.#.#.layer_scale"],
        absent: &[],
    },
    Family {
        name: english!("ConvNeXt (the authors' names)"),
        present: &["stages.#.#.dwconv.weight", "downsample_layers"],
        absent: &[],
    },
    Family {
        name: "Swin Transformer",
        present: &["attn.relative_position_bias_table"],
        absent: &[],
    },
    Family {
        name: "CLIP",
        present: &["visual.transformer.resblocks"],
        absent: &[],
    },
    Family {
        name: english!("ViT, DeiT distilled (timm names)"),
        present: &["dist_token", "blocks.#.attn.qkv.weight"],
        absent: &[],
    },
    Family {
        name: english!("ViT (timm names)"),
        present: &["pos_embed", "blocks.#.attn.qkv.weight"],
        absent: &[],
    },
    Family {
        name: english!("ViT (torchvision names)"),
        present: &["conv_proj.weight", "encoder.layers.*.self_attention"],
        absent: &[],
    },
    Family {
        name: english!("ViT (Hugging Face names)"),
        present: &["embeddings.cls_token", "encoder.layer.#.attention"],
        absent: &[],
    },
    Family {
        name: "DenseNet",
        present: &["features.denseblock1"],
        absent: &[],
    },
    Family {
        name: "SqueezeNet",
        present: &["features.#.squeeze.weight"],
        absent: &[],
    },
    Family {
        name: "ShuffleNetV2",
        present: &["stage2.#.branch1"],
        absent: &[],
    },
    Family {
        name: "RegNet",
        present: &["trunk_output.block1"],
        absent: &[],
    },
    Family {
        name: "Inception",
        present: &["Mixed_5b"],
        absent: &[],
    },
    Family {
        name: english!("VGG or AlexNet"),
        present: &["features.0.weight", "classifier.6.weight"],
        absent: &[],
    },
    Family {
        name: english!("ResNet or a relative"),
        present: &["layer1.#.conv1.weight", "layer4.#.bn1.weight"],
        absent: &[],
    },
];

/// The family that a set of keys belongs to.
pub(super) fn family_of<'a>(keys: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    let keys: Vec<Vec<&str>> = keys.map(|key| key.split('.').collect()).collect();
    let any = |pattern: &&str| {
        let pattern: Vec<&str> = pattern.split('.').collect();
        keys.iter().any(|key| contains(key, &pattern))
    };
    FAMILIES
        .iter()
        .find(|family| family.present.iter().all(any) && !family.absent.iter().any(any))
        .map(|family| family.name)
}

fn contains(key: &[&str], pattern: &[&str]) -> bool {
    key.windows(pattern.len()).any(|run| {
        run.iter()
            .zip(pattern)
            .all(|(segment, wanted)| match *wanted {
                "*" => true,
                "#" => segment.bytes().all(|b| b.is_ascii_digit()),
                wanted => *segment == wanted,
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(keys: &[&str]) -> Option<&'static str> {
        family_of(keys.iter().copied())
    }

    #[test]
    fn squeeze_and_excite_tells_efficientnet_from_its_lite_form() {
        let lite = ["_conv_stem.weight", "_blocks.0._depthwise_conv.weight"];
        assert_eq!(family(&lite), Some("EfficientNet-Lite (lukemelas names)"));
        let full = [lite[0], lite[1], "_blocks.0._se_reduce.weight"];
        assert_eq!(family(&full), Some("EfficientNet (lukemelas names)"));
    }

    #[test]
    fn a_prefix_does_not_hide_a_family() {
        let keys = [
            "backbone.layer1.0.conv1.weight",
            "backbone.layer4.2.bn1.weight",
        ];
        assert_eq!(family(&keys), Some("ResNet or a relative"));
    }

    #[test]
    fn a_detector_is_not_taken_for_its_backbone() {
        let keys = [
            "backbone.body.layer1.0.conv1.weight",
            "backbone.body.layer4.0.bn1.weight",
            "rpn.head.conv.0.0.weight",
            "roi_heads.box_head.fc6.weight",
        ];
        assert_eq!(
            family(&keys),
            Some("Faster or Mask R-CNN (torchvision names)")
        );
    }

    #[test]
    fn detectors_of_one_toolbox_are_told_apart() {
        let of = |head: &str| family(&["backbone.stage1.1.attention.fc.weight", head]);
        assert_eq!(of("bbox_head.rtm_cls.0.weight"), Some("RTMDet"));
        assert_eq!(
            of("bbox_head.multi_level_conv_cls.0.weight"),
            Some("YOLOX (MMDetection names)")
        );
        let other = Some("a detector (MMDetection names)");
        assert_eq!(of("bbox_head.atss_cls.weight"), other);
        assert_eq!(of("head.fc.weight"), Some("CSPNeXt (OpenMMLab names)"));
    }

    #[test]
    fn unknown_names_have_no_family() {
        assert_eq!(family(&["weight", "bias"]), None);
    }
}
