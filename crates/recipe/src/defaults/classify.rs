//! Defaults of classification.

use warmstart_data::{Augmentation as ImageAugmentation, Fit};
use warmstart_language::{english, translated};

use super::context::{AugmentationContext, LAYER_DECAY, THAW_WARMUP, TaskDefaults};
use crate::augmentation::Augmentation;
use crate::choices::{BatchNorm, HeadKind, OptimizerKind};
use crate::draft_augmentation::{DraftAugmentation, refuse_foreign};
use crate::error::Error;
use crate::scaling::{TrainingImages, in_places, lr_factor, share};
use crate::train::Train;

pub const DEFAULTS: TaskDefaults = TaskDefaults {
    noun: english!("classification"),
    metric: english!("top-1 accuracy"),
    counted: english!("images"),
    image_size: None,
    image_size_step: 1,
    fit: Fit::Crop,
    has_one_fit: false,
    epochs: 14,
    frozen_epochs: 8,
    views: 8,
    head: HeadKind::Ridge,
    batches: [32, 16],
    learning_rates,
    lr_factor,
    rates_follow_any_batch: false,
    warmup: THAW_WARMUP,
    layer_decay: LAYER_DECAY,
    weight_decay,
    label_smoothing,
    patience,
    moving_average,
    average_decay,
    small_batch_norm: BatchNorm::Frozen,
    augmentation,
    without: &[],
    micro_batch_effect,
};

pub(super) fn learning_rates(optimizer: OptimizerKind) -> [f64; 2] {
    match optimizer {
        OptimizerKind::Sgd => [3e-2, 3e-3],
        OptimizerKind::Adam | OptimizerKind::AdamW => [3e-3, 3e-4],
    }
}

/// Largest factor on weight decay for few images.
const MOST_DECAY: f64 = 10.0;

/// Weight decay. On pretrained features, with AdamW, it is inversely proportional to the number of images, within
/// bounds: the share that is forgotten in an epoch should not depend on its number of steps (Wang and Aitchison, arXiv
/// 2405.13698, section 3).
fn weight_decay(optimizer: OptimizerKind, pretrained: bool, images: Option<TrainingImages>) -> f64 {
    match (optimizer, pretrained) {
        (OptimizerKind::Sgd, _) => 5e-4,
        (OptimizerKind::Adam, _) => 0.0,
        (OptimizerKind::AdamW, false) => 0.01,
        (OptimizerKind::AdamW, true) => in_places(0.01 * (1.0 / share(images)).min(MOST_DECAY), 4),
    }
}

/// Label smoothing (Szegedy and others, arXiv 1512.00567, section 7). On pretrained features it falls with the number
/// of images: it helps with many images, and with few a network has little time to become overconfident.
fn label_smoothing(pretrained: bool, images: Option<TrainingImages>) -> f64 {
    if pretrained {
        in_places(0.1 * share(images), 3)
    } else {
        0.1
    }
}

/// Patience with the fewest images, and with many, in epochs.
const PATIENCE: [usize; 2] = [20, 50];

/// Patience. On pretrained features, accuracy stops improving after fewer epochs where there are fewer images. From
/// random weights, it may stagnate for long, whatever the number of images.
fn patience(pretrained: bool, images: Option<TrainingImages>) -> usize {
    let [few, many] = PATIENCE;
    if pretrained {
        few + (share(images) * (many - few) as f64).round() as usize
    } else {
        many
    }
}

/// Largest decay of a moving average: one of 1 would never move.
const MOST_AVERAGED: f64 = 0.9999;

/// Decay of a moving average over about the last tenth of a thaw's steps, or the last 10,000 where that is fewer; 0 where
/// it is fewer than ten steps.
fn moving_average(train: &Train, steps: usize) -> f64 {
    match train {
        Train::Head => 0.0,
        Train::From(_) | Train::All if steps < 100 => 0.0,
        Train::From(_) | Train::All => in_places(1.0 - 10.0 / steps as f64, 4).min(MOST_AVERAGED),
    }
}

/// Decay at a step: an average over the last tenth of the steps so far, up to `most`: TensorFlow's
/// `ExponentialMovingAverage`. A classifier is fine-tuned in a few hundred steps.
fn average_decay(most: f64, step: u64) -> f64 {
    let step = step as f64;
    most.min((1.0 + step) / (10.0 + step))
}

fn micro_batch_effect(takes_statistics: bool) -> &'static str {
    if takes_statistics {
        translated(english!(
            "batch norm takes its statistics from these, so the result differs a little from that of \
             the whole batch (batch_norm = \"frozen\" does not)"
        ))
    } else {
        translated(english!(
            "the result is that of the whole batch, up to rounding"
        ))
    }
}

