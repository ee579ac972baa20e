//! The temperature that makes a softmax of scores into calibrated probabilities.

use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;

/// Logarithms of the least and the largest temperature that is tried: of 1e-3 and 1e3.
const BOUNDS: [f64; 2] = [-6.907755278982137, 6.907755278982137];

/// Steps of the search: they narrow the bounds to 1e-6 of the temperature.
const STEPS: usize = 34;

/// Images whose loss one task sums.
const CHUNK: usize = 256;

/// The temperature T at which softmax(score ÷ T) has the least log-loss (Guo et al., "On Calibration of Modern Neural
/// Networks", 2017, section 4.2). `scores` are [images, classes].
///
/// The truth counts as 1 − ε, and ε = 1 ÷ (images + 2) is spread evenly over the classes, as Platt does with two
/// classes ("Probabilistic Outputs for Support Vector Machines", 1999, section 2.2): a few images that are all right
/// do not make a classifier that is never in doubt. This loss is convex in 1 ÷ T, so it falls, then rises in ln T, and
/// a golden-section search (Kiefer, 1953) finds its bottom.
pub(crate) fn temperature(scores: &Array2<f64>, labels: &[usize]) -> f64 {
    let share = (5.0_f64.sqrt() - 1.0) / 2.0;
    let loss = |logarithm: f64| loss(scores, labels, (-logarithm).exp());
    let [mut low, mut high] = BOUNDS;
    let mut left = (high - share * (high - low), 0.0);
    let mut right = (low + share * (high - low), 0.0);
    (left.1, right.1) = (loss(left.0), loss(right.0));
    for _ in 0..STEPS {
        if left.1 < right.1 {
            (high, right) = (right.0, left);
            left.0 = high - share * (high - low);
            left.1 = loss(left.0);
        } else {
            (low, left) = (left.0, right);
            right.0 = low + share * (high - low);
            right.1 = loss(right.0);
        }
    }
    f64::midpoint(low, high).exp()
}

/// The sum over images of the smoothed log-loss at the inverse temperature `sharpness`.
fn loss(scores: &Array2<f64>, labels: &[usize], sharpness: f64) -> f64 {
    let (images, classes) = scores.dim();
    let doubt = 1.0 / (images as f64 + 2.0);
    let of_image = |image: usize| {
        let scores = scores.row(image);
        let (largest, sum) = exponentials(scores, sharpness);
        let expected =
            (1.0 - doubt) * scores[labels[image]] + doubt * scores.sum() / classes as f64;
        sum.ln() - sharpness * (expected - largest)
    };
    let starts: Vec<usize> = (0..images).step_by(CHUNK).collect();
    let of_chunk = |start: usize| (start..images.min(start + CHUNK)).map(of_image).sum();
    let sums: Vec<f64> = starts.into_par_iter().map(of_chunk).collect();
    sums.iter().sum()
}

/// The largest score, and the sum of exp(`sharpness` · (score − largest)).
fn exponentials(scores: ArrayView1<'_, f64>, sharpness: f64) -> (f64, f64) {
    let largest = scores.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let exponential = |score: &f64| (sharpness * (score - largest)).exp();
    (largest, scores.iter().map(exponential).sum())
}

/// softmax(score ÷ `temperature`), row by row: [images, classes].
pub(crate) fn probabilities(scores: &Array2<f64>, temperature: f64) -> Vec<f32> {
    let sharpness = 1.0 / temperature;
    let mut probabilities = Vec::with_capacity(scores.len());
    for row in scores.rows() {
        let (largest, sum) = exponentials(row, sharpness);
        let probability = |score: &f64| ((sharpness * (score - largest)).exp() / sum) as f32;
        probabilities.extend(row.iter().map(probability));
    }
    probabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temperature_gives_the_share_that_is_right() {
        // 90 of 100 images are right by a margin of 0.5: 1 ÷ (1 + exp(−0.5 ÷ T)) is 0.9 but for the doubt.
        let scores = Array2::from_shape_fn((100, 2), |(_, class)| 0.5 * class as f64);
        let labels: Vec<usize> = (0..100).map(|image| usize::from(image >= 10)).collect();
        let found = temperature(&scores, &labels);
        let share: f64 = 0.9 * (1.0 - 1.0 / 102.0) + 0.5 / 102.0;
        let expected = 0.5 / (share / (1.0 - share)).ln();
        assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
    }

    #[test]
    fn images_that_are_all_right_leave_doubt() {
        let scores = Array2::from_shape_fn((20, 2), |(image, class)| {
            f64::from(u8::from(image % 2 == class))
        });
        let labels: Vec<usize> = (0..20).map(|image| image % 2).collect();
        let sure = probabilities(&scores, temperature(&scores, &labels))[0];
        assert!((sure - 43.0 / 44.0).abs() < 1e-4, "{sure}");
    }

    #[test]
    fn scores_that_are_all_wrong_or_equal_are_no_error() {
        let wrong =
            Array2::from_shape_fn((2, 2), |(image, class)| f64::from(u8::from(image != class)));
        let found = probabilities(&wrong, temperature(&wrong, &[0, 1]));
        assert!(found.iter().all(|value| (value - 0.5).abs() < 1e-3));
        let equal = Array2::zeros((2, 1));
        assert_eq!(
            probabilities(&equal, temperature(&equal, &[0, 0])),
            [1.0, 1.0]
        );
    }
}
