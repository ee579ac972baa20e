//! Checks of the numbers and names in a model file's metadata.

use std::collections::HashSet;

use serde_json::Value;
use warmstart_language::{english, message, translated};
use warmstart_recipe::{
    IMAGE_SIZES, Problem, TaskDefaults, TaskKind, UserValue, is_detector, model_names,
};

/// Range of the resized picture's shorter side, as a multiple of the crop: weights are evaluated with at most 1.3.
const MOST_RESIZE: u64 = 4;
/// Ranges of the means and standard deviations of colours, on a scale of 0 to 1.
const MEANS: (f64, f64) = (0.0, 1.0);
const DEVIATIONS: (f64, f64) = (0.001, 10.0);

/// Refuses metadata with a value that warmstart does not write.
///
/// # Errors
/// In words: the key, what was expected, and what was found.
pub(crate) fn check(metadata: &Value, format: u32) -> Result<(), Box<Problem>> {
    whole(metadata, "format", (1, format.into()))?;
    let task = one_of(metadata, "task", &words())?;
    let task: TaskKind = task
        .parse()
        .map_err(|error: String| Box::new(Problem::new(error)))?;
    let model = &metadata["model"];
    let Some(network) = model.as_str().and_then(warmstart_models::by_name) else {
        let known: Vec<_> = model_names().collect();
        return Err(wrong(
            "model",
            &model.to_string(),
            &known.join(translated(english!(" or "))),
        ));
    };
    let detector = model.as_str().filter(|name| is_detector(name));
    if let (TaskKind::Classify, Some(detector)) = (task, detector) {
        let expected = message!("\"detect\", as of {detector}");
        return Err(wrong("task", &metadata["task"].to_string(), &expected));
    }
    let preprocessing = &metadata["preprocessing"];
    let sizes = (*IMAGE_SIZES.start() as u64, *IMAGE_SIZES.end() as u64);
    let crop = whole(preprocessing, "preprocessing.crop", sizes)?;
    let TaskDefaults {
        image_size_step,
        has_one_fit,
        fit,
        ..
    } = *task.defaults();
    if !crop.is_multiple_of(image_size_step as u64) {
        let expected = message!("a multiple of {image_size_step}, as of every model for this task");
        return Err(wrong("preprocessing.crop", &crop.to_string(), &expected));
    }
    if let Some(patch) = network.patch
        && !crop.is_multiple_of(patch as u64)
    {
        let model = network.name;
        let expected = message!("a multiple of {patch}, the edge of a patch of {model}");
        return Err(wrong("preprocessing.crop", &crop.to_string(), &expected));
    }
    let found = &preprocessing["fit"];
    if has_one_fit && *found != fit.to_string() {
        let expected = message!("\"{fit}\", as of every model for this task");
        return Err(wrong("preprocessing.fit", &found.to_string(), &expected));
    }
    whole(
        preprocessing,
        "preprocessing.resize",
        (crop, MOST_RESIZE * crop),
    )?;
    colours(preprocessing, "preprocessing.mean", MEANS)?;
    colours(preprocessing, "preprocessing.std", DEVIATIONS)?;
    confidence(&metadata["confidence"])?;
    class_names(&metadata["classes"])
}

/// The names of the tasks.
fn words() -> Vec<&'static str> {
    let choices = <TaskKind as UserValue>::CHOICES.iter();
    choices.map(|choice| choice.word).collect()
}

/// The text of a key, which is one of some words.
fn one_of<'a>(table: &'a Value, key: &str, known: &[&str]) -> Result<&'a str, Box<Problem>> {
    let found = &table[key];
    let text = found.as_str().filter(|found| known.contains(found));
    text.ok_or_else(|| {
        wrong(
            key,
            &found.to_string(),
            &known.join(translated(english!(" or "))),
        )
    })
}

/// The value of a key, whose last part is its name in the table.
fn value<'a>(table: &'a Value, key: &str) -> &'a Value {
    &table[key.rsplit('.').next().unwrap_or(key)]
}

fn whole(table: &Value, key: &str, (least, most): (u64, u64)) -> Result<u64, Box<Problem>> {
    let found = value(table, key);
    found
        .as_u64()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let expected = if least == most {
                least.to_string()
            } else {
                message!("a whole number from {least} to {most}")
            };
            wrong(key, &found.to_string(), &expected)
        })
}

/// Three numbers: red, green and blue.
fn colours(table: &Value, key: &str, (least, most): (f64, f64)) -> Result<(), Box<Problem>> {
    let found = value(table, key);
    let is_colour = |number: &Value| number.as_f64().is_some_and(|n| (least..=most).contains(&n));
    let are_colours = |numbers: &Vec<Value>| numbers.len() == 3 && numbers.iter().all(is_colour);
    if found.as_array().is_some_and(are_colours) {
        return Ok(());
    }
    let expected = message!("three numbers from {least} to {most}");
    Err(wrong(key, &found.to_string(), &expected))
}

/// The lowest score of an object that is shown, where it was measured.
fn confidence(found: &Value) -> Result<(), Box<Problem>> {
    let is_share = |score: f64| (0.0..=1.0).contains(&score);
    if found.is_null() || found.as_f64().is_some_and(is_share) {
        return Ok(());
    }
    Err(wrong(
        "confidence",
        &found.to_string(),
        &message!("a number from 0 to 1"),
    ))
}

