//! MobileNetV3: Howard and others, "Searching for MobileNetV3" (arXiv 1905.02244), tables 1 and 2.

use warmstart_nn::Activation::{self, HardSigmoid, HardSwish, Identity, Relu};
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{GlobalAverage, Layer, Linear, SqueezeExcite};
use warmstart_nn::{Graph, Kind};

use crate::architecture::{Architecture, Convention};
use crate::blocks::{InvertedResidual, rounded};
use crate::detector::light;
use crate::record::{Numerics, Record};
use crate::stage::Stage;
use crate::strides;

/// A row of the tables.
struct Row {
    kernel: usize,
    expanded: usize,
    channels: usize,
    has_gate: bool,
    activation: Activation,
    stride: usize,
}

const fn row(
    kernel: usize,
    expanded: usize,
    channels: usize,
    has_gate: bool,
    activation: Activation,
    stride: usize,
) -> Row {
    Row {
        kernel,
        expanded,
        channels,
        has_gate,
        activation,
        stride,
    }
}

#[rustfmt::skip]
const LARGE: [Row; 15] = [
    //  k  exp size  #out   SE     NL         s
    row(3,  16,  16, false, Relu,      1),
    row(3,  64,  24, false, Relu,      2),
    row(3,  72,  24, false, Relu,      1),
    row(5,  72,  40, true,  Relu,      2),
    row(5, 120,  40, true,  Relu,      1),
    row(5, 120,  40, true,  Relu,      1),
    row(3, 240,  80, false, HardSwish, 2),
    row(3, 200,  80, false, HardSwish, 1),
    row(3, 184,  80, false, HardSwish, 1),
    row(3, 184,  80, false, HardSwish, 1),
    row(3, 480, 112, true,  HardSwish, 1),
    row(3, 672, 112, true,  HardSwish, 1),
    row(5, 672, 160, true,  HardSwish, 2),
    row(5, 960, 160, true,  HardSwish, 1),
    row(5, 960, 160, true,  HardSwish, 1),
];

#[rustfmt::skip]
const SMALL: [Row; 11] = [
    row(3,  16,  16, true,  Relu,      2),
    row(3,  72,  24, false, Relu,      2),
    row(3,  88,  24, false, Relu,      1),
    row(5,  96,  40, true,  HardSwish, 2),
    row(5, 240,  40, true,  HardSwish, 1),
    row(5, 240,  40, true,  HardSwish, 1),
    row(5, 120,  48, true,  HardSwish, 1),
    row(5, 144,  48, true,  HardSwish, 1),
    row(5, 288,  96, true,  HardSwish, 2),
    row(5, 576,  96, true,  HardSwish, 1),
    row(5, 576,  96, true,  HardSwish, 1),
];

const STEM: usize = 16;
/// Width of the last convolution, as a multiple of the last row's channels.
const LAST: usize = 6;

pub(crate) fn small(record: &'static Record) -> Architecture {
    let conventions = &[Convention {
        name: "timm",
        to_native: |name| from_timm(name, &SMALL, &[1, 2, 3, 2, 3]),
        record: Some("mobilenetv3_small_100.lamb_in1k"),
    }];
    mobilenet_v3("mobilenet_v3_small", record, &SMALL, 1024, conventions)
}

pub(crate) fn large(record: &'static Record) -> Architecture {
    let conventions = &[Convention {
        name: "timm",
        to_native: |name| from_timm(name, &LARGE, &[1, 2, 3, 4, 2, 3]),
        record: Some("mobilenetv3_large_100.ra_in1k"),
    }];
    mobilenet_v3("mobilenet_v3_large", record, &LARGE, 1280, conventions)
}

fn mobilenet_v3(
    name: &'static str,
    record: &'static Record,
    rows: &[Row],
    hidden: usize,
    conventions: &'static [Convention],
) -> Architecture {
    let unit = |layer: &str, channels, kernel, stride| {
        let names = [&*format!("{layer}.0"), &format!("{layer}.1")];
        let numerics = &record.numerics;
        Graph::chain([numerics
            .unit(names, channels, kernel, stride, 1, HardSwish)
            .into()])
    };
    let stem = unit("features.0", [3, STEM], 3, 2);
    let mut stages = vec![Stage::new("features.0".into(), 0, stem)];
    let mut channels = STEM;
    let mut group = 0;
    for row in rows {
        let name = format!("features.{}", stages.len());
        if stages.len() == 1 || row.channels != channels {
            group += 1;
        }
        let left_out = (stages.len() - 1) as f64 / rows.len() as f64;
        let block = block(&name, channels, row, &record.numerics);
        stages.push(Stage::new(name, group, block.with_left_out(left_out)));
        channels = row.channels;
    }
    let taps = strides::ends(&stages);
    let last = LAST * channels;
    let convolution = format!("features.{}", stages.len());
    let graph = unit(&convolution, [channels, last], 1, 1);
    stages.push(Stage::new(convolution, group + 1, graph));
    // The first layer of the classifier does not depend on the classes: it is a stage as the others.
    let first = "classifier.0";
    let pooled = Graph::chain([
        Layer::GlobalAverage(GlobalAverage),
        Layer::Linear(Linear {
            name: first.into(),
            inputs: last,
            outputs: hidden,
            bias: Kind::LinearBias,
            activation: HardSwish,
        }),
    ]);
    stages.push(Stage::new(first.into(), group + 2, pooled));
    Architecture {
        name,
        record,
        stages,
        taps: Some(taps),
        tokens: None,
        patch: None,
        outputs: Vec::new(),
        features: hidden,
        classifier: "classifier.3",
        linear_default: LinearDefault::Normal,
        layer_scale: 1.0,
        dropout: 0.2,
        stochastic_depth: 0.0,
        conventions,
        is_detector: false,
        detector: light::detector,
    }
}

