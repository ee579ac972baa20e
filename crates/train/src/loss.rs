//! Losses of classification.

use warmstart_nn::burn::tensor::activation::log_softmax;
use warmstart_nn::burn::tensor::{Tensor, TensorData};

/// Cross-entropy of logits `[batch, classes]` against class indices, averaged over the batch: `[1]`.
///
/// With `smoothing` s, the target is 1 − s for the true class and s / classes added to every one:
/// Szegedy and others (arXiv 1512.00567), section 7.
pub fn cross_entropy(logits: Tensor<2>, labels: &[usize], smoothing: f64) -> Tensor<1> {
    let [batch, classes] = logits.dims();
    let share = (smoothing / classes as f64) as f32;
    let mut target = vec![share; batch * classes];
    for (row, &label) in target.chunks_mut(classes).zip(labels) {
        row[label] += (1.0 - smoothing) as f32;
    }
    let target =
        Tensor::<2>::from_data(TensorData::new(target, [batch, classes]), &logits.device());
    let by_image = (log_softmax(logits, 1) * target).sum_dim(1);
    -by_image.mean()
}
