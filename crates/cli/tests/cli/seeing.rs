//! Figures on images that a model has seen are marked as such.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::scenes::{scenes, train};
use crate::common::{CLASSES, data, pictures, small_run, warmstart};

fn trained(data: &Path, weights: &str, out: PathBuf, flags: &[&str]) -> PathBuf {
    let mut arguments = small_run(data, weights, &out);
    arguments.extend(flags);
    warmstart().args(arguments).assert().success();
    out
}

/// Returns a command's messages on the images, and the JSON object that it prints.
fn eval(model: &Path, flags: &[&str]) -> (String, Value) {
    let mut command = warmstart();
    let output = command.arg("eval").arg(model).arg("--json").args(flags);
    let output = output.assert().success().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    (said, serde_json::from_slice(&output.stdout).unwrap())
}

fn seen(result: &Value) -> (u64, u64) {
    let count = |key| result["seen"][key].as_u64().unwrap();
    (count("trained_on"), count("chosen_by"))
}

#[test]
fn without_data_a_run_s_own_validation_images_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let split = data(dir.path());
    // Class folders alone: a share becomes the validation split.
    let shared = dir.path().join("shared");
    pictures(&shared, &CLASSES, 0, 9);
    for (name, data, flags) in [
        ("split", &split, &["--epochs", "1"][..]),
        (
            "shared",
            &shared,
            &["--epochs", "1", "--val-split", "0.4", "--seed", "9"],
        ),
    ] {
        let run = trained(data, "none", dir.path().join("runs").join(name), flags);
        let (said, result) = eval(&run, &[]);
        let summary = fs::read_to_string(run.join("summary.json")).unwrap();
        let summary: Value = serde_json::from_str(&summary).unwrap();
        assert_eq!(result["top_1"], summary["kept"]["value"], "{name}");
        assert_eq!(result["images"], 12, "{name}");
        // Some of the pictures are near-duplicates of training pictures.
        let (trained_on, chosen_by) = seen(&result);
        assert!(
            trained_on < 12 && trained_on + chosen_by == 12,
            "{name}: {said}"
        );
        assert_eq!(result["own"]["split"], "val");
        assert!(
            said.contains("evaluated on the 12 validation images of "),
            "{said}"
        );
        assert!(said.contains("are slightly optimistic"), "{said}");
        let (_, training) = eval(&run, &["--split", "train"]);
        assert_eq!(seen(&training), (training["images"].as_u64().unwrap(), 0));
    }
    // A changed image is left out and named.
    let run = dir.path().join("runs/split");
    fs::write(split.join("val/vertical/100.png"), "another").unwrap();
    fs::remove_file(split.join("val/vertical/101.png")).unwrap();
    let (said, result) = eval(&run, &[]);
    assert!(
        said.contains("2 of the run's 12 images are missing") && said.contains("100.png"),
        "{said}"
    );
    assert_eq!(result["images"], 10);
}

