//! Initial values for parameters that no file gives.

mod model_defaults;
mod random;
mod scheme;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use burn::tensor::Device;
use glob::Pattern;

pub use model_defaults::{LinearDefault, ModelDefaults};
pub use scheme::{Fan, Scheme, gain};

use crate::Parameters;
use crate::{Kind, ParameterInfo};

/// Deviation of a new classifier's weights in torchvision's MobileNetV2: small, so that training starts
/// from nearly equal probabilities.
const CLASSIFIER_DEVIATION: f64 = 0.01;

/// Deviation of the weights of transformers and of networks like them. timm and torchvision draw again beyond ±2, which
/// is a hundred deviations away: no value is.
const TRANSFORMER_DEVIATION: f64 = 0.02;

/// Deviation of the tokens that begin near zero, in timm.
const TOKEN_DEVIATION: f64 = 1e-6;

/// Probability π that a new detector gives each class, by a bias of `−ln((1 − π) / π)`: Lin, Goyal, Girshick, He and
/// Dollár, "Focal Loss for Dense Object Detection" (arXiv 1708.02002), section 4.1.
const PRIOR: f32 = 0.01;

/// The initial values of a model's parameters: weights by a scheme, norms as the identity, biases as zeros, those of a
/// detector's classifier as the prior 0.01, positions as `N(0, 0.02²)`, and tokens as [`LinearDefault`] says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Initialization {
    /// Scheme of all weights.
    pub weights: Weights,
    /// Scheme of linear layers, if they have their own.
    pub linear: Option<Scheme>,
    /// Schemes of the layers of a name (`layer4.0.conv1`), or whose names begin with it (`layer4`). Each part may be
    /// a pattern (`layer*.0.conv1`, `features.*.conv`). The name with most parts wins, among those the one with
    /// fewest patterns.
    pub by_name: BTreeMap<String, Scheme>,
    /// Whether each residual branch begins as zero, by the scale of its last batch norm: Goyal and others,
    /// "Accurate, Large Minibatch SGD" (arXiv 1706.02677), section 5.1.
    pub zero_last_norm: bool,
}

/// The scheme of the weights that have no scheme of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Weights {
    /// As in torchvision: convolutions by Kaiming's normal distribution with the fan-out and a
    /// gain of √2 whatever follows, unless [`LinearDefault`] says otherwise; linear layers as that says.
    #[default]
    Torchvision,
    /// One scheme for all.
    Scheme(Scheme),
    /// Orthogonal, then each layer divided by the deviation of its results on data: Mishkin and Matas, "All
    /// You Need Is a Good Init" (arXiv 1511.06422), algorithm 1. Only the first step is made here. Linear layers
    /// begin as with [`Torchvision`](Self::Torchvision), except that their biases are zero.
    LayerSequential,
}

