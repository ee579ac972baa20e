//! The convolutions of three classifiers at 224×224, from the tables of their papers, and of a detector at 320×320.

use warmstart_kernels::Convolution;

/// A convolution of square images whose padding keeps the size at stride 1.
fn layer(
    batch: usize,
    size: usize,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
) -> Convolution {
    Convolution {
        batch,
        in_height: size,
        in_width: size,
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        padding_end: [kernel / 2; 2],
        dilation: [1; 2],
        groups: 1,
    }
}

/// The convolutions of ResNet-18.
pub fn resnet18(batch: usize) -> Vec<Convolution> {
    let mut layers = vec![layer(batch, 224, [3, 64], 7, 2)];
    let (mut size, mut channels) = (56, 64);
    for width in [64, 128, 256, 512] {
        let stride = if width == channels { 1 } else { 2 };
        layers.push(layer(batch, size, [channels, width], 3, stride));
        if stride == 2 {
            layers.push(layer(batch, size, [channels, width], 1, stride));
        }
        size /= stride;
        channels = width;
        layers.extend([layer(batch, size, [width; 2], 3, 1); 3]);
    }
    layers
}

/// The convolutions of ResNet-50, whose first block of a stage has the stride in its 3×3 layer.
pub fn resnet50(batch: usize) -> Vec<Convolution> {
    let mut layers = vec![layer(batch, 224, [3, 64], 7, 2)];
    let (mut size, mut channels) = (56, 64);
    for (width, blocks) in [(64, 3), (128, 4), (256, 6), (512, 3)] {
        for block in 0..blocks {
            let stride = if block == 0 && width > 64 { 2 } else { 1 };
            layers.push(layer(batch, size, [channels, width], 1, 1));
            layers.push(layer(batch, size, [width; 2], 3, stride));
            if block == 0 {
                layers.push(layer(batch, size, [channels, 4 * width], 1, stride));
            }
            size /= stride;
            layers.push(layer(batch, size, [width, 4 * width], 1, 1));
            channels = 4 * width;
        }
    }
    layers
}

/// The convolutions of MobileNetV2.
pub fn mobilenet_v2(batch: usize) -> Vec<Convolution> {
    let mut layers = vec![layer(batch, 224, [3, 32], 3, 2)];
    let (mut size, mut channels) = (112, 32);
    // Expansion, channels, blocks and stride of the first: table 2 of the paper.
    for (expansion, width, blocks, stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let inner = channels * expansion;
            if expansion > 1 {
                layers.push(layer(batch, size, [channels, inner], 1, 1));
            }
            let mut depthwise = layer(batch, size, [inner; 2], 3, stride);
            depthwise.groups = inner;
            layers.push(depthwise);
            size /= stride;
            layers.push(layer(batch, size, [inner, width], 1, 1));
            channels = width;
        }
    }
    layers.push(layer(batch, size, [channels, 1280], 1, 1));
    layers
}

/// The convolutions of RTMDet-tiny at 320×320 without its predictors: backbone, neck, and the head, whose convolutions
/// run at three sizes.
pub fn rtmdet_tiny(batch: usize) -> Vec<Convolution> {
    let mut layers = vec![
        layer(batch, 320, [3, 12], 3, 2),
        layer(batch, 160, [12, 12], 3, 1),
        layer(batch, 160, [12, 24], 3, 1),
    ];
    let (mut size, mut channels) = (160, 24);
    for width in [48, 96, 192, 384] {
        layers.push(layer(batch, size, [channels, width], 3, 2));
        (size, channels) = (size / 2, width);
        if width == 384 {
            // Pyramid pooling.
            layers.push(layer(batch, size, [width, width / 2], 1, 1));
            layers.push(layer(batch, size, [2 * width, width], 1, 1));
        }
        layers.extend(cross_stage(batch, size, [width, width]));
    }
    // Reduced on the way down, merged, and halved on the way up.
    layers.push(layer(batch, 10, [384, 192], 1, 1));
    layers.extend(cross_stage(batch, 20, [384, 192]));
    layers.push(layer(batch, 20, [192, 96], 1, 1));
    layers.extend(cross_stage(batch, 40, [192, 96]));
    layers.push(layer(batch, 40, [96, 96], 3, 2));
    layers.extend(cross_stage(batch, 20, [192, 192]));
    layers.push(layer(batch, 20, [192, 192], 3, 2));
    layers.extend(cross_stage(batch, 10, [384, 384]));
    for (size, channels) in [(40, 96), (20, 192), (10, 384)] {
        layers.push(layer(batch, size, [channels, 96], 3, 1));
        layers.extend([layer(batch, size, [96, 96], 3, 1); 4]);
    }
    layers
}

/// Two ways of half the channels, one of them through 3×3, depthwise 5×5 and 1×1: CSPNeXt's stage with one block.
fn cross_stage(batch: usize, size: usize, [inputs, outputs]: [usize; 2]) -> [Convolution; 6] {
    let half = outputs / 2;
    let mut depthwise = layer(batch, size, [half; 2], 5, 1);
    depthwise.groups = half;
    [
        layer(batch, size, [inputs, half], 1, 1),
        layer(batch, size, [inputs, half], 1, 1),
        layer(batch, size, [half; 2], 3, 1),
        depthwise,
        layer(batch, size, [half; 2], 1, 1),
        layer(batch, size, [outputs; 2], 1, 1),
    ]
}
