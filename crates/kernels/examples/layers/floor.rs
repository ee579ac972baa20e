//! Least time that the convolutions of a network take on this machine.
//!
//! A layer takes the longer of two times: its multiply-adds at the peak, with Winograd's F(2×2,
//! 3×3) for a kernel of 3×3 and stride 1, and a copy of its operands. Each pass reads its operands
//! once and writes its result once; a training step is a forward pass, both gradients in one pass
//! over their operands, and AdamW.

use std::time::Instant;

use rayon::prelude::*;
use warmstart_kernels::Convolution;

/// Values of a buffer that is copied: more than a cache holds.
const COPIED: usize = 64 << 20;
/// Accesses of a weight in a step: two packings, its gradient, and AdamW, which reads four values
/// and writes three.
const WEIGHT_ACCESSES: f64 = 10.0;
const BYTES: f64 = size_of::<f32>() as f64;

/// Prints a table of the networks' floors in milliseconds an image.
pub fn print(peak_gigaflops: f64, networks: &[(&str, Vec<Convolution>)]) {
    let machine = Machine {
        flops: 1e9 * peak_gigaflops,
        bytes: copied_bytes_per_second(),
    };
    println!(
        "\n| floor, ms an image; copies at {:.0} GB/s | forward | of multiply-adds alone | training step | of multiply-adds alone |",
        1e-9 * machine.bytes
    );
    println!("|---|--:|--:|--:|--:|");
    for (name, layers) in networks {
        let batch = layers[0].batch as f64;
        let sum = |floor: &dyn Fn(&Convolution) -> Work| -> [f64; 2] {
            let floors = layers.iter().map(|layer| {
                let work = floor(layer);
                let arithmetic = 2.0 * work.multiply_adds / machine.flops;
                [arithmetic.max(work.bytes / machine.bytes), arithmetic]
            });
            floors
                .fold([0.0; 2], |[a, b], [c, d]| [a + c, b + d])
                .map(|seconds| 1e3 * seconds / batch)
        };
        let [forward, forward_arithmetic] = sum(&forward);
        let [step, step_arithmetic] = sum(&step);
        println!(
            "| {name} | {forward:.1} | {forward_arithmetic:.1} | {step:.1} | {step_arithmetic:.1} |"
        );
    }
}

struct Machine {
    flops: f64,
    bytes: f64,
}

/// The least work of a pass.
struct Work {
    multiply_adds: f64,
    bytes: f64,
}

fn forward(c: &Convolution) -> Work {
    Work {
        multiply_adds: multiply_adds(c),
        bytes: BYTES * (c.input_len() + c.output_len() + c.weight_len()) as f64,
    }
}

/// The backward pass reads input, result and the gradient of the result, and writes the gradient of
/// the input, which the first layer of a network does not need.
fn step(c: &Convolution) -> Work {
    let (input, output) = (c.input_len() as f64, c.output_len() as f64);
    let (passes, inputs) = if c.in_channels == 3 {
        (2.0, 2.0)
    } else {
        (3.0, 3.0)
    };
    Work {
        multiply_adds: passes * multiply_adds(c),
        bytes: BYTES * (inputs * input + 3.0 * output + WEIGHT_ACCESSES * c.weight_len() as f64),
    }
}

fn multiply_adds(c: &Convolution) -> f64 {
    let direct = c.multiply_adds() as f64;
    match (c.kernel, c.stride, c.groups) {
        ([3, 3], [1, 1], 1) => direct * 16.0 / 36.0,
        _ => direct,
    }
}

/// Bytes read and written, on all threads; the best of a few runs.
fn copied_bytes_per_second() -> f64 {
    let source = vec![1f32; COPIED];
    let mut copy = vec![0f32; COPIED];
    let seconds = (0..7).map(|_| {
        let started = Instant::now();
        let chunks = copy.par_chunks_mut(1 << 16).zip(source.par_chunks(1 << 16));
        // With arithmetic in it, as in the kernels: the system's own copy may be slower.
        chunks.for_each(|(copy, source)| {
            copy.iter_mut()
                .zip(source)
                .for_each(|(to, from)| *to = from + 1.0);
        });
        std::hint::black_box(&mut copy);
        started.elapsed().as_secs_f64()
    });
    2.0 * BYTES * COPIED as f64 / seconds.fold(f64::INFINITY, f64::min)
}
