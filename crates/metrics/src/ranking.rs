//! Ranking and probabilities of one row of a model's outputs.

use std::cmp::Ordering;

/// The order of two scores, the higher first; NaN ranks below everything.
pub(crate) fn falling(a: f64, b: f64) -> Ordering {
    match b.partial_cmp(&a) {
        Some(ordering) => ordering,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}

/// The `k` highest scores of a row with their classes, in falling order; fewer if the row is
/// shorter.
///
/// Of equal scores the lower class comes first. NaN ranks below everything.
pub fn top_k(scores: &[f32], k: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
    // By the class where scores are equal, so that no two places are.
    let order = |(class, a): &(usize, f32), (other, b): &(usize, f32)| {
        falling((*a).into(), (*b).into()).then(class.cmp(other))
    };
    if k < ranked.len() {
        // Of thousands of classes, few are asked for: those behind them need no order.
        ranked.select_nth_unstable_by(k, order);
        ranked.truncate(k);
    }
    ranked.sort_unstable_by(order);
    ranked
}

/// Probabilities from logits: exp(x) over the sum of exp, shifted by the maximum so that nothing
/// overflows.
///
/// A row with a NaN or +∞, or of -∞ alone, gives NaN throughout.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let high = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted: Vec<f32> = logits.iter().map(|logit| (logit - high).exp()).collect();
    let sum: f64 = shifted.iter().copied().map(f64::from).sum();
    shifted
        .iter()
        .map(|value| (f64::from(*value) / sum) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(scores: &[f32], k: usize) -> Vec<usize> {
        top_k(scores, k)
            .into_iter()
            .map(|(class, _)| class)
            .collect()
    }

    #[test]
    fn top_k_falls_breaks_ties_by_class_and_puts_nan_last() {
        let scores = [0.1, 0.5, f32::NAN, 0.5, f32::NEG_INFINITY];
        assert_eq!(top_k(&scores, 3), [(1, 0.5), (3, 0.5), (0, 0.1)]);
        assert_eq!(classes(&scores, 9), [1, 3, 0, 4, 2]);
        assert_eq!(classes(&[0.0, -0.0], 1), [0]);
        assert_eq!(classes(&[f32::NAN; 3], 2), [0, 1]);
        assert!(top_k(&[], 5).is_empty());
    }

    /// A linear congruential generator, whose highest bits are random enough: equal scores, both zeros, infinities and
    /// NaN among them.
    fn random_scores(seed: u64, count: usize) -> Vec<f32> {
        const SCORES: [f32; 9] = [
            0.0,
            -0.0,
            0.25,
            0.5,
            1.0,
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MIN_POSITIVE,
        ];
        let mut state = seed;
        let score = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let drawn = (state >> 33) as usize;
            match drawn % 20 {
                place if place < SCORES.len() => SCORES[place],
                _ => (drawn % 1000) as f32 / 1000.0,
            }
        };
        std::iter::repeat_with(score).take(count).collect()
    }

    #[test]
    fn a_selection_is_the_beginning_of_the_sorted_row() {
        for seed in 0..200 {
            let scores = random_scores(seed, 1 + seed as usize * 7 % 300);
            let mut sorted: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
            sorted.sort_by(|(_, a), (_, b)| falling((*a).into(), (*b).into()));
            let bits = |ranked: &[(usize, f32)]| -> Vec<(usize, u32)> {
                let pairs = ranked.iter();
                pairs
                    .map(|(class, score)| (*class, score.to_bits()))
                    .collect()
            };
            for k in [0, 1, 2, 5, 50, scores.len() - 1, scores.len(), 1000] {
                let expected = &sorted[..k.min(sorted.len())];
                assert_eq!(
                    bits(&top_k(&scores, k)),
                    bits(expected),
                    "{k} of {scores:?}"
                );
            }
        }
    }

    /// exp(1), exp(2), exp(3) over their sum, by hand.
    #[test]
    fn softmax_is_known_and_does_not_overflow() {
        for shift in [0.0, 1000.0, -1000.0] {
            let found = softmax(&[1.0 + shift, 2.0 + shift, 3.0 + shift]);
            for (found, expected) in found.iter().zip([0.090_030_57, 0.244_728_48, 0.665_240_9]) {
                assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
            }
        }
        assert_eq!(softmax(&[0.0, f32::NEG_INFINITY]), [1.0, 0.0]);
        assert!(softmax(&[0.0, f32::NAN]).iter().all(|value| value.is_nan()));
        assert!(softmax(&[]).is_empty());
    }
}
