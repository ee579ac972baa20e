//! Checks of a recipe's values.

use serde::Serialize;
use serde_json::Value;
use warmstart_language::{message, translated};
use warmstart_nn::devices::DeviceName;

use crate::augmentation::Augmentation;
use crate::choices::{Balance, Precision, TaskKind};
use crate::defaults::TaskDefaults;
use crate::error::{Error, Problem};
use crate::folds::FOLD_COUNTS;
use crate::image_size::require_whole_patches;
use crate::options::{Phase, Recipe};
use crate::views::Views;
use warmstart_files::Key;

impl Recipe {
    /// Refuses values that are out of range or contradict each other.
    ///
    /// # Errors
    /// A usage error that names the option, its value and its range.
    pub fn check(&self) -> Result<(), Error> {
        if let Some((key, range)) = self.out_of_range() {
            return Err(Problem::of_value(Key(key), value_of(self, key), translated(range)).into());
        }
        self.check_for_task()?;
        self.check_precision()?;
        self.check_fold()?;
        if self.phases.is_empty() {
            return Err(Error::usage(message!("the recipe has no phase")));
        }
        for (index, phase) in self.phases.iter().enumerate() {
            if self.phases[..index]
                .iter()
                .any(|other| other.name == phase.name)
            {
                return Err(
                    Error::usage(message!("two phases are called \"{}\"", phase.name))
                        .fix(message!("give each a name of its own")),
                );
            }
            phase.check(self.task)?;
        }
        Ok(())
    }

    fn check_for_task(&self) -> Result<(), Error> {
        let TaskDefaults {
            image_size_step,
            has_one_fit,
            fit,
            ..
        } = *self.task.defaults();
        if !self.image_size.is_multiple_of(image_size_step) {
            let range = message!(
                "a multiple of {image_size_step} in {task}",
                task = translated(self.task.defaults().noun)
            );
            return Err(
                Problem::of_value(Key::IMAGE_SIZE, self.image_size.to_string(), range).into(),
            );
        }
        if let Some(network) = warmstart_models::by_name(&self.model) {
            require_whole_patches(&network, self.image_size)?;
        }
        if has_one_fit && self.fit != fit {
            let range = message!(
                "\"{fit}\" in {task}",
                task = translated(self.task.defaults().noun)
            );
            return Err(Problem::of_value(Key::FIT, self.fit.to_string(), range).into());
        }
        Ok(())
    }

    fn check_precision(&self) -> Result<(), Error> {
        match (self.device, self.precision) {
            (DeviceName::Gpu(_), _) | (DeviceName::Cpu, Precision::F32) => Ok(()),
            (DeviceName::Cpu, Precision::Bf16 | Precision::F16) => {
                let what = message!("on the processor warmstart computes in f32 alone");
                let fix = message!("give {} gpu, or {} f32", Key::DEVICE, Key::PRECISION);
                let problem = Problem::new(what).of_key(Key::PRECISION);
                Err(problem.fix(fix).into())
            }
        }
    }

