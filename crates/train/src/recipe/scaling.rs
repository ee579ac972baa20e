//! Defaults that scale with the training images: docs/decisions/0016-what-scales-with-the-images.md

use super::{Balance, OptimizerKind, Task};

/// From so many training images on, defaults are those of large data sets.
const MANY: usize = 1000;
/// Most that weight decay grows for few images.
const MOST_DECAY: f64 = 10.0;
/// How many times the images of the smallest class the largest may have.
const IMBALANCE: usize = 5;

/// What defaults want to know of the data, once they are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingImages {
    /// How many there are.
    pub count: usize,
    /// Whether some classes have many times the images of others, although those that validate are alike.
    pub unequal: bool,
}

impl TrainingImages {
    /// Of splits with so many images of each class; none in detection.
    pub fn new(count: usize, training: &[usize], validation: &[usize]) -> Self {
        Self {
            count,
            unequal: is_unequal(training) && !is_unequal(validation),
        }
    }
}

fn is_unequal(classes: &[usize]) -> bool {
    let (few, many) = (classes.iter().min(), classes.iter().max());
    few.zip(many)
        .is_some_and(|(&few, &many)| many > IMBALANCE * few)
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
/// images there are, for few steps have more to learn than to forget.
pub(super) fn label_smoothing(task: Task, pretrained: bool, images: Option<TrainingImages>) -> f64 {
    match (task, pretrained) {
        (Task::Classify, true) => in_places(0.1 * share(images), 3),
        (Task::Classify, false) => 0.1,
        (Task::Detect, _) => 0.0,
    }
}

/// Weight decay. What AdamW forgets in an epoch should not depend on how many steps that has (Wang and
/// Aitchison, arXiv 2405.13698, section 3), so it goes with one over the number of images; within bounds.
pub(super) fn weight_decay(
    optimizer: OptimizerKind,
    task: Task,
    images: Option<TrainingImages>,
) -> f64 {
    let usual = optimizer.weight_decay(task);
    match (optimizer, task) {
        (OptimizerKind::AdamW, Task::Classify) => {
            in_places(usual * (1.0 / share(images)).min(MOST_DECAY), 4)
        }
        _ => usual,
    }
}

/// A moving average over about the last tenth of a phase's steps; none over fewer than ten.
pub(super) fn moving_average(images: Option<TrainingImages>, batch: usize, epochs: usize) -> f64 {
    let images = images.map_or(0, |images| images.count);
    let steps = images.div_ceil(batch.max(1)) * epochs;
    match steps {
        ..100 => 0.0,
        _ => in_places(1.0 - 10.0 / steps as f64, 4),
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
        let of = |count| {
            let images = images(count);
            let adam_w = weight_decay(OptimizerKind::AdamW, Task::Classify, images);
            (label_smoothing(Task::Classify, true, images), adam_w)
        };
        assert_eq!(of(1_000_000), (0.1, 0.01));
        assert_eq!(of(1000), (0.1, 0.01));
        assert_eq!(of(400), (0.04, 0.025));
        assert_eq!(of(100), (0.01, 0.1));
        assert_eq!(of(1), (0.0, 0.1));
        assert_eq!(label_smoothing(Task::Classify, false, images(1)), 0.1);
        assert_eq!(
            weight_decay(OptimizerKind::Sgd, Task::Classify, images(10)),
            5e-4
        );
        assert_eq!(
            weight_decay(OptimizerKind::AdamW, Task::Detect, images(10)),
            0.05
        );
    }

    #[test]
    fn the_average_spans_a_tenth_of_the_steps() {
        assert_eq!(moving_average(images(1600), 16, 2), 0.95);
        assert_eq!(moving_average(images(40), 16, 6), 0.0);
        assert_eq!(moving_average(None, 16, 6), 0.0);
    }

    #[test]
    fn classes_that_are_rare_in_training_alone_weigh_more() {
        let of =
            |training, validation| balance(Some(TrainingImages::new(66, training, validation)));
        assert_eq!(of(&[60, 6], &[20, 20]), Balance::Loss);
        assert_eq!(of(&[60, 12], &[20, 20]), Balance::None);
        assert_eq!(of(&[60, 6], &[20, 2]), Balance::None);
        assert_eq!(of(&[], &[]), Balance::None);
        assert_eq!(balance(None), Balance::None);
    }

    #[test]
    fn what_a_recipe_says_does_not_scale() {
        let text = "data = 'd'\nmodel = 'm'\nweights = 'w'\nbalance = 'none'\n[[phase]]\ntrain = 'all'\nepochs = 1\n\
                    label_smoothing = 0.2\nweight_decay = 0.3\nema_decay = 0.5\n";
        let draft: Draft = toml::from_str(text).unwrap();
        let few = TrainingImages::new(66, &[60, 6], &[9, 9]);
        let phase = draft.resolve(224, Some(few)).unwrap().phases.remove(0);
        let said = (phase.label_smoothing, phase.weight_decay, phase.ema_decay);
        assert_eq!(said, (0.2, 0.3, 0.5));
        assert_eq!(phase.balance, Balance::None);
    }
}
