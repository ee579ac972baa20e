//! Defaults of detection.

use warmstart_data::{Fit, SceneAugmentation};
use warmstart_language::{english, translated};
use warmstart_models::detector::STRIDES;

use super::context::{AugmentationContext, LAYER_DECAY, THAW_WARMUP, TaskDefaults};
use crate::augmentation::Augmentation;
use crate::choices::{BatchNorm, HeadKind, OptimizerKind};
use crate::draft_augmentation::{DraftAugmentation, refuse_foreign};
use crate::error::Error;
use crate::scaling::lr_factor;

pub const DEFAULTS: TaskDefaults = TaskDefaults {
    noun: english!("detection"),
    metric: "mAP@[.5:.95]",
    counted: english!("objects"),
    // Small enough for a CPU.
    image_size: Some(320),
    image_size_step: STRIDES[2],
    fit: Fit::Letterbox,
    has_one_fit: true,
    epochs: 20,
    // Neck and head are large, and find little in features that were made for classes: they learn with the backbone.
    frozen_epochs: 4,
    // A detector's features are a hundred times as large as a classifier's.
    views: 2,
    head: HeadKind::Linear,
    batches: [8, 8],
    learning_rates,
    lr_factor,
    rates_follow_any_batch: false,
    warmup: THAW_WARMUP,
    layer_decay: LAYER_DECAY,
    weight_decay: |optimizer, _, _| match optimizer {
        OptimizerKind::Sgd => 5e-4,
        OptimizerKind::Adam => 0.0,
        OptimizerKind::AdamW => 0.05,
    },
    label_smoothing: |_, _| 0.0,
    patience: |_, _| 0,
    moving_average: |_, _| AVERAGE,
    average_decay: |most, step| most * (1.0 - (-(step as f64) / AVERAGE_RAMP).exp()),
    // Neck and head have no pretrained statistics to keep.
    small_batch_norm: BatchNorm::Batch,
    augmentation,
    without: &[
        ("label_smoothing", english!("whose labels are soft already")),
        ("dropout", english!("whose head has none")),
        (
            "balance",
            english!("where an image has objects of many classes"),
        ),
    ],
    micro_batch_effect,
};

/// Defaults of a detector that begins with a detector's weights. Everything but the class predictors has learned to
/// find objects, so that it learns for fewer epochs, at lower rates, and in proportion to its batch, as published rates
/// are stated. The numbers are between those of published fine-tunings, and not measured here yet.
pub const FINE_TUNED: TaskDefaults = TaskDefaults {
    epochs: 10,
    // With backbone and neck frozen.
    frozen_epochs: 2,
    learning_rates: fine_tuning_rates,
    lr_factor: in_proportion,
    rates_follow_any_batch: true,
    ..DEFAULTS
};

/// The moving average's decay: RTMDet's (arXiv 2212.07784, table 1) and YOLOX's.
const AVERAGE: f64 = 0.9998;
/// Steps over which the decay rises, as in YOLOX (arXiv 2107.08430) and RTMDet.
const AVERAGE_RAMP: f64 = 2000.0;

fn learning_rates(optimizer: OptimizerKind) -> [f64; 2] {
    match optimizer {
        OptimizerKind::Sgd => [1e-2, 1e-2],
        OptimizerKind::Adam | OptimizerKind::AdamW => [1e-3, 1e-3],
    }
}

/// Rates at a batch of eight. In proportion, RTMDet's (4e-3 at 256: arXiv 2212.07784, table 1) would be 1.25e-4 from
/// random weights on, and users of it fine-tune with 8e-5 to 7e-4; YOLOX's (1e-2 at 64: arXiv 2107.08430, section 2.1)
/// is 1.25e-3. A frozen phase has few parameters to learn, and no features to protect.
fn fine_tuning_rates(optimizer: OptimizerKind) -> [f64; 2] {
    match optimizer {
        OptimizerKind::Sgd => [5e-3, 1.25e-3],
        OptimizerKind::Adam | OptimizerKind::AdamW => [1e-3, 3e-4],
    }
}

/// A learning rate in proportion to the batch, whichever the optimizer, as YOLOX's and MMDetection's are stated.
fn in_proportion(_: OptimizerKind, from: usize, to: usize) -> f64 {
    to as f64 / from as f64
}

/// Share of a detection run's epochs, at its end, without mosaics: as in YOLOX (arXiv 2107.08430, section 2.1), where
/// it is a smaller share of 300 epochs.
const MOSAIC_CLOSING: f64 = 0.15;

/// Share of a phase's epochs, at its end, without mosaics: the run ends without them, not each of its phases.
fn closing(context: &AugmentationContext) -> f64 {
    if context.is_last {
        (MOSAIC_CLOSING * context.run_epochs as f64 / context.epochs as f64).min(1.0)
    } else {
        0.0
    }
}

fn micro_batch_effect(takes_statistics: bool) -> &'static str {
    if takes_statistics {
        translated(english!(
            "batch norm takes its statistics from these, and the loss is divided by its part in these, so the result \
             differs a little from that of the whole batch"
        ))
    } else {
        translated(english!(
            "the loss is divided by its part in these, so the result differs a little from that of the whole batch"
        ))
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
        ("ratio", ratio.is_some()),
        ("contrast", contrast.is_some()),
        ("rand_augment", rand_augment.is_some()),
        ("erase", erase.is_some()),
        ("mixup", mixup.is_some()),
        ("cutmix", cutmix.is_some()),
    ];
    refuse_foreign(&foreign, "classification")?;
    let usual = SceneAugmentation::default();
    Ok(Augmentation::Scenes(SceneAugmentation {
        scale: scale.unwrap_or(usual.scale),
        flip: flip.unwrap_or(usual.flip),
        hue: hue.unwrap_or(usual.hue),
        saturation: saturation.unwrap_or(usual.saturation),
        brightness: brightness.unwrap_or(usual.brightness),
        mosaic: mosaic.unwrap_or(usual.mosaic),
        mosaic_closing: mosaic_closing.unwrap_or_else(|| closing(context)),
    }))
}
