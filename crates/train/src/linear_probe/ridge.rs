//! Ridge regression from features to one-hot classes, where each image is classified by the regression on all others:
//! how well features separate classes, without training a network.

use rayon::prelude::*;

/// Penalties λ that are tried, as shares of a feature vector's mean square.
const PENALTIES: [f64; 4] = [1e-2, 1e-1, 1.0, 10.0];

/// Whether each image is classified correctly by the regression on all others. `features` has one row per image,
/// `labels` are below `classes`.
///
/// With the Gram matrix K of the centred features, G = K + λI and α = G⁻¹Y, the prediction for image i of the
/// regression on the others is yᵢ − αᵢ ÷ (G⁻¹)ᵢᵢ (Rifkin and Lippert, "Notes on Regularized Least Squares", 2007,
/// section 3): one factorisation serves as many folds as there are images. The penalty λ with the most correct images
/// is taken, the largest among equals.
///
/// # Panics
/// If rows differ in length, or the numbers of rows and labels differ.
pub fn leave_one_out(features: &[Vec<f32>], labels: &[usize], classes: usize) -> Vec<bool> {
    assert_eq!(features.len(), labels.len(), "a label for each image");
    let gram = gram(features);
    let judged = PENALTIES.map(|penalty| judge(&gram, penalty, labels, classes));
    let right = |judged: &&Vec<bool>| judged.iter().filter(|right| **right).count();
    judged.iter().max_by_key(right).cloned().unwrap_or_default()
}

/// The Gram matrix, row by row: inner products of the rows less their mean, scaled to a mean square of one, and one
/// added to each for a bias.
fn gram(features: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let count = features.len().max(1) as f64;
    let values = features.first().map_or(0, Vec::len);
    let mut mean = vec![0.0; values];
    for row in features {
        for (mean, &value) in mean.iter_mut().zip(row) {
            *mean += f64::from(value) / count;
        }
    }
    let center = |row: &Vec<f32>| -> Vec<f64> {
        assert_eq!(row.len(), values, "rows of one length");
        row.iter()
            .zip(&mean)
            .map(|(&value, mean)| f64::from(value) - mean)
            .collect()
    };
    let centered: Vec<Vec<f64>> = features.iter().map(center).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let square = centered.iter().map(|row| dot(row, row)).sum::<f64>() / count;
    let scale = 1.0 / square.max(f64::MIN_POSITIVE);
    let row = |row: &Vec<f64>| {
        centered
            .iter()
            .map(|other| dot(row, other) * scale + 1.0)
            .collect()
    };
    centered.par_iter().map(row).collect()
}

fn judge(gram: &[Vec<f64>], penalty: f64, labels: &[usize], classes: usize) -> Vec<bool> {
    let Some(inverse) = inverse_of_factor(gram, penalty) else {
        return vec![false; labels.len()];
    };
    let images = labels.len();
    // G⁻¹ is the product of the factor's inverse, transposed, with itself.
    let mut half = vec![vec![0.0; classes]; images];
    for (row, half) in inverse.iter().zip(&mut half) {
        for (value, &label) in row.iter().zip(labels) {
            half[label] += value;
        }
    }
    let mut alpha = vec![vec![0.0; classes]; images];
    let mut diagonal = vec![0.0; images];
    for (row, half) in inverse.iter().zip(&half) {
        for (image, &value) in row.iter().enumerate() {
            diagonal[image] += value * value;
            for (alpha, half) in alpha[image].iter_mut().zip(half) {
                *alpha += value * half;
            }
        }
    }
    let right = |image: usize| {
        let score = |class: usize| {
            let truth = if labels[image] == class { 1.0 } else { 0.0 };
            truth - alpha[image][class] / diagonal[image]
        };
        let best = (0..classes).max_by(|&a, &b| score(a).total_cmp(&score(b)));
        best == Some(labels[image])
    };
    (0..images).map(right).collect()
}

