//! What a run does for a small data set: it looks at the images first, fits them, stops in time and balances classes.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{
    CLASSES, data, metrics, outcome, pictures, pretrained, said, small_run, warmstart,
};

fn json(file: PathBuf) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn train(data: &Path, weights: &str, run: &Path, flags: &[&str]) -> String {
    let mut arguments = small_run(data, weights, run);
    arguments.extend(flags);
    let output = warmstart().args(arguments).assert().success();
    said(output.get_output())
}

#[test]
fn the_images_are_looked_at_before_training() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    fs::copy(
        data.join("train/checker/000.png"),
        data.join("val/checker/copy.png"),
    )
    .unwrap();
    let said = train(&data, "none", &dir.path().join("run"), &["--epochs", "1"]);
    for words in [
        "near-duplicates",
        "val/checker/copy.png and train/checker/000.png",
        "rare classes",
        "horizontal 9, vertical 9, checker 9",
        "few validation images",
    ] {
        let words = match words {
            "horizontal 9, vertical 9, checker 9" => "checker 9, horizontal 9, vertical 9",
            other => other,
        };
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("imbalance"), "{said}");
}

#[test]
fn a_phase_ends_when_its_patience_does_and_a_run_so_ended_can_be_made_longer() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let run = dir.path().join("run");
    // At such rates nothing improves.
    let flags = [
        "--freeze-epochs",
        "5",
        "--epochs",
        "9",
        "--freeze-lr",
        "1e-12",
        "--lr",
        "1e-12",
        "--patience",
        "2",
    ];
    let said = train(&data, &weights, &run, &flags);
    assert!(
        said.contains("phase freeze ends after 3 of its 5 epochs: no improvement in 2 epochs"),
        "{said}"
    );
    let phases: Vec<_> = metrics(&run)
        .iter()
        .map(|record| record["phase"].clone())
        .collect();
    assert_eq!(
        phases,
        ["freeze", "freeze", "freeze", "thaw", "thaw", "thaw"]
    );
    assert_eq!(json(run.join("summary.json"))["state"], "finished");
    let resume = |flags: &[&str]| warmstart().arg("resume").arg(&run).args(flags).assert();
    resume(&[])
        .success()
        .stderr(contains("has finished its 6 epochs"));
    // The freeze's last epoch is kept, and where the thaw began.
    resume(&["--from-epoch", "3"])
        .success()
        .stderr(contains("continuing after epoch 3"));
    assert_eq!(metrics(&run).len(), 6);
    warmstart()
        .args(["runs", dir.path().to_str().unwrap()])
        .assert()
        .success()
        .stdout(contains("finished").and(contains("--epochs 11")));
    resume(&["--epochs", "8"]).success();
    assert_eq!(metrics(&run).last().unwrap()["phase"], "extension-2");
    assert_eq!(metrics(&run).len(), 8);
}

#[test]
fn classes_are_balanced_by_what_is_seen_or_by_what_it_weighs() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    pictures(&data.join("train"), &["horizontal"], 200, 60);
    let weights = pretrained(dir.path(), &data);
    let run = |balance: &str| {
        let run = dir.path().join(balance);
        let flags = [
            "--freeze-epochs",
            "1",
            "--epochs",
            "2",
            "--balance",
            balance,
        ];
        let said = train(&data, &weights, &run, &flags);
        assert!(said.contains("imbalance"), "{said}");
        outcome(&run, 2)
    };
    let outcomes = ["none", "sampling", "loss", "prior"].map(run);
    for (place, outcome) in outcomes.iter().enumerate() {
        assert!(!outcomes[..place].contains(outcome));
    }
    let scenes = warmstart()
        .args(small_run(&data, &weights, &dir.path().join("boxes")))
        .args(["--task", "detect", "--balance", "loss"])
        .assert();
    scenes
        .code(2)
        .stderr(contains("it must be left out in detection"));
}

#[test]
fn defaults_depend_on_the_images() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let flags = ["--freeze-epochs", "1", "--epochs", "2"];
    let phases = |name: &str| {
        let run = dir.path().join(name);
        let said = train(&data, &weights, &run, &flags);
        let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
        let recipe: toml::Table = recipe.parse().unwrap();
        (said, recipe["phase"].as_array().unwrap().clone())
    };
    let (said, alike) = phases("alike");
    assert!(!said.contains("more imbalanced"), "{said}");
    for phase in &alike {
        // 27 images: smoothed by next to nothing, and their weights decay ten times as much.
        assert_eq!(phase["label_smoothing"].as_float(), Some(0.003));
        assert_eq!(phase["weight_decay"].as_float(), Some(0.1));
        assert_eq!(phase["balance"].as_str(), Some("none"));
    }
    pictures(&data.join("val"), &CLASSES, 200, 2);
    pictures(&data.join("train"), &["horizontal"], 300, 60);
    let balanced = |phases: &[toml::Value], how: [&str; 2]| {
        let mut phases = phases.iter().zip(how);
        phases.all(|(phase, how)| phase["balance"].as_str() == Some(how))
    };
    let (said, unequal) = phases("unequal");
    assert!(
        said.contains("classes are more imbalanced in training than in validation"),
        "{said}"
    );
    assert!(balanced(&unequal, ["prior", "loss"]));
    pictures(&data.join("val"), &["horizontal"], 400, 60);
    let (said, as_unequal) = phases("as-unequal");
    assert!(
        said.contains("imbalance") && !said.contains("more imbalanced"),
        "{said}"
    );
    assert!(balanced(&as_unequal, ["none", "none"]));
}

