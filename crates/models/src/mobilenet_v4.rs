//! MobileNetV4 of convolutions alone: Qin and others, "MobileNetV4: Universal Models for the Mobile
//! Ecosystem" (arXiv 2404.10518), tables 11 and 12, as timm has it.

use warmstart_nn::Activation::{Identity, Relu};
use warmstart_nn::Graph;
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{Branch, GlobalAverage, Layer, Shortcut};

use crate::architecture::Architecture;
use crate::blocks::{InvertedResidual, rounded};
use crate::detector::light;
use crate::record::{Numerics, Record};
use crate::stage::Stage;
use crate::strides;

/// A row of the tables.
#[derive(Clone, Copy)]
enum Block {
    /// A convolution.
    Conv { kernel: usize, stride: usize },
    /// Expansion by a 3×3 convolution, then a projection: "FusedIB".
    Fused { stride: usize, expansion: usize },
    /// The universal inverted bottleneck (section 4): depthwise of the input, expansion, depthwise, projection. A
    /// kernel of 0 leaves a depthwise convolution out.
    Universal {
        kernels: [usize; 2],
        stride: usize,
        expansion: usize,
    },
}

/// A block and its output channels.
type Row = (Block, usize);

const fn conv(kernel: usize, stride: usize, channels: usize) -> Row {
    (Block::Conv { kernel, stride }, channels)
}

const fn fused(stride: usize, expansion: usize, channels: usize) -> Row {
    (Block::Fused { stride, expansion }, channels)
}

const fn uib(start: usize, middle: usize, stride: usize, expansion: usize, channels: usize) -> Row {
    let kernels = [start, middle];
    let block = Block::Universal {
        kernels,
        stride,
        expansion,
    };
    (block, channels)
}

#[rustfmt::skip]
const SMALL: [&[Row]; 5] = [
    &[conv(3, 2, 32), conv(1, 1, 32)],
    &[conv(3, 2, 96), conv(1, 1, 64)],
    &[
        //  dw dw  s  e   c
        uib(5, 5, 2, 3, 96), uib(0, 3, 1, 2, 96), uib(0, 3, 1, 2, 96), uib(0, 3, 1, 2, 96),
        uib(0, 3, 1, 2, 96), uib(3, 0, 1, 4, 96),
    ],
    &[
        uib(3, 3, 2, 6, 128), uib(5, 5, 1, 4, 128), uib(0, 5, 1, 4, 128), uib(0, 5, 1, 3, 128),
        uib(0, 3, 1, 4, 128), uib(0, 3, 1, 4, 128),
    ],
    &[conv(1, 1, 960)],
];

#[rustfmt::skip]
const MEDIUM: [&[Row]; 5] = [
    &[fused(2, 4, 48)],
    &[uib(3, 5, 2, 4, 80), uib(3, 3, 1, 2, 80)],
    &[
        uib(3, 5, 2, 6, 160), uib(3, 3, 1, 4, 160), uib(3, 3, 1, 4, 160), uib(3, 5, 1, 4, 160),
        uib(3, 3, 1, 4, 160), uib(3, 0, 1, 4, 160), uib(0, 0, 1, 2, 160), uib(3, 0, 1, 4, 160),
    ],
    &[
        uib(5, 5, 2, 6, 256), uib(5, 5, 1, 4, 256), uib(3, 5, 1, 4, 256), uib(3, 5, 1, 4, 256),
        uib(0, 0, 1, 4, 256), uib(3, 0, 1, 4, 256), uib(3, 5, 1, 2, 256), uib(5, 5, 1, 4, 256),
        uib(0, 0, 1, 4, 256), uib(0, 0, 1, 4, 256), uib(5, 0, 1, 2, 256),
    ],
    &[conv(1, 1, 960)],
];

const STEM: usize = 32;
const FEATURES: usize = 1280;

pub(crate) fn small(record: &'static Record) -> Architecture {
    mobilenet_v4("mobilenetv4_conv_small", record, &SMALL)
}

pub(crate) fn medium(record: &'static Record) -> Architecture {
    mobilenet_v4("mobilenetv4_conv_medium", record, &MEDIUM)
}

