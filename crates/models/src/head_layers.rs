//! The layers besides the last that a head in closed form reads.
//!
//! Late layers: those of early stages tell styles of images apart rather than things, and their share of a head
//! collapses on images of another style. Of MobileNetV2 and EfficientNet-Lite0 the choice was measured
//! (docs/small-data.md); that of the others is the analogous one. Of transformers, it is the last blocks, as DINOv2's own
//! evaluation reads the last four (arXiv 2304.07193, appendix B.3). It is not the same: theirs reads their class tokens
//! behind the network's norm, and the mean of the last one's patches; ours reads the class token and the mean of the
//! patches of each, behind the norm of the last block only.

/// The blocks before the last of a vision transformer.
const VISION_TRANSFORMER: [&str; 3] = ["blocks.8", "blocks.9", "blocks.10"];
/// The blocks before the last of a ConvNeXt, by its number of blocks.
const CONVNEXT_12: [&str; 3] = [
    "stages.2.blocks.4",
    "stages.2.blocks.5",
    "stages.3.blocks.0",
];
const CONVNEXT_14: [&str; 3] = [
    "stages.2.blocks.6",
    "stages.2.blocks.7",
    "stages.3.blocks.0",
];
const CONVNEXT_18: [&str; 3] = [
    "stages.2.blocks.8",
    "stages.3.blocks.0",
    "stages.3.blocks.1",
];

/// Names of stages, whose result is read, and of convolutions, whose input is: the projections of the last inverted
/// residuals of three groups, or what lies nearest to them.
const HEAD_LAYERS: [(&str, [&str; 3]); 39] = [
    // Measured.
    (
        "mobilenet_v2",
        [
            "features.13.conv.2",
            "features.16.conv.2",
            "features.17.conv.2",
        ],
    ),
    (
        "efficientnet_lite0",
        [
            "blocks.4.2.conv_pwl",
            "blocks.5.3.conv_pwl",
            "blocks.6.0.conv_pwl",
        ],
    ),
    // By analogy.
    (
        "efficientnet_lite1",
        [
            "blocks.4.3.conv_pwl",
            "blocks.5.4.conv_pwl",
            "blocks.6.0.conv_pwl",
        ],
    ),
    (
        "efficientnet_lite2",
        [
            "blocks.4.3.conv_pwl",
            "blocks.5.4.conv_pwl",
            "blocks.6.0.conv_pwl",
        ],
    ),
    (
        "efficientnet_b0",
        [
            "features.5.2.block.3.0",
            "features.6.3.block.3.0",
            "features.7.0.block.3.0",
        ],
    ),
    (
        "efficientnet_b1",
        [
            "features.5.3.block.3.0",
            "features.6.4.block.3.0",
            "features.7.1.block.3.0",
        ],
    ),
    (
        "efficientnet_b2",
        [
            "features.5.3.block.3.0",
            "features.6.4.block.3.0",
            "features.7.1.block.3.0",
        ],
    ),
    (
        "mobilenet_v3_small",
        [
            "features.8.block.3.0",
            "features.11.block.3.0",
            "features.12",
        ],
    ),
    (
        "mobilenet_v3_large",
        [
            "features.12.block.3.0",
            "features.15.block.3.0",
            "features.16",
        ],
    ),
    (
        "mobilenetv4_conv_small",
        [
            "blocks.2.5.pw_proj.conv",
            "blocks.3.5.pw_proj.conv",
            "blocks.4.0",
        ],
    ),
    (
        "mobilenetv4_conv_medium",
        [
            "blocks.2.7.pw_proj.conv",
            "blocks.3.10.pw_proj.conv",
            "blocks.4.0",
        ],
    ),
    ("resnet18", ["layer3.1", "layer4.0", "layer4.1.conv2"]),
    ("resnet34", ["layer3.5", "layer4.1", "layer4.2.conv2"]),
    ("resnet50", ["layer3.5", "layer4.1", "layer4.2.conv3"]),
    ("resnet101", ["layer3.22", "layer4.1", "layer4.2.conv3"]),
    ("resnet18d", ["layer3.1", "layer4.0", "layer4.1.conv2"]),
    ("resnet34d", ["layer3.5", "layer4.1", "layer4.2.conv2"]),
    ("resnet50d", ["layer3.5", "layer4.1", "layer4.2.conv3"]),
    ("resnet101d", ["layer3.22", "layer4.1", "layer4.2.conv3"]),
    (
        "cspnext_tiny",
        [
            "backbone.stage3.1",
            "backbone.stage4.0",
            "backbone.stage4.2.final_conv.conv",
        ],
    ),
    (
        "cspnext_s",
        [
            "backbone.stage3.1",
            "backbone.stage4.0",
            "backbone.stage4.2.final_conv.conv",
        ],
    ),
    ("convnext_atto", CONVNEXT_12),
    ("convnext_femto", CONVNEXT_12),
    ("convnext_pico", CONVNEXT_12),
    ("convnext_nano", CONVNEXT_14),
    ("convnext_tiny", CONVNEXT_18),
    ("convnextv2_atto", CONVNEXT_12),
    ("convnextv2_femto", CONVNEXT_12),
    ("convnextv2_pico", CONVNEXT_12),
    ("convnextv2_nano", CONVNEXT_14),
    ("convnextv2_tiny", CONVNEXT_18),
    ("vit_tiny_patch16_224", VISION_TRANSFORMER),
    ("vit_small_patch16_224", VISION_TRANSFORMER),
    ("deit_tiny_patch16_224", VISION_TRANSFORMER),
    ("deit_small_patch16_224", VISION_TRANSFORMER),
    ("deit_tiny_distilled_patch16_224", VISION_TRANSFORMER),
    ("deit_small_distilled_patch16_224", VISION_TRANSFORMER),
    ("vit_small_patch14_dinov2", VISION_TRANSFORMER),
    ("vit_small_patch14_reg4_dinov2", VISION_TRANSFORMER),
];

/// The layers besides the last that a head in closed form reads in an architecture.
///
/// # Panics
/// If there is no such architecture.
pub fn head_layers(architecture: &str) -> [&'static str; 3] {
    let mut listed = HEAD_LAYERS.iter();
    let found = listed.find(|(name, _)| *name == architecture);
    let (_, layers) = found.expect("every architecture has its layers");
    *layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tapped;

    #[test]
    fn every_architecture_has_layers_that_can_be_read() {
        for name in crate::names() {
            let architecture = crate::by_name(name).unwrap();
            let tapped = Tapped::new(&architecture, &head_layers(name)).unwrap();
            assert!(
                tapped.channels().iter().all(|channels| *channels >= 100),
                "{name}"
            );
        }
    }
}
