//! ResNet: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition"
//! (arXiv 1512.03385), table 1, with the stride of a bottleneck in its 3×3 convolution, as
//! torchvision has it.

use warmstart_nn::Activation::{Identity, Relu};
use warmstart_nn::block::{Block, Shortcut, Unit};
use warmstart_nn::initialization::LinearDefault;

use crate::architecture::{Architecture, IMAGENET, Stage};

/// The two kinds of branches of figure 5.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branch {
    /// 3×3 → 3×3
    Basic,
    /// 1×1 → 3×3 → 1×1, four times as wide at the end
    Bottleneck,
}

const STEM: usize = 64;

pub(crate) fn resnet18() -> Architecture {
    resnet("resnet18", Branch::Basic, [2, 2, 2, 2])
}

pub(crate) fn resnet34() -> Architecture {
    resnet("resnet34", Branch::Basic, [3, 4, 6, 3])
}

pub(crate) fn resnet50() -> Architecture {
    resnet("resnet50", Branch::Bottleneck, [3, 4, 6, 3])
}

fn resnet(name: &'static str, branch: Branch, repeats: [usize; 4]) -> Architecture {
    let stem = Unit::new("conv1", "bn1", [3, STEM], 7, 2, 1, Relu);
    let pool = Block::MaxPool {
        size: 3,
        stride: 2,
        padding: 1,
    };
    let mut stages = vec![Stage::new("conv1".into(), 0, vec![Block::Unit(stem), pool])];
    let mut channels = STEM;
    for (layer, repeats) in (1..).zip(repeats) {
        let width = STEM << (layer - 1);
        for repeat in 0..repeats {
            let name = format!("layer{layer}.{repeat}");
            let stride = if repeat == 0 && layer > 1 { 2 } else { 1 };
            let (block, out) = residual(&name, branch, channels, width, stride);
            channels = out;
            stages.push(Stage::new(name, layer, vec![block]));
        }
    }
    let [layer1, layer2, layer3, layer4] = repeats;
    let before = layer1 + layer2;
    Architecture {
        name,
        taps: [before, before + layer3, before + layer3 + layer4],
        outputs: Vec::new(),
        stages,
        features: channels,
        classifier: "fc",
        linear_default: LinearDefault::Uniform { inputs: channels },
        dropout: 0.0,
        pretrained: IMAGENET,
        // timm's names are the same.
        conventions: &[],
    }
}

/// A block and the channels that it ends in.
fn residual(
    name: &str,
    branch: Branch,
    channels: usize,
    width: usize,
    stride: usize,
) -> (Block, usize) {
    let layer = |number: usize, [from, to]: [usize; 2], kernel, stride, activation| {
        let (conv, norm) = (format!("{name}.conv{number}"), format!("{name}.bn{number}"));
        Unit::new(&conv, &norm, [from, to], kernel, stride, 1, activation)
    };
    // The last activation comes after the shortcut was added.
    let (units, out) = match branch {
        Branch::Basic => (
            vec![
                layer(1, [channels, width], 3, stride, Relu),
                layer(2, [width, width], 3, 1, Relu),
            ],
            width,
        ),
        Branch::Bottleneck => (
            vec![
                layer(1, [channels, width], 1, 1, Relu),
                layer(2, [width, width], 3, stride, Relu),
                layer(3, [width, 4 * width], 1, 1, Relu),
            ],
            4 * width,
        ),
    };
    let shortcut = if stride == 1 && channels == out {
        Shortcut::Identity
    } else {
        let (conv, norm) = (
            format!("{name}.downsample.0"),
            format!("{name}.downsample.1"),
        );
        Shortcut::Projection(Unit::new(
            &conv,
            &norm,
            [channels, out],
            1,
            stride,
            1,
            Identity,
        ))
    };
    let block = Block::Residual {
        branch: units,
        shortcut,
    };
    (block, out)
}
