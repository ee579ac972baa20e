//! Spread of a figure over several runs.

/// Mean and sample standard deviation (with n − 1) of figures, in their unit.
///
/// The deviation of a single value is 0; without values, both are 0.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: the squares of -3, -1, -1, -1, 0, 0, 2, 4 sum to 32.
    #[test]
    fn mean_and_deviation_are_known() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean_and_deviation(&values), (5.0, (32.0f64 / 7.0).sqrt()));
        assert_eq!(mean_and_deviation(&[0.5, 1.5]), (1.0, 0.5f64.sqrt()));
    }

    #[test]
    fn a_single_value_does_not_deviate() {
        assert_eq!(mean_and_deviation(&[0.7]), (0.7, 0.0));
        assert_eq!(mean_and_deviation(&[]), (0.0, 0.0));
    }

    #[test]
    fn equal_values_far_from_zero_do_not_deviate() {
        assert_eq!(mean_and_deviation(&[1e9; 5]), (1e9, 0.0));
    }
}