impl Initialization {
    /// Values for one parameter, row-major. They depend on the seed, the name and the shape alone.
    pub fn values(&self, parameter: &ParameterInfo, model: &ModelDefaults, seed: u64) -> Vec<f32> {
        let length = parameter.shape.iter().product();
        let default = model.linear_of(&parameter.name);
        let of_inputs =
            |inputs: usize| random::uniform(parameter, seed, (inputs as f64).sqrt().recip());
        match parameter.kind {
            Kind::ConvWeight => match (self.named(&parameter.name), self.weights) {
                (Some(scheme), _) | (None, Weights::Scheme(scheme)) => {
                    scheme.values(parameter, seed)
                }
                (None, Weights::LayerSequential) => {
                    Scheme::Orthogonal { gain: None }.values(parameter, seed)
                }
                (None, Weights::Torchvision) => match default {
                    LinearDefault::TruncatedNormal => {
                        random::normal(parameter, seed, TRANSFORMER_DEVIATION)
                    }
                    LinearDefault::VisionTransformer { inputs, .. } => of_inputs(inputs),
                    LinearDefault::Normal
                    | LinearDefault::Uniform { .. }
                    | LinearDefault::UniformByOutputs => {
                        let [_, fan_out] = scheme::fans(parameter);
                        random::normal(parameter, seed, (2.0 / fan_out).sqrt())
                    }
                },
            },
            Kind::ConvBias => match (self.weights, default) {
                (Weights::Torchvision, LinearDefault::VisionTransformer { inputs, .. }) => {
                    of_inputs(inputs)
                }
                (
                    Weights::Torchvision,
                    LinearDefault::Normal
                    | LinearDefault::Uniform { .. }
                    | LinearDefault::UniformByOutputs
                    | LinearDefault::TruncatedNormal,
                )
                | (Weights::Scheme(_) | Weights::LayerSequential, _) => vec![0.0; length],
            },
            Kind::LinearWeight => {
                let scheme = self.named(&parameter.name).or(self.linear);
                match (scheme, self.weights, default) {
                    (Some(scheme), ..) | (None, Weights::Scheme(scheme), _) => {
                        scheme.values(parameter, seed)
                    }
                    (None, _, LinearDefault::Normal) => {
                        random::normal(parameter, seed, CLASSIFIER_DEVIATION)
                    }
                    (None, _, LinearDefault::Uniform { inputs }) => of_inputs(inputs),
                    (None, _, LinearDefault::UniformByOutputs) => {
                        let outputs = parameter.shape[0] as f64;
                        random::uniform(parameter, seed, outputs.sqrt().recip())
                    }
                    (
                        None,
                        _,
                        LinearDefault::TruncatedNormal | LinearDefault::VisionTransformer { .. },
                    ) => random::normal(parameter, seed, TRANSFORMER_DEVIATION),
                }
            }
            Kind::LinearBias => match (self.weights, default) {
                (Weights::Torchvision, LinearDefault::Uniform { inputs }) => of_inputs(inputs),
                (
                    Weights::Torchvision,
                    LinearDefault::Normal
                    | LinearDefault::UniformByOutputs
                    | LinearDefault::TruncatedNormal
                    | LinearDefault::VisionTransformer { .. },
                )
                | (Weights::Scheme(_) | Weights::LayerSequential, _) => vec![0.0; length],
            },
            Kind::NormScale => {
                let layer = parameter.name.strip_suffix(".weight");
                let is_last =
                    layer.is_some_and(|layer| model.last_norms.iter().any(|n| n == layer));
                vec![
                    if self.zero_last_norm && is_last {
                        0.0
                    } else {
                        1.0
                    };
                    length
                ]
            }
            Kind::RunningVariance => vec![1.0; length],
            Kind::NormShift | Kind::RunningMean | Kind::ResponseScale => vec![0.0; length],
            Kind::LayerScale => vec![model.layer_scale; length],
            Kind::Token if default.begins_near_zero(&parameter.name) => {
                random::normal(parameter, seed, TOKEN_DEVIATION)
            }
            Kind::Token => random::normal(parameter, seed, TRANSFORMER_DEVIATION),
            Kind::PriorBias => vec![-((1.0 - PRIOR) / PRIOR).ln(); length],
        }
    }

    /// All parameters of a model.
    pub fn parameters<'a>(
        &self,
        infos: impl IntoIterator<Item = &'a ParameterInfo>,
        model: &ModelDefaults,
        seed: u64,
        device: &Device,
    ) -> Parameters {
        let mut parameters = Parameters::new();
        for info in infos {
            let values = self.values(info, model, seed);
            parameters.insert_values(&info.name, &info.shape, values, device);
        }
        parameters
    }

    /// The scheme of the most specific name that fits a parameter.
    fn named(&self, parameter: &str) -> Option<Scheme> {
        let fits = |(name, _): &(&String, &Scheme)| is_below(name, parameter);
        let precision = |(name, _): &(&String, &Scheme)| {
            let patterns = name
                .split('.')
                .filter(|part| part.contains(['*', '?', '[']));
            (name.split('.').count(), Reverse(patterns.count()))
        };
        let named = self.by_name.iter().filter(fits).max_by_key(precision);
        named.map(|(_, scheme)| *scheme)
    }

    /// Whether a parameter has a scheme by its name.
    pub fn has_own_scheme(&self, parameter: &str) -> bool {
        self.named(parameter).is_some()
    }

    /// A name or pattern that none of the weights of convolutions and linear layers begins with: no other parameters
    /// have schemes.
    pub fn unknown_name<'a>(
        &'a self,
        parameters: impl IntoIterator<Item = &'a ParameterInfo> + Clone,
    ) -> Option<&'a str> {
        let has_scheme = |parameter: &&ParameterInfo| parameter.kind.is_weight();
        let mut names = self.by_name.keys();
        let unknown = |name: &&String| {
            let mut weights = parameters.clone().into_iter().filter(has_scheme);
            weights.all(|weight| !is_below(name, &weight.name))
        };
        names.find(unknown).map(String::as_str)
    }
}

