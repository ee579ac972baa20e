//! The kinds of layers. Each is a file that states the layer's parameters, the shape of its result, its
//! multiplications, and how it runs in training and in inference; everything else walks over these.

mod affine;
mod attention;
mod branch;
mod channel_attention;
mod gate;
mod kind;
mod layer_norm;
mod linear;
mod merge;
mod pool;
mod positions;
mod rearrange;
mod response_norm;
mod squeeze_excite;
mod token_pool;
mod tokens;

use burn::tensor::Device;

pub use attention::Attention;
pub use branch::{Branch, Shortcut, folded_values};
pub use channel_attention::ChannelAttention;
pub use kind::{LayerKind, Shape};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use merge::{Add, Concatenate, Upsample};
pub use pool::{AveragePool, GlobalAverage, MaxPool};
pub use positions::{PositionResize, Positions, resized_positions};
pub use rearrange::{ReverseChannels, SpaceToDepth};
pub use response_norm::ResponseNorm;
pub use squeeze_excite::SqueezeExcite;
pub use token_pool::{Pool, TokenPool};
pub use tokens::Tokens;

use crate::{Folded, Parameters, Unit};

/// A layer: a step of a network with one result.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Units one after the other, with a shortcut around them.
    Branch(Branch),
    /// The largest value of each window.
    MaxPool(MaxPool),
    /// The mean of each window.
    AveragePool(AveragePool),
    /// The mean over the image.
    GlobalAverage(GlobalAverage),
    /// Channels scaled by a gate that sees the whole image.
    SqueezeExcite(SqueezeExcite),
    /// Channels scaled by a gate of one layer that sees the whole image.
    ChannelAttention(ChannelAttention),
    /// A linear layer on the channels of each pixel.
    Linear(Linear),
    /// Every pixel twice in both directions.
    Upsample(Upsample),
    /// The channels of several inputs, one after the other.
    Concatenate(Concatenate),
    /// The sum of two inputs.
    Add(Add),
    /// The channels in reverse order.
    ReverseChannels(ReverseChannels),
    /// Blocks of two by two pixels as pixels of four times the channels.
    SpaceToDepth(SpaceToDepth),
    /// The channels of each pixel normalized.
    LayerNorm(LayerNorm),
    /// Attention between all pixels of an image.
    Attention(Attention),
    /// Channels scaled by their length over the image.
    ResponseNorm(ResponseNorm),
    /// Patches as tokens, with class tokens, registers and positions.
    Tokens(Tokens),
    /// The tokens of an image as one pixel.
    TokenPool(TokenPool),
}

impl Layer {
    /// What its kind states.
    pub fn kind(&self) -> &dyn LayerKind {
        match self {
            Self::Branch(layer) => layer,
            Self::MaxPool(layer) => layer,
            Self::AveragePool(layer) => layer,
            Self::GlobalAverage(layer) => layer,
            Self::SqueezeExcite(layer) => layer,
            Self::ChannelAttention(layer) => layer,
            Self::Linear(layer) => layer,
            Self::Upsample(layer) => layer,
            Self::Concatenate(layer) => layer,
            Self::Add(layer) => layer,
            Self::ReverseChannels(layer) => layer,
            Self::SpaceToDepth(layer) => layer,
            Self::LayerNorm(layer) => layer,
            Self::Attention(layer) => layer,
            Self::ResponseNorm(layer) => layer,
            Self::Tokens(layer) => layer,
            Self::TokenPool(layer) => layer,
        }
    }

    /// The branch that it is, if it is one.
    pub fn branch(&self) -> Option<&Branch> {
        match self {
            Self::Branch(branch) => Some(branch),
            Self::MaxPool(_)
            | Self::AveragePool(_)
            | Self::GlobalAverage(_)
            | Self::SqueezeExcite(_)
            | Self::ChannelAttention(_)
            | Self::Linear(_)
            | Self::Upsample(_)
            | Self::Concatenate(_)
            | Self::Add(_)
            | Self::ReverseChannels(_)
            | Self::SpaceToDepth(_)
            | Self::LayerNorm(_)
            | Self::Attention(_)
            | Self::ResponseNorm(_)
            | Self::Tokens(_)
            | Self::TokenPool(_) => None,
        }
    }

    /// The branch that it is, if it is one, to be changed.
    pub(crate) fn branch_mut(&mut self) -> Option<&mut Branch> {
        match self {
            Self::Branch(branch) => Some(branch),
            Self::MaxPool(_)
            | Self::AveragePool(_)
            | Self::GlobalAverage(_)
            | Self::SqueezeExcite(_)
            | Self::ChannelAttention(_)
            | Self::Linear(_)
            | Self::Upsample(_)
            | Self::Concatenate(_)
            | Self::Add(_)
            | Self::ReverseChannels(_)
            | Self::SpaceToDepth(_)
            | Self::LayerNorm(_)
            | Self::Attention(_)
            | Self::ResponseNorm(_)
            | Self::Tokens(_)
            | Self::TokenPool(_) => None,
        }
    }

    /// Its units: all but those of a [`Branch`] have none.
    pub fn units(&self) -> &[Unit] {
        match self.branch() {
            Some(branch) => &branch.units,
            None => &[],
        }
    }
}

impl From<Unit> for Layer {
    fn from(unit: Unit) -> Self {
        Self::Branch(Branch::new(vec![unit], Shortcut::None))
    }
}

/// Prepares layers of `parameters` for inference; the parameters stay as they are.
pub fn fold<'a>(
    parameters: &Parameters,
    layers: impl IntoIterator<Item = &'a Layer>,
    device: &Device,
) -> Folded {
    let layers = layers.into_iter();
    let parts = layers.flat_map(|layer| layer.kind().fold(parameters, device));
    parts.collect()
}