/// Pictures three times as wide as high, whose class is at their left end.
fn long_pictures(dir: &Path, count: u32) {
    for (class, name) in CLASSES.iter().enumerate() {
        let folder = dir.join(name);
        fs::create_dir_all(&folder).unwrap();
        for variant in 0..count {
            let picture = RgbImage::from_fn(120, 40, |x, y| {
                let [x, y] = [x, y].map(|v| (v + variant % 3) / 5 % 2);
                let lit = match class {
                    0 => y == 0,
                    1 => x == 0,
                    _ => x == y,
                };
                let shade = 120 + (variant * 37 % 120) as u8;
                if lit {
                    Rgb([shade, 255 - shade, 200])
                } else {
                    Rgb([20, shade / 2, 40])
                }
            });
            // Only the first third shows the class.
            let picture = RgbImage::from_fn(120, 40, |x, y| {
                if x < 38 {
                    *picture.get_pixel(x, y)
                } else {
                    Rgb([(x * 2) as u8, (variant * 29 % 200) as u8, (y * 6) as u8])
                }
            });
            picture
                .save(folder.join(format!("{variant:03}.png")))
                .unwrap();
        }
    }
}

#[test]
fn pictures_are_fitted_as_the_linear_probe_classifies_best() {
    let dir = tempfile::tempdir().unwrap();
    let weights = pretrained(dir.path(), &data(&dir.path().join("stripes")));
    let data = dir.path().join("long");
    long_pictures(&data.join("train"), 24);
    long_pictures(&data.join("val"), 8);
    let run = dir.path().join("run");
    let flags = ["--freeze-epochs", "1", "--epochs", "2"];
    let said = train(&data, &weights, &run, &flags);
    assert!(
        said.contains("chosen by a linear probe on 72 training images"),
        "{said}"
    );
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    assert!(
        recipe.contains("fit = \"squash\"") || recipe.contains("fit = \"letterbox\""),
        "the crop shows nothing of the class: {said}"
    );
    // Prediction sees the same fit as training.
    let eval = |run: &Path| {
        let mut command = warmstart();
        command
            .arg("eval")
            .arg(run)
            .arg("--data")
            .arg(data.join("val"))
            .arg("--json");
        let output = command.assert().success().get_output().stdout.clone();
        serde_json::from_slice::<Value>(&output).unwrap()["top_1"].clone()
    };
    assert_eq!(eval(&run), json(run.join("summary.json"))["kept"]["value"]);
    let cropped = dir.path().join("cropped");
    let said = train(
        &data,
        &weights,
        &cropped,
        &["--freeze-epochs", "1", "--epochs", "2", "--fit", "crop"],
    );
    assert!(!said.contains("a linear probe on"), "{said}");
    assert!(
        fs::read_to_string(cropped.join("recipe.toml"))
            .unwrap()
            .contains("fit = \"crop\"")
    );
    assert_eq!(
        eval(&cropped),
        json(cropped.join("summary.json"))["kept"]["value"]
    );
}

#[test]
fn weights_are_ranked_by_what_their_frozen_features_tell() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    pictures(&data.join("train"), &CLASSES, 200, 20);
    let trained = dir.path().join("trained");
    train(&data, "none", &trained, &["--epochs", "6", "--lr", "2e-3"]);
    let rank = |flags: &[&str]| {
        let mut command = warmstart();
        command
            .args(["rank", "--image-size", "32", "--no-cache", "--data"])
            .arg(&data);
        command.arg("--weights").arg(&trained).args(flags).assert()
    };
    let output = rank(&["none", "--model", "mobilenet_v2", "--json"]).success();
    let ranking: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let ranked = ranking["ranked"].as_array().unwrap();
    assert_eq!(ranked[0]["weights"], trained.to_str().unwrap(), "{ranking}");
    assert!(
        ranked[0]["accuracy"].as_f64() > ranked[1]["accuracy"].as_f64(),
        "{ranking}"
    );
    assert_eq!(
        (&ranking["images"], &ranked[0]["p_value"]),
        (&87.into(), &Value::Null)
    );
    rank(&[])
        .success()
        .stdout(contains("linear probe on 87 training images").and(contains("mobilenet_v2  ")));
    rank(&["none"]).code(2).stderr(contains(
        "--weights none: the model is not known: give --model NAME beside it",
    ));
}
