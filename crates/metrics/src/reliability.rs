//! Whether a classifier's probabilities mean what they say.

/// Images whose largest probability lies in one range.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReliabilityBin {
    /// Number of images.
    pub images: usize,
    /// Mean of their largest probabilities, 0 to 1.
    pub confidence: f64,
    /// Share of them that are classified correctly, 0 to 1.
    pub accuracy: f64,
}

/// The images in ranges of equal width of their largest probability, from `(largest probability, whether it is right)`
/// of each. Guo and others, "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 2.
pub fn reliability(images: &[(f32, bool)], bins: usize) -> Vec<ReliabilityBin> {
    let mut found = vec![ReliabilityBin::default(); bins];
    for &(probability, is_right) in images {
        let place = (f64::from(probability) * bins as f64).max(0.0) as usize;
        let bin = &mut found[place.min(bins - 1)];
        bin.images += 1;
        bin.confidence += f64::from(probability);
        bin.accuracy += f64::from(u8::from(is_right));
    }
    for bin in &mut found {
        let images = bin.images.max(1) as f64;
        bin.confidence /= images;
        bin.accuracy /= images;
    }
    found
}

/// The mean distance of confidence and accuracy over the images, 0 to 1: the expected calibration error of the same
/// section.
pub fn calibration_error(bins: &[ReliabilityBin]) -> f64 {
    let images: usize = bins.iter().map(|bin| bin.images).sum();
    let distance = |bin: &ReliabilityBin| bin.images as f64 * (bin.confidence - bin.accuracy).abs();
    bins.iter().map(distance).sum::<f64>() / images.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_worked_out_by_hand() {
        let images = [(0.95, true), (0.85, true), (1.0, false), (0.3, false)];
        let bins = reliability(&images, 5);
        assert_eq!(bins[1].images, 1);
        assert_eq!(bins[1].accuracy, 0.0);
        assert_eq!(bins[4].images, 3);
        assert!((bins[4].confidence - 2.8 / 3.0).abs() < 1e-6);
        assert!((bins[4].accuracy - 2.0 / 3.0).abs() < 1e-9);
        // (1 × 0.3 + 3 × (2.8/3 − 2/3)) ÷ 4
        assert!((calibration_error(&bins) - 1.1 / 4.0).abs() < 1e-6);
    }

    #[test]
    fn no_images_have_no_error() {
        assert_eq!(calibration_error(&reliability(&[], 10)), 0.0);
    }
}
