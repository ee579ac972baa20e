//! Times every kernel on the layers of ResNet-18 and MobileNetV2 at 224x224.
//!
//! `cargo run --release -p warmstart-kernels --example layers [batch]`
//!
//! A line is one distinct layer with its count in the network: GFLOP/s of the convolution's forward
//! pass, input and weight gradient, and GB/s of batch norm with ReLU forward (statistics and
//! normalisation) and backward. The last line of a network sums milliseconds an image over all
//! layers. Fresh pages cost as much as some kernels; with
//! `GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8000000000` buffers stay
//! warm, as they do behind a pooling allocator.
#![allow(clippy::print_stdout, reason = "an example reports on the terminal")]

use std::time::Instant;

use warmstart_kernels::{
    Activation, Convolution, batch_statistics, convolution_forward, convolution_inference,
    convolution_input_gradient, convolution_weight_gradient, normalize, normalize_backward,
    simd_level,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batch = match std::env::args().nth(1) {
        Some(batch) => batch.parse()?,
        None => 16,
    };
    println!("{}, batch {batch}", simd_level()?.name());
    time_network("ResNet-18", &resnet18(batch));
    time_network("MobileNetV2", &mobilenet_v2(batch));
    Ok(())
}

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
        dilation: [1; 2],
        groups: 1,
    }
}

fn resnet18(batch: usize) -> Vec<Convolution> {
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

fn mobilenet_v2(batch: usize) -> Vec<Convolution> {
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

fn time_network(name: &str, layers: &[Convolution]) {
    println!(
        "\n{name:24} count  forward    fused  input gr weight gr   norm   norm gr   (GFLOP/s, GB/s)"
    );
    let mut totals = [0.0; 6];
    let mut seen: Vec<Convolution> = Vec::new();
    for c in layers {
        if seen.contains(c) {
            continue;
        }
        seen.push(*c);
        let count = layers.iter().filter(|other| *other == c).count();
        let seconds = time_layer(c);
        for (total, seconds) in totals.iter_mut().zip(seconds) {
            *total += seconds * count as f64;
        }
        let flops = 2e-9 * c.multiply_adds() as f64;
        let gigabytes = 4e-9 * c.output_len() as f64;
        let kind = if c.is_depthwise() { "d" } else { "" };
        println!(
            "{:>4}² {:>4}→{:<4} {}{}/{}{:9}{:6}{:9.0}{:9.0}{:9.0}{:9.0}{:9.1}{:9.1}",
            c.in_height,
            c.in_channels,
            c.out_channels,
            c.kernel[0],
            kind,
            c.stride[0],
            "",
            count,
            flops / seconds[0],
            flops / seconds[1],
            flops / seconds[2],
            flops / seconds[3],
            // Three reads and a write forward, six and a write backward.
            4.0 * gigabytes / seconds[4],
            7.0 * gigabytes / seconds[5],
        );
    }
    print!("{:32}", "milliseconds an image");
    for total in totals {
        print!("{:9.2}", 1e3 * total / layers[0].batch as f64);
    }
    let step = totals[0] + totals[2..].iter().sum::<f64>();
    println!(
        "\n{:32}{:9.2}",
        "training step without the fused",
        1e3 * step / layers[0].batch as f64
    );
}

/// Seconds of the forward pass, the fused inference, both gradients, and batch norm both ways. The
/// first layer of a network needs no input gradient.
fn time_layer(c: &Convolution) -> [f64; 6] {
    let x = values(c.input_len());
    let w = values(c.weight_len());
    let bias = values(c.out_channels);
    let y = convolution_forward(c, &x, &w);
    let (mean, var) = batch_statistics(&y, c.out_channels);
    let act = Activation::Relu;
    let normalized = normalize(&y, &mean, &var, &bias, &bias, 1e-5, None, act);
    let grad_y = values(c.output_len());
    [
        best(|| convolution_forward(c, &x, &w)),
        best(|| convolution_inference(c, &x, &w, &bias, Some(&grad_y), act)),
        match c.in_channels {
            3 => 0.0,
            _ => best(|| convolution_input_gradient(c, &grad_y, &w)),
        },
        best(|| convolution_weight_gradient(c, &x, &grad_y)),
        best(|| {
            let (mean, var) = batch_statistics(&y, c.out_channels);
            normalize(&y, &mean, &var, &bias, &bias, 1e-5, None, act)
        }),
        best(|| {
            normalize_backward(
                &grad_y,
                &y,
                &normalized,
                &mean,
                &var,
                &bias,
                1e-5,
                act,
                true,
                false,
            )
        }),
    ]
}

/// The shortest of a few runs.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let times = (0..7).map(|_| {
        let start = Instant::now();
        std::hint::black_box(work());
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect()
}
