//! A run that was stopped ends in the same bits as one that was not.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::{
    Said, copy, data, metrics, outcome, pictures, pretrained, small_run, warmstart,
};

const EPOCHS: usize = 4;

/// A run of two phases that keeps every checkpoint.
fn whole_run(dir: &Path) -> std::path::PathBuf {
    let data = data(dir);
    let weights = pretrained(dir, &data);
    let recipe = dir.join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 32\nkeep = 'all'\n\
         [[phase]]\nname = 'freeze'\ntrain = 'from:features.17'\nepochs = 2\nbatch = 10\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 2\nbatch = 8\nclip_norm = 1.0\n",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    let run = dir.join("whole");
    warmstart()
        .arg("train")
        .arg(recipe)
        .arg("--out")
        .arg(&run)
        .assert()
        .success();
    run
}

#[test]
fn cut_at_any_epoch_boundary_it_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let whole = whole_run(dir.path());
    let expected = outcome(&whole, EPOCHS);
    for (cut, threads) in [(1, "1"), (2, "2"), (3, "3")] {
        let run = dir.path().join(format!("cut-{cut}"));
        copy(&whole, &run);
        warmstart()
            .arg("resume")
            .arg(&run)
            .args(["--from-epoch", &cut.to_string(), "--threads", threads])
            .assert()
            .success()
            .stderr(contains(format!(
                "continuing after epoch {cut} of {EPOCHS}"
            )));
        assert!(outcome(&run, EPOCHS) == expected, "cut after epoch {cut}");
    }
}

#[test]
fn killed_at_any_moment_it_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let whole = whole_run(dir.path());
    let expected = outcome(&whole, EPOCHS);
    let train = |out: &Path| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("warmstart"));
        let recipe = dir.path().join("recipe.toml");
        command.arg("train").arg(recipe).arg("--out").arg(out);
        command.env("LC_ALL", "C");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut alive = 0;
    for part in 0..EPOCHS as u64 {
        let run = dir.path().join(format!("killed-{part}"));
        let mut child = train(&run).spawn().unwrap();
        // Before the recipe exists, there is nothing to resume.
        let begun = match part {
            0 => run.join("recipe.toml"),
            _ => run.join(format!("checkpoints/epoch-{part:04}")),
        };
        while !begun.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(7 * part));
        child.kill().unwrap();
        child.wait().unwrap();
        let finished = fs::read_to_string(run.join("summary.json"))
            .is_ok_and(|summary| summary.contains("\"finished\""));
        alive += usize::from(!finished);
        warmstart().arg("resume").arg(&run).assert().success();
        assert!(
            outcome(&run, EPOCHS) == expected,
            "killed after {part} epochs"
        );
    }
    assert!(alive >= 3, "most kills hit a run at work, {alive} did");
}

#[test]
fn from_an_epoch_whose_best_is_not_the_last_best() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, &weights, &run);
    arguments.extend(["--head", "linear", "--freeze-epochs", "3", "--epochs", "9"]);
    warmstart().args(arguments).assert().success();
    let kept: Vec<usize> = (1..=9)
        .filter(|epoch| run.join(format!("checkpoints/epoch-{epoch:04}")).exists())
        .collect();
    for &epoch in kept.iter().rev().skip(1) {
        let copy_of = dir.path().join(format!("from-{epoch}"));
        copy(&run, &copy_of);
        warmstart()
            .arg("resume")
            .arg(&copy_of)
            .args(["--from-epoch", &epoch.to_string()])
            .assert()
            .success();
        assert!(
            outcome(&copy_of, 9) == outcome(&run, 9),
            "from epoch {epoch} of {kept:?}"
        );
    }
}

#[test]
fn other_classes_are_refused_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole_run(dir.path());
    let before = outcome(&run, EPOCHS);
    let data = dir.path().join("data");
    let refused = |words: &str| {
        warmstart()
            .arg("resume")
            .arg(&run)
            .args(["--from-epoch", "2", "--epochs", "5"])
            .assert()
            .code(1)
            .stderr(contains(words.to_owned()).and(contains("start a new one from its weights")));
        assert!(outcome(&run, EPOCHS) == before);
        let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
        assert_eq!(recipe.matches("epochs = 2").count(), 2, "{recipe}");
    };
    for split in ["train", "val"] {
        fs::rename(
            data.join(split).join("vertical"),
            data.join(split).join("upright"),
        )
        .unwrap();
    }
    refused(
        "its classes are checker, horizontal, vertical, the data's are checker, horizontal, upright",
    );
    pictures(&data.join("train"), &["one-more"], 0, 4);
    refused("the data's are checker, horizontal, one-more, upright");
}

#[test]
fn a_finished_run_says_so_and_can_be_extended() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole_run(dir.path());
    let before = outcome(&run, EPOCHS);
    warmstart()
        .arg("resume")
        .arg(&run)
        .assert()
        .success()
        .stderr(contains("has finished its 4 epochs"));
    assert!(outcome(&run, EPOCHS) == before, "nothing was changed");
    warmstart()
        .arg("resume")
        .arg(&run)
        .args(["--epochs", "6"])
        .assert()
        .success()
        .said(contains("phase 3 of 3, extension"));
    let lines = metrics(&run);
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[..EPOCHS], before.1);
}

#[test]
fn another_batch_size_sees_every_image_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole_run(dir.path());
    warmstart()
        .arg("resume")
        .arg(&run)
        .args(["--from-epoch", "2", "--batch", "4"])
        .assert()
        .success()
        .said(contains("7 steps, batch 4"));
    assert_eq!(metrics(&run).len(), EPOCHS);
    assert!(
        fs::read_to_string(run.join("recipe.toml"))
            .unwrap()
            .contains("batch = 4")
    );
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole_run(dir.path());
    let expected = outcome(&run, EPOCHS);
    let model = run.join("checkpoints/epoch-0004/model.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&model, bytes).unwrap();
    warmstart()
        .arg("resume")
        .arg(&run)
        .assert()
        .success()
        .stderr(contains("skipped a damaged checkpoint").and(contains("continuing after epoch 3")));
    assert!(outcome(&run, EPOCHS) == expected);
}

#[test]
fn files_that_follow_from_the_checkpoints_are_brought_back_in_line() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole_run(dir.path());
    let expected = outcome(&run, EPOCHS);
    fs::write(run.join("metrics.jsonl"), "{\"epoch\": 1}\n").unwrap();
    fs::remove_file(run.join("best.safetensors")).unwrap();
    fs::remove_file(run.join("summary.json")).unwrap();
    warmstart().arg("resume").arg(&run).assert().success();
    assert!(outcome(&run, EPOCHS) == expected);
}

#[test]
fn what_cannot_be_resumed_is_refused_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole_run(dir.path());
    let resume = |arguments: &[&str]| warmstart().arg("resume").arg(&run).args(arguments).assert();
    resume(&["--from-epoch", "9"])
        .code(2)
        .stderr(contains("there are checkpoints of the epochs 1, 2, 3, 4"));
    resume(&["--epochs", "3"])
        .code(2)
        .stderr(contains("4 of 4 epochs are done"));
    resume(&["--from-epoch", "2", "--batch", "0"])
        .code(2)
        .stderr(contains("batch of phase \"thaw\" is 0"));
    resume(&["--from-epoch", "2", "--freeze-lr", "0.1"])
        .code(2)
        .stderr(contains(
            "--freeze-lr has no effect: no frozen epochs are left",
        ));
    warmstart()
        .args(["resume", "no-such-run"])
        .assert()
        .code(2)
        .stderr(contains(
            "no-such-run: it is not a run (it has no recipe.toml)",
        ));
}
