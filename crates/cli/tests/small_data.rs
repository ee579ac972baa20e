//! What a run does for a small data set: it looks at the images first, fits them, stops in time, balances
//! classes and cross-validates.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{
    CLASSES, Said, data, metrics, outcome, pictures, pretrained, said, small_run, warmstart,
};
use image::{Rgb, RgbImage};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

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
fn a_class_of_one_image_cannot_be_cross_validated() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("folds");
    pictures(&data.join("train"), &["single"], 900, 1);
    let recipe = small_run(&data, "none", &out);
    warmstart()
        .args(recipe)
        .args(["--folds", "3"])
        .assert()
        .code(2)
        .said(contains("class \"single\" has one image"))
        .said(contains("data: 4 classes, 40 images to split into folds"));
}

#[test]
fn a_cross_validation_has_a_run_for_each_fold_and_continues_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    pictures(&data.join("test"), &CLASSES, 500, 2);
    let out = dir.path().join("folds");
    let cache = dir.path().join("cache");
    let cache = cache.to_str().unwrap();
    let flags = |folds: &str| -> Vec<String> {
        let flags = [
            "--folds",
            folds,
            "--head",
            "linear",
            "--freeze-epochs",
            "2",
            "--epochs",
            "3",
            "--cache",
            cache,
            "--fit",
            "crop",
        ];
        flags.map(str::to_owned).into()
    };
    let train_folds = |flags: &[String]| {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        train(&data, &weights, &out, &flags)
    };
    let said = train_folds(&flags("3"));
    // 39 images, eight views of each: two epochs see two of them, in every fold those of 26 images.
    assert!(
        said.contains("0 of 312 for training and 0 of 39 for validation"),
        "{said}"
    );
    assert!(said.contains("3 folds: top-1 accuracy"), "{said}");
    let result = json(out.join("folds.json"));
    let values: Vec<f64> = (1..=3)
        .map(|fold| {
            json(out.join(format!("fold-{fold}/summary.json")))["kept"]["value"]
                .as_f64()
                .unwrap()
        })
        .collect();
    for fold in 1..=3 {
        let summary = json(out.join(format!("fold-{fold}/summary.json")));
        assert_eq!(summary["test"], Value::Null, "a test/ is left alone");
    }
    let mean = values.iter().sum::<f64>() / 3.0;
    assert!((result["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    // The second fold finds the features that the first has cached of their common images.
    let found = said
        .lines()
        .filter(|line| line.contains("frozen features:"))
        .nth(1)
        .unwrap();
    assert!(!found.contains(": 0 of 312"), "{found}");

    fs::remove_dir_all(out.join("fold-2")).unwrap();
    fs::remove_file(out.join("fold-3/summary.json")).unwrap();
    let said = train_folds(&flags("3"));
    assert!(
        !said.contains("epoch 1/3 (freeze): train loss") || said.matches("epoch 1/3").count() == 1
    );
    assert_eq!(
        json(out.join("folds.json")),
        result,
        "the same images, the same figures"
    );

    let resumed = warmstart().arg("resume").arg(&out).assert().code(2);
    resumed.stderr(contains("is a cross-validation of several runs"));
    let mut planned = small_run(&data, &weights, &out);
    planned[0] = "plan";
    planned.extend(["--folds", "3"]);
    let planned = warmstart().args(planned).assert().code(2);
    planned.stderr(contains("--folds is only for train"));

    let again = |folds: &str| {
        let arguments = small_run(&data, &weights, &out);
        warmstart()
            .args(arguments)
            .args(flags(folds))
            .assert()
            .code(2)
    };
    again("4").stderr(contains(
        "is not fold 1 of 4: give the same --folds as before",
    ));
    let mut arguments = small_run(&data, &weights, &out);
    arguments.extend([
        "--folds",
        "3",
        "--head",
        "linear",
        "--freeze-epochs",
        "2",
        "--epochs",
        "4",
        "--fit",
        "crop",
    ]);
    let other = warmstart().args(arguments).assert().code(2);
    other.stderr(contains(
        "was requested with other options (phase thaw: epochs 1 → 2",
    ));
    again("1").stderr(contains("--folds is 1; it must be a number from 2 to 100"));
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
        .stdout(contains("linear probe on 87 training images").and(contains("mobilenet_v2  0.")));
    rank(&["none"]).code(2).stderr(contains(
        "--weights none: the model is not known: give --model NAME beside it",
    ));
}
