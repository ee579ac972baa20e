//! Resolution of a draft: a value for every option.

use warmstart_language::message;
use warmstart_nn::devices::{self, DeviceName};

use crate::choices::{Balance, HeadKind, OptimizerKind, TaskKind};
use crate::defaults::AugmentationContext;
use crate::error::{Error, Problem};
use crate::model_for_task::require_fitting;
use crate::named_weights::USUAL_WEIGHTS;
use crate::options::{Draft, DraftPhase, NO_WEIGHTS, Phase, PhaseContext, Recipe, RunContext};
use crate::scaling::{self, TrainingImages};
use crate::two_phases::{override_phases, usual_phases};
use crate::user_value::UserValue;
use warmstart_files::Key;

/// Options that have an effect only where the head is trained by steps.
const OF_STEPS: [&str; 9] = [
    "lr",
    "schedule",
    "warmup",
    "weight_decay",
    "label_smoothing",
    "clip_norm",
    "ema_decay",
    "dropout",
    "views",
];

/// The place of a phase in a run.
struct PlaceInRun {
    /// Its number, from 1.
    number: usize,
    is_last: bool,
    /// Epochs of the run.
    run_epochs: usize,
}

impl Draft {
    /// The task; classification if none is given.
    pub fn task(&self) -> TaskKind {
        self.task.unwrap_or(TaskKind::Classify)
    }

    /// Whether training starts from pretrained weights.
    pub fn is_pretrained(&self) -> bool {
        self.weights.as_ref().is_some_and(|file| file != NO_WEIGHTS)
    }

