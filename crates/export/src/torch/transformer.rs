//! What a transformer is made of, as its Python program reads it.

use serde_json::{Value, json};
use warmstart_models::Architecture;
use warmstart_nn::Unit;
use warmstart_nn::layers::{Attention, Layer, Pool, PositionResize, TokenPool, Tokens};

/// Units that tell the sizes of a network.
const PATCHES: &str = "patch_embed.proj";
const QUERIES_KEYS_VALUES: &str = "blocks.0.attn.qkv";
const PROJECTION: &str = "blocks.0.attn.proj";
const HIDDEN: &str = "blocks.0.mlp.fc1";

/// The table of a network of tokens; `None` for one of maps.
pub fn table(architecture: &Architecture) -> Option<Value> {
    let mut tokens: Option<&Tokens> = None;
    let mut pool: Option<&TokenPool> = None;
    let mut attentions: Vec<&Attention> = Vec::new();
    for layer in architecture.layers(0..architecture.stages.len()) {
        match layer {
            Layer::Tokens(layer) => tokens = Some(layer),
            Layer::TokenPool(layer) => pool = Some(layer),
            Layer::Attention(layer) => attentions.push(layer),
            Layer::Branch(_)
            | Layer::MaxPool(_)
            | Layer::AveragePool(_)
            | Layer::GlobalAverage(_)
            | Layer::SqueezeExcite(_)
            | Layer::ChannelAttention(_)
            | Layer::Linear(_)
            | Layer::Upsample(_)
            | Layer::Concatenate(_)
            | Layer::Add(_)
            | Layer::ReverseChannels(_)
            | Layer::SpaceToDepth(_)
            | Layer::LayerNorm(_)
            | Layer::ResponseNorm(_) => {}
        }
    }
    let (tokens, pool) = (tokens?, pool?);
    let unit = |name: &str| unit(architecture, name);
    let positions = &tokens.positions;
    Some(json!({
        "width": tokens.channels,
        "patch": unit(PATCHES).kernel[0],
        "blocks": attentions.len(),
        "heads": attentions.first().map(|attention| attention.heads),
        "hidden": unit(HIDDEN).out_channels,
        "qkv_bias": unit(QUERIES_KEYS_VALUES).has_bias,
        "layer_scale": unit(PROJECTION).layer_scale.is_some(),
        "class_tokens": tokens.class,
        "registers": tokens.registers,
        "prefix": pool.prefix,
        "grid": positions.grid,
        "positions_before_grid": positions.prefix,
        "antialias": match positions.resize {
            PositionResize::Antialiased => true,
            PositionResize::Scaled => false,
        },
        "pool": match pool.pool {
            Pool::Class => "class",
            Pool::Mean => "mean",
            Pool::Both => "both",
        },
    }))
}

fn unit<'a>(architecture: &'a Architecture, name: &str) -> &'a Unit {
    let mut units = architecture.units(0..architecture.stages.len());
    let found = units.find(|unit| unit.conv == name);
    found.expect("transformers have the same names")
}
