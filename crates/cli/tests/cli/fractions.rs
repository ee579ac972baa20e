//! Large JPEGs decoded at a fraction of their size, from training to an exported model.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use warmstart_data::{RgbImage, decode, jpeg};

use crate::common::scenes::scenes;
use crate::common::server::Server;
use crate::common::{CLASSES, Said, data, small_run, warmstart};

/// Makes every picture below a folder a JPEG, its sides this many times as long; the name stays, since the content
/// decides.
fn enlarge(folder: &Path, times: usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            enlarge(&path, times);
        } else if let Ok(small) = decode(&path) {
            let mut large = RgbImage::black(small.width * times, small.height * times);
            for (place, value) in large.pixels.iter_mut().enumerate() {
                let (pixel, channel) = (place / 3, place % 3);
                let across = small.width * times;
                let (x, y) = (pixel % across / times, pixel / across / times);
                *value = small.row(y)[x * 3 + channel];
            }
            fs::write(&path, jpeg(&large, 90)).unwrap();
        }
    }
}

/// The preprocessing in the file of a run's kept model.
fn preprocessing(run: &Path) -> Value {
    let file = warmstart_weights::read(&run.join("best.safetensors")).unwrap();
    file.metadata.unwrap()["preprocessing"].clone()
}

/// A finished classifier of large pictures, and its data.
fn classifier(dir: &Path, decode: &str) -> (PathBuf, PathBuf) {
    let data = data(dir);
    enlarge(&data, 8);
    let run = dir.join("run");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "1", "--fit", "crop", "--decode", decode]);
    warmstart().args(arguments).assert().success();
    (data, run)
}

#[test]
fn a_classifier_decodes_as_it_was_trained_wherever_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = classifier(dir.path(), "scaled");
    assert_eq!(preprocessing(&run)["decode"], "scaled");
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    assert!(recipe.contains("decode = \"scaled\""), "{recipe}");
    let picture = data.join("val").join(CLASSES[0]).join("100.png");
    let printed = warmstart()
        .arg("predict")
        .arg(&run)
        .arg(&picture)
        .arg("--json")
        .assert()
        .success();
    let predicted: Value = serde_json::from_slice(&printed.get_output().stdout).unwrap();
    let server = Server::start(&run);
    let served = server.predict("image/jpeg", &fs::read(&picture).unwrap());
    assert_eq!(served.json()["predictions"], predicted["predictions"]);
}

#[test]
fn an_export_says_how_far_every_pixel_is_from_a_fraction() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = classifier(dir.path(), "scaled");
    let file = dir.path().join("model.onnx");
    warmstart()
        .arg("export")
        .arg(&run)
        .arg("--onnx")
        .arg(&file)
        .assert()
        .success()
        .stdout(contains("trained with decode = \"scaled\"").and(contains(
            "the trainer's own answers for the two: largest difference",
        )));
}

#[test]
fn a_model_that_decodes_every_pixel_does_not_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = classifier(dir.path(), "full");
    assert_eq!(preprocessing(&run).get("decode"), None);
    let file = dir.path().join("model.onnx");
    let exported = warmstart()
        .arg("export")
        .arg(&run)
        .arg("--onnx")
        .arg(&file)
        .assert()
        .success();
    exported.stdout(contains("scaled").not());
}

#[test]
fn a_run_goes_on_with_its_decoding_its_order_and_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = classifier(dir.path(), "full");
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    for (before, after, words) in [
        (
            "shuffle = \"permutation\"",
            "shuffle = \"list\"",
            "it changes `shuffle`",
        ),
        (
            "virtual_shards = 1",
            "virtual_shards = 2",
            "it changes `virtual_shards`",
        ),
        (
            "decode = \"full\"",
            "decode = \"scaled\"",
            "preprocessing is not the recipe's",
        ),
    ] {
        assert_eq!(recipe.matches(before).count(), 1, "{recipe}");
        fs::write(run.join("recipe.toml"), recipe.replace(before, after)).unwrap();
        warmstart()
            .arg("resume")
            .arg(&run)
            .args(["--epochs", "2"])
            .assert()
            .failure()
            .said(contains(words));
    }
    fs::write(run.join("recipe.toml"), &recipe).unwrap();
    warmstart()
        .arg("resume")
        .arg(&run)
        .args(["--epochs", "2"])
        .assert()
        .success();
}

#[test]
fn a_detector_learns_and_is_evaluated_on_fractions() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes(dir.path(), 8, 512);
    enlarge(&data.join("train"), 1);
    enlarge(&data.join("val"), 1);
    let run = dir.path().join("run");
    warmstart()
        .args(["train", "--model", "mobilenet_v2", "--weights", "none"])
        .args(["--image-size", "64", "--epochs", "1", "--batch", "4"])
        .args(["--decode", "scaled"])
        .arg("--data")
        .arg(&data)
        .arg("--out")
        .arg(&run)
        .assert()
        .success();
    assert_eq!(preprocessing(&run)["decode"], "scaled");
    warmstart()
        .arg("eval")
        .arg(&run)
        .assert()
        .success()
        .said(contains("mAP@[.5:.95]"));
}
