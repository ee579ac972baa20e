use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use warmstart_data::Fit;
use warmstart_files::shown;

use super::draft_augmentation::DraftAugmentation;
use super::draft_phase::Context;
use super::open::{Automatic, Open, Scaled};
use super::{
    Balance, Batch, CheckpointEvery, DraftPhase, Init, Keep, Memory, NO_WEIGHTS, OnNonFinite,
    OptimizerKind, Phase, Recipe, Task, TrainingImages, Views,
};
use crate::Error;
use crate::command;
use crate::folds::Part;

/// Bytes of the longest recipe: far above any that a person writes.
pub(super) const LONGEST_RECIPE: u64 = 1 << 20;
/// Share of the images that validates, where the data set has no split of its own.
pub const VAL_SPLIT: f64 = 0.2;
/// Seed of a recipe that names none.
pub const SEED: u64 = 42;
/// Share of a detection run's epochs, at its end, without mosaics: as YOLOX (arXiv 2107.08430, section
/// 2.1), in whose 300 epochs they are fewer.
const MOSAIC_CLOSING: f64 = 0.15;

/// What a user says of a run: any part of a recipe, and the flags of the usual two phases.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Draft {
    /// Version that wrote the file, if it is a resolved recipe.
    pub warmstart: Option<String>,
    /// What is learned.
    pub task: Option<Task>,
    /// Folder of the data set.
    pub data: Option<PathBuf>,
    /// Share of each class that validates.
    pub val_split: Option<f64>,
    /// Name of the architecture.
    pub model: Option<String>,
    /// Path of the pretrained file, or `none`.
    pub weights: Option<String>,
    /// Prefix of the tensors that are taken of that file, where it has several copies of the network.
    pub weights_prefix: Option<String>,
    /// How new parameters are initialized.
    pub init: Option<Init>,
    /// Whether a file that covers little of the backbone is accepted.
    pub allow_partial: Option<bool>,
    /// Seed of everything random.
    pub seed: Option<u64>,
    /// Edge of the image in pixels.
    pub image_size: Option<usize>,
    /// How pictures fill that image; `None` for `auto`.
    #[serde(deserialize_with = "fit_or_auto")]
    pub fit: Option<Fit>,
    /// Which part of a cross-validation it is.
    pub fold: Option<Part>,
    /// Checkpoints kept.
    pub keep: Option<Keep>,
    /// How often a checkpoint is made within an epoch.
    pub checkpoint_every: Option<CheckpointEvery>,
    /// What to do about a step whose loss or gradient is not a number.
    pub on_nonfinite: Option<OnNonFinite>,
    /// Steps from one look at the network's health to the next.
    pub health_every: Option<usize>,
    /// Whether the thaw has to beat the frozen model to be kept.
    pub guard: Option<bool>,
    /// Memory to keep within.
    pub memory: Option<Memory>,
    /// Optimizer of the phases that name none.
    pub optimizer: Option<OptimizerKind>,
    /// Patience of the phases that name none.
    pub patience: Option<usize>,
    /// What is done about unequal classes in the phases that say nothing.
    pub balance: Option<Balance>,
    /// The phases, if they aren't the usual two.
    pub phase: Option<Vec<DraftPhase>>,
    /// `--freeze-epochs`
    #[serde(skip)]
    pub freeze_epochs: Option<usize>,
    /// `--epochs`, a total over both phases
    #[serde(skip)]
    pub epochs: Option<usize>,
    /// `--freeze-batch`
    #[serde(skip)]
    pub freeze_batch: Option<Batch>,
    /// `--batch`, of the thaw
    #[serde(skip)]
    pub batch: Option<Batch>,
    /// `--freeze-lr`
    #[serde(skip)]
    pub freeze_lr: Option<f64>,
    /// `--lr`, of the thaw
    #[serde(skip)]
    pub lr: Option<f64>,
    /// `--views`, of the phase with a frozen backbone
    #[serde(skip)]
    pub views: Option<Views>,
}

