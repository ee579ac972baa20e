//! Losses of classification.

use warmstart_nn::burn::tensor::activation::log_softmax;
use warmstart_nn::burn::tensor::{Tensor, TensorData};

/// Cross-entropy of logits `[batch, classes]` against class indices, averaged over the batch: `[1]`.
///
/// With `smoothing` s, the target is 1 − s for the true class and s / classes added to every one:
/// Szegedy and others (arXiv 1512.00567), section 7.
pub fn cross_entropy(logits: Tensor<2>, labels: &[usize], smoothing: f64) -> Tensor<1> {
    let [_, classes] = logits.dims();
    let rows = labels
        .iter()
        .map(|&label| smoothed(&[(label, 1.0)], classes, smoothing));
    let targets = rows.flatten().collect();
    soft_cross_entropy(logits, targets)
}

/// A target of shares of classes, smoothed as in [`cross_entropy`]; it has the same sum as the shares.
pub fn smoothed(shares: &[(usize, f64)], classes: usize, smoothing: f64) -> Vec<f32> {
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    let mut target = vec![(smoothing * sum / classes as f64) as f32; classes];
    for &(class, share) in shares {
        target[class] += ((1.0 - smoothing) * share) as f32;
    }
    target
}

/// Cross-entropy of logits `[batch, classes]` against targets of the same shape, row by row, averaged over the
/// batch: `[1]`.
pub fn soft_cross_entropy(logits: Tensor<2>, targets: Vec<f32>) -> Tensor<1> {
    let targets = TensorData::new(targets, logits.dims());
    let targets = Tensor::<2>::from_data(targets, &logits.device());
    let by_image = (log_softmax(logits, 1) * targets).sum_dim(1);
    -by_image.mean()
}
