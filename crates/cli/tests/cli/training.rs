//! A run from beginning to end, and what it leaves.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{
    CLASSES, Said, data, metrics, outcome, pictures, pretrained, small_run, tensors, warmstart,
};

#[test]
fn a_run_freezes_thaws_and_leaves_what_the_contract_says() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, &weights, &run);
    arguments.extend([
        "--head",
        "linear",
        "--freeze-epochs",
        "2",
        "--epochs",
        "3",
        "--freeze-batch",
        "10",
    ]);
    warmstart()
        .args(arguments)
        .assert()
        .success()
        .said(contains("phase 1 of 2, freeze").and(contains("phase 2 of 2, thaw")))
        .said(contains("epoch 3/3 (thaw)").and(contains("finished: kept top-1 accuracy")));

    let lines = metrics(&run);
    let phases: Vec<&str> = lines
        .iter()
        .map(|line| line["phase"].as_str().unwrap())
        .collect();
    assert_eq!(phases, ["freeze", "freeze", "thaw"]);
    for key in ["epoch", "train_loss", "val_loss", "metric", "lr"] {
        assert!(lines.iter().all(|line| line[key].is_number()), "{key}");
    }
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["state"], "finished");
    assert_eq!(summary["highest"]["metric"], "top-1 accuracy");
    assert_eq!(summary["phases"].as_array().unwrap().len(), 2);
    let report = fs::read_to_string(run.join("load-report.txt")).unwrap();
    assert!(report.contains("260 of 260"), "{report}");
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    assert!(
        !recipe.contains("auto") && recipe.contains("batch = 10"),
        "{recipe}"
    );
    for epoch in 1..=3 {
        for file in ["model.safetensors", "optimizer.safetensors", "state.json"] {
            assert!(
                run.join(format!("checkpoints/epoch-000{epoch}"))
                    .join(file)
                    .is_file()
            );
        }
    }
}

#[test]
fn the_frozen_part_is_the_same_in_every_bit() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let before = tensors(weights.as_ref());
    let recipe = |train: &str| {
        let text = format!(
            "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 32\n\
             [[phase]]\nname = 'frozen'\ntrain = '{train}'\nhead = 'linear'\nepochs = 2\n\
             batch = 8\nbatch_norm = 'batch'\n",
            data.display()
        );
        let name = train.replace(':', "-");
        let path = dir.path().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        (path, dir.path().join(name))
    };
    for (train, first_trained) in [("head", "classifier"), ("from:features.14", "features.14.")] {
        let (path, run) = recipe(train);
        warmstart()
            .arg("train")
            .arg(path)
            .arg("--out")
            .arg(&run)
            .assert()
            .success();
        let after = tensors(&run.join("checkpoints/epoch-0002/model.safetensors"));
        let stage = |name: &str| -> usize {
            name.split('.')
                .nth(1)
                .and_then(|number| number.parse().ok())
                .unwrap()
        };
        for (name, bytes) in &before {
            let frozen = name.starts_with("features.")
                && (train == "head" || stage(name) < stage(first_trained));
            assert_eq!(after[name] == *bytes, frozen, "{name} with train = {train}");
        }
    }
}

#[test]
fn two_runs_of_one_recipe_and_any_number_of_threads_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let outcomes: Vec<_> = ["1", "2", "2", "3"]
        .iter()
        .enumerate()
        .map(|(number, threads)| {
            let run = dir.path().join(format!("run-{number}"));
            let mut arguments = small_run(&data, &weights, &run);
            arguments.extend([
                "--head",
                "linear",
                "--freeze-epochs",
                "1",
                "--epochs",
                "2",
                "--threads",
                threads,
            ]);
            warmstart().args(arguments).assert().success();
            outcome(&run, 2)
        })
        .collect();
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));

    // Where the kernels cut their work into many tiles: the size of real images.
    let large: Vec<_> = ["1", "2"]
        .iter()
        .map(|threads| {
            let run = dir.path().join(format!("large-{threads}"));
            let mut arguments = small_run(&data, "none", &run);
            let size = arguments
                .iter()
                .position(|argument| *argument == "32")
                .unwrap();
            arguments[size] = "224";
            arguments.extend(["--epochs", "1", "--threads", threads]);
            warmstart().args(arguments).assert().success();
            outcome(&run, 1)
        })
        .collect();
    assert!(large[0] == large[1]);

    // The comparison can fail: another seed gives other bytes.
    let run = dir.path().join("other-seed");
    let mut arguments = small_run(&data, &weights, &run);
    arguments.extend(["--head", "linear", "--freeze-epochs", "1"]);
    arguments.extend(["--epochs", "2", "--seed", "43"]);
    warmstart().args(arguments).assert().success();
    let other = outcome(&run, 2);
    assert!(other.0.iter().zip(&outcomes[0].0).all(|(a, b)| a != b));
}

