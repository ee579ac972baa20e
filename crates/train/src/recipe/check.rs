use warmstart_data::Fit;
use warmstart_models::detector::STRIDES;

use super::{Augmentation, Balance, Recipe, Task, Train, Views};
use crate::Error;
use crate::folds::PARTS;

/// Most epochs and images a step that are taken for meant.
const MOST_EPOCHS: usize = 100_000;
const MOST_IMAGES: usize = 65_536;
/// Most views of an image: beyond, fresh ones are as well.
const MOST_VIEWS: usize = 1_000;

/// Refuses values that no run can work with.
pub(super) fn check(recipe: &Recipe) -> Result<(), Error> {
    let refuse = |key: String, value: String, range: &str| {
        Err(Error::usage(format!(
            "{key} is {value}; it must be {range}"
        )))
    };
    if !(recipe.val_split > 0.0 && recipe.val_split < 1.0) {
        return refuse(
            "val_split".into(),
            recipe.val_split.to_string(),
            "between 0 and 1",
        );
    }
    if !(32..=2048).contains(&recipe.image_size) {
        return refuse(
            "image_size".into(),
            recipe.image_size.to_string(),
            "from 32 to 2048",
        );
    }
    if recipe.task == Task::Detect && !recipe.image_size.is_multiple_of(STRIDES[2]) {
        let range = format!("a multiple of {} in detection", STRIDES[2]);
        return refuse("image_size".into(), recipe.image_size.to_string(), &range);
    }
    if recipe.task == Task::Detect && recipe.fit != Fit::Letterbox {
        return refuse(
            "fit".into(),
            recipe.fit.to_string(),
            "\"letterbox\" in detection",
        );
    }
    if let Some(part) = recipe.fold
        && !(PARTS.contains(&part.of) && (1..=part.of).contains(&part.number))
    {
        let range = format!("a part of {} to {}", PARTS.start(), PARTS.end());
        return refuse(
            "fold".into(),
            format!("part {} of {}", part.number, part.of),
            &range,
        );
    }
    if recipe.health_every == Some(0) {
        return refuse(
            "health_every".into(),
            "0".into(),
            "a number of steps from 1",
        );
    }
    if recipe.phases.is_empty() {
        return Err(Error::usage("the recipe has no phase"));
    }
    for (index, phase) in recipe.phases.iter().enumerate() {
        if recipe.phases[..index]
            .iter()
            .any(|other| other.name == phase.name)
        {
            return Err(Error::usage(format!(
                "two phases are called \"{}\": give each a name of its own",
                phase.name
            )));
        }
        let counts = [
            ("epochs", phase.epochs, MOST_EPOCHS),
            ("batch", phase.batch, MOST_IMAGES),
            ("micro_batch", phase.micro_batch.unwrap_or(1), MOST_IMAGES),
        ];
        let counts = counts.map(|(key, value, most)| (key, value, 1..=most));
        let patience = ("patience", phase.patience, 0..=MOST_EPOCHS);
        for (key, value, range) in counts.into_iter().chain([patience]) {
            if !range.contains(&value) {
                let range = format!("from {} to {}", range.start(), range.end());
                return refuse(
                    format!("{key} of phase \"{}\"", phase.name),
                    value.to_string(),
                    &range,
                );
            }
        }
        let ranges = [
            (
                "lr",
                phase.lr,
                f64::MIN_POSITIVE..=f64::MAX,
                "a positive number",
            ),
            ("warmup", phase.warmup, 0.0..=1.0, "from 0 to 1"),
            (
                "layer_decay",
                phase.layer_decay,
                1e-6..=1.0,
                "above 0 and at most 1",
            ),
            (
                "weight_decay",
                phase.weight_decay,
                0.0..=f64::MAX,
                "0 or more",
            ),
            (
                "label_smoothing",
                phase.label_smoothing,
                0.0..=0.99,
                "from 0 to 0.99",
            ),
            (
                "dropout",
                phase.dropout.unwrap_or(0.0),
                0.0..=0.99,
                "from 0 to 0.99",
            ),
            (
                "ema_decay",
                phase.ema_decay,
                0.0..=0.999999,
                "from 0 to below 1",
            ),
            (
                "clip_norm",
                phase.clip_norm,
                0.0..=f64::MAX,
                "0 (no limit) or more",
            ),
        ];
        for (key, value, range, words) in ranges {
            if !range.contains(&value) {
                return refuse(
                    format!("{key} of phase \"{}\"", phase.name),
                    value.to_string(),
                    words,
                );
            }
        }
        if let Views::Number(views) = phase.views {
            let key = format!("views of phase \"{}\"", phase.name);
            if !(1..=MOST_VIEWS).contains(&views) {
                let range = format!("\"fresh\", or from 1 to {MOST_VIEWS}");
                return refuse(key, views.to_string(), &range);
            }
            if phase.train == Train::All {
                return refuse(key, views.to_string(), "\"fresh\" where nothing is frozen");
            }
        }
        let fits = matches!(
            (recipe.task, &phase.augmentation),
            (Task::Classify, Augmentation::Images(_)) | (Task::Detect, Augmentation::Scenes(_))
        );
        if !fits {
            return Err(Error::usage(format!(
                "augmentation of phase \"{}\" is not that of the recipe's task: remove it, or name all \
                 of its keys",
                phase.name
            )));
        }
        if recipe.task == Task::Detect && phase.label_smoothing != 0.0 {
            return refuse(
                format!("label_smoothing of phase \"{}\"", phase.name),
                phase.label_smoothing.to_string(),
                "0 in detection, whose labels are soft already",
            );
        }
        if recipe.task == Task::Detect && phase.dropout.is_some_and(|dropout| dropout > 0.0) {
            return Err(Error::usage(format!(
                "dropout of phase \"{}\" is for classification: a detector's head has none",
                phase.name
            )));
        }
        if recipe.task == Task::Detect && phase.balance != Balance::None {
            return Err(Error::usage(format!(
                "balance of phase \"{}\" is for classification: an image of detection has objects of many classes",
                phase.name
            )));
        }
        let augmentation = match &phase.augmentation {
            Augmentation::Images(augmentation) => augmentation.check(),
            Augmentation::Scenes(augmentation) => augmentation.check(),
        };
        augmentation.map_err(|error| {
            Error::usage(format!("augmentation of phase \"{}\": {error}", phase.name))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::recipe::Draft;

    const MINIMAL: &str = "data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n";

    fn draft(text: &str) -> Draft {
        toml::from_str(text).unwrap()
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
