//! Defaults that scale with the training images: docs/decisions/0016-what-scales-with-the-images.md

use warmstart_data::{IMBALANCE, imbalance};

use super::{Balance, OptimizerKind, Task, Train};

/// Steps that an automatic batch leaves an epoch, if it can: small data are seen in small batches.
const STEPS_AN_EPOCH: usize = 8;
/// An automatic batch is not smaller: batch norm's statistics would be noise.
pub const SMALLEST_BATCH: usize = 4;
/// From so many training images on, defaults are those of large data sets.
const MANY: usize = 1000;
/// Most that weight decay grows for few images.
const MOST_DECAY: f64 = 10.0;
/// Beyond this imbalance an image of the smallest class would weigh so much that a step is about it alone.
const MOST_IMBALANCE: f64 = 50.0;
/// Validation images of the smallest class below which its share there says nothing.
const FEW_TO_COMPARE: usize = 5;

/// What defaults want to know of the data, once they are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingImages {
    /// How many there are.
    pub count: usize,
    /// Whether some classes have many times the images of others, and those that validate are much more alike.
    pub unequal: bool,
}

impl TrainingImages {
    /// Of splits with so many images of each class; none in detection.
    pub fn new(count: usize, training: &[usize], validation: &[usize]) -> Self {
        let [here, there] = [training, validation].map(imbalance);
        let can_tell = validation.iter().all(|&images| images >= FEW_TO_COMPARE);
        Self {
            count,
            unequal: here > IMBALANCE && here <= MOST_IMBALANCE && here >= 2.0 * there && can_tell,
        }
    }
}

/// Batch of a phase that the default learning rates are for.
const fn usual_batch(task: Task, train: &Train) -> usize {
    match (task, train) {
        (Task::Classify, Train::Head) => 32,
        (Task::Classify, _) => 16,
        (Task::Detect, _) => 8,
    }
}

/// Batch of a phase, unless the user says otherwise or memory wants it smaller, and what the learning rate is
/// multiplied by: the usual one, halved while an epoch would have few steps.
pub(super) fn batch(
    optimizer: OptimizerKind,
    task: Task,
    train: &Train,
    images: Option<TrainingImages>,
) -> (usize, f64) {
    let usual = usual_batch(task, train);
    let mut batch = usual;
    while batch > SMALLEST_BATCH
        && images.is_some_and(|images| images.count < batch * STEPS_AN_EPOCH)
    {
        batch /= 2;
    }
    (batch, lr_factor(optimizer, usual, batch))
}

/// How the learning rate follows an automatic batch: in proportion with SGD (Goyal and others, arXiv
/// 1706.02677, section 2.1), by the square root with Adam and AdamW, whose steps do not grow with the
/// gradient (Malladi and others, arXiv 2205.10287, section 4).
pub fn lr_factor(optimizer: OptimizerKind, from: usize, to: usize) -> f64 {
    let factor = to as f64 / from as f64;
    match optimizer {
        OptimizerKind::Sgd => factor,
        OptimizerKind::Adam | OptimizerKind::AdamW => factor.sqrt(),
    }
}

/// What is done about unequal classes: nothing where those that validate are as unequal, for then the accuracy
/// is one of mostly large classes.
pub(super) fn balance(images: Option<TrainingImages>) -> Balance {
    match images {
        Some(images) if images.unequal => Balance::Loss,
        _ => Balance::None,
    }
}

/// Label smoothing (Szegedy and others, arXiv 1512.00567, section 7). On pretrained features less of it the fewer
/// images there are: it helps with many, and few give a network little time to become too sure.
pub(super) fn label_smoothing(task: Task, pretrained: bool, images: Option<TrainingImages>) -> f64 {
    match (task, pretrained) {
        (Task::Classify, true) => in_places(0.1 * share(images), 3),
        (Task::Classify, false) => 0.1,
        (Task::Detect, _) => 0.0,
    }
}

