//! ResNet: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition"
//! (arXiv 1512.03385), table 1, with the stride of a bottleneck in its 3×3 convolution, as
//! torchvision has it; and ResNet-D: He and others, "Bag of Tricks for Image Classification with
//! Convolutional Neural Networks" (arXiv 1812.01187), figure 2, as timm has it.

use warmstart_nn::Activation::{self, Identity, Relu};
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{AveragePool, Layer, MaxPool};
use warmstart_nn::ops::PoolSpec;
use warmstart_nn::{Graph, Unit};

use crate::architecture::{Architecture, Convention};
use crate::detector::light;
use crate::record::{Numerics, Record};
use crate::stage::Stage;
use crate::strides;

/// The two kinds of branches of figure 5.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// 3×3 → 3×3
    Basic,
    /// 1×1 → 3×3 → 1×1, four times as wide at the end
    Bottleneck,
}

/// The two designs of a ResNet's stem and projections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Design {
    /// A 7×7 convolution; a projection skips every second pixel.
    Paper,
    /// Three 3×3 convolutions; a projection averages four pixels.
    D,
}

const STEM: usize = 64;

/// A function that builds a network for a record.
macro_rules! builders {
    ($($name:ident: $block:ident, $design:ident, $repeats:expr;)*) => {
        $(pub(crate) fn $name(record: &'static Record) -> Architecture {
            resnet(record, stringify!($name), Block::$block, Design::$design, $repeats)
        })*
    };
}

builders! {
    resnet18: Basic, Paper, [2, 2, 2, 2];
    resnet34: Basic, Paper, [3, 4, 6, 3];
    resnet50: Bottleneck, Paper, [3, 4, 6, 3];
    resnet101: Bottleneck, Paper, [3, 4, 23, 3];
    resnet18d: Basic, D, [2, 2, 2, 2];
    resnet34d: Basic, D, [3, 4, 6, 3];
    resnet50d: Bottleneck, D, [3, 4, 6, 3];
    resnet101d: Bottleneck, D, [3, 4, 23, 3];
}

fn resnet(
    record: &'static Record,
    name: &'static str,
    block: Block,
    design: Design,
    repeats: [usize; 4],
) -> Architecture {
    let numerics = &record.numerics;
    let mut stages = vec![Stage::new("conv1".into(), 0, stem(numerics, design))];
    let blocks: usize = repeats.iter().sum();
    let mut channels = STEM;
    for (layer, repeats) in (1..).zip(repeats) {
        let width = STEM << (layer - 1);
        for repeat in 0..repeats {
            let name = format!("layer{layer}.{repeat}");
            let stride = if repeat == 0 && layer > 1 { 2 } else { 1 };
            let units = branch(&name, block, [channels, width], stride, numerics);
            let out = units.last().map_or(channels, |unit| unit.out_channels);
            let projection = projection(&name, design, [channels, out], stride, numerics);
            channels = out;
            let left_out = (stages.len() - 1) as f64 / (blocks - 1) as f64;
            let graph = Graph::residual(units, projection).with_left_out(left_out);
            stages.push(Stage::new(name, layer, graph));
        }
    }
    Architecture {
        name,
        record,
        taps: Some(strides::ends(&stages)),
        tokens: None,
        patch: None,
        outputs: Vec::new(),
        stages,
        features: channels,
        classifier: "fc",
        linear_default: LinearDefault::Uniform { inputs: channels },
        layer_scale: 1.0,
        dropout: 0.0,
        stochastic_depth: 0.0,
        // timm's names are the same.
        conventions: match design {
            Design::Paper => &[Convention {
                name: "transformers",
                to_native: from_transformers,
                record: None,
            }],
            Design::D => &[],
        },
        is_detector: false,
        detector: light::detector,
    }
}

