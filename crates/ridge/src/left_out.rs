//! What a regression on all other images says of each image.

/// Probabilities of the images judged, each by the regression on all others.
///
/// They are slightly optimistic: the same images chose the penalty and the temperature, and gave the mean and deviation
/// of each value. Where features tell next to nothing, the accuracy is below chance: without an image, its class is the
/// rarer one.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Numbers of the images judged, in the order in which they were added, from 0: all images, or an even sample of
    /// 4,096.
    pub images: Vec<usize>,
    /// Labels of those images.
    pub labels: Vec<usize>,
    /// Probabilities, [judged, classes]. Each row sums to 1.
    pub probabilities: Vec<f32>,
    /// Number of classes.
    pub classes: usize,
}

impl LeftOut {
    /// Probabilities of each image judged, with its label.
    pub fn rows(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let rows = self.probabilities.chunks_exact(self.classes.max(1));
        rows.zip(self.labels.iter().copied())
    }

    /// Whether the class of each image judged is likelier than every other.
    pub fn right(&self) -> Vec<bool> {
        self.rows()
            .map(|(row, label)| is_likeliest(row, label))
            .collect()
    }

    /// Share of the images judged whose class is likelier than every other, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.mean(|row, label| f64::from(u8::from(is_likeliest(row, label))))
    }

    /// Mean of −ln p over the images judged, with the probability p of an image's class: 0 at best, ln(classes) for
    /// equal probabilities.
    pub fn log_loss(&self) -> f64 {
        self.mean(|row, label| -f64::from(row[label].max(f32::MIN_POSITIVE)).ln())
    }

    /// Mean of the largest probability over the images judged: near the accuracy if the probabilities are calibrated.
    pub fn confidence(&self) -> f64 {
        self.mean(|row, _| f64::from(row.iter().copied().fold(0.0, f32::max)))
    }

    /// Adds to the logit of each class.
    pub(crate) fn shift(&mut self, by: &[f32]) {
        let factors: Vec<f64> = by.iter().map(|by| f64::from(*by).exp()).collect();
        for row in self.probabilities.chunks_exact_mut(self.classes.max(1)) {
            let scaled = row
                .iter()
                .zip(&factors)
                .map(|(p, factor)| f64::from(*p) * factor);
            let scaled: Vec<f64> = scaled.collect();
            let sum: f64 = scaled.iter().sum();
            for (probability, scaled) in row.iter_mut().zip(scaled) {
                *probability = (scaled / sum) as f32;
            }
        }
    }

    fn mean(&self, figure: impl Fn(&[f32], usize) -> f64) -> f64 {
        let sum: f64 = self.rows().map(|(row, label)| figure(row, label)).sum();
        sum / self.images.len().max(1) as f64
    }
}

fn is_likeliest(row: &[f32], label: usize) -> bool {
    let mut others = row.iter().enumerate();
    others.all(|(class, &other)| class == label || other < row[label])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_of_logits_is_that_of_the_softmax() {
        let (logits, by) = ([0.3_f64, -1.0, 2.0], [0.5_f32, 0.0, -1.0]);
        let softmax = |logits: [f64; 3]| {
            let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
            logits.map(|logit| (logit.exp() / sum) as f32)
        };
        let mut left_out = LeftOut {
            images: vec![0],
            labels: vec![0],
            probabilities: softmax(logits).to_vec(),
            classes: 3,
        };
        left_out.shift(&by);
        let expected = softmax([0.8, -1.0, 1.0]);
        for (found, expected) in left_out.probabilities.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn figures_of_probabilities() {
        let left_out = LeftOut {
            images: vec![0, 4, 5],
            labels: vec![0, 1, 1],
            probabilities: vec![0.75, 0.25, 0.5, 0.5, 0.25, 0.75],
            classes: 2,
        };
        assert_eq!(left_out.accuracy(), 2.0 / 3.0);
        assert!((left_out.confidence() - 2.0 / 3.0).abs() < 1e-12);
        let loss = -(2.0 * 0.75_f64.ln() + 0.5_f64.ln()) / 3.0;
        assert!((left_out.log_loss() - loss).abs() < 1e-12);
    }
}
