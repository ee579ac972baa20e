//! EfficientNet: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
//! Networks" (arXiv 1905.11946), table 1 and section 4.

use warmstart_nn::Activation::{Identity, Sigmoid, Silu};
use warmstart_nn::Graph;
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::SqueezeExcite;

use crate::architecture::{Architecture, Convention};
use crate::blocks::{InvertedResidual, rounded};
use crate::detector::light;
use crate::record::{Numerics, Record};
use crate::stage::Stage;
use crate::strides;

/// A row of table 1.
pub(crate) struct Row {
    pub expansion: usize,
    pub kernel: usize,
    pub stride: usize,
    pub channels: usize,
    pub repeats: usize,
}

const fn row(
    expansion: usize,
    kernel: usize,
    stride: usize,
    channels: usize,
    repeats: usize,
) -> Row {
    Row {
        expansion,
        kernel,
        stride,
        channels,
        repeats,
    }
}

/// Stages 2 to 8 of B0.
#[rustfmt::skip]
pub(crate) const ROWS: [Row; 7] = [
    //  e  k  s   c   l
    row(1, 3, 1,  16, 1),
    row(6, 3, 2,  24, 2),
    row(6, 5, 2,  40, 2),
    row(6, 3, 2,  80, 3),
    row(6, 5, 1, 112, 3),
    row(6, 5, 2, 192, 4),
    row(6, 3, 1, 320, 1),
];

pub(crate) const STEM: usize = 32;
/// Width of the last convolution, as a multiple of the last row's channels.
const LAST: usize = 4;

/// Factors on the widths and depths of table 1.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub width: f64,
    pub depth: f64,
}

impl Scale {
    pub fn channels(self, channels: usize) -> usize {
        rounded(self.width * channels as f64)
    }

    pub fn repeats(self, repeats: usize) -> usize {
        (self.depth * repeats as f64).ceil() as usize
    }
}

const B0: Scale = Scale {
    width: 1.0,
    depth: 1.0,
};
const B1: Scale = Scale {
    width: 1.0,
    depth: 1.1,
};
const B2: Scale = Scale {
    width: 1.1,
    depth: 1.2,
};

/// The conventions of a member of the family of that scale.
macro_rules! conventions {
    ($scale:ident, $timm:literal, $lukemelas:literal) => {
        &[
            Convention {
                name: "timm",
                to_native: |name| from_timm(name, $scale),
                record: Some($timm),
            },
            Convention {
                name: "lukemelas",
                to_native: |name| from_lukemelas(name, $scale),
                record: Some($lukemelas),
            },
        ]
    };
}

pub(crate) fn b0(record: &'static Record) -> Architecture {
    efficientnet(
        "efficientnet_b0",
        record,
        B0,
        0.2,
        conventions!(
            B0,
            "efficientnet_b0.ra_in1k",
            "efficientnet_b0.lukemelas_aa"
        ),
    )
}

pub(crate) fn b1(record: &'static Record) -> Architecture {
    efficientnet(
        "efficientnet_b1",
        record,
        B1,
        0.2,
        conventions!(
            B1,
            "efficientnet_b1.ft_in1k",
            "efficientnet_b1.lukemelas_aa"
        ),
    )
}

pub(crate) fn b2(record: &'static Record) -> Architecture {
    efficientnet(
        "efficientnet_b2",
        record,
        B2,
        0.3,
        conventions!(
            B2,
            "efficientnet_b2.ra_in1k",
            "efficientnet_b2.lukemelas_aa"
        ),
    )
}

fn efficientnet(
    name: &'static str,
    record: &'static Record,
    scale: Scale,
    dropout: f64,
    conventions: &'static [Convention],
) -> Architecture {
    let numerics = &record.numerics;
    let unit = |layer: &str, channels, kernel, stride| {
        let names = [&*format!("{layer}.0"), &format!("{layer}.1")];
        Graph::chain([numerics
            .unit(names, channels, kernel, stride, 1, Silu)
            .into()])
    };
    let mut channels = scale.channels(STEM);
    let stem = unit("features.0", [3, channels], 3, 2);
    let mut stages = vec![Stage::new("features.0".into(), 0, stem)];
    let blocks: usize = ROWS.iter().map(|row| scale.repeats(row.repeats)).sum();
    for (index, row) in (1..).zip(&ROWS) {
        let out = scale.channels(row.channels);
        for repeat in 0..scale.repeats(row.repeats) {
            let name = format!("features.{index}.{repeat}");
            let shape = Shape {
                channels: [channels, out],
                stride: if repeat == 0 { row.stride } else { 1 },
            };
            let left_out = (stages.len() - 1) as f64 / blocks as f64;
            let graph = block(&name, row, &shape, numerics).with_left_out(left_out);
            stages.push(Stage::new(name, index, graph));
            channels = out;
        }
    }
    let taps = strides::ends(&stages);
    let features = LAST * channels;
    let index = ROWS.len() + 1;
    let name_of_last = format!("features.{index}");
    let last = unit(&name_of_last, [channels, features], 1, 1);
    stages.push(Stage::new(name_of_last, index, last));
    Architecture {
        name,
        record,
        stages,
        taps: Some(taps),
        tokens: None,
        patch: None,
        outputs: Vec::new(),
        features,
        classifier: "classifier.1",
        linear_default: LinearDefault::UniformByOutputs,
        layer_scale: 1.0,
        dropout,
        stochastic_depth: 0.2,
        conventions,
        is_detector: false,
        detector: light::detector,
    }
}

