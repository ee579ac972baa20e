//! CSPDarknet: Bochkovskiy, Wang and Liao, "YOLOv4" (arXiv 2004.10934), section 3.4, as YOLOX has it: the backbone of
//! [YOLOX](crate::yolox).

use warmstart_nn::layers::{Layer, ReverseChannels, SpaceToDepth};
use warmstart_nn::{Graph, Unit, Value};

use crate::csp::{CrossStage, Scale, Units, chain, pyramid_pooling};
use crate::record::Numerics;
use crate::stage::Stage;

/// A member of the family.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub scale: Scale,
    /// Whether 3×3 convolutions are depthwise, each followed by a 1×1 convolution.
    pub is_depthwise: bool,
}

const STEM: usize = 64;
/// Blocks that the depth scales.
const BLOCKS: usize = 3;
/// Channels of the stages, and how many times as many blocks each has.
const STAGES: [(usize, usize); 4] = [(128, 1), (256, 3), (512, 3), (1024, 1)];

/// Channels at the ends of strides 8, 16 and 32.
pub(crate) fn tap_channels(size: Size) -> [usize; 3] {
    let [_, taps @ ..] = STAGES;
    taps.map(|(channels, _)| size.scale.channels(channels))
}

/// The backbone's stages. Images are in the order of red, green and blue; the first layer reverses it.
pub(crate) fn stages(size: Size, numerics: Numerics) -> Vec<Stage> {
    let units = Units(numerics);
    let mut channels = size.scale.channels(STEM);
    let stem = units.conv("backbone.backbone.stem.conv", [4 * 3, channels], 3, 1);
    let stem = Graph::chain([
        Layer::ReverseChannels(ReverseChannels),
        Layer::SpaceToDepth(SpaceToDepth),
        stem.into(),
    ]);
    let mut stages = vec![Stage::new("backbone.backbone.stem".into(), 0, stem)];
    for (group, (out, times)) in (1..).zip(STAGES) {
        let out = size.scale.channels(out);
        let is_last = group == STAGES.len();
        let name = |part: usize| format!("backbone.backbone.dark{}.{part}", group + 1);
        let down = size.convolution(units, &name(0), [channels, out], 2);
        let mut parts = vec![Graph::chain([chain(down)])];
        if is_last {
            parts.push(pyramid_pooling(units, &name(parts.len()), out));
        }
        let design = Design {
            channels: [out; 2],
            blocks: times * size.scale.blocks(BLOCKS),
            adds_input: !is_last,
        };
        let mut graph = Graph::of_inputs(1);
        let layer = size.cross_stage(&mut graph, units, &name(parts.len()), design);
        let result = layer.connect(&mut graph, Value::Input(0));
        parts.push(graph.with_outputs([result]));
        let parts = parts.into_iter().enumerate();
        stages.extend(parts.map(|(part, graph)| Stage::new(name(part), group, graph)));
        channels = out;
    }
    stages
}

/// What differs between the cross-stage partial layers.
pub(crate) struct Design {
    pub channels: [usize; 2],
    pub blocks: usize,
    /// Whether the input of a block is added to its result.
    pub adds_input: bool,
}

impl Size {
    /// A 3×3 convolution, or the two that stand for one.
    pub fn convolution(
        self,
        units: Units,
        name: &str,
        channels: [usize; 2],
        stride: usize,
    ) -> Vec<Unit> {
        if !self.is_depthwise {
            return vec![units.conv(name, channels, 3, stride)];
        }
        vec![
            units.depthwise(&format!("{name}.dconv"), channels[0], 3, stride),
            units.conv(&format!("{name}.pconv"), channels, 1, 1),
        ]
    }

    /// A cross-stage partial layer of blocks of 1×1 → 3×3, which has its place in the graph.
    pub fn cross_stage(
        self,
        graph: &mut Graph,
        units: Units,
        name: &str,
        design: Design,
    ) -> CrossStage {
        let [inputs, outputs] = design.channels;
        let half = outputs / 2;
        let pointwise =
            |part: &str, channels| units.conv(&format!("{name}.{part}"), channels, 1, 1);
        let around = [
            pointwise("conv1", [inputs, half]),
            pointwise("conv2", [inputs, half]),
            pointwise("conv3", [2 * half, outputs]),
        ];
        let blocks = (0..design.blocks).map(|block| {
            let block = format!("m.{block}");
            let mut layers = vec![pointwise(&format!("{block}.conv1"), [half; 2])];
            let second = format!("{name}.{block}.conv2");
            layers.extend(self.convolution(units, &second, [half; 2], 1));
            layers
        });
        CrossStage::place(graph, around, blocks, None, design.adds_input)
    }
}
