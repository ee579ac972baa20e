//! The convolutions of three networks at 224×224, from the tables of their papers.

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