    /// The recipe, for a model whose pretrained images have an edge of `native_image_size` pixels. Some defaults depend
    /// on the training images, once they are known.
    ///
    /// # Errors
    /// Usage errors: an option that must be given is missing, values contradict each other, or the environment names a
    /// device that there cannot be.
    pub fn resolve(
        &self,
        native_image_size: usize,
        images: Option<TrainingImages>,
    ) -> Result<Recipe, Error> {
        if let (Some(model), Some(task)) = (&self.model, self.task) {
            require_fitting(model, task)?;
        }
        let mut recipe = self.run_options(&RunContext {
            missing,
            task: self.task(),
            native_image_size,
            device: self.chosen_device()?,
            is_of_a_run: self.warmstart.is_some(),
        })?;
        recipe.phases = self.phases(images)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// The device that is given, or else the one that `auto` stands for; only then are cards looked for.
    fn chosen_device(&self) -> Result<DeviceName, Error> {
        match self.device.and_then(UserValue::stored) {
            Some(device) => Ok(device),
            None => Ok(devices::automatic()?),
        }
    }

    /// The phases as the user asks for them: those of the file, or the usual two, with the flags for them.
    pub(crate) fn draft_phases(&self) -> Result<Vec<DraftPhase>, Error> {
        let phases = match &self.phase {
            None => usual_phases(self)?,
            Some(phases) => override_phases(self, phases.clone())?,
        };
        let shared = phases.into_iter().map(|phase| phase.with_shared(self));
        Ok(shared.collect())
    }

    fn phases(&self, images: Option<TrainingImages>) -> Result<Vec<Phase>, Error> {
        let drafts = self.draft_phases()?;
        let run_epochs = drafts.iter().map(|draft| draft.epochs.unwrap_or(1)).sum();
        let count = drafts.len();
        let phases = drafts.into_iter().enumerate().map(|(index, draft)| {
            let place = PlaceInRun {
                number: index + 1,
                is_last: index + 1 == count,
                run_epochs,
            };
            self.resolve_phase(draft, place, images)
        });
        phases.collect()
    }

    fn resolve_phase(
        &self,
        mut draft: DraftPhase,
        place: PlaceInRun,
        images: Option<TrainingImages>,
    ) -> Result<Phase, Error> {
        let defaults = self.defaults();
        let pretrained = self.is_pretrained();
        let name = draft
            .name
            .take()
            .unwrap_or_else(|| format!("phase-{}", place.number));
        let missing = |key: Key, _: &str| {
            Problem::new(message!("phase \"{name}\" has no {}", key.0))
                .of_key(key)
                .into()
        };
        let train = draft.train.clone().ok_or_else(|| missing(Key::TRAIN, ""))?;
        let epochs = draft.epochs.ok_or_else(|| missing(Key::EPOCHS, ""))?;
        let head = match draft.head {
            Some(head) => head,
            // A recipe of a version that knew only steps gives all of them.
            None if gives_steps(&draft) || !train.freezes_backbone() => HeadKind::Linear,
            None => defaults.head,
        };
        let optimizer = draft.optimizer.unwrap_or(OptimizerKind::AdamW);
        let [frozen, thawed] = defaults.batches;
        let usual = if train.freezes_backbone() {
            frozen
        } else {
            thawed
        };
        let (batch, usual_batch) = match draft.batch.and_then(UserValue::stored) {
            Some(batch) if defaults.rates_follow_any_batch => (batch, usual),
            Some(batch) => (batch, batch),
            None => (scaling::batch(usual, images), usual),
        };
        let augmentation = (defaults.augmentation)(
            draft.augmentation.take().unwrap_or_default(),
            &AugmentationContext {
                pretrained,
                images,
                epochs,
                run_epochs: place.run_epochs,
                is_last: place.is_last,
            },
        )?;
        let context = PhaseContext {
            missing: &missing,
            defaults,
            pretrained,
            images,
            train: &train,
            head,
            epochs,
            optimizer,
            batch,
            usual_batch,
        };
        let mut phase = draft.phase_options(name.clone(), augmentation, &context)?;
        if phase.is_solved() {
            phase.epochs = phase.epochs.min(1);
        }
        Ok(phase)
    }
}

/// Whether a user gives an option that has an effect only where the head is trained by steps.
fn gives_steps(draft: &DraftPhase) -> bool {
    let of_steps = OF_STEPS.iter().any(|option| draft.gives(option));
    let balances_steps = match draft.balance {
        Some(Balance::Sampling | Balance::Loss) => true,
        Some(Balance::None | Balance::Prior) | None => false,
    };
    of_steps || balances_steps || draft.augmentation.is_some()
}

/// The error for an option of the run that must be given.
fn missing(key: Key, value: &str) -> Error {
    let fix = if key == Key::WEIGHTS {
        message!(
            "give {key} {USUAL_WEIGHTS} for published ones, {key} {value}, or {key} {NO_WEIGHTS} to start from scratch"
        )
    } else {
        message!("give {key} {value}")
    };
    let what = if key == Key::DATA {
        message!("no data set is given")
    } else if key == Key::WEIGHTS {
        message!("no weights are given")
    } else {
        message!("no {} is given", key.0)
    };
    Problem::new(what).of_key(key).fix(fix).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::{Precision, Shuffle};
    use warmstart_data::Decode;

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
            ("fit = 'tight'", "squash"),
            ("device = 'cuda'", "such as \"gpu:1\""),
            ("precision = 'f64'", "bf16"),
            ("decode = 'half'", "scaled"),
            ("shuffle = 'none'", "permutation"),
        ] {
            let error = toml::from_str::<Draft>(&format!("{MINIMAL}{line}\n")).unwrap_err();
            assert!(error.to_string().contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn a_recipe_says_which_device_was_chosen_and_leaves_it_open_for_another_request() {
        for (line, device) in [
            ("device = 'cpu'", DeviceName::Cpu),
            ("device = 'gpu'", DeviceName::Gpu(0)),
            ("device = 'gpu:1'", DeviceName::Gpu(1)),
        ] {
            let given = draft(&format!("{MINIMAL}{line}\n"));
            let recipe = given.resolve(224, None).unwrap();
            assert_eq!(recipe.device, device);
            assert!(recipe.to_toml().contains(&format!("device = \"{device}\"")));
            assert!(!given.left_open().contains(&Key::DEVICE), "{line}");
        }
        for line in ["", "device = 'auto'"] {
            let open = draft(&format!("{MINIMAL}{line}\n"));
            assert!(open.left_open().contains(&Key::DEVICE), "{line}");
        }
    }

    #[test]
    fn a_recipe_of_before_computes_on_the_processor_in_f32() {
        let text = format!("{MINIMAL}device = 'gpu'\nprecision = 'bf16'\n");
        let now = draft(&text).resolve(224, None).unwrap().to_toml();
        let is_new = |line: &&str| line.starts_with("device") || line.starts_with("precision");
        assert_eq!(now.lines().filter(is_new).count(), 2, "{now}");
        let before: Vec<&str> = now.lines().filter(|line| !is_new(line)).collect();
        let before: Recipe = toml::from_str(&before.join("\n")).unwrap();
        assert_eq!(before.device, DeviceName::Cpu);
        assert_eq!(before.precision, Precision::F32);
    }

    #[test]
    fn a_recipe_of_before_keeps_its_order_and_decodes_every_pixel() {
        let now = draft(MINIMAL).resolve(224, None).unwrap();
        let of = |recipe: &Recipe| (recipe.shuffle, recipe.virtual_shards, recipe.decode);
        assert_eq!(of(&now), (Shuffle::Permutation, 1, Decode::Full));
        let text = now.to_toml();
        let new_keys = ["shuffle", "virtual_shards", "decode"];
        let is_new = |line: &&str| new_keys.iter().any(|key| line.starts_with(key));
        assert_eq!(text.lines().filter(is_new).count(), 3, "{text}");
        let before: Vec<&str> = text.lines().filter(|line| !is_new(line)).collect();
        let before = before.join("\n");
        let stored: Recipe = toml::from_str(&before).unwrap();
        assert_eq!(of(&stored), (Shuffle::List, 1, Decode::Full));
        let again = draft(&before).resolve(224, None).unwrap();
        assert_eq!(of(&again), (Shuffle::List, 1, Decode::Full));
    }

    #[test]
    fn virtual_shards_are_a_power_of_two() {
        for shards in 0..=130 {
            let text = format!("{MINIMAL}virtual_shards = {shards}\n");
            let is_power = [1, 2, 4, 8, 16, 32, 64].contains(&shards);
            let resolved = draft(&text).resolve(224, None);
            assert_eq!(resolved.is_ok(), is_power, "{shards}");
            if let Err(error) = resolved {
                assert_eq!(error.fields().key, Some("virtual_shards".into()));
            }
        }
    }

    #[test]
    fn an_option_that_must_be_given_is_named_with_the_fix() {
        let error = draft("model = 'm'\nweights = 'w'")
            .resolve(224, None)
            .unwrap_err();
        assert_eq!(error.fields().key, Some("data".into()));
        assert_eq!(
            crate::plain(&error.to_string()),
            "no data set is given: give data DIR"
        );
    }

    #[test]
    fn options_in_a_recipe_do_not_scale() {
        let text = "data = 'd'\nmodel = 'm'\nweights = 'w'\nbalance = 'none'\n[[phase]]\ntrain = 'all'\nepochs = 1\n\
                    label_smoothing = 0.2\nweight_decay = 0.3\nema_decay = 0.5\npatience = 0\n";
        let few = TrainingImages::new(66, &[60, 6], &[9, 9]);
        let phase = draft(text)
            .resolve(224, Some(few))
            .unwrap()
            .phases
            .remove(0);
        let given = (phase.label_smoothing, phase.weight_decay, phase.ema_decay);
        assert_eq!(given, (0.2, 0.3, 0.5));
        assert_eq!((phase.balance, phase.patience), (Balance::None, 0));
    }

    #[test]
    fn the_moving_average_spans_the_steps_of_the_batch_of_so_few_images() {
        let text =
            "data = 'd'\nmodel = 'm'\nweights = 'w'\n[[phase]]\ntrain = 'all'\nepochs = 40\n";
        let images = Some(TrainingImages::new(42, &[], &[]));
        let phase = draft(text).resolve(224, images).unwrap().phases.remove(0);
        assert_eq!((phase.batch, phase.ema_decay), (4, 0.9773));
        assert_eq!(phase.lr, 3e-4 * 0.5);
    }
}
