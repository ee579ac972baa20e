//! Model files whose metadata were changed: an error line or a working prediction, at once, never a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{data, pretrained, scenes, tamper, warmstart};

/// Longest that a prediction of one small picture may take.
const AT_ONCE: Duration = Duration::from_secs(5);

fn values() -> Vec<Value> {
    let numbers = [
        json!(0),
        json!(1),
        json!(33),
        json!(3000),
        json!(1_u64 << 63),
        json!(-1),
    ];
    let others = [json!(1e308), json!("x"), json!(null), json!([]), json!({})];
    numbers.into_iter().chain(others).collect()
}

/// Every number of the metadata, as a path into it.
const NUMBERS: [&str; 9] = [
    "/format",
    "/preprocessing/crop",
    "/preprocessing/resize",
    "/preprocessing/mean",
    "/preprocessing/mean/0",
    "/preprocessing/mean/2",
    "/preprocessing/std",
    "/preprocessing/std/1",
    "/classes",
];

/// Predicts a picture with each changed copy of a model; returns how many were refused.
fn predict_with_changes(model: &Path, picture: &Path) -> usize {
    let changed = model.with_file_name("changed.safetensors");
    let mut refused = 0;
    for path in NUMBERS {
        for value in values() {
            fs::copy(model, &changed).unwrap();
            tamper::with_metadata(&changed, |metadata| {
                *metadata.pointer_mut(path).unwrap() = value.clone();
            });
            let started = Instant::now();
            let output = warmstart()
                .arg("predict")
                .arg(&changed)
                .arg(picture)
                .output()
                .unwrap();
            let what = format!(
                "{path} = {value}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(started.elapsed() < AT_ONCE, "{what}");
            match output.status.code() {
                Some(0) => assert!(!output.stdout.is_empty(), "{what}"),
                Some(1) => {
                    refused += 1;
                    let line = String::from_utf8(output.stderr).unwrap();
                    assert_eq!(line.lines().count(), 1, "{what}");
                    let key = path.split('/').nth(2).unwrap_or(&path[1..]);
                    for part in ["error: ", "changed.safetensors", key] {
                        assert!(
                            line.contains(part) || line.contains("newer version"),
                            "{what}"
                        );
                    }
                }
                _ => panic!("{what}"),
            }
        }
    }
    refused
}

#[test]
fn a_classifier_s_numbers_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = PathBuf::from(pretrained(dir.path(), &data));
    let picture = data.join("val/checker/100.png");
    // A format of 1, a crop of 33, and means of 0 and 1, are fine.
    let refused = predict_with_changes(&model, &picture);
    assert!(refused >= 80, "{refused}");
}

#[test]
fn a_detector_s_numbers_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 6, 64);
    let run = dir.path().join("run");
    scenes::train(&data, &run).success();
    let picture = data.join("val/100.png");
    let refused = predict_with_changes(&run.join("best.safetensors"), &picture);
    assert!(refused >= 80, "{refused}");

    // Its boxes would be put where a letterboxed picture has them.
    let model = run.join("best.safetensors");
    let changed = run.join("changed.safetensors");
    for fit in ["crop", "squash"] {
        fs::copy(&model, &changed).unwrap();
        tamper::with_metadata(&changed, |metadata| {
            metadata["preprocessing"]["fit"] = json!(fit);
        });
        let assert = warmstart()
            .arg("predict")
            .arg(&changed)
            .arg(&picture)
            .assert();
        let assert = assert.code(1);
        let line = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        let words = format!("preprocessing.fit = \"{fit}\"; expected \"letterbox\"");
        assert!(line.contains(&words) && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn names_of_classes_are_of_their_own_and_as_many_as_the_tensors_say() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = PathBuf::from(pretrained(dir.path(), &data));
    let changed = model.with_file_name("changed.safetensors");
    for (classes, words) in [
        (json!(["a", "b", "b"]), "\"b\" twice"),
        (json!(["a", "b"]), "the model needs [2, 1280]"),
        (json!(["a", "b", ""]), "expected names of classes"),
    ] {
        fs::copy(&model, &changed).unwrap();
        tamper::with_metadata(&changed, |metadata| metadata["classes"] = classes);
        let assert = warmstart()
            .arg("predict")
            .arg(&changed)
            .arg(data.join("val/checker/100.png"))
            .assert()
            .code(1);
        let line = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert!(line.contains(words) && line.lines().count() == 1, "{line}");
    }
}
