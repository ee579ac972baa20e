//! Which model a run keeps: the thawed one only if it surely beats the frozen one.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{self, CLASSES, Said, copy, data, pictures, pretrained, tensors, warmstart};

/// A recipe of two phases with these numbers of epochs, on enough images for a significant difference.
fn recipe(dir: &Path, name: &str, weights: &str, epochs: [usize; 2], thaw: &str) -> PathBuf {
    let recipe = dir.join(format!("{name}.toml"));
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 32\nfit = 'crop'\nkeep = 'all'\n\
         [[phase]]\nname = 'freeze'\ntrain = 'head'\nepochs = {}\nbatch = 16\nviews = 1\nlr = 1e-3\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = {}\nbatch = 8\nlayer_decay = 1.0\n{thaw}\n",
        dir.join("data").display(),
        epochs[0],
        epochs[1],
    );
    fs::write(&recipe, text).unwrap();
    recipe
}

fn images(dir: &Path) -> PathBuf {
    let data = data(dir);
    pictures(&data.join("train"), &CLASSES, 200, 40);
    pictures(&data.join("val"), &CLASSES, 400, 16);
    data
}

/// Trains, and returns the messages and the summary.
fn train(recipe: &Path, run: &Path, flags: &[&str]) -> (String, Value) {
    let output = warmstart()
        .arg("train")
        .arg(recipe)
        .arg("--out")
        .arg(run)
        .args(flags)
        .assert()
        .success();
    let said = common::said(output.get_output());
    (said, summary(run))
}

fn summary(run: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
}

/// Whether best.safetensors is a file of an epoch's checkpoint.
fn keeps(run: &Path, epoch: &Value, file: &str) -> bool {
    let checkpoint = format!("checkpoints/epoch-{:04}", epoch.as_u64().unwrap());
    tensors(&run.join("best.safetensors")) == tensors(&run.join(checkpoint).join(file))
}

#[test]
fn a_thaw_that_helps_is_kept_and_one_that_hurts_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path());
    pictures(&data.join("test"), &CLASSES, 500, 5);
    // Features of a network that has hardly learned: there is much to gain by a thaw.
    let weights = pretrained(dir.path(), &data);
    let helps = recipe(
        dir.path(),
        "helps",
        &weights,
        [1, 8],
        "lr = 2e-3\nbatch_norm = 'batch'\nema_decay = 0.0",
    );
    let run = dir.path().join("helps");
    let (said, summary) = train(&helps, &run, &[]);
    assert!(said.contains("the thaw beats the frozen model"), "{said}");
    assert_eq!(summary["kept"]["phase"], "thaw");
    let guard = &summary["guard"];
    assert!(guard["p_value"].as_f64().unwrap() < 0.05, "{guard}");
    assert_eq!(guard["level"], 0.05);
    assert!(keeps(&run, &summary["kept"]["epoch"], "model.safetensors"));

    // From there, with wrong labels on half of the images, which make the model worse.
    for (class, wrong) in CLASSES.iter().zip(CLASSES.iter().cycle().skip(1)) {
        for variant in 220..240 {
            let picture = format!("{variant}.png");
            let moved = format!("{class}-{picture}");
            let train = data.join("train");
            fs::rename(
                train.join(class).join(picture),
                train.join(wrong).join(moved),
            )
            .unwrap();
        }
    }
    let weights = run.join("best.safetensors");
    let hurts = recipe(
        dir.path(),
        "hurts",
        weights.to_str().unwrap(),
        [1, 3],
        "lr = 1e-2\nema_decay = 0.0",
    );
    let run = dir.path().join("hurts");
    let (said, summary) = train(&hurts, &run, &[]);
    assert!(said.contains("does not beat the frozen model"), "{said}");
    assert!(said.contains("the frozen model is kept"), "{said}");
    assert_eq!(summary["kept"]["phase"], "freeze");
    assert!(keeps(&run, &summary["kept"]["epoch"], "model.safetensors"));
    // The test images are measured on what is kept.
    let eval = warmstart()
        .arg("eval")
        .arg(&run)
        .arg("--data")
        .arg(data.join("test"))
        .arg("--json")
        .assert()
        .success();
    let eval: Value = serde_json::from_slice(&eval.get_output().stdout).unwrap();
    assert_eq!(eval["top_1"], summary["test"]["metric"]);
    assert_eq!(eval["top_1_interval"], summary["test"]["interval"]);

    // Looking at a finished run again leaves its choice as it is.
    let best = fs::read(run.join("best.safetensors")).unwrap();
    let resume = || warmstart().arg("resume").arg(&run).assert().success();
    resume().stderr(contains("has finished its 4 epochs"));
    assert_eq!(self::summary(&run), summary);
    assert!(fs::read(run.join("best.safetensors")).unwrap() == best);
    // Asked to keep the higher figure, it does.
    let other = dir.path().join("other");
    copy(&run, &other);
    warmstart()
        .arg("resume")
        .arg(&other)
        .arg("--no-guard")
        .assert()
        .success();
    let unguarded = self::summary(&other);
    assert_eq!(
        (&unguarded["kept"], &unguarded["guard"]),
        (&unguarded["highest"], &Value::Null)
    );
    assert!(keeps(
        &other,
        &unguarded["highest"]["epoch"],
        "model.safetensors"
    ));
    // A process that was killed before it reported the choice does the same.
    fs::remove_file(run.join("summary.json")).unwrap();
    fs::remove_file(run.join("best.safetensors")).unwrap();
    resume().said(contains("the frozen model is kept"));
    assert_eq!(self::summary(&run)["guard"], summary["guard"]);
    assert!(fs::read(run.join("best.safetensors")).unwrap() == best);
}

