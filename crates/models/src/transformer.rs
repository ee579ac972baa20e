//! Vision transformers: Dosovitskiy and others, "An Image is Worth 16x16 Words: Transformers for Image Recognition at
//! Scale" (arXiv 2010.11929), section 3.1 and figure 1, in the sizes of Touvron and others, "Training data-efficient
//! image transformers & distillation through attention" (arXiv 2012.12877), table 1, as timm has them.

use warmstart_nn::Activation::{Gelu, Identity};
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{
    Attention, Branch, Layer, LayerNorm, Pool, PositionResize, Positions, Shortcut, TokenPool,
    Tokens,
};
use warmstart_nn::ops::Padding;
use warmstart_nn::{Graph, Unit, Value};

use crate::architecture::{Architecture, Convention, Prefix};
use crate::detector::light;
use crate::record::Record;
use crate::stage::Stage;

/// The sizes.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    Tiny,
    Small,
}

impl Size {
    fn channels(self) -> usize {
        match self {
            Self::Tiny => 192,
            Self::Small => 384,
        }
    }
}

/// Channels of each head.
const HEAD_CHANNELS: usize = 64;
/// Width of the layer between a block's last two, as a multiple of the channels.
const EXPANSION: usize = 4;
/// Blocks of either size.
const DEPTH: usize = 12;

/// What differs between vision transformers.
pub(crate) struct VisionTransformer {
    pub name: &'static str,
    pub size: Size,
    /// Edge of a patch in pixels.
    pub patch: usize,
    /// Names of the class tokens.
    pub class: &'static [&'static str],
    /// Tokens that stand for nothing in the image: Darcet and others, "Vision Transformers Need Registers"
    /// (arXiv 2309.16588).
    pub registers: usize,
    pub positions: Positions,
    /// First value of its layer scales, if it has any.
    pub layer_scale: Option<f32>,
    pub pool: Pool,
    pub conventions: &'static [Convention],
}

/// Positions for a square of so many patches, behind those of `prefix` class tokens.
pub(crate) fn positions(grid: usize, prefix: usize, resize: PositionResize) -> Positions {
    Positions {
        name: "pos_embed".to_owned(),
        grid: [grid; 2],
        prefix,
        resize,
    }
}

impl VisionTransformer {
    /// The network with the constants of a record.
    ///
    /// timm lists a distilled network's `dist_token` behind the positions; here it is among the class tokens.
    pub fn build(self, record: &'static Record) -> Architecture {
        let channels = self.size.channels();
        let mut stages = vec![Stage::new("patch_embed".into(), 0, self.patch_embed())];
        for index in 0..DEPTH {
            let name = format!("blocks.{index}");
            let left_out = index as f64 / (DEPTH - 1) as f64;
            let block = self.block(&name, record.numerics.epsilon);
            stages.push(Stage::new(name, index + 1, block.with_left_out(left_out)));
        }
        let prefix = self.prefix();
        let last = Graph::chain([
            layer_norm("norm", channels, record.numerics.epsilon),
            Layer::TokenPool(TokenPool {
                prefix: prefix.tokens,
                class: prefix.class,
                pool: self.pool,
            }),
        ]);
        // As in timm's layer decay, the norm is no step of its own between the last block and the classifier.
        stages.push(Stage::new("norm".into(), DEPTH, last));
        Architecture {
            name: self.name,
            record,
            stages,
            taps: None,
            tokens: Some(prefix),
            patch: Some(self.patch),
            outputs: Vec::new(),
            features: match self.pool {
                Pool::Class | Pool::Mean => channels,
                Pool::Both => 2 * channels,
            },
            classifier: "head",
            linear_default: LinearDefault::VisionTransformer {
                inputs: 3 * self.patch * self.patch,
                near_zero: &["cls_token", "reg_token"],
            },
            layer_scale: self.layer_scale.unwrap_or(1.0),
            dropout: 0.0,
            stochastic_depth: 0.0,
            conventions: self.conventions,
            is_detector: false,
            detector: light::detector,
        }
    }

    fn prefix(&self) -> Prefix {
        Prefix {
            tokens: self.class.len() + self.registers,
            class: self.class.len(),
        }
    }

    fn patch_embed(&self) -> Graph {
        let channels = self.size.channels();
        let tokens = Layer::Tokens(Tokens {
            class: self.class.iter().map(|name| (*name).to_owned()).collect(),
            registers: (self.registers > 0).then(|| ("reg_token".to_owned(), self.registers)),
            positions: self.positions.clone(),
            channels,
        });
        let patches = patches("patch_embed.proj", [3, channels], self.patch);
        let mut graph = Graph::of_inputs(1);
        // In timm, the tokens' parameters come before those of the patches.
        let tokens = graph.place(tokens);
        let patches = graph.add(patches.into(), [Value::Input(0)]);
        let result = graph.connect(tokens, [patches]);
        graph.with_outputs([result])
    }

