//! Times multi-head attention of ViT-S at 224×224: 6 heads of 64 channels, 197 tokens with patches of
//! 16 pixels and 257 with patches of 14.
//!
//! `cargo run --release -p warmstart-kernels --example attention [batch]`
//!
//! A line has GFLOP/s of the forward and of the backward pass, each with its share of the machine's
//! peak, which is measured first, and the milliseconds of both for 12 blocks and one image.
//! Operations are those of the matrix products, two a multiplication: two products forward and five
//! backward, without the softmax.
#![allow(clippy::print_stdout, reason = "an example reports on the terminal")]

use std::time::Instant;

use warmstart_kernels::{Attention, attention, attention_backward, simd_level};

#[path = "layers/peak.rs"]
mod peak;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batch = match std::env::args().nth(1) {
        Some(batch) => batch.parse()?,
        None => 16,
    };
    let level = simd_level()?;
    let peak = peak::peak_gigaflops(level);
    println!(
        "{}, {} threads, measured peak {peak:.0} GFLOP/s\n",
        level.name(),
        rayon::current_num_threads()
    );
    println!("| tokens | batch |    forward   |   backward   | milliseconds an image |");
    println!("|--:|--:|--:|--:|--:|");
    for tokens in [197, 257] {
        for batch in [1, batch] {
            let geometry = Attention {
                batch,
                tokens,
                heads: 6,
                head_channels: 64,
            };
            print_line(&geometry, peak);
        }
    }
    Ok(())
}

fn print_line(geometry: &Attention, peak: f64) {
    let len = geometry.batch * geometry.tokens * geometry.heads * geometry.head_channels;
    let product = 2e-9 * (len * geometry.tokens) as f64;
    let qkv = values(3 * len);
    let gradient = values(len);
    let seconds = [
        best(|| attention(geometry, &qkv)),
        best(|| attention_backward(geometry, &gradient, &qkv)),
    ];
    print!("| {:6} | {:5} |", geometry.tokens, geometry.batch);
    for (seconds, products) in seconds.iter().zip([2.0, 5.0]) {
        let speed = products * product / seconds;
        print!(" {speed:5.0}  {:3.0} % |", 100.0 * speed / peak);
    }
    let [forward, backward] = seconds.map(|seconds| 12e3 * seconds / geometry.batch as f64);
    println!(" {forward:9.2} + {backward:9.2} |");
}

/// The shortest of a few runs.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let times = (0..15).map(|_| {
        let start = Instant::now();
        std::hint::black_box(work());
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect()
}
