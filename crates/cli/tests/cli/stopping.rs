//! A stopped run saves its progress; no other process trains it; a full disk does not end it.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::process::{checkpoints, log, on_a_small_disk, signal, start, wait_until};
use crate::common::{self, data, outcome, pictures, pretrained, warmstart};

const EPOCHS: usize = 4;

/// A recipe of two phases, with this many training images of each class.
fn recipe(dir: &Path, images: u32, rest: &str) -> PathBuf {
    let data = data(dir);
    let weights = pretrained(dir, &data);
    pictures(&data.join("train"), &common::CLASSES, 200, images);
    let recipe = dir.join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 32\n{rest}\n\
         [[phase]]\nname = 'freeze'\ntrain = 'from:features.17'\nepochs = 2\nbatch = 8\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 2\nbatch = 8\n",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    recipe
}

fn resume(run: &Path) -> assert_cmd::assert::Assert {
    warmstart().arg("resume").arg(run).assert()
}

#[test]
fn a_signal_stops_after_the_current_step_and_saves_it() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), 60, "");
    let whole = dir.path().join("whole");
    assert!(start(&recipe, &whole).wait().unwrap().success());
    let expected = outcome(&whole, EPOCHS);
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let run = dir.path().join(name);
        let mut child = start(&recipe, &run);
        // Some steps into the second epoch.
        wait_until("the first epoch", || {
            run.join("checkpoints/epoch-0001").exists()
        });
        sleep(Duration::from_millis(50));
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{}", log(&run));
        let words = log(&run);
        let last = words.lines().last().unwrap();
        assert!(last.starts_with("stopped in epoch 2 after "), "{words}");
        assert!(
            last.contains("saved; continue with `warmstart resume "),
            "{words}"
        );
        let saved = checkpoints(&run);
        assert!(
            saved.len() == 2 && saved[1].starts_with("step-"),
            "{saved:?}"
        );
        let summary: Value =
            serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
        assert_eq!(summary["state"], "interrupted");
        warmstart()
            .arg("runs")
            .arg(dir.path())
            .assert()
            .success()
            .stdout(contains("interrupted in epoch 2 of 4, after "))
            .stdout(contains(format!("  warmstart resume {}\n", run.display())));
        resume(&run).success().stderr(
            contains("continuing after epoch 1 of 4, with ").and(contains("of epoch 2 processed")),
        );
        assert!(outcome(&run, EPOCHS) == expected, "stopped by {name}");
        assert!(
            checkpoints(&run)
                .iter()
                .all(|name| name.starts_with("epoch-"))
        );
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_nothing_that_was_saved_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), 60, "");
    let run = dir.path().join("run");
    let mut child = start(&recipe, &run);
    wait_until("the first epoch", || {
        run.join("checkpoints/epoch-0001").exists()
    });
    signal(&child, "INT");
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130), "{}", log(&run));
    resume(&run).success();
}

#[test]
fn before_there_is_anything_to_save_one_signal_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), 0, "");
    let run = dir.path().join("run");
    let mut child = start(&recipe, &run);
    wait_until("the first words", || !log(&run).is_empty());
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130), "{}", log(&run));
    assert!(!run.join("checkpoints").exists());
}

#[test]
fn a_run_in_progress_is_locked_until_its_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), 200, "");
    let run = dir.path().join("run");
    let mut child = start(&recipe, &run);
    wait_until("the first epoch", || {
        run.join("checkpoints/epoch-0001").exists()
    });
    let process = format!("process {}", child.id());
    resume(&run).code(1).stderr(contains(format!(
        "is being trained by {process}: wait for it, or stop it first"
    )));
    let listed = warmstart()
        .arg("runs")
        .arg(dir.path())
        .arg("--json")
        .assert()
        .success();
    let listed = String::from_utf8(listed.get_output().stdout.clone()).unwrap();
    let runs: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let states: Vec<&str> = runs
        .iter()
        .map(|run| run["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["finished", "running"], "{listed}");
    assert_eq!(runs[1]["process"], child.id());
    assert_eq!(runs[1]["command"], Value::Null);
    assert_eq!(
        runs[0]["command"],
        format!(
            "warmstart resume {}/pretrained --epochs 6",
            dir.path().display()
        )
    );
    child.kill().unwrap();
    child.wait().unwrap();
    resume(&run).success();
    warmstart()
        .args(["runs", "no-such-folder"])
        .assert()
        .code(1)
        .stderr(contains("could not list no-such-folder"));
}

/// Another process fills the disk.
#[test]
fn a_disk_that_fills_up_costs_nothing_once_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), 30, "checkpoint_every = 2\nkeep = 1");
    let whole = dir.path().join("whole");
    assert!(start(&recipe, &whole).wait().unwrap().success());
    let expected = outcome(&whole, EPOCHS);
    let result = dir.path().join("result");
    let script = r#"
        "$WARMSTART" train recipe.toml --out disk/run > log 2>&1 &
        until test -e disk/run/checkpoints/epoch-0001; do sleep 0.01; done
        # All of it, also what a checkpoint that is being written gives back.
        for i in 1 2 3 4 5; do cat /dev/zero > disk/filler-$i 2> /dev/null || true; sleep 0.02; done
        until grep -q 'the run continues and retries' log; do sleep 0.01; done
        grep -q 'epoch 3/4' log && echo 'too late' && exit 1
        until grep -q 'epoch 3/4' log; do sleep 0.01; done
        ls disk/run/checkpoints > while-full
        rm disk/filler-*
        wait $!
        cp -r disk/run result
    "#;
    let words = on_a_small_disk(dir.path(), "160m", script);
    assert!(words.contains("No space left on device"), "{words}");
    assert!(
        words.contains("checkpoints can be written again"),
        "{words}"
    );
    let left = fs::read_to_string(dir.path().join("while-full")).unwrap();
    assert!(
        left.contains("epoch-0001") || left.contains("epoch-0002"),
        "{left}"
    );
    assert!(outcome(&result, EPOCHS) == expected, "{words}");
}

#[test]
fn a_disk_that_stays_full_leaves_the_last_checkpoint_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), 0, "");
    let whole = dir.path().join("whole");
    assert!(start(&recipe, &whole).wait().unwrap().success());
    let script = r#"
        "$WARMSTART" train recipe.toml --out disk/run > log 2>&1 &
        until test -e disk/run/checkpoints/epoch-0001; do sleep 0.005; done
        kill -STOP $!
        for i in 1 2 3; do cat /dev/zero > disk/filler-$i 2> /dev/null || true; done
        kill -CONT $!
        code=0; wait $! || code=$?
        test $code = 1
        rm disk/filler-*
        "$WARMSTART" resume disk/run >> log 2>&1
        cp -r disk/run result
    "#;
    let words = on_a_small_disk(dir.path(), "160m", script);
    let error = words
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap();
    assert!(error.contains("No space left on device"), "{words}");
    assert!(
        error.contains("progress since then is lost; the newest checkpoint is "),
        "{words}"
    );
    assert!(
        error.contains(": make room or repair the disk, and continue"),
        "{words}"
    );
    assert!(
        outcome(&dir.path().join("result"), EPOCHS) == outcome(&whole, EPOCHS),
        "{words}"
    );
}
