//! ConvNeXt: Liu and others, "A ConvNet for the 2020s" (arXiv 2201.03545), figure 4; and ConvNeXt V2: Woo and others,
//! "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders" (arXiv 2301.00808), figure 5; as timm has
//! them.

use warmstart_nn::Activation::{Gelu, Identity};
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{GlobalAverage, Layer, ResponseNorm};
use warmstart_nn::{Graph, Unit, Value};

use crate::architecture::Architecture;
use crate::convnext_names::{CONVNEXT, CONVNEXT_TINY};
use crate::detector::light;
use crate::record::Record;
use crate::stage::Stage;
use crate::strides;
use crate::transformer::{added, layer_norm, patches};

/// The two designs of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A layer scale behind the block.
    V1,
    /// A global response norm in the block, and no layer scale.
    V2,
}

/// Blocks of each stage, and channels of the first; every other stage has twice those of the one before.
#[derive(Clone, Copy)]
struct Size {
    blocks: [usize; 4],
    channels: usize,
    /// Whether timm stores a block's linear layers as 1×1 convolutions.
    has_convolutions: bool,
}

const fn size(blocks: [usize; 4], channels: usize, has_convolutions: bool) -> Size {
    Size {
        blocks,
        channels,
        has_convolutions,
    }
}

const ATTO: Size = size([2, 2, 6, 2], 40, true);
const FEMTO: Size = size([2, 2, 6, 2], 48, true);
const PICO: Size = size([2, 2, 6, 2], 64, true);
const NANO: Size = size([2, 2, 8, 2], 80, true);
const TINY: Size = size([3, 3, 9, 3], 96, false);

/// Edges of the patches of the stem and of the other stages' first layers.
const STEM: usize = 4;
const DOWNSAMPLE: usize = 2;
/// Kernel of the depthwise convolutions.
const KERNEL: usize = 7;
/// Width between a block's linear layers, as a multiple of the channels.
const EXPANSION: usize = 4;
/// The last stage: the mean over the image and the layer norm of that name.
const LAST_NORM: &str = "head.norm";
/// First value of the layer scales (appendix A.1).
const LAYER_SCALE: f32 = 1e-6;
/// Blocks that share a rate in layer decay: three of a stage, the first three with what leads to them. Groups are
/// numbered without gaps. ConvNeXt's own code (`get_num_layer_for_convnext` in `optim_factory.py`) cuts the third stage
/// alone into such groups, has twelve of them whatever the depth of the network, and gives the last norm the
/// classifier's rate.
const GROUP: usize = 3;

/// A function that builds a network for a record.
macro_rules! builders {
    ($($name:ident: $version:ident, $size:ident;)*) => {
        $(pub(crate) fn $name(record: &'static Record) -> Architecture {
            convnext(record, stringify!($name), Version::$version, $size)
        })*
    };
}

builders! {
    convnext_atto: V1, ATTO;
    convnext_femto: V1, FEMTO;
    convnext_pico: V1, PICO;
    convnext_nano: V1, NANO;
    convnext_tiny: V1, TINY;
    convnextv2_atto: V2, ATTO;
    convnextv2_femto: V2, FEMTO;
    convnextv2_pico: V2, PICO;
    convnextv2_nano: V2, NANO;
    convnextv2_tiny: V2, TINY;
}

