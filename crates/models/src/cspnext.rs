//! CSPNeXt: Lyu and others, "RTMDet: An Empirical Study of Designing Real-Time Object Detectors" (arXiv 2212.07784),
//! section 3.2, as MMDetection has it: the backbone of [RTMDet](crate::rtmdet), and a classifier.

use warmstart_nn::Activation::HardSigmoid;
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{ChannelAttention, Layer};
use warmstart_nn::{Graph, Value};

use crate::architecture::Architecture;
use crate::csp::{CrossStage, Scale, Units, chain, pyramid_pooling};
use crate::detector::light;
use crate::record::{Numerics, Record};
use crate::stage::Stage;
use crate::strides;

pub(crate) const TINY: Scale = Scale {
    width: 0.375,
    depth: 0.167,
};
pub(crate) const SMALL: Scale = Scale {
    width: 0.5,
    depth: 0.33,
};

const STEM: usize = 64;
/// Channels and blocks of the stages.
const STAGES: [(usize, usize); 4] = [(128, 3), (256, 6), (512, 6), (1024, 3)];

pub(crate) fn tiny(record: &'static Record) -> Architecture {
    classifier("cspnext_tiny", record, TINY)
}

pub(crate) fn small(record: &'static Record) -> Architecture {
    classifier("cspnext_s", record, SMALL)
}

fn classifier(name: &'static str, record: &'static Record, scale: Scale) -> Architecture {
    let stages = stages(scale, record.numerics, Vec::new());
    let [_, _, features] = tap_channels(scale);
    Architecture {
        name,
        record,
        taps: Some(strides::ends(&stages)),
        tokens: None,
        patch: None,
        outputs: Vec::new(),
        stages,
        features,
        classifier: "head.fc",
        linear_default: LinearDefault::Normal,
        layer_scale: 1.0,
        dropout: 0.0,
        stochastic_depth: 0.0,
        conventions: &[],
        is_detector: false,
        detector: light::detector,
    }
}

/// Channels at the ends of strides 8, 16 and 32.
pub(crate) fn tap_channels(scale: Scale) -> [usize; 3] {
    let [_, taps @ ..] = STAGES;
    taps.map(|(channels, _)| scale.channels(channels))
}

/// The backbone's stages, the first of which begins with the layers `first`.
pub(crate) fn stages(scale: Scale, numerics: Numerics, first: Vec<Layer>) -> Vec<Stage> {
    let units = Units(numerics);
    let mut channels = scale.channels(STEM);
    let half = channels / 2;
    let stem = chain(vec![
        units.conv("backbone.stem.0", [3, half], 3, 2),
        units.conv("backbone.stem.1", [half; 2], 3, 1),
        units.conv("backbone.stem.2", [half, channels], 3, 1),
    ]);
    let stem = Graph::chain(first.into_iter().chain([stem]));
    let mut stages = vec![Stage::new("backbone.stem".into(), 0, stem)];
    for (group, (out, blocks)) in (1..).zip(STAGES) {
        let out = scale.channels(out);
        let is_last = group == STAGES.len();
        let name = |part: usize| format!("backbone.stage{group}.{part}");
        let down = units.conv(&name(0), [channels, out], 3, 2);
        let mut parts = vec![Graph::chain([down.into()])];
        if is_last {
            parts.push(pyramid_pooling(units, &name(parts.len()), out));
        }
        let design = Design {
            channels: [out; 2],
            blocks: scale.blocks(blocks),
            adds_input: !is_last,
            attends: true,
        };
        let mut graph = Graph::of_inputs(1);
        let layer = cross_stage(&mut graph, units, &name(parts.len()), design);
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
    /// Whether the layer has channel attention.
    pub attends: bool,
}

/// A cross-stage partial layer of blocks of 3×3 → depthwise 5×5 → 1×1, which has its place in the graph.
pub(crate) fn cross_stage(
    graph: &mut Graph,
    units: Units,
    name: &str,
    design: Design,
) -> CrossStage {
    let [inputs, outputs] = design.channels;
    let half = outputs / 2;
    let pointwise = |part: &str, channels| units.conv(&format!("{name}.{part}"), channels, 1, 1);
    let around = [
        pointwise("main_conv", [inputs, half]),
        pointwise("short_conv", [inputs, half]),
        pointwise("final_conv", [2 * half, outputs]),
    ];
    let blocks = (0..design.blocks).map(|block| {
        let part = |part: &str| format!("{name}.blocks.{block}.{part}");
        vec![
            units.conv(&part("conv1"), [half; 2], 3, 1),
            units.depthwise(&part("conv2.depthwise_conv"), half, 5, 1),
            units.conv(&part("conv2.pointwise_conv"), [half; 2], 1, 1),
        ]
    });
    let attention = design.attends.then(|| ChannelAttention {
        conv: format!("{name}.attention.fc"),
        channels: 2 * half,
        gate: HardSigmoid,
    });
    CrossStage::place(graph, around, blocks, attention, design.adds_input)
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_as_many_as_published() {
        for (name, published) in [("cspnext_tiny", 2.73), ("cspnext_s", 4.89)] {
            let network = crate::by_name(name).unwrap();
            let mut parameters = network.backbone_parameters();
            parameters.extend(network.classifier_parameters(1000));
            let trained = parameters.iter().filter(|info| info.kind.is_trained());
            let values = trained.map(|info| info.shape.iter().product::<usize>());
            let millions = values.sum::<usize>() as f64 / 1e6;
            assert!((millions - published).abs() < 0.005, "{name}: {millions}");
        }
    }
}
