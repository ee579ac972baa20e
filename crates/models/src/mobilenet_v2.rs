//! MobileNetV2: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and
//! Linear Bottlenecks" (arXiv 1801.04381), table 2, at width 1.

use warmstart_nn::Activation::{Identity, Relu6};
use warmstart_nn::Graph;
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{Branch, Layer, Shortcut};

use crate::architecture::{Architecture, Convention};
use crate::detector::light;
use crate::record::{Numerics, Record};
use crate::stage::Stage;
use crate::strides;

/// The bottleneck rows of table 2.
struct Row {
    expansion: usize,
    channels: usize,
    repeats: usize,
    stride: usize,
}

const fn row(expansion: usize, channels: usize, repeats: usize, stride: usize) -> Row {
    Row {
        expansion,
        channels,
        repeats,
        stride,
    }
}

#[rustfmt::skip]
const ROWS: [Row; 7] = [
    //  t   c   n  s
    row(1,  16, 1, 1),
    row(6,  24, 2, 2),
    row(6,  32, 3, 2),
    row(6,  64, 4, 2),
    row(6,  96, 3, 1),
    row(6, 160, 3, 2),
    row(6, 320, 1, 1),
];

const STEM: usize = 32;
const FEATURES: usize = 1280;

pub(crate) fn mobilenet_v2(record: &'static Record) -> Architecture {
    let unit = |name: &str, channels, stride| {
        let names = [&*format!("{name}.0"), &format!("{name}.1")];
        let kernel = if stride == 2 { 3 } else { 1 };
        let unit = record
            .numerics
            .unit(names, channels, kernel, stride, 1, Relu6);
        Graph::chain([Layer::from(unit)])
    };
    let stem = unit("features.0", [3, STEM], 2);
    let mut stages = vec![Stage::new("features.0".into(), 0, stem)];
    let blocks: usize = ROWS.iter().map(|row| row.repeats).sum();
    let mut channels = STEM;
    for (index, row) in ROWS.iter().enumerate() {
        for repeat in 0..row.repeats {
            let name = format!("features.{}", stages.len());
            let stride = if repeat == 0 { row.stride } else { 1 };
            let block = inverted_residual(&name, channels, row, stride, &record.numerics);
            let left_out = (stages.len() - 1) as f64 / blocks as f64;
            stages.push(Stage::new(name, index + 1, block.with_left_out(left_out)));
            channels = row.channels;
        }
    }
    let taps = strides::ends(&stages);
    let last = unit("features.18", [channels, FEATURES], 1);
    stages.push(Stage::new("features.18".into(), ROWS.len() + 1, last));
    Architecture {
        name: "mobilenet_v2",
        record,
        stages,
        taps: Some(taps),
        tokens: None,
        patch: None,
        outputs: Vec::new(),
        features: FEATURES,
        classifier: "classifier.1",
        linear_default: LinearDefault::Normal,
        layer_scale: 1.0,
        dropout: 0.2,
        stochastic_depth: 0.0,
        conventions: &[
            Convention {
                name: "timm",
                to_native: from_timm,
                record: Some("mobilenetv2_100.ra_in1k"),
            },
            Convention {
                name: "transformers",
                to_native: from_transformers,
                record: Some("mobilenet_v2_1.0_224.google"),
            },
        ],
        is_detector: false,
        detector: light::detector,
    }
}

/// Expand 1×1 → depthwise 3×3 → project 1×1 without activation (figure 4).
fn inverted_residual(
    name: &str,
    channels: usize,
    row: &Row,
    stride: usize,
    numerics: &Numerics,
) -> Graph {
    let hidden = channels * row.expansion;
    let layer = |suffix: &str| format!("{name}.conv.{suffix}");
    let mut units = Vec::new();
    let mut next = 0;
    if row.expansion != 1 {
        let names = [&*layer("0.0"), &layer("0.1")];
        units.push(numerics.unit(names, [channels, hidden], 1, 1, 1, Relu6));
        next = 1;
    }
    let names = [&*layer(&format!("{next}.0")), &layer(&format!("{next}.1"))];
    units.push(numerics.unit(names, [hidden; 2], 3, stride, hidden, Relu6));
    let names = [
        &*layer(&format!("{}", next + 1)),
        &layer(&format!("{}", next + 2)),
    ];
    units.push(numerics.unit(names, [hidden, row.channels], 1, 1, 1, Identity));
    let shortcut = if stride == 1 && channels == row.channels {
        Shortcut::Identity
    } else {
        Shortcut::None
    };
    Graph::chain([Layer::Branch(Branch::new(units, shortcut))])
}

/// timm's `mobilenetv2_100`: `conv_stem, bn1, blocks.<row>.<repeat>.…, conv_head, bn2, classifier`.
fn from_timm(name: &str) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    let native = match layer {
        "conv_stem" => "features.0.0".into(),
        "bn1" => "features.0.1".into(),
        "conv_head" => "features.18.0".into(),
        "bn2" => "features.18.1".into(),
        "classifier" => "classifier.1".into(),
        _ => {
            let mut parts = layer.strip_prefix("blocks.")?.split('.');
            let row: usize = parts.next()?.parse().ok()?;
            let repeat: usize = parts.next()?.parse().ok()?;
            let layer = parts.next()?;
            if row >= ROWS.len() || repeat >= ROWS[row].repeats || parts.next().is_some() {
                return None;
            }
            let before: usize = ROWS[..row].iter().map(|row| row.repeats).sum();
            let suffix = match (ROWS[row].expansion, layer) {
                (1, "conv_dw") => "0.0",
                (1, "bn1") => "0.1",
                (1, "conv_pw") => "1",
                (1, "bn2") => "2",
                (6, "conv_pw") => "0.0",
                (6, "bn1") => "0.1",
                (6, "conv_dw") => "1.0",
                (6, "bn2") => "1.1",
                (6, "conv_pwl") => "2",
                (6, "bn3") => "3",
                _ => return None,
            };
            format!("features.{}.conv.{suffix}", 1 + before + repeat)
        }
    };
    Some(format!("{native}.{field}"))
}

/// Hugging Face's `MobileNetV2ForImageClassification`: `mobilenet_v2.conv_stem.…`,
/// `mobilenet_v2.layer.<block>.…`, `mobilenet_v2.conv_1x1`, `classifier`.
fn from_transformers(name: &str) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    if layer == "classifier" {
        return Some(format!("classifier.1.{field}"));
    }
    let (layer, part) = layer.strip_prefix("mobilenet_v2.")?.rsplit_once('.')?;
    let part = match part {
        "convolution" => 0,
        "normalization" => 1,
        _ => return None,
    };
    let blocks: usize = ROWS.iter().map(|row| row.repeats).sum();
    let native = match layer {
        "conv_stem.first_conv" => format!("features.0.{part}"),
        "conv_stem.conv_3x3" => format!("features.1.conv.0.{part}"),
        "conv_stem.reduce_1x1" => format!("features.1.conv.{}", 1 + part),
        "conv_1x1" => format!("features.{}.{part}", blocks + 1),
        _ => {
            let (block, layer) = layer.strip_prefix("layer.")?.split_once('.')?;
            let block: usize = block.parse().ok()?;
            // The first block is part of their stem.
            let index = block.checked_add(2).filter(|index| *index <= blocks)?;
            match layer {
                "expand_1x1" => format!("features.{index}.conv.0.{part}"),
                "conv_3x3" => format!("features.{index}.conv.1.{part}"),
                "reduce_1x1" => format!("features.{index}.conv.{}", 2 + part),
                _ => return None,
            }
        }
    };
    Some(format!("{native}.{field}"))
}