/// Figure 4: a bottleneck whose gate's values are hard sigmoids.
fn block(name: &str, channels: usize, row: &Row, numerics: &Numerics) -> Graph {
    let Row {
        kernel,
        expanded,
        activation,
        stride,
        ..
    } = *row;
    let mut layers = (0..).map(|index| format!("{name}.block.{index}"));
    let mut next = || layers.next().expect("layers are numbered without end");
    let unit = |layer: String, channels, kernel, stride, groups, activation| {
        let names = [&*format!("{layer}.0"), &format!("{layer}.1")];
        numerics.unit(names, channels, kernel, stride, groups, activation)
    };
    let mut units = Vec::new();
    if expanded != channels {
        units.push(unit(next(), [channels, expanded], 1, 1, 1, activation));
    }
    units.push(unit(
        next(),
        [expanded; 2],
        kernel,
        stride,
        expanded,
        activation,
    ));
    let gate = row.has_gate.then(|| {
        let layer = next();
        SqueezeExcite {
            reduce: format!("{layer}.fc1"),
            expand: format!("{layer}.fc2"),
            channels: expanded,
            reduced: rounded((expanded / 4) as f64),
            activation: Relu,
            gate: HardSigmoid,
        }
    });
    InvertedResidual {
        units,
        gate,
        project: unit(next(), [expanded, row.channels], 1, 1, 1, Identity),
        adds_input: stride == 1 && channels == row.channels,
    }
    .graph()
}

/// timm's `mobilenetv3_*_100`: `conv_stem, bn1, blocks.<row>.<repeat>.…, conv_head, classifier`; its rows are
/// those of the tables with equal channels, `repeats` of each.
fn from_timm(name: &str, rows: &[Row], repeats: &[usize]) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    let last = rows.len() + 1;
    let native = match layer {
        "conv_stem" => "features.0.0".into(),
        "bn1" => "features.0.1".into(),
        "conv_head" => "classifier.0".into(),
        "classifier" => "classifier.3".into(),
        _ => {
            let mut parts = layer.strip_prefix("blocks.")?.splitn(3, '.');
            let group: usize = parts.next()?.parse().ok()?;
            let repeat: usize = parts.next()?.parse().ok()?;
            let part = parts.next()?;
            if group == repeats.len() {
                // The last convolution.
                let part = match part {
                    "conv" if repeat == 0 => "0",
                    "bn1" if repeat == 0 => "1",
                    _ => return None,
                };
                return Some(format!("features.{last}.{part}.{field}"));
            }
            if repeat >= *repeats.get(group)? {
                return None;
            }
            let index = repeats[..group].iter().sum::<usize>() + repeat;
            let before = if index == 0 {
                STEM
            } else {
                rows[index - 1].channels
            };
            let row = &rows[index];
            let expands = row.expanded != before;
            let depthwise = usize::from(expands);
            let gate = depthwise + 1;
            let project = gate + usize::from(row.has_gate);
            // Without an expansion, timm's projection is a pointwise convolution.
            let suffix = match (expands, part) {
                (true, "conv_pw") => "0.0".into(),
                (true, "bn1") => "0.1".into(),
                (true, "bn2") | (false, "bn1") => format!("{depthwise}.1"),
                (_, "conv_dw") => format!("{depthwise}.0"),
                (_, "se.conv_reduce") if row.has_gate => format!("{gate}.fc1"),
                (_, "se.conv_expand") if row.has_gate => format!("{gate}.fc2"),
                (true, "conv_pwl") | (false, "conv_pw") => format!("{project}.0"),
                (true, "bn3") | (false, "bn2") => format!("{project}.1"),
                _ => return None,
            };
            format!("features.{}.block.{suffix}", index + 1)
        }
    };
    Some(format!("{native}.{field}"))
}