    fn check_fold(&self) -> Result<(), Error> {
        match self.fold {
            Some(fold_id)
                if !(FOLD_COUNTS.contains(&fold_id.of)
                    && (1..=fold_id.of).contains(&fold_id.number)) =>
            {
                let what = message!("fold {} of {} does not exist", fold_id.number, fold_id.of);
                let fix = message!(
                    "there are {} to {} folds, numbered from 1",
                    FOLD_COUNTS.start(),
                    FOLD_COUNTS.end()
                );
                Err(Error::usage(what).fix(fix))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Phase {
    fn check(&self, task: TaskKind) -> Result<(), Error> {
        if let Some((key, range)) = self.out_of_range() {
            return Err(self.refusal(key, translated(range)));
        }
        if matches!(self.views, Views::Number(_)) && self.train.freezes_nothing() {
            let range = message!("\"fresh\" where nothing is frozen");
            return Err(self.refusal("views", &range));
        }
        self.check_head(task)?;
        self.check_augmentation(task)?;
        for (key, reason) in task.defaults().without {
            let has_effect = match &json(self)[*key] {
                Value::Null => false,
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::String(word) => word != "none",
                Value::Bool(_) | Value::Array(_) | Value::Object(_) => true,
            };
            if has_effect {
                let range = message!(
                    "left out in {task}, {reason}",
                    task = translated(task.defaults().noun),
                    reason = translated(reason)
                );
                return Err(self.refusal(key, &range));
            }
        }
        Ok(())
    }

    fn check_head(&self, task: TaskKind) -> Result<(), Error> {
        let has_classes = match task {
            TaskKind::Classify => true,
            TaskKind::Detect => false,
        };
        if !self.is_solved() {
            return if self.head_layers.is_auto() {
                Ok(())
            } else {
                let range = message!("left out unless head is \"ridge\"");
                Err(self.refusal("head_layers", &range))
            };
        }
        if !has_classes || !self.train.freezes_backbone() {
            let range =
                message!("\"linear\" in detection, and where a part of the backbone trains");
            return Err(self.refusal("head", &range));
        }
        match self.balance {
            Balance::None | Balance::Prior => {}
            Balance::Sampling | Balance::Loss => {
                let range = message!("\"none\" or \"prior\" where head is \"ridge\"");
                return Err(self.refusal("balance", &range));
            }
        }
        if self.epochs != 1 {
            let range = message!("1 where head is \"ridge\": it is solved once");
            return Err(self.refusal("epochs", &range));
        }
        Ok(())
    }

    fn check_augmentation(&self, task: TaskKind) -> Result<(), Error> {
        let place = message!("augmentation of phase \"{}\"", self.name);
        if self.augmentation.task() != task {
            return Err(
                Error::usage(message!("{place} is not that of the recipe's task"))
                    .fix(message!("remove it, or give all of its keys")),
            );
        }
        let checked = match &self.augmentation {
            Augmentation::Images(augmentation) => augmentation.check(),
            Augmentation::Scenes(augmentation) => augmentation.check(),
        };
        checked.map_err(|error| Error::usage(message!("{place}: {error}")))
    }

    fn refusal(&self, key: &'static str, range: &str) -> Error {
        let found = value_of(self, key);
        let what = message!(
            "{key} of phase \"{}\" is {found}; it must be {range}",
            self.name
        );
        Problem {
            what,
            ..Problem::of_value(Key(key), found, range)
        }
        .into()
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("a recipe is plain data")
}

/// The value of an option as a message shows it.
fn value_of(options: &impl Serialize, key: &str) -> String {
    match &json(options)[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Draft;

    const MINIMAL: &str = "data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n";

    fn draft(text: &str) -> Draft {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn on_the_processor_there_is_f32_alone() {
        for precision in ["f32", "bf16", "f16"] {
            let of = |device: &str| {
                let text = format!("{MINIMAL}device = '{device}'\nprecision = '{precision}'\n");
                draft(&text).resolve(224, None)
            };
            assert!(of("gpu").is_ok(), "{precision}");
            let on_processor = of("cpu");
            if precision == "f32" {
                assert!(on_processor.is_ok());
                continue;
            }
            let error = on_processor.unwrap_err();
            assert_eq!(error.fields().key, Some("precision".into()));
            assert_eq!(
                crate::plain(&error.to_string()),
                "on the processor warmstart computes in f32 alone: give device gpu, or precision f32"
            );
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (line, words) in [
            ("lr = -1.0", "lr of phase \"phase-1\" is -1"),
            ("warmup = 2.0", "from 0 to 1"),
            ("batch = 0", "batch of phase \"phase-1\" is 0"),
            ("layer_decay = 0.0", "layer_decay"),
            (
                "views = 4",
                "views of phase \"phase-1\" is 4; it must be \"fresh\"",
            ),
            ("epochs = 200000", "from 1 to 100000"),
            (
                "[phase.augmentation]\nscale = [0.5, 0.1]",
                "augmentation of phase",
            ),
        ] {
            let epochs = if line.starts_with("epochs") {
                ""
            } else {
                "epochs = 2"
            };
            let text = format!("{MINIMAL}[[phase]]\ntrain = 'all'\n{epochs}\n{line}\n");
            let error = draft(&text).resolve(224, None).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
