//! Times the units of ResNet-18 at 224², forward and training, through the seam and in stock Burn:
//!
//! ```text
//! cargo run --release -p warmstart-models --features warmstart-nn/stock-at-its-best --example stock_flex -- [BATCH]
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it measures")]

use std::time::{Duration, Instant};

use warmstart_nn::burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use warmstart_nn::burn::backend::ops::ConvOptions;
use warmstart_nn::burn::backend::tensor::FloatTensor;
use warmstart_nn::burn::backend::{Autodiff, Backend, Flex};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{self, Added, Padding, TrainingUnit, UnitSpec};
use warmstart_nn::{Activation, Unit};

type Stock = Autodiff<Flex, NoCheckpointing>;

const ROUNDS: usize = 3;

fn tensor<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let length = shape.iter().product();
    let values = (0..length).map(|i| (i as f32 * 0.618).sin()).collect();
    Tensor::from_data(TensorData::new(values, shape), &warmstart_nn::device())
        .autodiff()
        .require_grad()
}

/// Edge of a unit's input in pixels, by its name.
fn edge(unit: &Unit) -> usize {
    let first_of_layer = unit.conv.ends_with("0.conv1") || unit.conv.contains("downsample");
    match (unit.conv.as_bytes().get(5), first_of_layer) {
        // The stem, `conv1`, has no layer number.
        (None, _) => 224,
        (Some(b'1'), _) | (Some(b'2'), true) => 56,
        (Some(b'2'), _) | (Some(b'3'), true) => 28,
        (Some(b'3'), _) | (Some(b'4'), true) => 14,
        _ => 7,
    }
}

/// A unit of ResNet in stock Burn: its own convolution and batch norm, whose images have their channels first.
fn stock_unit<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    [gamma, beta]: [FloatTensor<B>; 2],
    spec: UnitSpec,
) -> FloatTensor<B> {
    let conv = spec.conv;
    let Padding::Each(padding) = conv.padding else {
        panic!("ResNet's zeros are the same on all sides");
    };
    let options = ConvOptions::new(conv.stride, padding, conv.dilation, conv.groups);
    let x = B::float_permute(x, &[0, 3, 1, 2]);
    let conv = B::conv2d(x, weight, None, options);
    let norm = B::batch_norm_train(conv, gamma, beta, f64::from(spec.epsilon));
    let output = match spec.activation {
        Activation::Relu => B::relu(norm.output),
        _ => norm.output,
    };
    B::float_permute(output, &[0, 2, 3, 1])
}

/// The fastest of a few forward passes, and of a few with their backward pass.
fn time(unit: &Unit, batch: usize, through_seam: bool) -> [Duration; 2] {
    let channels = [unit.out_channels];
    let [kernel, _] = unit.kernel;
    let x = tensor([batch, edge(unit), edge(unit), unit.in_channels]);
    let weight = tensor([unit.out_channels, unit.in_channels, kernel, kernel]);
    let [gamma, beta] = [tensor(channels), tensor(channels)];
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let output = if through_seam {
            let training = TrainingUnit {
                weight: weight.clone(),
                gamma: gamma.clone(),
                beta: beta.clone(),
                frozen: None,
                spec: unit.spec,
            };
            ops::branch(x.clone(), vec![training], Added::Nothing).output
        } else {
            let primitive = |tensor: &Tensor<1>| -> FloatTensor<Stock> {
                let tensor = tensor.clone().try_into_primitive::<Stock>();
                tensor.expect("on flex")
            };
            let x = x.clone().try_into_primitive::<Stock>().expect("on flex");
            let weight = weight.clone().try_into_primitive::<Stock>();
            let norm = [&gamma, &beta].map(primitive);
            let output = stock_unit::<Stock>(x, weight.expect("on flex"), norm, unit.spec);
            Tensor::<4>::from_primitive::<Stock>(output)
        };
        best[0] = best[0].min(started.elapsed());
        let gradients = output.sum().backward();
        best[1] = best[1].min(started.elapsed());
        drop(gradients);
    }
    best
}

fn main() {
    let batch = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(16);
    let architecture = warmstart_models::by_name("resnet18").expect("a model of ours");
    let mut sums = [[Duration::ZERO; 2]; 2];
    println!(
        "{:24} {:>22} {:>22}",
        "ms, batch of images", "ours: forward, step", "stock: forward, step"
    );
    for unit in architecture.units(0..architecture.stages.len()) {
        let times = [true, false].map(|seam| time(unit, batch, seam));
        let ms = times.map(|pair| pair.map(|time| time.as_secs_f64() * 1e3));
        println!(
            "{:24} {:10.1} {:11.1} {:10.1} {:11.1}",
            unit.conv, ms[0][0], ms[0][1], ms[1][0], ms[1][1]
        );
        for (sum, pair) in sums.iter_mut().zip(times) {
            sum[0] += pair[0];
            sum[1] += pair[1];
        }
    }
    let an_image = sums.map(|pair| pair.map(|sum| sum.as_secs_f64() * 1e3 / batch as f64));
    println!(
        "ms an image: ours {:.1} forward, {:.1} step; stock {:.1} forward, {:.1} step",
        an_image[0][0], an_image[0][1], an_image[1][0], an_image[1][1]
    );
}