/// Checks that a name of [`Initialization::by_name`] is a valid pattern.
///
/// # Errors
/// If it is not, with the place of the mistake.
pub fn check_name(name: &str) -> Result<(), String> {
    let mut parts = name.split('.').map(Pattern::new);
    parts.try_for_each(|part| part.map(drop).map_err(|error| format!("`{name}`: {error}")))
}

fn is_below(name: &str, parameter: &str) -> bool {
    let mut parts = parameter.split('.');
    let mut wanted = name.split('.');
    wanted.all(|wanted| {
        let pattern = Pattern::new(wanted);
        let part = parts.next();
        part.is_some_and(|part| pattern.is_ok_and(|pattern| pattern.matches(part)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;

    fn parameter(name: &str, shape: &[usize], kind: Kind) -> ParameterInfo {
        ParameterInfo {
            name: name.into(),
            shape: shape.to_vec(),
            kind,
            activation: Activation::Relu,
        }
    }

    fn model(linear: LinearDefault) -> ModelDefaults {
        ModelDefaults {
            linear,
            light_detector: &[],
            last_norms: vec!["block.bn2".into()],
            layer_scale: 0.25,
        }
    }

    const VISION_TRANSFORMER: LinearDefault = LinearDefault::VisionTransformer {
        inputs: 768,
        near_zero: &["cls_token"],
    };

    fn deviation(values: &[f32]) -> f64 {
        let squares = values.iter().map(|&value| f64::from(value).powi(2));
        (squares.sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn by_default_layers_begin_as_torchvision_s() {
        let init = Initialization::default();
        let conv = parameter("layer.weight", &[128, 64, 3, 3], Kind::ConvWeight);
        let normal = model(LinearDefault::Normal);
        let expected = (2.0 / (128.0 * 9.0f64)).sqrt();
        assert!((deviation(&init.values(&conv, &normal, 1)) / expected - 1.0).abs() < 0.01);
        let linear = parameter("fc.weight", &[100, 400], Kind::LinearWeight);
        assert!((deviation(&init.values(&linear, &normal, 1)) / 0.01 - 1.0).abs() < 0.02);
        let uniform = model(LinearDefault::Uniform { inputs: 400 });
        let values = init.values(&linear, &uniform, 1);
        assert!(values.iter().all(|value| value.abs() <= 0.05));
        assert!((deviation(&values) / (0.05 / 3.0f64.sqrt()) - 1.0).abs() < 0.02);
        let bias = parameter("fc.bias", &[100], Kind::LinearBias);
        assert!(
            init.values(&bias, &uniform, 1)
                .iter()
                .any(|&value| value != 0.0)
        );
        assert_eq!(init.values(&bias, &normal, 1), vec![0.0; 100]);
    }

    #[test]
    fn linear_layers_of_a_transformer_and_all_of_convnext_begin_alike() {
        let init = Initialization::default();
        let transformer = model(VISION_TRANSFORMER);
        let convnext = model(LinearDefault::TruncatedNormal);
        for (model, kind, shape) in [
            (&convnext, Kind::ConvWeight, vec![128, 3, 16, 16]),
            (&convnext, Kind::LinearWeight, vec![200, 400]),
            (&transformer, Kind::LinearWeight, vec![200, 400]),
            (&transformer, Kind::Token, vec![1, 197, 192]),
        ] {
            let values = init.values(&parameter("layer.weight", &shape, kind), model, 1);
            assert!((deviation(&values) / 0.02 - 1.0).abs() < 0.02, "{kind:?}");
        }
        let bias = parameter("layer.bias", &[3], Kind::ConvBias);
        assert_eq!(init.values(&bias, &convnext, 1), [0.0; 3]);
        for (kind, value) in [
            (Kind::LinearBias, 0.0),
            (Kind::ResponseScale, 0.0),
            (Kind::LayerScale, 0.25),
        ] {
            let values = init.values(&parameter("layer.bias", &[3], kind), &transformer, 1);
            assert_eq!(values, [value; 3], "{kind:?}");
        }
        let own = Initialization {
            linear: Some(Scheme::Normal { deviation: 1.0 }),
            ..init
        };
        let linear = parameter("blocks.0.attn.qkv.weight", &[200, 400], Kind::LinearWeight);
        assert!((deviation(&own.values(&linear, &transformer, 1)) - 1.0).abs() < 0.02);
    }

    #[test]
    fn patches_begin_as_pytorch_s_convolutions_and_class_tokens_near_zero() {
        let init = Initialization::default();
        let transformer = model(VISION_TRANSFORMER);
        let weight = parameter("proj.weight", &[128, 3, 16, 16], Kind::ConvWeight);
        let bias = parameter("proj.bias", &[4000], Kind::ConvBias);
        for parameter in [&weight, &bias] {
            let values = init.values(parameter, &transformer, 1);
            let bound = 768.0f64.sqrt().recip();
            assert!(values.iter().all(|&value| f64::from(value.abs()) <= bound));
            assert!((deviation(&values) / (bound / 3.0f64.sqrt()) - 1.0).abs() < 0.03);
        }
        for (name, expected) in [("cls_token", 1e-6), ("dist_token", 0.02)] {
            let token = parameter(name, &[1, 1, 4000], Kind::Token);
            let values = init.values(&token, &transformer, 1);
            assert!((deviation(&values) / expected - 1.0).abs() < 0.05, "{name}");
        }
        // A scheme for all weights is one for that of the patches, too.
        let own = Initialization {
            weights: Weights::Scheme(Scheme::Normal { deviation: 1.0 }),
            ..init
        };
        assert!((deviation(&own.values(&weight, &transformer, 1)) - 1.0).abs() < 0.02);
        assert_eq!(own.values(&bias, &transformer, 1), vec![0.0; 4000]);
    }

    #[test]
    fn values_depend_on_seed_and_name_alone() {
        let init = Initialization::default();
        let values = |name: &str, seed| {
            let layer = parameter(name, &[4, 3, 1, 1], Kind::ConvWeight);
            init.values(&layer, &model(LinearDefault::Normal), seed)
        };
        assert_eq!(values("a.weight", 1), values("a.weight", 1));
        assert_ne!(values("a.weight", 1), values("a.weight", 2));
        assert_ne!(values("a.weight", 1), values("b.weight", 1));
    }

    #[test]
    fn kinds_and_names_have_schemes_of_their_own_and_the_name_that_says_most_counts() {
        let scheme = |text: &str| text.parse::<Scheme>().unwrap();
        let init = Initialization {
            weights: Weights::Scheme(scheme("normal(1)")),
            linear: Some(scheme("normal(2)")),
            by_name: [
                ("layer1".into(), scheme("normal(3)")),
                ("layer1.0".into(), scheme("normal(4)")),
                ("layer*.?.conv2".into(), scheme("normal(5)")),
                ("layer1.*.conv2".into(), scheme("normal(6)")),
            ]
            .into(),
            zero_last_norm: true,
        };
        let defaults = model(LinearDefault::Normal);
        for (name, kind, shape, expected) in [
            ("layer2.weight", Kind::ConvWeight, vec![40, 30, 3, 3], 1.0),
            ("layer10.weight", Kind::ConvWeight, vec![40, 30, 3, 3], 1.0),
            ("fc.weight", Kind::LinearWeight, vec![100, 100], 2.0),
            ("layer1.1.weight", Kind::ConvWeight, vec![40, 30, 3, 3], 3.0),
            (
                "layer1.0.conv.weight",
                Kind::ConvWeight,
                vec![40, 30, 3, 3],
                4.0,
            ),
            (
                "layer3.1.conv2.weight",
                Kind::ConvWeight,
                vec![40, 30, 3, 3],
                5.0,
            ),
            (
                "layer1.0.conv2.weight",
                Kind::ConvWeight,
                vec![40, 30, 3, 3],
                6.0,
            ),
            ("block.bn2.weight", Kind::NormScale, vec![9], 0.0),
            ("block.bn1.weight", Kind::NormScale, vec![9], 1.0),
        ] {
            let values = init.values(&parameter(name, &shape, kind), &defaults, 1);
            assert!(
                (deviation(&values) - expected).abs() <= 0.03 * expected,
                "{name}"
            );
        }
        let known = [parameter(
            "layer1.0.conv2.weight",
            &[1, 1, 1, 1],
            Kind::ConvWeight,
        )];
        assert_eq!(init.unknown_name(&known), None);
        assert_eq!(init.unknown_name(&[]), Some("layer*.?.conv2"));
        assert!(init.has_own_scheme("layer1.7.weight") && !init.has_own_scheme("layer2.0.weight"));
        let norm = parameter("layer1.0.conv2.weight", &[1], Kind::NormScale);
        assert_eq!(init.unknown_name(&[norm]), Some("layer*.?.conv2"));
        assert!(check_name("layer[1-2].*").is_ok());
        let error = check_name("features.[3.conv").unwrap_err();
        assert!(error.contains("`features.[3.conv`"), "{error}");
    }
}