#[test]
fn resnets_and_every_optimizer_learn_the_stripes() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    for (optimizer, lr) in [("sgd", "0.02"), ("adam", "1e-3"), ("adamw", "1e-3")] {
        let run = dir.path().join(optimizer);
        warmstart()
            .args([
                "train",
                "--model",
                "resnet18",
                "--weights",
                "none",
                "--image-size",
                "32",
            ])
            .args([
                "--epochs",
                "6",
                "--batch",
                "9",
                "--optimizer",
                optimizer,
                "--lr",
                lr,
            ])
            .arg("--data")
            .arg(&data)
            .arg("--out")
            .arg(&run)
            .assert()
            .success()
            .said(contains("no pretrained weights: all 102 tensors"));
        let lines = metrics(&run);
        let [first, last] = [&lines[0], &lines[5]].map(|line| line["train_loss"].as_f64().unwrap());
        assert!(last < 0.7 * first, "{optimizer}: {first} → {last}");
    }
}

#[test]
fn a_new_run_starts_from_an_old_one_with_other_classes() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let other = dir.path().join("other");
    pictures(&other, &["up", "down"], 0, 10);
    let run = dir.path().join("second");
    warmstart()
        .args(["train", "--model", "mobilenet_v2", "--image-size", "32"])
        .args([
            "--weights",
            &weights,
            "--freeze-epochs",
            "1",
            "--epochs",
            "1",
        ])
        .arg("--data")
        .arg(&other)
        .arg("--out")
        .arg(&run)
        .assert()
        .success()
        .said(contains("re-initialised (3 → 2 classes)").and(contains("260 of 260")));
    let [old, new] = [
        tensors(weights.as_ref()),
        tensors(&run.join("best.safetensors")),
    ];
    assert_eq!(old["features.18.0.weight"], new["features.18.0.weight"]);
    assert_eq!(new["classifier.1.bias"].len(), 2 * 4);
}

#[test]
fn a_test_split_is_measured_once_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    pictures(&data.join("test"), &CLASSES, 200, 3);
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "1"]);
    warmstart()
        .args(arguments)
        .assert()
        .success()
        .said(contains("test: top-1 accuracy"));
    let summary = || -> Value {
        serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
    };
    assert!(summary()["test"]["metric"].is_number());
    let note = |summary: Value| summary["note"].as_str().unwrap().to_owned();
    assert!(note(summary()).contains("not used in training or in choosing"));
    // Continuing after that may have been decided by these figures.
    let mut resume = warmstart();
    resume.arg("resume").arg(&run).args(["--epochs", "2"]);
    resume.assert().success();
    assert!(note(summary()).contains("they were evaluated before"));
}

#[test]
fn a_few_unreadable_images_are_named_and_left_out_and_many_stop_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    fs::write(data.join("train/vertical/broken.jpg"), "not a picture").unwrap();
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "1"]);
    warmstart()
        .args(&arguments)
        .assert()
        .success()
        .said(contains("27 training images").and(contains("broken.jpg")));
    for number in 0..3 {
        fs::write(
            data.join(format!("train/vertical/broken{number}.jpg")),
            "text",
        )
        .unwrap();
    }
    let again = dir.path().join("again");
    let mut arguments = small_run(&data, "none", &again);
    arguments.extend(["--epochs", "1"]);
    warmstart()
        .args(&arguments)
        .assert()
        .code(1)
        .stderr(contains("4 of 43 images cannot be decoded"));
    assert!(!again.exists());
}

#[test]
fn checkpoints_are_pruned_but_for_the_last_the_best_and_the_ends_of_phases() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, &weights, &run);
    arguments.extend(["--head", "linear", "--freeze-epochs", "2", "--epochs", "8"]);
    warmstart().args(arguments).assert().success();
    // The loss decides between equal metrics.
    let figures: Vec<[f64; 2]> = metrics(&run)
        .iter()
        .map(|record| {
            let [metric, loss] = ["metric", "val_loss"].map(|key| record[key].as_f64().unwrap());
            [metric, -loss]
        })
        .collect();
    let best_of = |epochs: std::ops::RangeInclusive<usize>| {
        epochs
            .rev()
            .max_by(|&a, &b| figures[a - 1].partial_cmp(&figures[b - 1]).unwrap())
            .unwrap()
    };
    // The best frozen epoch and, of those from which the run could continue, the best thawed one so far.
    let best = [
        best_of(1..=2),
        best_of(3..=6),
        best_of(3..=7),
        best_of(3..=8),
    ];
    for epoch in 1..=8 {
        let kept = run.join(format!("checkpoints/epoch-{epoch:04}")).exists();
        assert_eq!(
            kept,
            epoch == 2 || best.contains(&epoch) || epoch >= 6,
            "epoch {epoch}, best {best:?}"
        );
    }
}
