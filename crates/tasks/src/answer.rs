//! What a model says of a picture, as JSON: a line of `predict --json`, and the answer of a server.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use warmstart_data::DataError;

use crate::classify::known::Unknown;
use crate::detect::found_object::FoundObject;

/// Classes of a picture that are shown unless another number is asked for.
pub const SHOWN_CLASSES: usize = 5;

/// The answer of a classifier: classes with their probabilities, the likeliest first, and how unlike all training images
/// the picture is, where the model can tell. `names` are those of all classes.
pub fn of_classes(
    file: &str,
    classes: &[(usize, f32)],
    names: &[String],
    unknown: Option<Unknown>,
) -> Value {
    let predictions: Vec<Value> = classes
        .iter()
        .map(|(class, probability)| json!({"class": names[*class], "probability": probability}))
        .collect();
    let mut answer = json!({"file": file, "predictions": predictions});
    if let Some(unknown) = unknown {
        answer["unknown"] = json!(unknown);
    }
    answer
}

/// The answer of a detector: objects with their scores and boxes `[x1, y1, x2, y2]` in pixels of the picture, the
/// highest score first. `names` are those of all classes.
pub fn of_objects(file: &str, objects: &[FoundObject], names: &[String]) -> Value {
    let predictions: Vec<Value> = objects
        .iter()
        .map(|object| {
            json!({
                "class": names[object.class],
                "probability": object.score,
                "box": object.bounds.corners(),
            })
        })
        .collect();
    json!({"file": file, "predictions": predictions})
}

/// The answer for a picture that cannot be read.
pub fn of_error(file: &str, error: &DataError) -> Value {
    json!({"file": file, "error": error.to_string()})
}

/// Objects of each class, by the class's name.
pub fn counts<'a>(objects: &[FoundObject], names: &'a [String]) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for object in objects {
        *counts.entry(names[object.class].as_str()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use warmstart_data::BoundingBox;

    use super::*;

    fn names() -> Vec<String> {
        ["cat", "dog"].map(str::to_owned).into()
    }

    #[test]
    fn a_classifier_names_its_classes() {
        assert_eq!(
            of_classes("a.jpg", &[(1, 0.75), (0, 0.25)], &names(), None),
            json!({"file": "a.jpg", "predictions": [
                {"class": "dog", "probability": 0.75},
                {"class": "cat", "probability": 0.25},
            ]})
        );
        let unknown = Unknown {
            score: 0.5,
            is_unknown: false,
        };
        let answer = of_classes("a.jpg", &[], &names(), Some(unknown));
        assert_eq!(
            answer["unknown"],
            json!({"score": 0.5, "is_unknown": false})
        );
    }

    #[test]
    fn a_detector_gives_corners_and_counts() {
        let bounds = BoundingBox {
            left: 1.0,
            top: 2.0,
            right: 4.0,
            bottom: 8.0,
        };
        let object = FoundObject {
            class: 1,
            score: 0.5,
            bounds,
        };
        assert_eq!(
            of_objects("a.jpg", &[object], &names()),
            json!({"file": "a.jpg", "predictions": [
                {"class": "dog", "probability": 0.5, "box": [1.0, 2.0, 4.0, 8.0]},
            ]})
        );
        assert_eq!(counts(&[object; 3], &names()), BTreeMap::from([("dog", 3)]));
    }

    #[test]
    fn an_unreadable_picture_has_an_error_instead() {
        let error = DataError::Decode {
            path: PathBuf::from("a.jpg"),
            reason: "it is text".into(),
        };
        let answer = of_error("a.jpg", &error);
        assert!(answer["error"].as_str().unwrap().contains("it is text"));
        assert_eq!(answer["predictions"], Value::Null);
    }
}