fn stem(numerics: &Numerics, design: Design) -> Graph {
    let unit = |conv: &str, norm: &str, channels, kernel, stride| {
        Layer::from(numerics.unit([conv, norm], channels, kernel, stride, 1, Relu))
    };
    let half = STEM / 2;
    let mut layers = match design {
        Design::Paper => vec![unit("conv1", "bn1", [3, STEM], 7, 2)],
        Design::D => vec![
            unit("conv1.0", "conv1.1", [3, half], 3, 2),
            unit("conv1.3", "conv1.4", [half; 2], 3, 1),
            unit("conv1.6", "bn1", [half, STEM], 3, 1),
        ],
    };
    layers.push(Layer::MaxPool(MaxPool(PoolSpec {
        size: [3; 2],
        stride: [2; 2],
        padding: [1; 2],
        ceil: false,
    })));
    Graph::chain(layers)
}

fn branch(
    name: &str,
    block: Block,
    [channels, width]: [usize; 2],
    stride: usize,
    numerics: &Numerics,
) -> Vec<Unit> {
    let layer = |number: usize, channels, kernel, stride, activation: Activation| {
        let names = [
            &*format!("{name}.conv{number}"),
            &format!("{name}.bn{number}"),
        ];
        numerics.unit(names, channels, kernel, stride, 1, activation)
    };
    // The last activation comes after the shortcut was added.
    match block {
        Block::Basic => vec![
            layer(1, [channels, width], 3, stride, Relu),
            layer(2, [width, width], 3, 1, Relu),
        ],
        Block::Bottleneck => vec![
            layer(1, [channels, width], 1, 1, Relu),
            layer(2, [width, width], 3, stride, Relu),
            layer(3, [width, 4 * width], 1, 1, Relu),
        ],
    }
}

/// The layers that change the shape of a block's input to that of its result; none where it has that shape.
fn projection(
    name: &str,
    design: Design,
    channels: [usize; 2],
    stride: usize,
    numerics: &Numerics,
) -> Vec<Layer> {
    if stride == 1 && channels[0] == channels[1] {
        return Vec::new();
    }
    let unit = |conv: usize, stride| {
        let [conv, norm] = [conv, conv + 1].map(|index| format!("{name}.downsample.{index}"));
        Layer::from(numerics.unit([&conv, &norm], channels, 1, stride, 1, Identity))
    };
    match design {
        Design::Paper => vec![unit(0, stride)],
        Design::D if stride == 1 => vec![unit(1, 1)],
        Design::D => {
            let average = Layer::AveragePool(AveragePool(PoolSpec {
                size: [stride; 2],
                stride: [stride; 2],
                padding: [0; 2],
                ceil: true,
            }));
            vec![average, unit(1, 1)]
        }
    }
}

/// Hugging Face's `ResNetForImageClassification`: `resnet.embedder.embedder`,
/// `resnet.encoder.stages.<layer>.layers.<repeat>.{layer.<number>,shortcut}` with `convolution` and
/// `normalization`, and `classifier.1`.
fn from_transformers(name: &str) -> Option<String> {
    let (layer, field) = name.rsplit_once('.')?;
    let native = match layer {
        "resnet.embedder.embedder.convolution" => "conv1".into(),
        "resnet.embedder.embedder.normalization" => "bn1".into(),
        "classifier.1" => "fc".into(),
        _ => {
            let mut parts = layer.strip_prefix("resnet.encoder.stages.")?.split('.');
            let mut number = |after: &str| -> Option<usize> {
                let number = parts.next()?.parse().ok()?;
                (after.is_empty() || parts.next()? == after).then_some(number)
            };
            let (stage, repeat) = (number("layers")?, number("")?);
            let block = format!("layer{}.{repeat}", stage + 1);
            match (parts.next()?, parts.next()?, parts.next(), parts.next()) {
                ("shortcut", "convolution", None, None) => format!("{block}.downsample.0"),
                ("shortcut", "normalization", None, None) => format!("{block}.downsample.1"),
                ("layer", number, Some(part), None) => {
                    let number = number.parse::<usize>().ok()? + 1;
                    match part {
                        "convolution" => format!("{block}.conv{number}"),
                        "normalization" => format!("{block}.bn{number}"),
                        _ => return None,
                    }
                }
                _ => return None,
            }
        }
    };
    Some(format!("{native}.{field}"))
}
