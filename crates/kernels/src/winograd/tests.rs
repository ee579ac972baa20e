//! Winograd against the formula, on the small shapes that [`suits`](super::suits) leaves to the
//! direct kernels.

use proptest::prelude::*;

use crate::epilogue::Epilogue;
use crate::geometry::Convolution;
use crate::operand::Operand;
use crate::reference::{self, activate, activation_error, activations, values};

/// With absolute values everywhere the tile of F(2, 3) sums to `8/3` of the direct tile along each
/// axis, so a rounding of 2⁻²⁴ weighs up to `(8/3)² · 2⁻²⁴ = 4.2e-7` of `Σ |x| |w|`. Roundings are
/// independent and mostly cancel: a sum of hundreds stays within this bound of a single one. A sum of a
/// few, as of one pixel in three images, came to 4.34e-7 once in thousands of shapes: two of them are allowed.
const TOLERANCE: f64 = 8.4e-7;

/// The operands of all passes and, as `[y, grad_x, grad_w]`, the results.
struct Operands {
    x: Vec<f32>,
    w: Vec<f32>,
    grad_y: Vec<f32>,
}

impl Operands {
    fn new(c: &Convolution) -> Self {
        Self {
            x: values(c.input_len(), 1),
            w: values(c.weight_len(), 2),
            grad_y: values(c.output_len(), 3),
        }
    }

    fn absolute(&self) -> Self {
        let absolute = |values: &[f32]| values.iter().map(|value| value.abs()).collect();
        Self {
            x: absolute(&self.x),
            w: absolute(&self.w),
            grad_y: absolute(&self.grad_y),
        }
    }

    fn winograd(&self, c: &Convolution) -> [Vec<f32>; 3] {
        [
            forward(c, &self.x, &self.w, Epilogue::NONE),
            input_gradient(c, &self.grad_y, &self.w),
            super::weight_gradient(c, &self.x, &self.grad_y),
        ]
    }

    fn reference(&self, c: &Convolution) -> [Vec<f64>; 3] {
        [
            reference::forward(c, &self.x, &self.w),
            reference::input_gradient(c, &self.grad_y, &self.w),
            reference::weight_gradient(c, &self.x, &self.grad_y),
        ]
    }
}

/// Fails unless every value is within the tolerance of the largest sum of absolute products.
#[track_caller]
fn assert_close(name: &str, found: &[f32], expected: &[f64], absolute: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let scale = absolute
        .iter()
        .fold(0.0, |most: f64, value| most.max(*value));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= TOLERANCE * scale,
            "{name}, value {index}: expected {expected}, found {found}, Σ|x||w| {scale}"
        );
    }
}

fn check_all_passes(c: &Convolution) {
    let operands = Operands::new(c);
    let found = operands.winograd(c);
    let expected = operands.reference(c);
    let absolute = operands.absolute().reference(c);
    let names = ["forward", "input gradient", "weight gradient"];
    for (pass, name) in names.into_iter().enumerate() {
        assert_close(name, &found[pass], &expected[pass], &absolute[pass]);
    }
}

fn convolutions() -> impl Strategy<Value = Convolution> {
    let shape = (1usize..=3, [1usize..=13, 1usize..=13]);
    let padding = || [0usize..=2, 0usize..=2];
    (shape, [1usize..=40, 1usize..=70], padding(), padding())
        .prop_map(
            |((batch, size), channels, padding, padding_end)| Convolution {
                padding_end,
                ..convolution(batch, size, channels, padding)
            },
        )
        .prop_filter("the kernel fits", |c| c.check().is_ok())
}

fn convolution(
    batch: usize,
    size: [usize; 2],
    channels: [usize; 2],
    padding: [usize; 2],
) -> Convolution {
    Convolution {
        batch,
        in_height: size[0],
        in_width: size[1],
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [3; 2],
        stride: [1; 2],
        padding,
        padding_end: padding,
        dilation: [1; 2],
        groups: 1,
    }
}

fn forward(c: &Convolution, x: &[f32], w: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    let packed = super::pack(c, w);
    super::forward(c, Operand::Values(x), &packed, epilogue, |_, _| ()).0
}

fn input_gradient(c: &Convolution, grad_y: &[f32], w: &[f32]) -> Vec<f32> {
    let grad_y = Operand::Values(grad_y);
    super::input_gradient(c, grad_y, w, Epilogue::NONE, |_, _| ()).0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_passes_follow_the_formula(c in convolutions()) {
        check_all_passes(&c);
    }

    #[test]
    fn the_epilogue_rides_along(
        c in convolutions(), act in activations(), with_residual in any::<bool>()
    ) {
        let Operands { x, w, grad_y } = Operands::new(&c);
        let bias = values(c.out_channels, 4);
        let residual = with_residual.then_some(grad_y.as_slice());
        let plain = forward(&c, &x, &w, Epilogue::NONE);
        let found = forward(&c, &x, &w, Epilogue::new(Some(&bias), residual, act));
        for (index, (found, plain)) in found.iter().zip(plain).enumerate() {
            let residual = residual.map_or(0.0, |residual| residual[index]);
            let sum = plain + bias[index % c.out_channels] + residual;
            let expected = activate(act, f64::from(sum));
            let error = (f64::from(*found) - expected).abs();
            prop_assert!(error <= activation_error(act, expected), "expected {expected}, found {found}");
        }
    }
}

/// Shapes that span several tasks, panels, register tiles and, in the weight gradient, chunks.
fn large() -> [Convolution; 5] {
    [
        Convolution {
            padding_end: [1, 2],
            ..convolution(2, [26, 31], [33, 40], [2, 0])
        },
        convolution(3, [25, 24], [16, 72], [1, 1]),
        convolution(1, [5, 150], [40, 33], [2, 0]),
        convolution(2, [7, 7], [130, 100], [1, 1]),
        convolution(40, [12, 13], [8, 8], [1, 2]),
    ]
}

#[test]
fn large_shapes_follow_the_formula() {
    for c in large() {
        check_all_passes(&c);
    }
}

#[test]
fn one_pixel_and_one_channel_are_a_product() {
    let c = convolution(1, [1, 1], [1, 1], [1, 1]);
    let mut w = [7.0; 9];
    w[4] = -2.0;
    assert_eq!(forward(&c, &[3.0], &w, Epilogue::NONE), [-6.0]);
    assert_eq!(input_gradient(&c, &[5.0], &w), [-10.0]);
    let mut grad_w = [0.0; 9];
    grad_w[4] = 15.0;
    assert_eq!(super::weight_gradient(&c, &[3.0], &[5.0]), grad_w);
}

#[test]
fn an_empty_batch_gives_empty_results() {
    let c = convolution(0, [4, 4], [3, 5], [1, 1]);
    check_all_passes(&c);
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            large().map(|c| {
                let results = Operands::new(&c).winograd(&c);
                results.map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            })
        })
    };
    assert!(on_threads(1) == on_threads(3));
}

#[test]
fn the_other_simd_levels_pass_the_same_tests() {
    if std::env::var_os("WARMSTART_SIMD").is_some() {
        return;
    }
    let mut levels = vec!["scalar"];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        levels.push("avx2");
    }
    for level in levels {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .arg("winograd::")
            .env("WARMSTART_SIMD", level)
            .status()
            .unwrap();
        assert!(status.success(), "level {level}");
    }
}
