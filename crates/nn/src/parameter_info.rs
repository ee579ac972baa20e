//! Descriptions of parameters, without their values.

use crate::Activation;

/// The kind of a parameter: decides its initial value, its weight decay and whether it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[out, in / groups, height, width]`
    ConvWeight,
    /// `[out]`, of a convolution without a batch norm
    ConvBias,
    /// A norm's scale, `[channels]`: batch norm's or layer norm's
    NormScale,
    /// A norm's shift, `[channels]`: batch norm's, layer norm's or response norm's
    NormShift,
    /// Batch norm's running mean, `[channels]`; not trained
    RunningMean,
    /// Batch norm's running variance (unbiased), `[channels]`; not trained
    RunningVariance,
    /// `[out, in]`
    LinearWeight,
    /// `[out]`
    LinearBias,
    /// `[out]`: the bias of a detector's class layer, whose points are nearly all background
    PriorBias,
    /// `[channels]`: the scale of a branch's result before its shortcut is added
    LayerScale,
    /// `[1, tokens, channels]`: a class or register token, or the positions of tokens
    Token,
    /// A response norm's scale, `[channels]`: begins as zero, which makes it the identity
    ResponseScale,
}

impl Kind {
    /// Whether gradients change it; running statistics follow the batches instead.
    pub fn is_trained(self) -> bool {
        match self {
            Self::RunningMean | Self::RunningVariance => false,
            Self::ConvWeight
            | Self::ConvBias
            | Self::NormScale
            | Self::NormShift
            | Self::LinearWeight
            | Self::LinearBias
            | Self::PriorBias
            | Self::LayerScale
            | Self::Token
            | Self::ResponseScale => true,
        }
    }

    /// Whether weight decay applies: to weights, never to norms, biases, scales and tokens.
    pub fn decays(self) -> bool {
        self.is_weight()
    }

    /// Whether it is the weight of a convolution or of a linear layer.
    pub fn is_weight(self) -> bool {
        match self {
            Self::ConvWeight | Self::LinearWeight => true,
            Self::ConvBias
            | Self::NormScale
            | Self::NormShift
            | Self::RunningMean
            | Self::RunningVariance
            | Self::LinearBias
            | Self::PriorBias
            | Self::LayerScale
            | Self::Token
            | Self::ResponseScale => false,
        }
    }
}

/// A parameter that a model has, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Native name, e.g. `features.0.0.weight`.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its kind.
    pub kind: Kind,
    /// The activation after its layer.
    pub activation: Activation,
}

impl ParameterInfo {
    /// The parameter `<layer>.<field>`.
    pub(crate) fn new(
        layer: &str,
        field: &str,
        shape: Vec<usize>,
        kind: Kind,
        activation: Activation,
    ) -> Self {
        Self {
            name: format!("{layer}.{field}"),
            shape,
            kind,
            activation,
        }
    }
}
