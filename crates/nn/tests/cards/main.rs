//! Every operation of the seam on a graphics card: near what the processor computes, and twice the same bits.
//!
//! `scripts/test-cards` passes these tests; where the environment variable WARMSTART_DEVICE names no card, they are
//! left out.

#[path = "../common/branches.rs"]
mod branches;
#[path = "../common/card.rs"]
mod card;
#[path = "../common/mod.rs"]
mod common;
mod half;
mod maps;
mod numbers;
mod operation;
mod transformers;
mod units;
mod updating;

use warmstart_nn::burn::tensor::Device;

/// Largest difference in f32, as a share of the largest value.
const NEAR: f32 = 1e-4;

/// What an operation computes on a device.
#[derive(PartialEq)]
struct Results {
    outputs: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
}

impl Results {
    fn of(outputs: Vec<Vec<f32>>) -> Self {
        Self {
            outputs,
            gradients: Vec::new(),
        }
    }
}

/// Fails unless a card computes nearly what the processor does, and twice the same bits.
#[track_caller]
fn check(card: &Device, tolerance: f32, what: &str, compute: impl Fn(&Device) -> Results) {
    let expected = compute(&warmstart_nn::device());
    let found = compute(card);
    require_near(what, tolerance, 1e-2, &found.outputs, &expected.outputs);
    // Where a norm cancels nearly all of a gradient, the rest of it has the rounding of what was cancelled, which is as
    // large as other gradients are.
    let gradients = expected.gradients.iter().flatten();
    let floor = gradients.fold(1e-2f32, |a, v| a.max(0.1 * v.abs()));
    require_near(
        what,
        tolerance,
        floor,
        &found.gradients,
        &expected.gradients,
    );
    assert!(compute(card) == found, "other bits the second time: {what}");
}

/// Fails unless values are near others: as a share of the largest of their tensor, which counts as `floor` at least.
#[track_caller]
fn require_near(what: &str, tolerance: f32, floor: f32, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "tensor {index} of {what}");
        let largest = expected.iter().fold(floor, |a, v| a.max(v.abs()));
        for (place, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!(
                (a - b).abs() <= tolerance * largest,
                "value {place} of tensor {index}: {a} is not {b} (largest {largest}) in {what}"
            );
        }
    }
}
