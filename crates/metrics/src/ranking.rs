/// Probabilities from logits, computed in f64 with the largest logit taken out first.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits
        .iter()
        .map(|&logit| (f64::from(logit) - f64::from(largest)).exp())
        .collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// The `k` highest values (or all, if there are fewer) with their indices, in falling order. Of
/// equals the lower index comes first; what is not a number comes last.
pub fn top_k(values: &[f32], k: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = values.iter().copied().enumerate().collect();
    let key = |value: f32| if value.is_nan() { f32::NEG_INFINITY } else { value };
    ranked.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)).then(a.0.cmp(&b.0)));
    ranked.truncate(k);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_a_known_row() {
        // e^1, e^2, e^3 over their sum.
        let expected = [0.090_030_57, 0.244_728_47, 0.665_240_94];
        for shift in [0.0, 1000.0, -1000.0] {
            for (p, e) in softmax(&[1.0 + shift, 2.0 + shift, 3.0 + shift]).iter().zip(expected) {
                assert!((p - e).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn ties_go_to_the_lower_index_and_nan_comes_last() {
        let ranked = top_k(&[0.2, f32::NAN, 0.5, 0.5], 9);
        let indices: Vec<usize> = ranked.iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [2, 3, 0, 1]);
        assert_eq!(top_k(&[0.1, 0.9], 1), [(1, 0.9)]);
    }
}