fn convnext(
    record: &'static Record,
    name: &'static str,
    version: Version,
    size: Size,
) -> Architecture {
    let epsilon = record.numerics.epsilon;
    let mut channels = size.channels;
    let stem = Graph::chain([
        patches("stem.0", [3, channels], STEM).into(),
        layer_norm("stem.1", channels, epsilon),
    ]);
    let mut stages = vec![Stage::new("stem".into(), 0, stem)];
    let blocks: usize = size.blocks.iter().sum();
    let mut before = 0;
    let mut group = 0;
    for (index, repeats) in size.blocks.into_iter().enumerate() {
        if index > 0 {
            let name = format!("stages.{index}.downsample");
            let wider = [channels, 2 * channels];
            let graph = Graph::chain([
                layer_norm(&format!("{name}.0"), channels, epsilon),
                patches(&format!("{name}.1"), wider, DOWNSAMPLE).into(),
            ]);
            stages.push(Stage::new(name, group + 1, graph));
            channels *= 2;
        }
        let block = Block {
            version,
            channels,
            has_convolutions: size.has_convolutions,
            epsilon,
        };
        for repeat in 0..repeats {
            let name = format!("stages.{index}.blocks.{repeat}");
            let left_out = before as f64 / (blocks - 1) as f64;
            let graph = block.graph(&name).with_left_out(left_out);
            stages.push(Stage::new(name, group + 1 + repeat / GROUP, graph));
            before += 1;
        }
        group += repeats.div_ceil(GROUP);
    }
    let taps = strides::ends(&stages);
    let norm = Graph::chain([
        Layer::GlobalAverage(GlobalAverage),
        layer_norm(LAST_NORM, channels, epsilon),
    ]);
    // The norm shares the last blocks' rate: it is no step of its own between them and the classifier.
    stages.push(Stage::new(LAST_NORM.into(), group, norm));
    Architecture {
        name,
        record,
        stages,
        taps: Some(taps),
        tokens: None,
        patch: None,
        outputs: Vec::new(),
        features: channels,
        classifier: "head.fc",
        linear_default: LinearDefault::TruncatedNormal,
        layer_scale: match version {
            Version::V1 => LAYER_SCALE,
            Version::V2 => 1.0,
        },
        dropout: 0.0,
        stochastic_depth: 0.0,
        conventions: match name {
            "convnext_tiny" => CONVNEXT_TINY,
            _ => CONVNEXT,
        },
        is_detector: false,
        detector: light::detector,
    }
}

/// What the blocks of a stage have in common.
struct Block {
    version: Version,
    channels: usize,
    has_convolutions: bool,
    epsilon: f32,
}

