//! The names that other libraries give to the parameters of ConvNeXt, whose native names are timm's.

use crate::architecture::Convention;
use crate::transformer_names::{in_layers, numbered};

/// Meta's `convnext.py` and `convnextv2.py` (github.com/facebookresearch/ConvNeXt and /ConvNeXt-V2), and
/// `ConvNextForImageClassification` and `ConvNextV2ForImageClassification` of transformers.
pub(crate) const CONVNEXT: &[Convention] = &[
    Convention {
        name: "facebookresearch",
        to_native: convnext_from_meta,
        record: None,
    },
    Convention {
        name: "transformers",
        to_native: convnext_from_transformers,
        record: None,
    },
];

/// Those of ConvNeXt-T, which torchvision has as well. Meta's and transformers' files are of Meta's own training.
pub(crate) const CONVNEXT_TINY: &[Convention] = &[
    Convention {
        name: "torchvision",
        to_native: convnext_from_torchvision,
        record: Some("convnext_tiny.imagenet1k_v1"),
    },
    Convention {
        name: "facebookresearch",
        to_native: convnext_from_meta,
        record: Some("convnext_tiny.1k_224_ema"),
    },
    Convention {
        name: "transformers",
        to_native: convnext_from_transformers,
        record: Some("convnext_tiny.1k_224_ema"),
    },
];

/// torchvision's ConvNeXt: `features` are the stem, then a stage of blocks and what makes its maps smaller in turn;
/// `classifier` begins with a norm.
fn convnext_from_torchvision(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("classifier.") {
        return in_layers(rest, &[("0", "head.norm"), ("2", "head.fc")]);
    }
    let (place, rest) = numbered(name.strip_prefix("features.")?)?;
    let stage = place / 2;
    if place == 0 {
        return in_layers(rest, &[("0", "stem.0"), ("1", "stem.1")]);
    }
    if place.is_multiple_of(2) {
        let inside = in_layers(rest, &[("0", "0"), ("1", "1")])?;
        return Some(format!("stages.{stage}.downsample.{inside}"));
    }
    let (block, rest) = numbered(rest)?;
    let inside = match rest {
        "layer_scale" => "gamma".to_owned(),
        _ => in_layers(
            rest,
            &[
                ("block.0", "conv_dw"),
                ("block.2", "norm"),
                ("block.3", "mlp.fc1"),
                ("block.5", "mlp.fc2"),
            ],
        )?,
    };
    Some(format!("stages.{stage}.blocks.{block}.{inside}"))
}

/// Meta's ConvNeXt: `downsample_layers` are the stem and what makes the maps of a stage smaller, `stages` hold the
/// blocks.
fn convnext_from_meta(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("downsample_layers.") {
        let (stage, rest) = numbered(rest)?;
        let inside = in_layers(rest, &[("0", "0"), ("1", "1")])?;
        return Some(match stage {
            0 => format!("stem.{inside}"),
            _ => format!("stages.{stage}.downsample.{inside}"),
        });
    }
    let Some(rest) = name.strip_prefix("stages.") else {
        return in_layers(name, &[("norm", "head.norm"), ("head", "head.fc")]);
    };
    let (stage, rest) = numbered(rest)?;
    let (block, rest) = numbered(rest)?;
    let inside = match rest {
        "gamma" => "gamma".to_owned(),
        "grn.gamma" => "mlp.grn.weight".to_owned(),
        "grn.beta" => "mlp.grn.bias".to_owned(),
        _ => in_layers(
            rest,
            &[
                ("dwconv", "conv_dw"),
                ("norm", "norm"),
                ("pwconv1", "mlp.fc1"),
                ("pwconv2", "mlp.fc2"),
            ],
        )?,
    };
    Some(format!("stages.{stage}.blocks.{block}.{inside}"))
}

/// transformers' ConvNeXt and ConvNeXt V2. With a classifier, the names of all other layers have a prefix.
fn convnext_from_transformers(name: &str) -> Option<String> {
    let Some(rest) = name.strip_prefix("encoder.stages.") else {
        return in_layers(
            name,
            &[
                ("embeddings.patch_embeddings", "stem.0"),
                ("embeddings.layernorm", "stem.1"),
                ("layernorm", "head.norm"),
                ("classifier", "head.fc"),
            ],
        );
    };
    let (stage, rest) = numbered(rest)?;
    if let Some(rest) = rest.strip_prefix("downsampling_layer.") {
        let inside = in_layers(rest, &[("0", "0"), ("1", "1")])?;
        return Some(format!("stages.{stage}.downsample.{inside}"));
    }
    let (block, rest) = numbered(rest.strip_prefix("layers.")?)?;
    let inside = match rest {
        "layer_scale_parameter" => "gamma".to_owned(),
        _ => in_layers(
            rest,
            &[
                ("dwconv", "conv_dw"),
                ("layernorm", "norm"),
                ("pwconv1", "mlp.fc1"),
                ("grn", "mlp.grn"),
                ("pwconv2", "mlp.fc2"),
            ],
        )?,
    };
    Some(format!("stages.{stage}.blocks.{block}.{inside}"))
}