    /// Attention, then two linear layers on each token, each behind a norm and added to its input.
    fn block(&self, name: &str, epsilon: f32) -> Graph {
        let channels = self.size.channels();
        let part = |part: &str| format!("{name}.{part}");
        let scaled = |unit: Unit, scale: &str| match self.layer_scale {
            Some(_) => unit.scaled_by(&part(scale)),
            None => unit,
        };
        let mut graph = Graph::of_inputs(1);
        let input = Value::Input(0);
        let normed = graph.add(layer_norm(&part("norm1"), channels, epsilon), [input]);
        let qkv = Unit::linear(&part("attn.qkv"), [channels, 3 * channels], Identity);
        let qkv = graph.add(qkv.into(), [normed]);
        let attention = Layer::Attention(Attention {
            name: part("attn"),
            channels,
            heads: channels / HEAD_CHANNELS,
        });
        let attended = graph.add(attention, [qkv]);
        let proj = Unit::linear(&part("attn.proj"), [channels; 2], Identity);
        let proj = added(vec![scaled(proj, "ls1.gamma")]);
        let attended = graph.add(proj, [attended, input]);
        let normed = graph.add(layer_norm(&part("norm2"), channels, epsilon), [attended]);
        let hidden = EXPANSION * channels;
        let expand = Unit::linear(&part("mlp.fc1"), [channels, hidden], Gelu);
        let reduce = Unit::linear(&part("mlp.fc2"), [hidden, channels], Identity);
        let mlp = added(vec![expand, scaled(reduce, "ls2.gamma")]);
        let result = graph.add(mlp, [normed, attended]);
        graph.with_outputs([result])
    }
}

/// A layer norm.
pub(crate) fn layer_norm(name: &str, channels: usize, epsilon: f32) -> Layer {
    Layer::LayerNorm(LayerNorm {
        name: name.to_owned(),
        channels,
        epsilon,
    })
}

/// A convolution of patches of that edge, which do not overlap; pixels that fill no patch are left out.
pub(crate) fn patches(name: &str, channels: [usize; 2], edge: usize) -> Unit {
    let mut unit = Unit::with_bias(name, channels, edge, edge, 1, Identity);
    unit.spec.conv.padding = Padding::Each([0; 2]);
    unit
}

