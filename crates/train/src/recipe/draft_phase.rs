use serde::Deserialize;
use serde::de::Deserializer;

use super::draft_augmentation::DraftAugmentation;
use super::number_or_word::number_or_word;
use super::phase::THAW_WARMUP;
use super::scaling::{self, TrainingImages};
use super::{Balance, BatchNorm, OptimizerKind, Phase, ScheduleKind, Task, Train, Views};
use crate::Error;

/// Up to so many images, pretrained statistics of batch norm are better than those of a batch:
/// docs/decisions/0013-the-thaw-keeps-its-statistics.md
const SMALL_BATCH: usize = 32;
/// docs/decisions/0003-layer-decay-by-group.md
const LAYER_DECAY: f64 = 0.75;
/// docs/frozen-features.md has the measurements. A detector's features are a hundred times as large.
fn usual_views(task: Task) -> Views {
    Views::Number(match task {
        Task::Classify => 8,
        Task::Detect => 2,
    })
}

/// What a user says of a phase.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DraftPhase {
    /// See [`Phase::name`].
    pub name: Option<String>,
    /// See [`Phase::epochs`]; must be said.
    pub epochs: Option<usize>,
    /// See [`Phase::train`]; must be said.
    pub train: Option<Train>,
    /// See [`Phase::batch`]; `None` for `auto`.
    #[serde(deserialize_with = "number_or_auto")]
    pub batch: Option<usize>,
    /// See [`Phase::micro_batch`].
    pub micro_batch: Option<usize>,
    /// See [`Phase::lr`].
    pub lr: Option<f64>,
    /// See [`Phase::schedule`].
    pub schedule: Option<ScheduleKind>,
    /// See [`Phase::warmup`].
    pub warmup: Option<f64>,
    /// See [`Phase::layer_decay`].
    pub layer_decay: Option<f64>,
    /// See [`Phase::batch_norm`].
    pub batch_norm: Option<BatchNorm>,
    /// See [`Phase::optimizer`].
    pub optimizer: Option<OptimizerKind>,
    /// See [`Phase::weight_decay`].
    pub weight_decay: Option<f64>,
    /// See [`Phase::label_smoothing`].
    pub label_smoothing: Option<f64>,
    /// See [`Phase::clip_norm`].
    pub clip_norm: Option<f64>,
    /// See [`Phase::patience`].
    pub patience: Option<usize>,
    /// See [`Phase::ema_decay`].
    pub ema_decay: Option<f64>,
    /// See [`Phase::dropout`].
    pub dropout: Option<f64>,
    /// See [`Phase::balance`].
    pub balance: Option<Balance>,
    /// See [`Phase::augmentation`].
    pub augmentation: Option<DraftAugmentation>,
    /// See [`Phase::views`].
    pub views: Option<Views>,
}

fn number_or_auto<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    number_or_word(deserializer, "auto")
}

/// What a phase's defaults depend on besides itself.
#[derive(Clone, Copy)]
pub(super) struct Context {
    /// Of the phase, from 1.
    pub number: usize,
    pub task: Task,
    /// Of phases that name none.
    pub optimizer: OptimizerKind,
    /// Of phases that name none.
    pub patience: Option<usize>,
    /// Of phases that name none.
    pub balance: Option<Balance>,
    pub pretrained: bool,
    /// Share of the phase's epochs without mosaic.
    pub mosaic_closing: f64,
    /// Training images, once they are known.
    pub images: Option<TrainingImages>,
}

impl DraftPhase {
    /// Puts a number in every place.
    pub(super) fn resolve(self, run: Context) -> Result<Phase, Error> {
        let Context {
            number,
            task,
            optimizer,
            patience,
            balance,
            pretrained,
            mosaic_closing,
            images,
        } = run;
        let name = self.name.unwrap_or_else(|| format!("phase-{number}"));
        let missing = |key: &str| Error::usage(format!("phase \"{name}\" does not say its {key}"));
        let train = self.train.ok_or_else(|| missing("train"))?;
        let epochs = self.epochs.ok_or_else(|| missing("epochs"))?;
        let thawed = train != Train::Head;
        let optimizer = self.optimizer.unwrap_or(optimizer);
        let [frozen_lr, thawed_lr] = optimizer.learning_rates(task);
        let (batch, lr_factor) = match self.batch {
            Some(batch) => (batch, 1.0),
            None => scaling::batch(optimizer, task, &train, images),
        };
        let is_small = batch <= SMALL_BATCH || images.is_some_and(|of| of.count <= SMALL_BATCH);
        // Neck and head of a detector have no statistics that could be frozen.
        let usual_batch_norm = match pretrained && thawed && is_small && task == Task::Classify {
            true => BatchNorm::Frozen,
            false => BatchNorm::Batch,
        };
        Ok(Phase {
            epochs,
            batch,
            micro_batch: self.micro_batch,
            lr: self
                .lr
                .unwrap_or(lr_factor * if thawed { thawed_lr } else { frozen_lr }),
            schedule: self.schedule.unwrap_or(ScheduleKind::Cosine),
            warmup: self
                .warmup
                .unwrap_or(if thawed { THAW_WARMUP } else { 0.0 }),
            // Without pretrained features there is nothing in lower layers to protect.
            layer_decay: self
                .layer_decay
                .unwrap_or(if pretrained { LAYER_DECAY } else { 1.0 }),
            batch_norm: self.batch_norm.unwrap_or(usual_batch_norm),
            optimizer,
            weight_decay: self
                .weight_decay
                .unwrap_or_else(|| scaling::weight_decay(optimizer, task, pretrained, images)),
            label_smoothing: self
                .label_smoothing
                .unwrap_or_else(|| scaling::label_smoothing(task, pretrained, images)),
            clip_norm: self.clip_norm.unwrap_or(0.0),
            patience: self
                .patience
                .or(patience)
                .unwrap_or_else(|| scaling::patience(task, pretrained, images)),
            ema_decay: self
                .ema_decay
                .unwrap_or_else(|| scaling::moving_average(task, &train, images, (batch, epochs))),
            dropout: self.dropout,
            balance: self
                .balance
                .or(balance)
                .unwrap_or_else(|| scaling::balance(images)),
            augmentation: self.augmentation.unwrap_or_default().resolve(
                task,
                scaling::strength(pretrained, images, epochs),
                mosaic_closing,
            )?,
            // Above another boundary features are large, and fill a disk.
            views: self.views.unwrap_or(match train {
                Train::Head => usual_views(task),
                Train::From(_) | Train::All => Views::Fresh,
            }),
            train,
            name,
        })
    }
}