/// The inverse of the Cholesky factor L of `gram` + `penalty` · I = LLᵀ, row by row up to the diagonal; `None` if
/// a feature is not finite.
fn inverse_of_factor(gram: &[Vec<f64>], penalty: f64) -> Option<Vec<Vec<f64>>> {
    let mut factor: Vec<Vec<f64>> = Vec::with_capacity(gram.len());
    let mut inverse: Vec<Vec<f64>> = Vec::with_capacity(gram.len());
    for (i, row) in gram.iter().enumerate() {
        let mut own = Vec::with_capacity(i + 1);
        for (j, other) in factor.iter().enumerate() {
            let known: f64 = own.iter().zip(other).map(|(a, b)| a * b).sum();
            own.push((row[j] - known) / other[j]);
        }
        let square: f64 = own.iter().map(|value: &f64| value * value).sum();
        let left = row[i] + penalty - square;
        if left.is_nan() || left <= 0.0 {
            return None;
        }
        let diagonal = left.sqrt();
        let mut inverted = vec![0.0; i + 1];
        for (value, row) in own.iter().zip(&inverse) {
            for (inverted, known) in inverted.iter_mut().zip(row) {
                *inverted -= value * known / diagonal;
            }
        }
        inverted[i] = 1.0 / diagonal;
        own.push(diagonal);
        factor.push(own);
        inverse.push(inverted);
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use warmstart_data::random::{Purpose, stream, unit};

    use super::*;

    /// Rows around a centre of each class, as far apart as `apart`.
    fn clouds(images: usize, apart: f64) -> (Vec<Vec<f32>>, Vec<usize>) {
        let mut random = stream(1, 0, 0, Purpose::Initialization);
        let labels: Vec<usize> = (0..images).map(|image| image % 3).collect();
        let row = |&label: &usize| {
            let value = |feature: usize| {
                let center = if feature % 3 == label { apart } else { 0.0 };
                (center + unit(&mut random) - 0.5) as f32
            };
            (0..6).map(value).collect()
        };
        (labels.iter().map(row).collect(), labels)
    }

    fn share(right: &[bool]) -> f64 {
        right.iter().filter(|right| **right).count() as f64 / right.len() as f64
    }

    #[test]
    fn separate_classes_are_classified_and_mixed_ones_are_not() {
        let (features, labels) = clouds(60, 2.0);
        assert_eq!(share(&leave_one_out(&features, &labels, 3)), 1.0);
        let (features, labels) = clouds(300, 0.0);
        let chance = share(&leave_one_out(&features, &labels, 3));
        assert!((0.2..0.48).contains(&chance), "{chance}");
    }

    #[test]
    fn the_formula_equals_leaving_each_image_out() {
        let (features, labels) = clouds(24, 0.4);
        let (gram, penalty) = (gram(&features), 0.1);
        let fast = judge(&gram, penalty, &labels, 3);
        for image in 0..labels.len() {
            // Without the image: K and Y lose a row, and K's column gives its prediction.
            let without = |row: &Vec<f64>| -> Vec<f64> {
                let others = row.iter().enumerate().filter(|(other, _)| *other != image);
                others.map(|(_, value)| *value).collect()
            };
            let rows = gram.iter().enumerate().filter(|(other, _)| *other != image);
            let rest: Vec<Vec<f64>> = rows.map(|(_, row)| without(row)).collect();
            let others = labels
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != image);
            let others: Vec<usize> = others.map(|(_, label)| *label).collect();
            let inverse = inverse_of_factor(&rest, penalty).unwrap();
            let towards = without(&gram[image]);
            let score = |class: usize| {
                let mut score = 0.0;
                for row in &inverse {
                    let of_class = row
                        .iter()
                        .zip(&others)
                        .filter(|(_, label)| **label == class);
                    let of_class: f64 = of_class.map(|(value, _)| value).sum();
                    let along: f64 = row.iter().zip(&towards).map(|(a, b)| a * b).sum();
                    score += of_class * along;
                }
                score
            };
            let best = (0..3).max_by(|&a, &b| score(a).total_cmp(&score(b)));
            assert_eq!(fast[image], best == Some(labels[image]), "image {image}");
        }
    }

    #[test]
    fn features_that_are_not_finite_classify_nothing() {
        let features = vec![vec![f32::NAN, 1.0], vec![0.0, 1.0]];
        assert_eq!(leave_one_out(&features, &[0, 1], 2), [false, false]);
        assert_eq!(leave_one_out(&[], &[], 2), Vec::<bool>::new());
    }

    #[test]
    fn features_that_are_all_the_same_are_no_error() {
        let features = vec![vec![1.0, 2.0]; 4];
        assert_eq!(leave_one_out(&features, &[0, 0, 0, 1], 2).len(), 4);
    }
}