/// Weight decay. On pretrained features, with AdamW, it goes with one over the number of images, within bounds: what
/// is forgotten in an epoch should not depend on how many steps that has (Wang and Aitchison, arXiv 2405.13698,
/// section 3).
pub(super) fn weight_decay(
    optimizer: OptimizerKind,
    task: Task,
    pretrained: bool,
    images: Option<TrainingImages>,
) -> f64 {
    let usual = optimizer.weight_decay(task);
    match (optimizer, task, pretrained) {
        (OptimizerKind::AdamW, Task::Classify, true) => {
            in_places(usual * (1.0 / share(images)).min(MOST_DECAY), 4)
        }
        _ => usual,
    }
}

/// Epochs from which few images have been seen so often that they want to be different each time.
const OFTEN: usize = 50;
/// RandAugment's magnitude and the probability of an erased rectangle for the fewest images that are seen so often.
const STRONGEST: Strength = Strength {
    rand_augment: 3.0,
    erase: 0.25,
};

/// How strongly a classifier's images are varied beyond what is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Strength {
    /// RandAugment's magnitude, 0 to 10.
    pub rand_augment: f64,
    /// Probability that a rectangle of noise hides a part.
    pub erase: f64,
}

/// The strength of a phase's augmentation: none beyond the usual on pretrained features, with many images, and in few
/// epochs; from random weights the more the fewer images there are.
pub(super) fn strength(
    pretrained: bool,
    images: Option<TrainingImages>,
    epochs: usize,
) -> Strength {
    if pretrained || epochs < OFTEN {
        return Strength::default();
    }
    let lacking = 1.0 - share(images);
    Strength {
        rand_augment: in_places(lacking * STRONGEST.rand_augment, 2),
        erase: in_places(lacking * STRONGEST.erase, 3),
    }
}

/// Patience with the fewest images, and from [`MANY`] on.
const PATIENCE: [usize; 2] = [20, 50];

/// Epochs without a better one after which a phase ends; 0 for never. On pretrained features fewer images take fewer
/// epochs to learn all that is to be had of them. From random weights accuracy may stand still for long whatever their number.
pub(super) fn patience(task: Task, pretrained: bool, images: Option<TrainingImages>) -> usize {
    let [few, many] = PATIENCE;
    match (task, pretrained) {
        (Task::Classify, true) => few + (share(images) * (many - few) as f64).round() as usize,
        (Task::Classify, false) => many,
        (Task::Detect, _) => 0,
    }
}

/// A detector's moving average: RTMDet's (arXiv 2212.07784, table 1) and YOLOX's.
const DETECTOR_AVERAGE: f64 = 0.9998;

/// The moving average of a phase. A classifier's is over about the last tenth of a thaw's steps, none over fewer than
/// ten.
pub fn moving_average(
    task: Task,
    train: &Train,
    images: Option<TrainingImages>,
    (batch, epochs): (usize, usize),
) -> f64 {
    let images = images.map_or(0, |images| images.count);
    let steps = images.div_ceil(batch.max(1)) * epochs;
    match (task, train, steps) {
        (Task::Detect, ..) => DETECTOR_AVERAGE,
        (Task::Classify, Train::Head, _) | (Task::Classify, _, ..100) => 0.0,
        (Task::Classify, ..) => in_places(1.0 - 10.0 / steps as f64, 4),
    }
}

/// How near the images come to being many; (0, 1].
fn share(images: Option<TrainingImages>) -> f64 {
    let count = images.map_or(MANY, |images| images.count.clamp(1, MANY));
    count as f64 / MANY as f64
}

