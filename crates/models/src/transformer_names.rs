//! The names that other libraries give to the parameters of ViT, DeiT and DINOv2, whose native names are timm's; and
//! what their files have in another form.

use warmstart_nn::ParameterInfo;

use crate::architecture::Convention;

/// `ViTForImageClassification` of transformers.
pub(crate) const VIT: &[Convention] = &[TRANSFORMERS];

/// `DeiTForImageClassificationWithTeacher` of transformers, which has DeiT without distillation as a ViT. Meta's own
/// files have timm's names.
pub(crate) const DEIT: &[Convention] = &[TRANSFORMERS];

/// github.com/facebookresearch/dinov2, and `Dinov2Model` and `Dinov2WithRegistersModel` of transformers.
pub(crate) const DINOV2: &[Convention] = &[
    Convention {
        name: "facebookresearch",
        to_native: dinov2_from_meta,
        record: None,
    },
    TRANSFORMERS,
];

const TRANSFORMERS: Convention = Convention {
    name: "transformers",
    to_native: vit_from_transformers,
    record: None,
};

/// Queries, keys and values, in the order of the rows of a projection that gives all three.
const PARTS: [&str; 3] = ["q", "k", "v"];

const CLASS_TOKEN: &str = "cls_token";
const DISTILLATION_TOKEN: &str = "dist_token";
const REGISTERS: &str = "reg_token";
const POSITIONS: &str = "pos_embed";
const MASK_TOKEN: &str = "mask_token";
const POOLER: &str = "pooler.dense";
pub(crate) const SECOND_HEAD: &str = "head_dist";

/// The native names of the parts of equal size in which some libraries keep a parameter, in the order of its rows;
/// none if every library keeps it whole.
///
/// `blocks.0.attn.qkv.weight` has the parts `blocks.0.attn.q.weight`, `….k.weight` and `….v.weight`.
pub fn parts_of(parameter: &str) -> Vec<String> {
    let split = parameter
        .rsplit_once('.')
        .and_then(|(layer, field)| Some((layer.strip_suffix(".attn.qkv")?, field)));
    let Some((block, field)) = split else {
        return Vec::new();
    };
    PARTS
        .map(|part| format!("{block}.attn.{part}.{field}"))
        .into()
}

/// The token that has a position of its own in some files, in front of the positions of that name, and none in the
/// network with these parameters: DINOv2's class token beside registers. timm's conversion adds the position to the
/// token (`_convert_dinov2` of `timm/models/vision_transformer.py`).
pub fn token_of_positions(positions: &str, parameters: &[ParameterInfo]) -> Option<String> {
    let has_registers = parameters.iter().any(|info| info.name == REGISTERS);
    (positions == POSITIONS && has_registers).then(|| CLASS_TOKEN.to_owned())
}

/// Number of positions in front of those of the patches' square grid, in the network with these parameters: one for each
/// class token, but none beside registers. `None` for a parameter that holds no positions.
pub fn prefix_of_positions(name: &str, parameters: &[ParameterInfo]) -> Option<usize> {
    if name != POSITIONS {
        return None;
    }
    let is_class_token =
        |info: &&ParameterInfo| matches!(info.name.as_str(), CLASS_TOKEN | DISTILLATION_TOKEN);
    Some(match token_of_positions(name, parameters) {
        Some(_) => 0,
        None => parameters.iter().filter(is_class_token).count(),
    })
}

/// Tensors, by native name with their shapes, that files of the network with these parameters have for other purposes:
/// the token for hidden patches of DINOv2's training, the pooler of transformers' models without a classifier, and
/// DeiT's classifier on the distillation token.
pub fn other_tensors(parameters: &[ParameterInfo], classes: usize) -> Vec<(String, Vec<usize>)> {
    let has = |name: &str| parameters.iter().find(|info| info.name == name);
    let Some(&[_, _, channels]) = has(CLASS_TOKEN).map(|token| token.shape.as_slice()) else {
        return Vec::new();
    };
    let layer = |name: &str, outputs: usize| {
        [
            (format!("{name}.weight"), vec![outputs, channels]),
            (format!("{name}.bias"), vec![outputs]),
        ]
    };
    let mut tensors = vec![(MASK_TOKEN.to_owned(), vec![1, channels])];
    tensors.extend(layer(POOLER, channels));
    if has(DISTILLATION_TOKEN).is_some() {
        tensors.extend(layer(SECOND_HEAD, classes));
    }
    tensors
}

/// Layers in another library, each with its native name.
type Layers<'a> = &'a [(&'a str, &'a str)];

/// The native name of `<layer>.weight` or `<layer>.bias` of one of these layers.
pub(crate) fn in_layers(name: &str, layers: Layers) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    let (_, native) = layers.iter().find(|(theirs, _)| *theirs == layer)?;
    matches!(field, "weight" | "bias").then(|| format!("{native}.{field}"))
}