/// Units whose result is added to a second input.
pub(crate) fn added(units: Vec<Unit>) -> Layer {
    Layer::Branch(Branch::new(units, Shortcut::Second))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use warmstart_nn::Kind;
    use warmstart_nn::initialization::Initialization;

    use super::*;

    fn names() -> impl Iterator<Item = Architecture> {
        let all = crate::names().map(|name| crate::by_name(name).unwrap());
        all.filter(|network| network.tokens.is_some())
    }

    #[test]
    fn values_are_as_many_as_timm_s() {
        // Of timm 1.0.31's `state_dict`, the classifiers with 1,000 classes; a distilled network's `head_dist` is left
        // out, and DINOv2 has no classifier.
        for (name, classes, expected) in [
            ("vit_tiny_patch16_224", 1000, 5_717_416),
            ("vit_small_patch16_224", 1000, 22_050_664),
            ("deit_tiny_patch16_224", 1000, 5_717_416),
            ("deit_small_patch16_224", 1000, 22_050_664),
            ("deit_tiny_distilled_patch16_224", 1000, 5_910_800 - 193_000),
            (
                "deit_small_distilled_patch16_224",
                1000,
                22_436_432 - 385_000,
            ),
            ("vit_small_patch14_dinov2", 0, 22_056_192),
            ("vit_small_patch14_reg4_dinov2", 0, 22_057_344),
        ] {
            let network = crate::by_name(name).unwrap();
            let mut parameters = network.backbone_parameters();
            if classes > 0 {
                parameters.extend(network.classifier_parameters(classes));
            }
            let values = parameters
                .iter()
                .map(|info| info.shape.iter().product::<usize>());
            assert_eq!(values.sum::<usize>(), expected, "{name}");
        }
    }

    #[test]
    fn tokens_and_positions_have_timm_s_names_and_shapes() {
        let first = |name: &str, count: usize| -> BTreeSet<(String, Vec<usize>)> {
            let parameters = crate::by_name(name).unwrap().backbone_parameters();
            let first = parameters.into_iter().take(count);
            first.map(|info| (info.name, info.shape)).collect()
        };
        let named = |name: &str, shape: [usize; 3]| (name.to_owned(), shape.to_vec());
        assert_eq!(
            first("deit_tiny_distilled_patch16_224", 3),
            BTreeSet::from([
                named("cls_token", [1, 1, 192]),
                named("dist_token", [1, 1, 192]),
                named("pos_embed", [1, 198, 192]),
            ])
        );
        assert_eq!(
            first("vit_small_patch14_dinov2", 2),
            BTreeSet::from([
                named("cls_token", [1, 1, 384]),
                named("pos_embed", [1, 1370, 384]),
            ])
        );
        // With registers, timm adds the class token's position to the class token.
        assert_eq!(
            first("vit_small_patch14_reg4_dinov2", 3),
            BTreeSet::from([
                named("cls_token", [1, 1, 384]),
                named("reg_token", [1, 4, 384]),
                named("pos_embed", [1, 1369, 384]),
            ])
        );
    }

    #[test]
    fn class_and_register_tokens_begin_near_zero_and_no_others() {
        let init = Initialization::default();
        for network in names() {
            let defaults = network.initialization();
            let parameters = network.backbone_parameters().into_iter();
            for token in parameters.filter(|info| info.kind == Kind::Token) {
                let values = init.values(&token, &defaults, 1);
                let is_near = values.iter().all(|value| value.abs() < 1e-4);
                let expected = ["cls_token", "reg_token"].contains(&token.name.as_str());
                assert_eq!(is_near, expected, "{}: {}", network.name, token.name);
            }
        }
    }

    #[test]
    fn a_block_s_parameters_have_timm_s_names() {
        let names = |model: &str| -> Vec<String> {
            let network = crate::by_name(model).unwrap();
            let block = network.stages[network.stage("blocks.9").unwrap()].parameters();
            let names = block.iter().map(|info| info.name.clone());
            names
                .map(|name| name.strip_prefix("blocks.9.").unwrap().to_owned())
                .collect()
        };
        let plain = [
            "norm1.weight",
            "norm1.bias",
            "attn.qkv.weight",
            "attn.qkv.bias",
            "attn.proj.weight",
            "attn.proj.bias",
            "norm2.weight",
            "norm2.bias",
            "mlp.fc1.weight",
            "mlp.fc1.bias",
            "mlp.fc2.weight",
            "mlp.fc2.bias",
        ];
        assert_eq!(names("deit_small_patch16_224"), plain);
        let mut scaled: Vec<&str> = plain.into();
        scaled.insert(6, "ls1.gamma");
        scaled.push("ls2.gamma");
        assert_eq!(names("vit_small_patch14_dinov2"), scaled);
    }

    #[test]
    fn each_block_is_a_stage_and_a_group_and_the_norm_is_with_the_last() {
        for network in names() {
            let stage = |name: &str| network.stage(name).unwrap();
            assert_eq!(stage("patch_embed"), 0);
            assert_eq!(stage("blocks"), 1);
            assert_eq!(stage("blocks.9"), 10);
            assert_eq!(stage("norm"), 13);
            assert_eq!(network.last_layer(), "norm");
            let groups = network.stages.iter().map(|stage| stage.group);
            assert!(groups.eq((0..=12).chain([12])), "{}", network.name);
        }
    }

    #[test]
    fn an_image_is_a_row_of_tokens_until_the_last_stage_pools_them() {
        for network in names() {
            let (prefix, patch) = (network.tokens.unwrap(), network.patch.unwrap());
            // 4 by 5 patches, and pixels that fill none.
            let shapes = network.shapes([4 * patch, 5 * patch + 3, 3]);
            let (last, before) = shapes.split_last().unwrap();
            assert_eq!(*last, [1, 1, network.features], "{}", network.name);
            for shape in before {
                assert_eq!(shape[..2], [1, prefix.tokens + 20], "{}", network.name);
            }
        }
        let features = |name: &str| crate::by_name(name).unwrap().features;
        assert_eq!(features("deit_tiny_distilled_patch16_224"), 192);
        assert_eq!(features("vit_small_patch14_reg4_dinov2"), 2 * 384);
    }

    #[test]
    fn only_dinov2_scales_its_branches() {
        for network in names() {
            let scaled = network.units(0..network.stages.len());
            let scaled = scaled.filter(|unit| unit.layer_scale.is_some()).count();
            let expected = if network.layer_scale < 1.0 { 24 } else { 0 };
            assert_eq!(scaled, expected, "{}", network.name);
            let is_dinov2 = network.name.contains("dinov2");
            assert_eq!(is_dinov2, scaled > 0, "{}", network.name);
        }
    }
}