#[test]
fn without_a_guard_the_best_epoch_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path());
    let weights = pretrained(dir.path(), &data);
    let recipe = recipe(dir.path(), "recipe", &weights, [1, 1], "");
    let run = dir.path().join("run");
    let (said, summary) = train(&recipe, &run, &["--no-guard"]);
    assert!(!said.contains("the frozen model"), "{said}");
    assert_eq!(
        (&summary["kept"], &summary["guard"]),
        (&summary["highest"], &Value::Null)
    );
    assert!(keeps(
        &run,
        &summary["highest"]["epoch"],
        "model.safetensors"
    ));
}

#[test]
fn of_a_moving_average_and_the_weights_themselves_the_better_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let data = images(dir.path());
    let weights = pretrained(dir.path(), &data);
    for (name, thaw) in [
        (
            "smooth",
            "lr = 2e-3\nbatch_norm = 'batch'\nema_decay = 0.999",
        ),
        (
            "rough",
            "lr = 2e-2\nschedule = 'constant'\nema_decay = 0.95",
        ),
    ] {
        let recipe = recipe(dir.path(), name, &weights, [1, 5], thaw);
        let run = dir.path().join(name);
        let (said, summary) = train(&recipe, &run, &[]);
        let of = &summary["guard"]["weights"];
        let kept = &summary["kept"];
        let file = match of.as_str().unwrap() {
            "average" => "model.safetensors",
            "trained" => "training.safetensors",
            other => panic!("{other}"),
        };
        let file = if kept["phase"] == "freeze" {
            "model.safetensors"
        } else {
            file
        };
        assert!(keeps(&run, &kept["epoch"], file), "{name}: {said}");
        // The figure is that of the file.
        let eval = warmstart()
            .arg("eval")
            .arg(&run)
            .arg("--data")
            .arg(data.join("val"))
            .arg("--json")
            .assert()
            .success();
        let eval: Value = serde_json::from_slice(&eval.get_output().stdout).unwrap();
        assert_eq!(eval["top_1"], kept["value"], "{name}: {said}");
    }
}

#[test]
fn every_accuracy_has_its_interval() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let recipe = recipe(dir.path(), "recipe", &weights, [1, 1], "");
    let run = dir.path().join("run");
    let (said, summary) = train(&recipe, &run, &[]);
    let lines = said.lines().filter(|line| line.starts_with("epoch "));
    assert!(
        lines.clone().count() == 2 && lines.clone().all(|line| line.contains(" (95%: 0.")),
        "{said}"
    );
    for figure in [&summary["highest"], &summary["kept"]] {
        let [low, value, high] = [
            &figure["interval"]["low"],
            &figure["value"],
            &figure["interval"]["high"],
        ]
        .map(|number| number.as_f64().unwrap());
        assert!(low < value && value <= high, "{figure}");
    }
    warmstart()
        .arg("eval")
        .arg(&run)
        .arg("--data")
        .arg(data.join("val"))
        .assert()
        .success()
        .stdout(contains("(95%: 0."));
    warmstart()
        .arg("runs")
        .arg(&run)
        .assert()
        .success()
        .stdout(contains("kept top-1 accuracy 0.").and(contains("(95%: 0.")));
    let verdict = said
        .lines()
        .find(|line| line.contains("the frozen model on the same"))
        .unwrap();
    assert_eq!(verdict.matches(" (95%: 0.").count(), 2, "{verdict}");
}

#[test]
fn the_kept_figure_leads_and_the_highest_is_called_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let recipe = recipe(dir.path(), "recipe", &weights, [1, 1], "");
    let run = dir.path().join("run");
    train(&recipe, &run, &[]);
    let figure = |epoch: u64, phase: &str, value: f64| serde_json::json!({"epoch": epoch, "phase": phase, "metric": "top-1 accuracy", "value": value});
    let (kept, highest) = (figure(1, "freeze", 0.4), figure(2, "thaw", 0.6));
    let mut summary = summary(&run);
    summary["guard"] = serde_json::json!({
        "probe": kept, "thawed": highest, "weights": null, "p_value": 0.073, "level": 0.05
    });
    summary["kept"] = kept.clone();
    // The key that earlier versions had is read too.
    for key in ["highest", "best"] {
        summary.as_object_mut().unwrap().remove("highest");
        summary[key] = highest.clone();
        fs::write(run.join("summary.json"), summary.to_string()).unwrap();
        let output = warmstart().arg("runs").arg(&run).assert().success();
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).skip(2).take(2).collect();
        assert_eq!(
            lines,
            [
                "kept top-1 accuracy 0.4000 at epoch 1 (freeze)",
                "highest 0.6000 at epoch 2 was not kept: p = 0.073, needs p < 0.05"
            ]
        );
        let output = warmstart()
            .arg("runs")
            .arg(&run)
            .arg("--json")
            .assert()
            .success();
        let line: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
        assert_eq!(
            (&line["kept"]["value"], &line["highest"]["value"]),
            (&0.4.into(), &0.6.into())
        );
        assert_eq!(line["not_kept"], lines[1]);
        // So is the run itself, which reports the same again.
        warmstart().arg("resume").arg(&run).assert().success();
        let again = self::summary(&run);
        assert_eq!(
            (&again["kept"]["value"], &again["highest"]["value"]),
            (&0.4.into(), &0.6.into())
        );
        assert_eq!(again["best"], Value::Null);
    }
}