/// Epochs after which the images of a small data set have been seen so often that they need stronger augmentation.
const OFTEN: usize = 50;
/// RandAugment's magnitude and the probability of an erased rectangle for the smallest data sets.
const STRONGEST: [f64; 2] = [3.0, 0.25];

/// RandAugment's magnitude, 0 to 10, and the probability that a rectangle of noise hides a part: both 0 on pretrained
/// features, with many images, and in few epochs; from random weights, stronger for fewer images.
fn strength(context: &AugmentationContext) -> [f64; 2] {
    if context.pretrained || context.epochs < OFTEN {
        return [0.0; 2];
    }
    let lacking = 1.0 - share(context.images);
    let [rand_augment, erase] = STRONGEST;
    [
        in_places(lacking * rand_augment, 2),
        in_places(lacking * erase, 3),
    ]
}

/// Weaker augmentation than in ImageNet's training: pretrained features need less, and in a small data set a crop of a
/// tenth of the image often misses the object.
fn gentle() -> ImageAugmentation {
    ImageAugmentation {
        scale: [0.35, 1.0],
        brightness: 0.1,
        contrast: 0.1,
        saturation: 0.1,
        ..ImageAugmentation::default()
    }
}

fn augmentation(
    given: DraftAugmentation,
    context: &AugmentationContext,
) -> Result<Augmentation, Error> {
    let DraftAugmentation {
        scale,
        flip,
        hue,
        saturation,
        brightness,
        ratio,
        contrast,
        rand_augment,
        erase,
        mixup,
        cutmix,
        mosaic,
        mosaic_closing,
    } = given;
    let foreign = [
        ("mosaic", mosaic.is_some()),
        ("mosaic_closing", mosaic_closing.is_some()),
    ];
    refuse_foreign(&foreign, "detection")?;
    let usual = gentle();
    let [usual_rand_augment, usual_erase] = strength(context);
    Ok(Augmentation::Images(ImageAugmentation {
        scale: scale.unwrap_or(usual.scale),
        ratio: ratio.unwrap_or(usual.ratio),
        flip: flip.unwrap_or(usual.flip),
        brightness: brightness.unwrap_or(usual.brightness),
        contrast: contrast.unwrap_or(usual.contrast),
        saturation: saturation.unwrap_or(usual.saturation),
        hue: hue.unwrap_or(usual.hue),
        rand_augment: rand_augment.unwrap_or(usual_rand_augment),
        erase: erase.unwrap_or(usual_erase),
        mixup: mixup.unwrap_or(usual.mixup),
        cutmix: cutmix.unwrap_or(usual.cutmix),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize) -> Option<TrainingImages> {
        Some(TrainingImages::new(count, &[], &[]))
    }

    #[test]
    fn fewer_images_are_smoothed_less_and_decay_more() {
        let of = |pretrained, count| {
            let adam_w = weight_decay(OptimizerKind::AdamW, pretrained, images(count));
            (label_smoothing(pretrained, images(count)), adam_w)
        };
        assert_eq!(of(true, 1_000_000), (0.1, 0.01));
        assert_eq!(of(true, 1000), (0.1, 0.01));
        assert_eq!(of(true, 400), (0.04, 0.025));
        assert_eq!(of(true, 100), (0.01, 0.1));
        assert_eq!(of(true, 1), (0.0, 0.1));
        assert_eq!(of(false, 1), (0.1, 0.01));
        assert_eq!(weight_decay(OptimizerKind::Sgd, true, images(10)), 5e-4);
    }

    #[test]
    fn fewer_images_are_out_of_patience_sooner() {
        assert_eq!(
            [1, 96, 400, 1000, 9000].map(|count| patience(true, images(count))),
            [20, 23, 32, 50, 50]
        );
        assert_eq!(patience(false, images(10)), 50);
    }

    #[test]
    fn few_images_that_are_seen_often_from_random_weights_on_are_varied_more() {
        let of = |pretrained, count, epochs| {
            strength(&AugmentationContext {
                pretrained,
                images: images(count),
                epochs,
                run_epochs: epochs,
                is_last: true,
            })
        };
        assert_eq!(of(false, 96, 100), [2.71, 0.226]);
        assert_eq!(of(false, 400, 50), [1.8, 0.15]);
        for none in [of(false, 1000, 100), of(false, 96, 49), of(true, 96, 100)] {
            assert_eq!(none, [0.0; 2]);
        }
    }

    #[test]
    fn the_average_spans_a_tenth_of_the_steps() {
        assert_eq!(moving_average(&Train::All, 200), 0.95);
        assert_eq!(moving_average(&Train::All, 18), 0.0);
        assert_eq!(moving_average(&Train::All, 100_000), 0.9999);
        assert_eq!(moving_average(&Train::All, 1_000_000), 0.9999);
        assert_eq!(moving_average(&Train::All, 0), 0.0);
        assert_eq!(moving_average(&Train::Head, 200), 0.0);
    }
}
