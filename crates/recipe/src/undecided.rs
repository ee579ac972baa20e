//! The options of a run that are decided once its data and the machine are known.

use crate::difference::OptionOf;
use crate::error::Error;
use crate::options::{Draft, DraftPhase, Recipe};
use crate::scaling::TrainingImages;
use warmstart_files::Key;

/// A user's request and the options that it leaves open.
#[derive(Clone, Debug, PartialEq)]
pub struct Undecided {
    pub(crate) draft: Draft,
    pub(crate) phases: Vec<DraftPhase>,
    pub(crate) native_image_size: usize,
}

/// Options of a phase that the memory decides: left open by the user, or decided anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByMemory {
    /// The batch, smaller where memory is scarce.
    pub batch: bool,
    /// The micro-batch.
    pub micro_batch: bool,
    /// The learning rate, which follows an automatic batch.
    pub lr: bool,
    /// The decay of the moving average, which follows the number of steps.
    pub ema_decay: bool,
}

impl Undecided {
    /// Whether `fit` is left open.
    pub fn has_open_fit(&self) -> bool {
        self.draft.left_open().contains(&Key::FIT)
    }

    /// Whether the balance of a phase is left open.
    pub fn has_open_balance(&self, phase: usize) -> bool {
        self.phases[phase].left_open().contains(&Key::BALANCE)
    }

    /// Options of each phase that the memory decides.
    pub fn by_memory(&self) -> Vec<ByMemory> {
        let of_phase = |phase: &DraftPhase| {
            let open = phase.left_open();
            ByMemory {
                batch: open.contains(&Key::BATCH),
                micro_batch: phase.micro_batch.is_none(),
                lr: open.contains(&Key::LR),
                ema_decay: open.contains(&Key::EMA_DECAY),
            }
        };
        self.phases.iter().map(of_phase).collect()
    }

    /// The recipe for some training images.
    ///
    /// # Errors
    /// As [`resolve`](crate::resolve).
    pub fn resolve_for(&self, images: TrainingImages) -> Result<Recipe, Error> {
        self.draft.resolve(self.native_image_size, Some(images))
    }

    /// Differences between a recipe and an earlier one of the same request, apart from what is decided later.
    pub fn differences(&self, now: &Recipe, before: &Recipe) -> Vec<String> {
        let of_run = |key: &str| OptionOf {
            phase: None,
            key: key.to_owned(),
        };
        let mut leave_out = vec![of_run("warmstart")];
        leave_out.extend(self.draft.left_open().iter().map(|key| of_run(key.0)));
        for phase in &self.phases {
            let of_phase = |key: String| OptionOf {
                phase: Some(phase.name.clone().unwrap_or_default()),
                key,
            };
            let mut keys = phase.left_open();
            if phase.micro_batch.is_none() {
                keys.push(Key::MICRO_BATCH);
            }
            leave_out.extend(keys.iter().map(|key| of_phase(key.0.to_owned())));
            let augmentation = phase.augmentation.clone().unwrap_or_default();
            let keys = augmentation.left_open().into_iter();
            leave_out.extend(keys.map(|key| of_phase(format!("augmentation.{key}"))));
        }
        now.differences_except(before, &leave_out)
    }
}