fn class_names(classes: &Value) -> Result<(), Box<Problem>> {
    const KEY: &str = "classes";
    let Some(classes) = classes.as_array().filter(|classes| !classes.is_empty()) else {
        return Err(wrong(
            KEY,
            &classes.to_string(),
            &message!("a list of names"),
        ));
    };
    let mut names = HashSet::new();
    for class in classes {
        let Some(name) = class.as_str().filter(|name| !name.is_empty()) else {
            return Err(wrong(
                KEY,
                &class.to_string(),
                &message!("names of classes"),
            ));
        };
        if !names.insert(name) {
            return Err(wrong(
                KEY,
                &message!("\"{name}\" twice"),
                &message!("a name of its own for each"),
            ));
        }
    }
    Ok(())
}

fn wrong(key: &str, found: &str, expected: &str) -> Box<Problem> {
    const SHOWN: usize = 60;
    let found = warmstart_files::one_line(found);
    let mut shown: String = found.chars().take(SHOWN).collect();
    if shown.len() < found.len() {
        shown.push('…');
    }
    let what = message!("its metadata has {key} = {shown}; expected {expected}");
    Box::new(Problem {
        found: shown,
        expected: expected.to_owned(),
        ..Problem::new(what).fix(message!("take another copy of the file, or train it again"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use warmstart_recipe::Error;

    fn metadata() -> Value {
        json!({
            "format": 1, "task": "detect", "model": "mobilenet_v2", "classes": ["cat", "dog"],
            "preprocessing": {
                "resize": 320, "crop": 320, "fit": "letterbox", "interpolation": "bilinear",
                "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
            },
        })
    }

    fn refused(metadata: &Value) -> String {
        Error::Model(check(metadata, 1).unwrap_err()).to_string()
    }

    #[test]
    fn sound_metadata_pass() {
        check(&metadata(), 1).unwrap();
    }

    #[test]
    fn a_value_that_no_training_writes_is_named_with_its_key() {
        let wrong = [
            json!(0),
            json!(1),
            json!(33),
            json!(3000),
            json!(1_u64 << 63),
            json!(-1),
            json!(1e308),
        ];
        for value in wrong
            .into_iter()
            .chain([json!("x"), json!(null), json!([]), json!({})])
        {
            for key in ["crop", "resize", "mean", "std"] {
                let mut metadata = metadata();
                metadata["preprocessing"][key] = value.clone();
                let error = refused(&metadata);
                assert!(
                    error.contains(&format!("preprocessing.{key} = ")),
                    "{error}"
                );
            }
        }
        for (key, value, words) in [
            ("classes", json!([]), "a list of names"),
            ("classes", json!(["a", 3]), "classes = 3"),
            ("classes", json!(["a", "b\n", "b\n"]), "\"b\\n\" twice"),
            ("format", json!(0), "format = 0; expected 1"),
        ] {
            let mut metadata = metadata();
            metadata[key] = value;
            let error = refused(&metadata);
            assert!(error.contains(words) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn pictures_that_the_patches_of_the_network_do_not_fill_are_refused() {
        let mut metadata = metadata();
        metadata["task"] = json!("classify");
        metadata["model"] = json!("vit_small_patch14_dinov2");
        let words = "preprocessing.crop = 320; expected a multiple of 14, the edge of a patch of";
        let error = refused(&metadata);
        assert!(error.contains(words), "{error}");
        for key in ["crop", "resize"] {
            metadata["preprocessing"][key] = json!(322);
        }
        check(&metadata, 1).unwrap();
    }

    #[test]
    fn a_detector_whose_pictures_would_be_cut_or_squashed_is_refused() {
        for fit in [
            json!("crop"),
            json!("squash"),
            json!(null),
            json!("Letterbox"),
        ] {
            let mut metadata = metadata();
            metadata["preprocessing"]["fit"] = fit.clone();
            let error = refused(&metadata);
            let words = format!("preprocessing.fit = {fit}; expected \"letterbox\"");
            assert!(error.contains(&words), "{error}");
            metadata["task"] = json!("classify");
            check(&metadata, 1).unwrap();
        }
    }

    #[test]
    fn a_confidence_is_a_share_or_not_there() {
        for (value, is_sound) in [
            (json!(null), true),
            (json!(0), true),
            (json!(0.41), true),
            (json!(1.5), false),
            (json!("0.4"), false),
        ] {
            let mut metadata = metadata();
            metadata["confidence"] = value;
            assert_eq!(check(&metadata, 1).is_ok(), is_sound, "{metadata}");
        }
    }

    #[test]
    fn a_detector_from_the_start_is_no_classifier() {
        let mut metadata = metadata();
        metadata["model"] = json!("rtmdet_tiny");
        check(&metadata, 1).unwrap();
        metadata["task"] = json!("classify");
        let error = refused(&metadata);
        assert!(
            error.contains("task = \"classify\"; expected \"detect\""),
            "{error}"
        );
    }

    #[test]
    fn a_deviation_of_zero_is_refused_in_any_colour() {
        for place in 0..3 {
            let mut metadata = metadata();
            metadata["preprocessing"]["std"][place] = json!(0.0);
            assert!(refused(&metadata).contains("preprocessing.std"));
        }
    }
}
