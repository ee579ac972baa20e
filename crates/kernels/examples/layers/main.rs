//! Times every kernel on the layers of ResNet-18 and MobileNetV2 at 224x224, and of RTMDet-tiny at 320x320.
//!
//! `cargo run --release -p warmstart-kernels --example layers [batch]`
//!
//! A line is one distinct layer with its count in the network: GFLOP/s of the convolution's forward
//! pass, fused inference, input and weight gradient, each with its share of the machine's peak, and
//! GB/s of batch norm with ReLU forward (statistics and normalisation) and backward. The peak is
//! measured first. An arrow marks the layer with the smallest share in each pass. Operations are
//! those of the direct convolution, two a multiplication: a kernel that needs fewer, such as
//! Winograd's, may exceed the peak. The last lines of a network sum milliseconds an image over all
//! layers. The end is the floor of each network: the least time that its convolutions take.
//!
//! Fresh and small pages cost as much as some kernels; in the environment
//! `GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8000000000:glibc.malloc.hugetlb=1`
//! buffers stay warm and on large pages, as they do with a pooling allocator.
#![allow(clippy::print_stdout, reason = "an example reports on the terminal")]

use std::time::Instant;

use warmstart_kernels::{
    Activation, BatchNorm, Convolution, InferenceUnit, activation_backward, batch_statistics,
    branch_inference, convolution_forward, convolution_input_gradient, convolution_weight_gradient,
    normalize, pack_weights, simd_level,
};

mod floor;
mod networks;
mod peak;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batch = match std::env::args().nth(1) {
        Some(batch) => batch.parse()?,
        None => 16,
    };
    let level = simd_level()?;
    let peak = peak::peak_gigaflops(level);
    println!(
        "{}, {} threads, measured peak {peak:.0} GFLOP/s; batch {batch}",
        level.name(),
        rayon::current_num_threads()
    );
    let [mobilenet_v2, resnet18, resnet50, rtmdet_tiny] = [
        networks::mobilenet_v2,
        networks::resnet18,
        networks::resnet50,
        networks::rtmdet_tiny,
    ]
    .map(|layers| layers(batch));
    time_network("ResNet-18", &resnet18, peak);
    time_network("MobileNetV2", &mobilenet_v2, peak);
    time_network("RTMDet-tiny", &rtmdet_tiny, peak);
    floor::print(
        peak,
        &[
            ("MobileNetV2", mobilenet_v2),
            ("ResNet-18", resnet18),
            ("ResNet-50", resnet50),
            ("RTMDet-tiny", rtmdet_tiny),
        ],
    );
    Ok(())
}

/// The times of one distinct layer.
struct Timing {
    layer: Convolution,
    count: usize,
    seconds: [f64; 6],
}

impl Timing {
    /// GFLOP/s of a pass; the first four are convolutions.
    fn gigaflops(&self, pass: usize) -> f64 {
        2e-9 * self.layer.multiply_adds() as f64 / self.seconds[pass]
    }

    /// GB/s of batch norm: three reads and a write forward, two and a write for the activation's
    /// gradient and the sums.
    fn gigabytes(&self) -> [f64; 2] {
        let gigabytes = 4e-9 * self.layer.output_len() as f64;
        [
            4.0 * gigabytes / self.seconds[4],
            3.0 * gigabytes / self.seconds[5],
        ]
    }

    fn name(&self) -> String {
        let c = &self.layer;
        format!(
            "{}², {}→{}, {}×{}{}{}",
            c.in_height,
            c.in_channels,
            c.out_channels,
            c.kernel[0],
            c.kernel[1],
            if c.is_depthwise() { " depthwise" } else { "" },
            if c.stride[0] > 1 { ", stride 2" } else { "" },
        )
    }
}

fn time_network(name: &str, layers: &[Convolution], peak: f64) {
    let mut timings: Vec<Timing> = Vec::new();
    for layer in layers {
        match timings.iter_mut().find(|timing| timing.layer == *layer) {
            Some(timing) => timing.count += 1,
            None => timings.push(Timing {
                layer: *layer,
                count: 1,
                seconds: time_layer(layer),
            }),
        }
    }
    println!(
        "\n| {name:37} | count |   forward    |    fused     |  input grad  | weight grad  | norm GB/s | its grad |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let slowest: [f64; 4] = std::array::from_fn(|pass| {
        let speeds = timings.iter().map(|timing| timing.gigaflops(pass));
        speeds.fold(f64::INFINITY, f64::min)
    });
    for timing in &timings {
        let [norm, norm_gradient] = timing.gigabytes();
        print!("| {:37} | {:5} |", timing.name(), timing.count);
        for (pass, slowest) in slowest.iter().enumerate() {
            let speed = timing.gigaflops(pass);
            let share = 100.0 * speed / peak;
            let mark = if speed == *slowest { '←' } else { ' ' };
            if speed.is_finite() {
                print!(" {speed:5.0} {share:3.0} % {mark} |");
            } else {
                print!(" {:12} |", "");
            }
        }
        println!(" {norm:9.1} | {norm_gradient:8.1} |");
    }
    print_sums(&timings);
}

/// Milliseconds an image of each pass and of a training step, which has all but the fused one.
fn print_sums(timings: &[Timing]) {
    let sum = |pass: usize| -> f64 {
        let seconds = timings
            .iter()
            .map(|timing| timing.count as f64 * timing.seconds[pass]);
        1e3 * seconds.sum::<f64>() / timings[0].layer.batch as f64
    };
    let sums: [f64; 6] = std::array::from_fn(sum);
    let [forward, fused, input, weight, norm, norm_gradient] = sums;
    println!(
        "| {:37} |       | {forward:12.2} | {fused:12.2} | {input:12.2} | {weight:12.2} | {norm:9.2} | {norm_gradient:8.2} |",
        "milliseconds an image",
    );
    println!(
        "\nA training step of these layers: {:.2} ms an image.",
        sums.iter().sum::<f64>() - fused
    );
}

/// Seconds of the forward pass, the fused inference, both gradients, and batch norm both ways. The
/// first layer of a network needs no input gradient.
fn time_layer(c: &Convolution) -> [f64; 6] {
    let x = values(c.input_len());
    let w = values(c.weight_len());
    let bias = values(c.out_channels);
    let packed = pack_weights(c, &w);
    let y = convolution_forward(c, &x, &w);
    let act = Activation::Relu;
    let (mean, variance) = batch_statistics(&y, c.out_channels);
    let norm = BatchNorm {
        mean: &mean,
        variance: &variance,
        gamma: &bias,
        beta: &bias,
        epsilon: 1e-5,
        activation: act,
    };
    let grad_y = values(c.output_len());
    let unit = InferenceUnit {
        convolution: *c,
        packed: &packed,
        bias: &bias,
        activation: act,
    };
    [
        best(|| convolution_forward(c, &x, &w)),
        best(|| branch_inference(&[unit], &x, Some(&grad_y))),
        match c.in_channels {
            3 => 0.0,
            _ => best(|| convolution_input_gradient(c, &grad_y, &w)),
        },
        best(|| convolution_weight_gradient(c, &x, &grad_y)),
        best(|| {
            batch_statistics(&y, c.out_channels);
            normalize(&y, norm, None)
        }),
        best(|| activation_backward(&grad_y, &y, norm, None)),
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
