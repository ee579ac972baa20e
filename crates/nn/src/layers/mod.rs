//! The kinds of layers. Each is a file that states the layer's parameters, the shape of its result, its
//! multiplications, and how it runs in training and in inference; everything else walks over these.

mod branch;
mod channel_attention;
mod gate;
mod kind;
mod linear;
mod merge;
mod pool;
mod rearrange;
mod squeeze_excite;

use burn::tensor::Device;

pub use branch::{Branch, Shortcut, folded_values};
pub use channel_attention::ChannelAttention;
pub use kind::{LayerKind, Shape};
pub use linear::Linear;
pub use merge::{Add, Concatenate, Upsample};
pub use pool::{AveragePool, GlobalAverage, MaxPool};
pub use rearrange::{ReverseChannels, SpaceToDepth};
pub use squeeze_excite::SqueezeExcite;

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
        }
    }

    /// Its units: all but those of a [`Branch`] have none.
    pub fn units(&self) -> &[Unit] {
        match self {
            Self::Branch(branch) => &branch.units,
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
            | Self::SpaceToDepth(_) => &[],
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
