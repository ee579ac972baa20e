//! What the initial values of a model's parameters depend on besides the scheme.

/// The distribution of linear layers in torchvision's and timm's models: of the classifier and of those in the trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearDefault {
    /// `N(0, 0.01²)`, and biases of zero: MobileNetV2; as Krizhevsky, Sutskever and Hinton (NIPS 2012), section 5.
    Normal,
    /// `U(−1/√inputs, 1/√inputs)`, biases too: PyTorch's own default, which ResNets keep. Its variance `1 / (3 · inputs)`
    /// is the heuristic of Glorot and Bengio (AISTATS 2010), equation 1.
    Uniform {
        /// Inputs of the layer.
        inputs: usize,
    },
    /// `U(−1/√outputs, 1/√outputs)`, and biases of zero: EfficientNet, as TensorFlow's
    /// `VarianceScaling(scale = 1/3, mode = fan_out)`.
    UniformByOutputs,
    /// `N(0, 0.02²)`, and biases of zero, of linear layers and convolutions alike: ConvNeXt, as
    /// `trunc_normal_(std=.02)` in timm; Devlin and others, "BERT" (arXiv 1810.04805), whose code has that deviation.
    TruncatedNormal,
    /// Linear layers as with [`TruncatedNormal`](Self::TruncatedNormal), but the convolution of patches, weight and
    /// bias, `U(−1/√inputs, 1/√inputs)`, PyTorch's own default: ViT, DeiT and DINOv2, as in timm, where most tokens
    /// begin near zero.
    VisionTransformer {
        /// Values of a patch, of all channels: the inputs of its convolution.
        inputs: usize,
        /// Names of the tokens that begin as `N(0, (1e-6)²)`: the class token and registers. A token of
        /// distillation begins as positions do.
        near_zero: &'static [&'static str],
    },
}

impl LinearDefault {
    /// Whether the token of that name begins near zero.
    pub(super) fn begins_near_zero(self, token: &str) -> bool {
        match self {
            Self::VisionTransformer { near_zero, .. } => near_zero.contains(&token),
            Self::Normal
            | Self::Uniform { .. }
            | Self::UniformByOutputs
            | Self::TruncatedNormal => false,
        }
    }
}

/// Properties of a model that the initial values of its parameters depend on.
#[derive(Clone, Debug)]
pub struct ModelDefaults {
    /// Distribution of its linear layers, its classifier's included.
    pub linear: LinearDefault,
    /// First parts of the names of a light detector's layers behind it, which begin as with [`LinearDefault::Normal`],
    /// whatever the backbone does; empty where there is none.
    pub light_detector: &'static [&'static str],
    /// Names of the last batch norms of branches that have a shortcut.
    pub last_norms: Vec<String>,
    /// First value of its layer scales; 1 where it has none.
    pub layer_scale: f32,
}

impl ModelDefaults {
    /// The distribution of the layer that a parameter belongs to.
    pub(super) fn linear_of(&self, parameter: &str) -> LinearDefault {
        let (first, _) = parameter.split_once('.').unwrap_or((parameter, ""));
        if self.light_detector.contains(&first) {
            LinearDefault::Normal
        } else {
            self.linear
        }
    }
}
