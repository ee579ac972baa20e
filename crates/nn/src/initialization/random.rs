//! Random values from generators keyed by seed and name.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::ParameterInfo;

/// Deviations beyond which a truncated normal value is drawn again.
const TRUNCATED_AT: f64 = 2.0;

fn generator(parameter: &ParameterInfo, seed: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(parameter.name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// In (0, 1].
fn share(random: &mut ChaCha8Rng) -> f64 {
    ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

fn length(parameter: &ParameterInfo) -> usize {
    parameter.shape.iter().product()
}

/// Normal values around 0 without end, by the Box–Muller transform.
fn normal_values(
    parameter: &ParameterInfo,
    seed: u64,
    deviation: f64,
) -> impl Iterator<Item = f64> {
    let mut random = generator(parameter, seed);
    let pairs = std::iter::repeat_with(move || {
        // Above 0, so that the logarithm is finite.
        let radius = deviation * (-2.0 * share(&mut random).ln()).sqrt();
        let (sin, cos) = (TAU * share(&mut random)).sin_cos();
        [radius * cos, radius * sin]
    });
    pairs.flatten()
}

/// Normal values around 0.
pub(super) fn normal(parameter: &ParameterInfo, seed: u64, deviation: f64) -> Vec<f32> {
    let values = normal_values(parameter, seed, deviation).map(|value| value as f32);
    values.take(length(parameter)).collect()
}

/// Normal values around 0, none beyond two deviations.
pub(super) fn truncated_normal(parameter: &ParameterInfo, seed: u64, deviation: f64) -> Vec<f32> {
    let values = normal_values(parameter, seed, deviation);
    let values = values.filter(|value| value.abs() <= TRUNCATED_AT * deviation);
    let values = values.map(|value| value as f32);
    values.take(length(parameter)).collect()
}

/// Values between `-bound` and `bound`.
pub(super) fn uniform(parameter: &ParameterInfo, seed: u64, bound: f64) -> Vec<f32> {
    let mut random = generator(parameter, seed);
    let value = || (bound * (2.0 * share(&mut random) - 1.0)) as f32;
    std::iter::repeat_with(value)
        .take(length(parameter))
        .collect()
}

/// A matrix of `shape[0]` rows whose rows or columns, whichever are fewer, are orthonormal, times a gain:
/// normal vectors by the modified Gram–Schmidt process, which are uniform among such matrices.
pub(super) fn orthogonal(parameter: &ParameterInfo, seed: u64, gain: f64) -> Vec<f32> {
    let rows = parameter.shape[0];
    let columns = length(parameter) / rows;
    let (few, many) = (rows.min(columns), rows.max(columns));
    let mut values = normal_values(parameter, seed, 1.0);
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(few);
    while basis.len() < few {
        let mut vector: Vec<f64> = values.by_ref().take(many).collect();
        let before = norm(&vector);
        for other in &basis {
            let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            for (value, other) in vector.iter_mut().zip(other) {
                *value -= along * other;
            }
        }
        let after = norm(&vector);
        // Nearly dependent on the others, the rest would be rounding: another one is drawn.
        if after > 1e-6 * before {
            basis.push(vector.into_iter().map(|value| value / after).collect());
        }
    }
    let at = |row: usize, column: usize| {
        if rows <= columns {
            basis[row][column]
        } else {
            basis[column][row]
        }
    };
    let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    cells
        .map(|(row, column)| (gain * at(row, column)) as f32)
        .collect()
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}
