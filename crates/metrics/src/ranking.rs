//! One row of scores: what is likely, and how much.

use std::cmp::Ordering;

/// The `k` highest scores of a row with their classes, in falling order; fewer if the row is
/// shorter.
///
/// Of equal scores the lower class comes first. NaN ranks below everything.
pub fn top_k(scores: &[f32], k: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
    ranked.sort_by(|a, b| rank(*a, *b));
    ranked.truncate(k);
    ranked
}

/// The order of two scored classes: the better one is less.
pub(crate) fn rank((class, score): (usize, f32), (other, other_score): (usize, f32)) -> Ordering {
    let by_score = match other_score.partial_cmp(&score) {
        Some(ordering) => ordering,
        None => score.is_nan().cmp(&other_score.is_nan()),
    };
    by_score.then(class.cmp(&other))
}

/// Probabilities from logits: exp(x) over the sum of exp, shifted by the maximum so that nothing
/// overflows.
///
/// A row that has NaN or +∞, or nothing but -∞, gives NaN throughout.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let high = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted: Vec<f32> = logits.iter().map(|logit| (logit - high).exp()).collect();
    let sum: f64 = shifted.iter().copied().map(f64::from).sum();
    shifted
        .iter()
        .map(|value| (f64::from(*value) / sum) as f32)
        .collect()
}