impl Block {
    /// Depthwise 7×7 → layer norm → two linear layers on each pixel, added to the input.
    ///
    /// timm lists the layer scale `gamma` before the block's other parameters; here it is behind those of the last
    /// layer, which it scales.
    fn graph(&self, name: &str) -> Graph {
        let channels = self.channels;
        let part = |part: &str| format!("{name}.{part}");
        let depthwise = Unit::with_bias(
            &part("conv_dw"),
            [channels; 2],
            KERNEL,
            1,
            channels,
            Identity,
        );
        let hidden = EXPANSION * channels;
        let linear = |layer: &str, channels, activation| {
            if self.has_convolutions {
                Unit::with_bias(&part(layer), channels, 1, 1, 1, activation)
            } else {
                Unit::linear(&part(layer), channels, activation)
            }
        };
        let expand = linear("mlp.fc1", [channels, hidden], Gelu);
        let reduce = linear("mlp.fc2", [hidden, channels], Identity);
        let mut graph = Graph::of_inputs(1);
        let input = Value::Input(0);
        let spread = graph.add(depthwise.into(), [input]);
        let normed = graph.add(layer_norm(&part("norm"), channels, self.epsilon), [spread]);
        let result = match self.version {
            Version::V1 => {
                let reduce = reduce.scaled_by(&part("gamma"));
                graph.add(added(vec![expand, reduce]), [normed, input])
            }
            Version::V2 => {
                let expanded = graph.add(expand.into(), [normed]);
                let response = Layer::ResponseNorm(ResponseNorm {
                    name: part("mlp.grn"),
                    channels: hidden,
                });
                let expanded = graph.add(response, [expanded]);
                graph.add(added(vec![reduce]), [expanded, input])
            }
        };
        graph.with_outputs([result])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    fn shapes(model: &str) -> HashMap<String, Vec<usize>> {
        let network = crate::by_name(model).unwrap();
        let mut parameters = network.backbone_parameters();
        parameters.extend(network.classifier_parameters(1000));
        let pairs = parameters.into_iter().map(|info| (info.name, info.shape));
        pairs.collect()
    }

    #[test]
    fn parameters_and_their_values_are_as_many_as_timm_s() {
        // Of timm 1.0.31's `state_dict`, with 1,000 classes.
        for (name, parameters, values) in [
            ("convnext_atto", 128, 3_695_520),
            ("convnext_femto", 128, 5_217_784),
            ("convnext_pico", 128, 9_045_672),
            ("convnext_nano", 146, 15_593_560),
            ("convnext_tiny", 182, 28_589_128),
            ("convnextv2_atto", 140, 3_708_400),
            ("convnextv2_femto", 140, 5_233_240),
            ("convnextv2_pico", 140, 9_066_280),
            ("convnextv2_nano", 160, 15_623_800),
            ("convnextv2_tiny", 200, 28_635_496),
        ] {
            let shapes = shapes(name);
            assert_eq!(shapes.len(), parameters, "{name}");
            let found = shapes.values().map(|shape| shape.iter().product::<usize>());
            assert_eq!(found.sum::<usize>(), values, "{name}");
        }
    }

    #[test]
    fn the_small_ones_have_convolutions_where_tiny_has_linear_layers() {
        let atto = shapes("convnext_atto");
        assert_eq!(atto["stages.1.blocks.0.mlp.fc1.weight"], [320, 80, 1, 1]);
        let tiny = shapes("convnext_tiny");
        assert_eq!(tiny["stages.1.blocks.0.mlp.fc1.weight"], [768, 192]);
        assert_eq!(tiny["stages.1.downsample.1.weight"], [192, 96, 2, 2]);
        assert_eq!(tiny["stages.3.blocks.2.gamma"], [768]);
        assert_eq!(tiny["stages.3.blocks.2.conv_dw.weight"], [768, 1, 7, 7]);
        let second = shapes("convnextv2_tiny");
        assert_eq!(second["stages.3.blocks.2.mlp.grn.weight"], [3072]);
        assert!(!second.contains_key("stages.3.blocks.2.gamma"));
    }

    #[test]
    fn taps_end_the_last_three_of_four_stages() {
        let network = crate::by_name("convnext_tiny").unwrap();
        let names = network.taps.unwrap();
        let names = names.map(|tap| network.stages[tap].name.as_str());
        let expected = [
            "stages.1.blocks.2",
            "stages.2.blocks.8",
            "stages.3.blocks.2",
        ];
        assert_eq!(names, expected);
        let backbone = network.with_taps().unwrap();
        assert_eq!(backbone.map_channels(), [192, 384, 768]);
    }

    #[test]
    fn three_blocks_of_a_stage_share_a_rate_with_what_leads_to_them() {
        let groups = |model: &str| -> Vec<usize> {
            let network = crate::by_name(model).unwrap();
            network.stages.iter().map(|stage| stage.group).collect()
        };
        assert_eq!(
            groups("convnext_tiny"),
            [
                vec![0, 1, 1, 1, 2, 2, 2, 2],
                vec![3, 3, 3, 3, 4, 4, 4, 5, 5, 5],
                vec![6, 6, 6, 6, 6],
            ]
            .concat()
        );
        assert_eq!(
            groups("convnext_atto"),
            [0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 5, 5]
        );
    }

    #[test]
    fn a_stage_begins_with_its_downsampling_and_a_norm_ends_the_network() {
        let network = crate::by_name("convnextv2_nano").unwrap();
        let first = network.stage("stages.2").unwrap();
        assert_eq!(network.stages[first].name, "stages.2.downsample");
        assert_eq!(network.last_layer(), "head.norm");
        let last = network.shapes([96, 64, 3]).pop();
        assert_eq!(last, Some([1, 1, 640]));
    }
}
