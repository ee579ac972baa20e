//! Defaults that scale with the training images: docs/decisions/0016-what-scales-with-the-images.md

use warmstart_data::{IMBALANCE, imbalance};

use crate::choices::{Balance, HeadKind, OptimizerKind};

/// Fewest steps of an epoch under an automatic batch, except the smallest: small data sets get small batches.
const STEPS_AN_EPOCH: usize = 8;
/// Smallest automatic batch: in a smaller one, batch norm's statistics would be noise.
pub const SMALLEST_BATCH: usize = 4;
/// Training images from which on defaults are those of large data sets.
pub(crate) const MANY: usize = 1000;
/// Largest imbalance that is balanced: beyond it, an image of the smallest class would dominate its step.
const MOST_IMBALANCE: f64 = 50.0;
/// Fewest validation images of the smallest class by which its share can be judged.
const FEW_TO_COMPARE: usize = 5;

/// The facts about the data that defaults depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingImages {
    /// Number of images.
    pub count: usize,
    /// Whether some classes have many times the images of others, and the validation images are much more balanced.
    pub unequal: bool,
}

impl TrainingImages {
    /// The facts about splits with these numbers of images of each class; empty in detection.
    pub fn new(count: usize, training: &[usize], validation: &[usize]) -> Self {
        let [here, there] = [training, validation].map(imbalance);
        let can_tell = validation.iter().all(|&images| images >= FEW_TO_COMPARE);
        Self {
            count,
            unequal: here > IMBALANCE && here <= MOST_IMBALANCE && here >= 2.0 * there && can_tell,
        }
    }
}

/// The usual batch, halved while an epoch would have few steps.
pub(crate) fn batch(usual: usize, images: Option<TrainingImages>) -> usize {
    let mut batch = usual;
    while batch > SMALLEST_BATCH
        && images.is_some_and(|images| images.count < batch * STEPS_AN_EPOCH)
    {
        batch /= 2;
    }
    batch
}

/// Factor by which the learning rate follows an automatic batch: in proportion with SGD (Goyal and others, arXiv
/// 1706.02677, section 2.1), by the square root with Adam and AdamW, whose steps do not grow with the
/// gradient (Malladi and others, arXiv 2205.10287, section 4).
pub fn lr_factor(optimizer: OptimizerKind, from: usize, to: usize) -> f64 {
    let factor = to as f64 / from as f64;
    match optimizer {
        OptimizerKind::Sgd => factor,
        OptimizerKind::Adam | OptimizerKind::AdamW => factor.sqrt(),
    }
}

/// Default balance: none where the validation images are as unequal, because accuracy is then mostly that of the large
/// classes.
pub(crate) fn balance(images: Option<TrainingImages>, head: HeadKind) -> Balance {
    match (images, head) {
        (Some(images), HeadKind::Ridge) if images.unequal => Balance::Prior,
        (Some(images), HeadKind::Linear) if images.unequal => Balance::Loss,
        (Some(_) | None, HeadKind::Ridge | HeadKind::Linear) => Balance::None,
    }
}

/// Number of images as a share of [`MANY`]; (0, 1].
pub(crate) fn share(images: Option<TrainingImages>) -> f64 {
    let count = images.map_or(MANY, |images| images.count.clamp(1, MANY));
    count as f64 / MANY as f64
}

/// A number rounded to `places` decimal places, so that a recipe reads well.
pub(crate) fn in_places(value: f64, places: i32) -> f64 {
    let unit = 10f64.powi(places);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize) -> Option<TrainingImages> {
        Some(TrainingImages::new(count, &[], &[]))
    }

    #[test]
    fn a_batch_leaves_an_epoch_its_steps_and_the_rate_follows_it() {
        let of = |usual, count| batch(usual, images(count));
        assert_eq!(
            [of(16, 1000), of(16, 100), of(16, 9), of(32, 64)],
            [16, 8, 4, 8]
        );
        assert_eq!(batch(8, None), 8);
        assert_eq!(lr_factor(OptimizerKind::AdamW, 16, 4), 0.5);
        assert_eq!(lr_factor(OptimizerKind::Sgd, 32, 8), 0.25);
    }

    #[test]
    fn classes_that_are_rare_in_training_alone_weigh_more() {
        let images = |training, validation| Some(TrainingImages::new(66, training, validation));
        let of = |training, validation| balance(images(training, validation), HeadKind::Linear);
        let solved = balance(images(&[60, 6], &[20, 20]), HeadKind::Ridge);
        assert_eq!(solved, Balance::Prior);
        assert_eq!(of(&[60, 6], &[20, 20]), Balance::Loss);
        assert_eq!(of(&[60, 6], &[25, 5]), Balance::Loss, "half as unequal");
        assert_eq!(of(&[60, 6], &[30, 5]), Balance::None);
        assert_eq!(of(&[60, 12], &[20, 20]), Balance::None);
        assert_eq!(
            of(&[510, 100], &[125, 25]),
            Balance::None,
            "one data set, dealt out"
        );
        assert_eq!(of(&[16, 2], &[4, 1]), Balance::None, "too few to tell");
        assert_eq!(
            of(&[600, 6], &[20, 20]),
            Balance::None,
            "one image would be a step"
        );
        assert_eq!(of(&[], &[]), Balance::None);
        assert_eq!(balance(None, HeadKind::Linear), Balance::None);
    }
}