/// What differs between the blocks of a row.
struct Shape {
    channels: [usize; 2],
    stride: usize,
}

/// MBConv: expand → depthwise → squeeze and excitation → project.
fn block(name: &str, row: &Row, shape: &Shape, numerics: &Numerics) -> Graph {
    let &Shape {
        channels: [channels, out],
        stride,
    } = shape;
    let hidden = channels * row.expansion;
    let mut layers = (0..).map(|index| format!("{name}.block.{index}"));
    let mut next = || layers.next().expect("layers are numbered without end");
    let unit = |layer: String, channels, kernel, stride, groups, activation| {
        let names = [&*format!("{layer}.0"), &format!("{layer}.1")];
        numerics.unit(names, channels, kernel, stride, groups, activation)
    };
    let mut units = Vec::new();
    if row.expansion != 1 {
        units.push(unit(next(), [channels, hidden], 1, 1, 1, Silu));
    }
    units.push(unit(next(), [hidden; 2], row.kernel, stride, hidden, Silu));
    let gate = next();
    InvertedResidual {
        units,
        gate: Some(SqueezeExcite {
            reduce: format!("{gate}.fc1"),
            expand: format!("{gate}.fc2"),
            channels: hidden,
            reduced: (channels / 4).max(1),
            activation: Silu,
            gate: Sigmoid,
        }),
        project: unit(next(), [hidden, out], 1, 1, 1, Identity),
        adds_input: stride == 1 && channels == out,
    }
    .graph()
}

/// timm's `efficientnet_b*`: `conv_stem, bn1, blocks.<row>.<repeat>.…, conv_head, bn2, classifier`.
fn from_timm(name: &str, scale: Scale) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    let last = ROWS.len() + 1;
    let native = match layer {
        "conv_stem" => "features.0.0".into(),
        "bn1" => "features.0.1".into(),
        "conv_head" => format!("features.{last}.0"),
        "bn2" => format!("features.{last}.1"),
        "classifier" => "classifier.1".into(),
        _ => {
            let mut parts = layer.strip_prefix("blocks.")?.splitn(3, '.');
            let index: usize = parts.next()?.parse().ok()?;
            let repeat: usize = parts.next()?.parse().ok()?;
            let row = ROWS.get(index)?;
            if repeat >= scale.repeats(row.repeats) {
                return None;
            }
            let suffix = match (row.expansion, parts.next()?) {
                (1, "conv_dw") => "0.0",
                (1, "bn1") => "0.1",
                (1, "se.conv_reduce") => "1.fc1",
                (1, "se.conv_expand") => "1.fc2",
                (1, "conv_pw") => "2.0",
                (1, "bn2") => "2.1",
                (6, "conv_pw") => "0.0",
                (6, "bn1") => "0.1",
                (6, "conv_dw") => "1.0",
                (6, "bn2") => "1.1",
                (6, "se.conv_reduce") => "2.fc1",
                (6, "se.conv_expand") => "2.fc2",
                (6, "conv_pwl") => "3.0",
                (6, "bn3") => "3.1",
                _ => return None,
            };
            format!("features.{}.{repeat}.block.{suffix}", index + 1)
        }
    };
    Some(format!("{native}.{field}"))
}

/// lukemelas's `efficientnet_pytorch`, as timm's names.
pub(crate) fn lukemelas_to_timm(name: &str, scale: &[usize; 7]) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    let timm = match layer {
        "_conv_stem" => "conv_stem".into(),
        "_bn0" => "bn1".into(),
        "_conv_head" => "conv_head".into(),
        "_bn1" => "bn2".into(),
        "_fc" => "classifier".into(),
        _ => {
            let (block, part) = layer.strip_prefix("_blocks.")?.split_once('.')?;
            let mut block: usize = block.parse().ok()?;
            let mut index = 0;
            while block >= *scale.get(index)? {
                block -= scale[index];
                index += 1;
            }
            let expands = ROWS[index].expansion != 1;
            let part = match (expands, part) {
                (true, "_expand_conv") => "conv_pw",
                (true, "_bn0") => "bn1",
                (_, "_depthwise_conv") => "conv_dw",
                (true, "_bn1") => "bn2",
                (false, "_bn1") => "bn1",
                (_, "_se_reduce") => "se.conv_reduce",
                (_, "_se_expand") => "se.conv_expand",
                (true, "_project_conv") => "conv_pwl",
                (false, "_project_conv") => "conv_pw",
                (true, "_bn2") => "bn3",
                (false, "_bn2") => "bn2",
                _ => return None,
            };
            format!("blocks.{index}.{block}.{part}")
        }
    };
    Some(format!("{timm}.{field}"))
}

fn from_lukemelas(name: &str, scale: Scale) -> Option<String> {
    let repeats = std::array::from_fn(|index| scale.repeats(ROWS[index].repeats));
    from_timm(&lukemelas_to_timm(name, &repeats)?, scale)
}
