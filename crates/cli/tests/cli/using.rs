//! The uses of a finished model, from its one file.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{CLASSES, data, pretrained, small_run, warmstart};

#[test]
fn eval_prints_accuracy_precision_recall_and_the_confusion_matrix() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "2"]);
    warmstart().args(arguments).assert().success();
    warmstart()
        .arg("eval")
        .arg(&run)
        .arg("--data")
        .arg(data.join("val"))
        .assert()
        .success()
        .stdout(contains("12 images: top-1 accuracy").and(contains("precision")))
        .stdout(contains("top-5 1.0000 (95%: 0.758 to 1.000)"))
        .stdout(contains("confusion: rows are the true classes"));
    let output = warmstart()
        .arg("eval")
        .arg(run.join("best.safetensors"))
        .arg("--data")
        .arg(data.join("val"))
        .arg("--json")
        .assert()
        .success();
    let result: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(
        result["top_1"], summary["highest"]["value"],
        "eval measures what training measured"
    );
    assert_eq!(result["top_5"], 1.0);
    assert_eq!(result["top_5_interval"]["high"], 1.0);
    assert_eq!(result["classes"].as_array().unwrap().len(), 3);
}

#[test]
fn predict_gives_the_classes_in_falling_order() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    // The file alone: nothing else of the run is there.
    let model = dir.path().join("alone.safetensors");
    fs::copy(pretrained(dir.path(), &data), &model).unwrap();
    let output = warmstart()
        .arg("predict")
        .arg(&model)
        .arg(data.join("val/vertical/100.png"))
        .arg(data.join("val/checker"))
        .arg("--json")
        .assert()
        .success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    assert!(
        lines[0]["file"]
            .as_str()
            .unwrap()
            .ends_with("vertical/100.png")
    );
    for line in &lines {
        let predictions = line["predictions"].as_array().unwrap();
        let probabilities: Vec<f64> = predictions
            .iter()
            .map(|prediction| prediction["probability"].as_f64().unwrap())
            .collect();
        assert!(probabilities.is_sorted_by(|a, b| a >= b));
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        assert!(CLASSES.contains(&predictions[0]["class"].as_str().unwrap()));
    }
    warmstart()
        .arg("predict")
        .arg(&model)
        .arg(data.join("val/vertical/100.png"))
        .assert()
        .success()
        .stdout(contains("vertical/100.png: ").and(contains("%")));
}

#[test]
fn a_file_that_cannot_be_classified_does_not_keep_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = pretrained(dir.path(), &data);
    let bad = dir.path().join("bad.png");
    fs::write(&bad, "text").unwrap();
    warmstart()
        .arg("predict")
        .arg(&model)
        .arg(&bad)
        .arg(data.join("val/vertical"))
        .assert()
        .code(1)
        .stdout(contains("100.png").and(contains("103.png")))
        .stderr(contains("bad.png").and(contains("1 of 5 files could not be read")));
}

#[test]
fn inspect_lists_tensors_and_names_the_architecture() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = pretrained(dir.path(), &data);
    warmstart()
        .args(["weights", "inspect", &model])
        .assert()
        .success()
        .stdout(contains("features.18.0.weight").and(contains("mobilenet_v2")));
    let output = warmstart()
        .args(["weights", "inspect", &model, "--json"])
        .assert()
        .success();
    let result: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(result["architecture"], "mobilenet_v2");
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        &["train"][..],
        &["resume"],
        &["eval"],
        &["predict"],
        &["weights", "inspect"],
    ] {
        warmstart()
            .args(command)
            .arg("--help")
            .assert()
            .success()
            .stdout(contains("Example").and(contains(format!("warmstart {}", command.join(" ")))));
    }
}
