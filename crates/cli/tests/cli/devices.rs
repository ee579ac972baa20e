//! The devices of this machine, and the one that a model is used on.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{CLASSES, data, pictures, pretrained, warmstart};

/// Whether the build under test can use graphics cards.
pub const HAS_CARDS: bool = cfg!(any(
    feature = "vulkan",
    feature = "metal",
    feature = "cuda",
    feature = "rocm"
));
/// The environment variable with the device that `auto` stands for.
const VARIABLE: &str = "WARMSTART_DEVICE";

/// The binary, for which the variable is not set.
fn unset() -> Command {
    let mut command = warmstart();
    command.env_remove(VARIABLE);
    command
}

/// The devices that the build under test lists, not measured.
fn listed() -> Vec<Value> {
    let output = unset()
        .args(["devices", "--no-measure", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    json_lines(&output.stdout)
}

fn json_lines(output: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(output).unwrap().lines();
    let lines = lines.map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// A model, and a folder with pictures.
fn model_and_pictures(dir: &Path) -> (String, PathBuf) {
    let folder = dir.join("pictures");
    pictures(&folder, &CLASSES, 50, 2);
    (pretrained(dir, &data(dir)), folder)
}

#[test]
fn the_processor_is_listed_first_and_one_device_is_the_automatic_one() {
    let all = listed();
    assert_eq!(all[0]["name"], "cpu");
    assert_eq!(all[0]["kind"], "processor");
    for device in &all {
        for key in ["model", "interface"] {
            assert!(device[key].is_string(), "{device}");
        }
        for key in ["driver", "memory_total", "memory_free", "problem"] {
            assert!(device.get(key).is_some(), "{device}");
        }
        assert!(device["images_per_second"].is_null(), "{device}");
    }
    let automatic = all.iter().filter(|device| device["auto"] == true);
    assert_eq!(automatic.count(), 1, "{all:?}");
    if !HAS_CARDS {
        assert_eq!(all.len(), 1);
    }
}

#[test]
fn the_speed_of_each_device_is_measured() {
    let output = unset()
        .args(["devices", "--json", "--threads", "2"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let all = json_lines(&output.stdout);
    for device in &all {
        let is_measured = device["images_per_second"].as_f64() > Some(0.0);
        assert!(is_measured || device["problem"].is_string(), "{device}");
    }
    assert!(all[0]["images_per_second"].is_f64(), "{all:?}");
}

#[test]
fn people_get_a_table_that_says_what_the_build_can_use() {
    let printed = unset()
        .env(VARIABLE, "cpu")
        .args(["devices", "--no-measure"])
        .assert()
        .success()
        .stdout(contains("cpu (auto)").and(contains("processor")));
    if !HAS_CARDS {
        printed.stdout(contains(
            "this build computes on the processor alone; docs/devices.md says",
        ));
    }
}

#[test]
fn a_variable_that_names_no_device_is_an_error_that_a_flag_overrides() {
    unset()
        .env(VARIABLE, "cuda")
        .args(["predict", "no-model", "no-picture.png"])
        .assert()
        .code(2)
        .stderr(contains(VARIABLE).and(contains("override it by --device")));
    unset()
        .env(VARIABLE, "cuda")
        .args(["predict", "no-model", "no-picture.png", "--device", "cpu"])
        .assert()
        .stderr(contains(VARIABLE).not());
}

#[test]
fn the_devices_are_listed_with_a_note_where_the_variable_names_none_of_them() {
    for value in ["gpu:99", "cuda"] {
        unset()
            .env(VARIABLE, value)
            .args(["devices", "--no-measure"])
            .assert()
            .success()
            .stdout(contains("processor").and(contains("(auto)").not()))
            .stderr(contains("note: "));
    }
}

#[test]
fn a_variable_that_says_auto_counts_as_unset() {
    let output = unset()
        .env(VARIABLE, "auto")
        .args(["devices", "--no-measure", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = |all: &[Value]| -> Vec<Value> {
        let automatic = all.iter().filter(|device| device["auto"] == true);
        automatic.map(|device| device["name"].clone()).collect()
    };
    assert_eq!(names(&json_lines(&output.stdout)), names(&listed()));
}

#[test]
fn a_device_that_there_cannot_be_is_a_wrong_command_line() {
    for command in [
        &["eval", "no-model"][..],
        &["predict", "no-model", "no-picture.png"],
        &["serve", "no-model"],
        &["rank", "--data", "no-data", "--weights", "none"],
        &["demo", "no-demo"],
    ] {
        unset()
            .args(command)
            .args(["--device", "cuda"])
            .assert()
            .code(2)
            .stderr(contains("--device").and(contains("expected cpu, gpu")));
    }
}

#[test]
fn a_card_that_is_not_there_is_refused_before_the_model_is_read() {
    for command in [
        &["eval", "no-model"][..],
        &["predict", "no-model", "no-picture.png"],
        &["serve", "no-model"],
    ] {
        let error = unset()
            .args(command)
            .args(["--device", "gpu:99"])
            .assert()
            .code(2)
            .stderr(contains("give --device cpu"));
        if !HAS_CARDS {
            error.stderr(
                contains("this build of warmstart computes on the processor alone")
                    .and(contains("docs/devices.md")),
            );
        }
    }
    // So is it before any image is read.
    unset()
        .args(["rank", "--data", "no-data", "--weights", "none"])
        .args(["--model", "resnet18", "--device", "gpu:99"])
        .assert()
        .code(2)
        .stderr(contains("give --device cpu"));
    let output = unset()
        .args([
            "predict", "no-model", "a.png", "--device", "gpu:99", "--json",
        ])
        .output()
        .unwrap();
    // A driver may have said something of its own before.
    let words = std::str::from_utf8(&output.stderr).unwrap();
    let error: Value = serde_json::from_str(words.lines().last().unwrap()).unwrap();
    assert_eq!(error["key"], "device");
    assert_eq!(error["kind"], "usage");
}

#[test]
fn the_processor_is_not_mentioned_and_gives_what_it_gave() {
    let dir = tempfile::tempdir().unwrap();
    let (model, folder) = model_and_pictures(dir.path());
    let predict = |flags: &[&str]| {
        let mut command = unset();
        command.env(VARIABLE, "cpu");
        command
            .args(["predict", model.as_str(), "--json"])
            .arg(&folder);
        let printed = command.args(flags).assert().success().stderr("");
        printed.get_output().stdout.clone()
    };
    assert_eq!(predict(&["--device", "cpu"]), predict(&[]));
}