/// A number at the beginning of a name, and what comes after the dot behind it.
pub(crate) fn numbered(name: &str) -> Option<(usize, &str)> {
    let (number, rest) = name.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// Meta's DINOv2, whose names are timm's but for the registers. Its training saves the blocks in chunks:
/// `blocks.<chunk>.<block>`.
fn dinov2_from_meta(name: &str) -> Option<String> {
    let own = match name {
        "register_tokens" => return Some(REGISTERS.to_owned()),
        CLASS_TOKEN | POSITIONS | MASK_TOKEN => return Some(name.to_owned()),
        _ => in_layers(
            name,
            &[("patch_embed.proj", "patch_embed.proj"), ("norm", "norm")],
        ),
    };
    if own.is_some() {
        return own;
    }
    let (block, rest) = numbered(name.strip_prefix("blocks.")?)?;
    let (block, rest) = numbered(rest).unwrap_or((block, rest));
    let inside = match rest {
        "ls1.gamma" | "ls2.gamma" => rest.to_owned(),
        _ => in_layers(
            rest,
            &[
                ("norm1", "norm1"),
                ("attn.qkv", "attn.qkv"),
                ("attn.proj", "attn.proj"),
                ("norm2", "norm2"),
                ("mlp.fc1", "mlp.fc1"),
                ("mlp.fc2", "mlp.fc2"),
            ],
        )?,
    };
    Some(format!("blocks.{block}.{inside}"))
}

/// transformers' ViT, DeiT and DINOv2. With a classifier, the names of all other layers have a prefix. Its files have
/// the names of its version 4; the state dict of version 5 has others for a block.
fn vit_from_transformers(name: &str) -> Option<String> {
    let token = match name {
        "embeddings.cls_token" => CLASS_TOKEN,
        "embeddings.distillation_token" => DISTILLATION_TOKEN,
        "embeddings.register_tokens" => REGISTERS,
        "embeddings.position_embeddings" => POSITIONS,
        "embeddings.mask_token" => MASK_TOKEN,
        _ => "",
    };
    if !token.is_empty() {
        return Some(token.to_owned());
    }
    let in_block = ["encoder.layer.", "layers."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    let Some(rest) = in_block else {
        return in_layers(
            name,
            &[
                ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
                ("layernorm", "norm"),
                ("classifier", "head"),
                ("cls_classifier", "head"),
                ("distillation_classifier", SECOND_HEAD),
                (POOLER, POOLER),
            ],
        );
    };
    let (block, rest) = numbered(rest)?;
    let inside = match rest {
        "layer_scale1.lambda1" => "ls1.gamma".to_owned(),
        "layer_scale2.lambda1" => "ls2.gamma".to_owned(),
        _ => in_layers(
            rest,
            &[
                ("layernorm_before", "norm1"),
                ("norm1", "norm1"),
                ("attention.attention.query", "attn.q"),
                ("attention.attention.key", "attn.k"),
                ("attention.attention.value", "attn.v"),
                ("attention.output.dense", "attn.proj"),
                ("attention.q_proj", "attn.q"),
                ("attention.k_proj", "attn.k"),
                ("attention.v_proj", "attn.v"),
                ("attention.o_proj", "attn.proj"),
                ("layernorm_after", "norm2"),
                ("norm2", "norm2"),
                ("intermediate.dense", "mlp.fc1"),
                ("output.dense", "mlp.fc2"),
                ("mlp.fc1", "mlp.fc1"),
                ("mlp.fc2", "mlp.fc2"),
            ],
        )?,
    };
    Some(format!("blocks.{block}.{inside}"))
}

#[cfg(test)]
mod tests {
    use warmstart_nn::layers::{Layer, Tokens};

    use super::*;

    #[test]
    fn a_projection_to_queries_keys_and_values_has_these_parts() {
        assert_eq!(
            parts_of("blocks.11.attn.qkv.bias"),
            [
                "blocks.11.attn.q.bias",
                "blocks.11.attn.k.bias",
                "blocks.11.attn.v.bias",
            ]
        );
        for whole in ["blocks.0.attn.proj.weight", "qkv.weight", "cls_token"] {
            assert!(parts_of(whole).is_empty(), "{whole}");
        }
    }

    #[test]
    fn the_class_token_has_no_position_of_its_own_beside_registers() {
        let token = |network: &str| {
            let parameters = crate::by_name(network).unwrap().backbone_parameters();
            token_of_positions(POSITIONS, &parameters)
        };
        let beside_registers = token("vit_small_patch14_reg4_dinov2");
        assert_eq!(beside_registers.as_deref(), Some(CLASS_TOKEN));
        assert_eq!(token("vit_small_patch14_dinov2"), None);
        assert_eq!(token("convnext_tiny"), None);
    }

    #[test]
    fn positions_are_those_of_the_class_tokens_and_of_a_square_of_patches() {
        let mut with_positions = 0;
        for name in crate::names() {
            let network = crate::by_name(name).unwrap();
            let parameters = network.backbone_parameters();
            for layer in network.layers(0..network.stages.len()) {
                let Layer::Tokens(Tokens { positions, .. }) = layer else {
                    continue;
                };
                let prefix = prefix_of_positions(&positions.name, &parameters);
                assert_eq!(prefix, Some(positions.prefix), "{name}");
                assert_eq!(positions.grid[0], positions.grid[1], "{name}");
                with_positions += 1;
            }
            assert_eq!(prefix_of_positions(CLASS_TOKEN, &parameters), None);
        }
        assert_eq!(with_positions, 8);
    }

    #[test]
    fn blocks_that_meta_s_training_saves_in_chunks_keep_their_number() {
        let native = dinov2_from_meta("blocks.2.7.attn.qkv.weight");
        assert_eq!(native.as_deref(), Some("blocks.7.attn.qkv.weight"));
        assert_eq!(dinov2_from_meta("blocks.2.7.9.attn.qkv.weight"), None);
    }

    #[test]
    fn other_tensors_are_those_of_tokens_alone() {
        let names = |network: &str| -> Vec<String> {
            let parameters = crate::by_name(network).unwrap().backbone_parameters();
            let tensors = other_tensors(&parameters, 1000).into_iter();
            tensors.map(|(name, _)| name).collect()
        };
        assert!(names("convnext_tiny").is_empty());
        let of_vit = ["mask_token", "pooler.dense.weight", "pooler.dense.bias"];
        assert_eq!(names("vit_tiny_patch16_224"), of_vit);
        let of_deit = names("deit_tiny_distilled_patch16_224");
        assert_eq!(of_deit[3..], ["head_dist.weight", "head_dist.bias"]);
    }
}