fn mobilenet_v4(name: &'static str, record: &'static Record, rows: &[&[Row]]) -> Architecture {
    let numerics = &record.numerics;
    let stem = numerics.unit(["conv_stem", "bn1"], [3, STEM], 3, 2, 1, Relu);
    let mut stages = vec![Stage::new(
        "conv_stem".into(),
        0,
        Graph::chain([stem.into()]),
    )];
    let blocks: usize = rows.iter().map(|rows| rows.len()).sum();
    let mut channels = STEM;
    let mut taps = [0; 3];
    for (stage, rows) in rows.iter().enumerate() {
        if stage + 1 == SMALL.len() {
            taps = strides::ends(&stages);
        }
        for (index, &(row, out)) in rows.iter().enumerate() {
            let name = format!("blocks.{stage}.{index}");
            let left_out = (stages.len() - 1) as f64 / blocks as f64;
            let graph = block(&name, row, [channels, out], numerics).with_left_out(left_out);
            stages.push(Stage::new(name, stage + 1, graph));
            channels = out;
        }
    }
    let head = numerics.unit(
        ["conv_head", "norm_head"],
        [channels, FEATURES],
        1,
        1,
        1,
        Relu,
    );
    let pooled = Graph::chain([Layer::GlobalAverage(GlobalAverage), head.into()]);
    stages.push(Stage::new("conv_head".into(), rows.len() + 1, pooled));
    Architecture {
        name,
        record,
        stages,
        taps: Some(taps),
        tokens: None,
        patch: None,
        outputs: Vec::new(),
        features: FEATURES,
        classifier: "classifier",
        linear_default: LinearDefault::UniformByOutputs,
        layer_scale: 1.0,
        dropout: 0.2,
        stochastic_depth: 0.0,
        conventions: &[],
        is_detector: false,
        detector: light::detector,
    }
}

fn block(name: &str, block: Block, [channels, out]: [usize; 2], numerics: &Numerics) -> Graph {
    let named = |conv: &str, norm: &str| [conv, norm].map(|part| format!("{name}.{part}"));
    let part = |part: &str| named(&format!("{part}.conv"), &format!("{part}.bn"));
    let unit = |[conv, norm]: [String; 2], channels, kernel, stride, groups, activation| {
        numerics.unit([&conv, &norm], channels, kernel, stride, groups, activation)
    };
    match block {
        Block::Conv { kernel, stride } => {
            let names = named("conv", "bn1");
            Graph::chain([unit(names, [channels, out], kernel, stride, 1, Relu).into()])
        }
        Block::Fused { stride, expansion } => {
            let hidden = rounded((channels * expansion) as f64);
            let names = [named("conv_exp", "bn1"), named("conv_pwl", "bn2")];
            let [expand, project] = names;
            let units = vec![
                unit(expand, [channels, hidden], 3, stride, 1, Relu),
                unit(project, [hidden, out], 1, 1, 1, Identity),
            ];
            let shortcut = if stride == 1 && channels == out {
                Shortcut::Identity
            } else {
                Shortcut::None
            };
            Graph::chain([Layer::Branch(Branch::new(units, shortcut))])
        }
        Block::Universal {
            kernels: [start, middle],
            stride,
            expansion,
        } => {
            let hidden = rounded((channels * expansion) as f64);
            // The stride is the second depthwise convolution's where there is one.
            let strides = if middle > 0 { [1, stride] } else { [stride, 1] };
            let mut units = Vec::new();
            if start > 0 {
                let names = part("dw_start");
                units.push(unit(
                    names,
                    [channels; 2],
                    start,
                    strides[0],
                    channels,
                    Identity,
                ));
            }
            units.push(unit(part("pw_exp"), [channels, hidden], 1, 1, 1, Relu));
            if middle > 0 {
                units.push(unit(
                    part("dw_mid"),
                    [hidden; 2],
                    middle,
                    strides[1],
                    hidden,
                    Relu,
                ));
            }
            InvertedResidual {
                units,
                gate: None,
                project: unit(part("pw_proj"), [hidden, out], 1, 1, 1, Identity),
                adds_input: stride == 1 && channels == out,
            }
            .graph()
        }
    }
}