#[test]
fn images_that_a_model_was_trained_on_are_recognised_under_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = trained(&data, "none", dir.path().join("run"), &["--epochs", "1"]);
    let folder = |path: &Path| path.to_str().unwrap().to_owned();
    let train = folder(&data.join("train"));
    let (said, result) = eval(&run, &["--data", &train]);
    assert!(
        said.starts_with("warning: the model was trained on 27 of these 27 images"),
        "{said}"
    );
    assert_eq!(seen(&result), (27, 0));
    assert_eq!(result["own"], Value::Null);
    // Reported before the figures, also in text.
    warmstart()
        .arg("eval")
        .arg(run.join("checkpoints/epoch-0001"))
        .args(["--data", &train])
        .assert()
        .success()
        .stderr(contains(
            "warning: the model was trained on 27 of these 27 images",
        ))
        .stdout(contains("27 images: top-1 accuracy"));

    // Copies under other names, saved again in another size, and one that is new.
    let copies = dir.path().join("copies/vertical");
    fs::create_dir_all(&copies).unwrap();
    for number in 0..4 {
        let picture = data.join(format!("train/vertical/{number:03}.png"));
        fs::copy(&picture, copies.join(format!("copy-{number}.png"))).unwrap();
    }
    let larger = image::open(data.join("train/vertical/005.png")).unwrap();
    let larger = larger.resize_exact(80, 72, image::imageops::FilterType::Triangle);
    larger.save(copies.join("larger.png")).unwrap();
    let new = image::RgbImage::from_fn(40, 36, |x, y| {
        image::Rgb([(x * 6) as u8, (y * 7) as u8, 99])
    });
    new.save(copies.join("new.png")).unwrap();
    let copies = folder(copies.parent().unwrap());
    let (said, result) = eval(&run, &["--data", &copies]);
    assert_eq!(
        (seen(&result), &result["images"]),
        ((5, 0), &Value::from(6)),
        "{said}"
    );

    // The data set has moved, and the model has become the start of another run.
    let moved = dir.path().join("moved");
    fs::rename(&data, &moved).unwrap();
    let (_, result) = eval(&run, &["--data", &folder(&moved.join("train"))]);
    assert_eq!(seen(&result), (27, 0));
    let other = dir.path().join("other");
    pictures(&other, &CLASSES, 300, 6);
    let next = trained(
        &other,
        &folder(&run.join("best.safetensors")),
        dir.path().join("next"),
        &["--epochs", "1"],
    );
    let (said, result) = eval(&next, &["--data", &folder(&moved.join("train"))]);
    assert_eq!(seen(&result).0, 27, "{said}");

    // Of a model alone nothing is known.
    let alone = dir.path().join("alone.safetensors");
    fs::copy(run.join("best.safetensors"), &alone).unwrap();
    let (said, result) = eval(&alone, &["--data", &folder(&moved.join("train"))]);
    assert!(
        said.contains("it is unknown whether the model was trained on these images"),
        "{said}"
    );
    assert_eq!(result["seen"], Value::Null);
    warmstart().arg("eval").arg(&alone).assert().code(2).stderr(
        contains("give --data DIR")
            .and(predicate::function(|said: &str| said.lines().count() == 1)),
    );
}

#[test]
fn the_run_of_a_fold_has_not_trained_on_its_own_fold() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = trained(
        &data,
        "none",
        dir.path().join("run"),
        &["--epochs", "1", "--folds", "3"],
    );
    let (_, result) = eval(&out.join("fold-1"), &[]);
    let images = result["images"].as_u64().unwrap();
    assert!((12..=14).contains(&images), "{images}");
    // Its pictures are recognised as those that chose the epoch, except near-duplicates of others.
    let (trained_on, chosen_by) = seen(&result);
    assert!(trained_on < images / 2 && trained_on + chosen_by == images);
}

#[test]
fn rank_tells_which_weights_know_the_images() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = trained(&data, "none", dir.path().join("run"), &["--epochs", "1"]);
    let rank = |json: bool| {
        let mut command = warmstart();
        command
            .arg("rank")
            .arg("--data")
            .arg(&data)
            .arg("--weights")
            .arg(&run);
        command.args(["none", "--model", "mobilenet_v2", "--image-size", "32"]);
        command.args(json.then_some("--json")).assert().success()
    };
    rank(false).stderr(contains("run was trained on 27 of these 27 images"));
    let output = rank(true).get_output().stdout.clone();
    let ranking: Value = serde_json::from_slice(&output).unwrap();
    for line in ranking["ranked"].as_array().unwrap() {
        let seen = &line["seen"];
        if line["weights"] == "none" {
            assert_eq!(*seen, Value::Null);
        } else {
            assert_eq!(seen["trained_on"], 27);
        }
    }
}

#[test]
fn a_detector_is_measured_on_its_own_images_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes(dir.path(), 8, 64);
    let out = dir.path().join("run");
    train(&data, &out).success();
    let (said, result) = eval(&out, &[]);
    let images = result["images"].as_u64().unwrap();
    assert!(
        said.contains(&format!("evaluated on the {images} validation images")),
        "{said}"
    );
    assert_eq!(seen(&result), (0, images));
    let data = data.to_str().unwrap();
    let (said, result) = eval(&out, &["--data", data, "--split", "train"]);
    assert!(
        said.contains("warning: the model was trained on 8 of these 8 images"),
        "{said}"
    );
    assert_eq!(seen(&result), (8, 0));
}