/// A number that a recipe can say in so many decimal places.
fn in_places(value: f64, places: i32) -> f64 {
    let unit = 10f64.powi(places);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Draft;

    fn images(count: usize) -> Option<TrainingImages> {
        Some(TrainingImages::new(count, &[], &[]))
    }

    #[test]
    fn fewer_images_are_smoothed_less_and_decay_more() {
        let for_images = |pretrained, count| {
            let (task, images) = (Task::Classify, images(count));
            let adam_w = weight_decay(OptimizerKind::AdamW, task, pretrained, images);
            (label_smoothing(task, pretrained, images), adam_w)
        };
        let of = |count| for_images(true, count);
        assert_eq!(of(1_000_000), (0.1, 0.01));
        assert_eq!(of(1000), (0.1, 0.01));
        assert_eq!(of(400), (0.04, 0.025));
        assert_eq!(of(100), (0.01, 0.1));
        assert_eq!(of(1), (0.0, 0.1));
        assert_eq!(for_images(false, 1), (0.1, 0.01));
        let other = |optimizer, task| weight_decay(optimizer, task, true, images(10));
        assert_eq!(other(OptimizerKind::Sgd, Task::Classify), 5e-4);
        assert_eq!(other(OptimizerKind::AdamW, Task::Detect), 0.05);
    }

    #[test]
    fn fewer_images_are_out_of_patience_sooner() {
        let of = |pretrained, count| patience(Task::Classify, pretrained, images(count));
        assert_eq!(
            [1, 96, 400, 1000, 9000].map(|count| of(true, count)),
            [20, 23, 32, 50, 50]
        );
        assert_eq!(of(false, 10), 50);
        assert_eq!(patience(Task::Detect, true, images(10)), 0);
    }

    #[test]
    fn few_images_that_are_seen_often_from_random_weights_on_are_varied_more() {
        let of = |pretrained, count, epochs| {
            let Strength {
                rand_augment,
                erase,
            } = strength(pretrained, images(count), epochs);
            (rand_augment, erase)
        };
        assert_eq!(of(false, 96, 100), (2.71, 0.226));
        assert_eq!(of(false, 400, 50), (1.8, 0.15));
        let none = (0.0, 0.0);
        assert_eq!(of(false, 1000, 100), none);
        assert_eq!(of(false, 96, 49), none);
        assert_eq!(of(true, 96, 100), none);
        assert_eq!(strength(false, None, 100), Strength::default());
    }

    #[test]
    fn the_average_spans_a_tenth_of_the_steps() {
        let of = |images, batch, epochs| {
            moving_average(Task::Classify, &Train::All, images, (batch, epochs))
        };
        assert_eq!(of(images(1600), 16, 2), 0.95);
        assert_eq!(of(images(40), 16, 6), 0.0);
        assert_eq!(of(None, 16, 6), 0.0);
        // Of the steps that there are with the batch of so few images.
        let text =
            "data = 'd'\nmodel = 'm'\nweights = 'w'\n[[phase]]\ntrain = 'all'\nepochs = 40\n";
        let draft: Draft = toml::from_str(text).unwrap();
        let phase = draft.resolve(224, images(42)).unwrap().phases.remove(0);
        assert_eq!((phase.batch, phase.ema_decay), (4, 0.9773));
    }

    #[test]
    fn a_batch_leaves_an_epoch_its_steps_and_the_rate_follows_it() {
        let of = |optimizer, train, count| batch(optimizer, Task::Classify, &train, images(count));
        assert_eq!(of(OptimizerKind::AdamW, Train::All, 1000), (16, 1.0));
        assert_eq!(of(OptimizerKind::AdamW, Train::All, 100).0, 8);
        assert_eq!(of(OptimizerKind::AdamW, Train::All, 9), (4, 0.5));
        assert_eq!(of(OptimizerKind::Sgd, Train::Head, 64), (8, 0.25));
        let detection = batch(OptimizerKind::AdamW, Task::Detect, &Train::All, None);
        assert_eq!(detection, (8, 1.0));
    }

    #[test]
    fn classes_that_are_rare_in_training_alone_weigh_more() {
        let of =
            |training, validation| balance(Some(TrainingImages::new(66, training, validation)));
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
        assert_eq!(balance(None), Balance::None);
    }

    #[test]
    fn what_a_recipe_says_does_not_scale() {
        let text = "data = 'd'\nmodel = 'm'\nweights = 'w'\nbalance = 'none'\n[[phase]]\ntrain = 'all'\nepochs = 1\n\
                    label_smoothing = 0.2\nweight_decay = 0.3\nema_decay = 0.5\npatience = 0\n";
        let draft: Draft = toml::from_str(text).unwrap();
        let few = TrainingImages::new(66, &[60, 6], &[9, 9]);
        let phase = draft.resolve(224, Some(few)).unwrap().phases.remove(0);
        let said = (phase.label_smoothing, phase.weight_decay, phase.ema_decay);
        assert_eq!(said, (0.2, 0.3, 0.5));
        assert_eq!((phase.balance, phase.patience), (Balance::None, 0));
    }
}