impl Draft {
    /// Reads a recipe as a user wrote it.
    ///
    /// # Errors
    /// If the file is missing or has an unknown key or a wrong type; names the line. If it is a folder,
    /// which is likely a data set.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Err(Error::usage(format!(
                "{} is a folder, and a recipe is a file: a data set is given by --data {}",
                shown(path),
                command::word(path)
            )));
        }
        let text = warmstart_files::read_text(path, LONGEST_RECIPE)
            .map_err(|error| Error::io("read", path, error))?;
        toml::from_str(&text).map_err(|error| Error::recipe(path, &text, &error))
    }

    /// The task that was named; classification if none was.
    pub fn task(&self) -> Task {
        self.task.unwrap_or(Task::Classify)
    }

    /// Puts a number in every place, for a model whose pretrained images have that edge. Some defaults are for
    /// a number of training images, once it is known.
    ///
    /// # Errors
    /// Usage errors: something that must be said is missing, or values that contradict each other.
    pub fn resolve(
        self,
        native_image_size: usize,
        images: Option<TrainingImages>,
    ) -> Result<Recipe, Error> {
        let weights = self.weights.clone().ok_or_else(|| {
            Error::usage(
                "no weights were named: give --weights FILE, or --weights none to start from scratch",
            )
        })?;
        let recipe = Recipe {
            warmstart: env!("CARGO_PKG_VERSION").to_owned(),
            task: self.task(),
            data: self
                .data
                .clone()
                .ok_or_else(|| Error::usage("no data was named: give --data DIR"))?,
            val_split: self.val_split.unwrap_or(VAL_SPLIT),
            model: self
                .model
                .clone()
                .ok_or_else(|| Error::usage("no model was named: give --model NAME"))?,
            weights_prefix: self.weights_prefix.clone(),
            init: self.init.clone().unwrap_or_default(),
            allow_partial: self.allow_partial.unwrap_or(false),
            seed: self.seed.unwrap_or(SEED),
            image_size: self.image_size.unwrap_or(native_image_size),
            fit: self.fit.unwrap_or(match self.task() {
                Task::Classify => Fit::Crop,
                Task::Detect => Fit::Letterbox,
            }),
            fold: self.fold,
            keep: self.keep.unwrap_or(Keep::Last(3)),
            checkpoint_every: self.checkpoint_every.unwrap_or_default(),
            on_nonfinite: self.on_nonfinite.unwrap_or_default(),
            health_every: self.health_every,
            guard: self.guard.unwrap_or(true),
            memory: self.memory.unwrap_or_default(),
            phases: self.phases(weights != NO_WEIGHTS, images)?,
            weights,
        };
        recipe.check()?;
        Ok(recipe)
    }

    /// What is left open of what [`resolve`](Self::resolve) gives.
    ///
    /// # Errors
    /// As `resolve`.
    pub fn open(&self) -> Result<Open, Error> {
        let pretrained = self.weights.as_ref().is_some_and(|file| file != NO_WEIGHTS);
        let phases = self.clone().draft_phases(pretrained)?;
        let open = phases.iter().map(|phase| Automatic {
            batch: phase.batch.is_none(),
            micro_batch: phase.micro_batch.is_none(),
            lr: phase.lr.is_none(),
            ema_decay: phase.ema_decay.is_none(),
        });
        let said = |phase: &DraftPhase, of: fn(&DraftAugmentation) -> Option<f64>| {
            phase.augmentation.as_ref().and_then(of)
        };
        let scaled = phases.iter().map(|phase| Scaled {
            label_smoothing: phase.label_smoothing.is_none(),
            weight_decay: phase.weight_decay.is_none(),
            patience: phase.patience.or(self.patience).is_none(),
            rand_augment: said(phase, |said| said.rand_augment).is_none(),
            erase: said(phase, |said| said.erase).is_none(),
            balance: phase.balance.or(self.balance).is_none(),
        });
        Ok(Open {
            draft: self.clone(),
            fit: self.fit.is_none(),
            phases: open.collect(),
            scaled: scaled.collect(),
        })
    }

    fn draft_phases(mut self, pretrained: bool) -> Result<Vec<DraftPhase>, Error> {
        match self.phase.take() {
            None => self.usual_phases(pretrained),
            Some(drafts) => self.override_phases(drafts),
        }
    }

    fn phases(self, pretrained: bool, images: Option<TrainingImages>) -> Result<Vec<Phase>, Error> {
        let optimizer = self.optimizer.unwrap_or(OptimizerKind::AdamW);
        let (patience, balance) = (self.patience, self.balance);
        let task = self.task();
        let drafts = self.draft_phases(pretrained)?;
        let epochs = |draft: &DraftPhase| draft.epochs.unwrap_or(1) as f64;
        let total: f64 = drafts.iter().map(epochs).sum();
        let count = drafts.len();
        let phases = drafts.into_iter().enumerate().map(|(index, draft)| {
            // The run closes without mosaics, not each of its phases.
            let mosaic_closing = match index + 1 == count {
                true => (MOSAIC_CLOSING * total / epochs(&draft)).min(1.0),
                false => 0.0,
            };
            draft.resolve(Context {
                number: index + 1,
                task,
                optimizer,
                patience,
                balance,
                pretrained,
                mosaic_closing,
                images,
            })
        });
        phases.collect()
    }
}

fn fit_or_auto<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fit>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        Auto,
        Crop,
        Squash,
        Letterbox,
    }
    Ok(match Choice::deserialize(deserializer)? {
        Choice::Auto => None,
        Choice::Crop => Some(Fit::Crop),
        Choice::Squash => Some(Fit::Squash),
        Choice::Letterbox => Some(Fit::Letterbox),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Draft {
        toml::from_str(text).unwrap()
    }

    const MINIMAL: &str = "data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n";

    #[test]
    fn a_resolved_recipe_resolves_to_itself() {
        let text = format!(
            "{MINIMAL}keep = 'all'\n[[phase]]\ntrain = 'from:features.14'\nepochs = 2\nbatch = 'auto'\n"
        );
        let recipe = draft(&text).resolve(224, None).unwrap();
        assert_eq!(recipe.phases[0].batch, 16);
        let again = draft(&recipe.to_toml()).resolve(224, None).unwrap();
        assert_eq!(again, recipe);
        assert_eq!(toml::from_str::<Recipe>(&recipe.to_toml()).unwrap(), recipe);
    }

    #[test]
    fn a_word_that_is_not_known_is_named_with_what_was_expected() {
        for (line, words) in [
            ("keep = 'al'", "\"all\""),
            ("keep = -1", "not negative"),
            ("memory = 'much'", "6GiB"),
        ] {
            let error = toml::from_str::<Draft>(&format!("{MINIMAL}{line}\n")).unwrap_err();
            assert!(error.to_string().contains(words), "{line}: {error}");
        }
    }
}
