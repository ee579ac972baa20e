//! What a resumed run may change, what it reports, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::process::{checkpoints, log, signal, start, wait_until};
use crate::common::{CLASSES, Said, copy, data, metrics, outcome, pictures, pretrained, warmstart};

const EPOCHS: usize = 4;
/// Images to learn from.
const IMAGES: usize = 3 * (9 + 30);

/// A recipe of two phases of two epochs each.
fn recipe(dir: &Path, lines: &str) -> PathBuf {
    let data = data(dir);
    let weights = pretrained(dir, &data);
    pictures(&data.join("train"), &CLASSES, 200, 30);
    let recipe = dir.join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 32\nkeep = 'all'\n{lines}\n\
         [[phase]]\nname = 'freeze'\ntrain = 'head'\nhead = 'linear'\nepochs = 2\nbatch = 16\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 2\nbatch = 8\n",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    recipe
}

fn whole(dir: &Path) -> PathBuf {
    let run = dir.join("whole");
    assert!(
        start(&recipe(dir, ""), &run).wait().unwrap().success(),
        "{}",
        log(&run)
    );
    run
}

fn resume(run: &Path, flags: &[&str]) -> assert_cmd::assert::Assert {
    warmstart().arg("resume").arg(run).args(flags).assert()
}

fn state(run: &Path, checkpoint: &str) -> Value {
    let path = run.join("checkpoints").join(checkpoint).join("state.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A run that was stopped some steps into the thaw's first epoch, and the name of its checkpoint there.
fn stopped_in_the_thaw(dir: &Path, recipe: &Path) -> (PathBuf, String) {
    let run = dir.join("stopped");
    let mut child = start(recipe, &run);
    wait_until("the thaw", || log(&run).contains("phase 2 of 2"));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143), "{}", log(&run));
    let newest = checkpoints(&run).pop().unwrap();
    assert!(newest.starts_with("step-"), "{}", log(&run));
    (run, newest)
}

#[test]
fn within_an_epoch_another_batch_still_sees_each_image_once() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), "");
    let (run, newest) = stopped_in_the_thaw(dir.path(), &recipe);
    let before = state(&run, &newest);
    let seen = before["epoch_in_hand"]["seen"].as_u64().unwrap() as usize;
    let step = before["step"].as_u64().unwrap() as usize;
    assert!(seen > 0 && seen < IMAGES, "{before}");
    resume(&run, &["--batch", "5"])
        .success()
        .stderr(contains(
            "changed: phase thaw: batch 8 → 5: the steps differ from here on",
        ))
        .stderr(contains(format!("with {seen} images of epoch 3 processed")));
    let ends = |epoch: usize| {
        state(&run, &format!("epoch-000{epoch}"))["step"]
            .as_u64()
            .unwrap()
    };
    // The images that were left, in batches of five; and in the next epoch all of them.
    assert_eq!(ends(3) as usize, step + (IMAGES - seen).div_ceil(5));
    assert_eq!(ends(4) as usize, ends(3) as usize + IMAGES.div_ceil(5));
}

#[test]
fn a_data_set_that_has_moved_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole(dir.path());
    let expected = outcome(&run, EPOCHS);
    let moved = dir.path().join("elsewhere");
    copy(&dir.path().join("data"), &moved);
    fs::remove_dir_all(dir.path().join("data")).unwrap();
    resume(&run, &["--from-epoch", "1"]).code(1);
    resume(
        &run,
        &["--from-epoch", "1", "--data", moved.to_str().unwrap()],
    )
    .success()
    .stderr(contains(
        "the data set has the same files: the result does not change",
    ));
    assert!(outcome(&run, EPOCHS) == expected);
    // The data set is found there from now on.
    resume(&run, &["--from-epoch", "3"]).success();
    assert!(outcome(&run, EPOCHS) == expected);
}

#[test]
fn a_data_set_that_grew_shrank_or_changed_is_refused_by_name_unless_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole(dir.path());
    let before = outcome(&run, EPOCHS);
    let images = dir.path().join("data/train/vertical");
    fs::remove_file(images.join("000.png")).unwrap();
    fs::copy(images.join("001.png"), images.join("new.png")).unwrap();
    fs::copy(
        dir.path().join("data/val/checker/100.png"),
        images.join("002.png"),
    )
    .unwrap();
    resume(&run, &["--from-epoch", "2"])
        .code(1)
        .stderr(contains(
            "does not hold the files that the run was trained on",
        ))
        .stderr(contains("1 more: train/vertical/new.png"))
        .stderr(contains("1 fewer: train/vertical/000.png"))
        .stderr(contains("of another size or label: train/vertical/002.png"))
        .stderr(contains("--accept-data-change"));
    assert!(outcome(&run, EPOCHS) == before, "nothing was changed");
    resume(&run, &["--from-epoch", "2", "--accept-data-change"])
        .success()
        .stderr(contains(
            "the data set has changed, so metrics before and after are not comparable",
        ));
    assert_eq!(metrics(&run)[..2], before.1[..2]);
    assert_ne!(metrics(&run)[2..], before.1[2..]);
    // Accepted, and killed before its first checkpoint: these are its data anyway.
    resume(&run, &["--from-epoch", "2"])
        .success()
        .stderr(contains(
            "the data set has changed, so metrics before and after are not comparable",
        ));
    // These are its data now.
    resume(&run, &["--epochs", "5"]).success();
}

#[test]
fn an_epoch_in_progress_begins_again_with_other_data() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), "");
    let (run, _) = stopped_in_the_thaw(dir.path(), &recipe);
    pictures(&dir.path().join("data/train"), &CLASSES, 300, 1);
    resume(&run, &["--accept-data-change"])
        .success()
        .stderr(contains("3 more: ").and(contains("epoch 3 begins again")))
        .stderr(contains("continuing after epoch 2 of 4\n"));
    assert_eq!(metrics(&run).len(), EPOCHS);
}

#[test]
fn another_rate_or_length_is_reported_with_its_effect() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole(dir.path());
    resume(
        &run,
        &["--from-epoch", "3", "--epochs", "6", "--lr", "1e-4"],
    )
    .success()
    .stderr(contains(
        "changed: phase thaw: epochs 2 → 4: the learning rate schedule spans the new length",
    ))
    .stderr(contains(
        "changed: phase thaw: lr 0.0003 → 0.0001: applies to the rest of the phase",
    ))
    .stderr(contains("the recipe was changed since").not());
    assert_eq!(metrics(&run).len(), 6);
    resume(&run, &["--epochs", "8"])
        .success()
        .stderr(contains(
            "changed: phase extension-2: new, 2 epochs with a schedule of their own",
        ))
        .said(contains("phase 3 of 3, extension-2: 2 epochs × 15 steps"));
    // An edit by hand is noticed, too.
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    let edited = recipe.replacen("clip_norm = 0.0", "clip_norm = 2.0", 3);
    fs::write(run.join("recipe.toml"), edited).unwrap();
    resume(&run, &["--from-epoch", "7"])
        .success()
        .stderr(contains(
            "the recipe was changed since the checkpoint: phase extension-2: clip_norm 0.0 → 2.0",
        ));
}

#[test]
fn another_model_or_image_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole(dir.path());
    let before = outcome(&run, EPOCHS);
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    for (from, to, words) in [
        (
            "image_size = 32",
            "image_size = 64",
            "its images are 32 x 32, the recipe's 64 x 64",
        ),
        (
            "model = \"mobilenet_v2\"",
            "model = \"resnet18\"",
            "it is a mobilenet_v2, the recipe asks for resnet18",
        ),
    ] {
        fs::write(run.join("recipe.toml"), recipe.replacen(from, to, 1)).unwrap();
        resume(&run, &["--from-epoch", "3"])
            .code(1)
            .stderr(contains(words).and(contains("this run cannot continue with them")));
        assert!(outcome(&run, EPOCHS) == before);
    }
}

#[test]
fn a_recipe_in_which_the_run_has_no_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run = whole(dir.path());
    let before = outcome(&run, EPOCHS);
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    for (from, to, code, words) in [
        (
            "name = \"thaw\"",
            "name = \"melt\"",
            2,
            "has phase freeze, melt where the run is in phase thaw",
        ),
        (
            "epochs = 2",
            "epochs = 1",
            2,
            "has 2 epochs, and 3 are finished",
        ),
        (
            "train = \"all\"",
            "train = \"from:features.14\"",
            2,
            "changes `train` in phase thaw",
        ),
        (
            "optimizer = \"adamw\"",
            "optimizer = \"sgd\"",
            2,
            "changes `optimizer` in phase thaw",
        ),
    ] {
        fs::write(run.join("recipe.toml"), recipe.replace(from, to)).unwrap();
        resume(&run, &["--from-epoch", "3"])
            .code(code)
            .stderr(contains(words));
        assert!(outcome(&run, EPOCHS) == before);
    }
    let none = recipe.split("[[phase]]").next().unwrap().to_owned() + "phase = []\n";
    fs::write(run.join("recipe.toml"), none).unwrap();
    resume(&run, &["--epochs", "9"])
        .code(2)
        .stderr(contains("the recipe has no phase"));
    warmstart()
        .arg("runs")
        .arg(&run)
        .assert()
        .success()
        .stdout(contains("broken: the recipe has no phase"));
    fs::write(run.join("recipe.toml"), recipe).unwrap();
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    resume(&run, &[]).code(1).stderr(contains(
        "best.safetensors is there, but its checkpoints are lost",
    ));
    assert!(run.join("best.safetensors").exists());
}

/// The tutorial's case: the thaw is killed for lack of memory, continues with a smaller batch, ends with the loss still
/// falling, and is extended.
#[test]
fn a_killed_thaw_continues_with_a_smaller_batch_and_then_for_longer() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), "");
    let run = dir.path().join("run");
    let mut child = start(&recipe, &run);
    wait_until("the thaw", || log(&run).contains("phase 2 of 2"));
    // As the system does it.
    child.kill().unwrap();
    child.wait().unwrap();
    let frozen = metrics(&run);
    assert_eq!(frozen.len(), 2);
    warmstart()
        .arg("runs")
        .arg(&run)
        .assert()
        .success()
        .stdout(contains("interrupted after epoch 2 of 4").and(contains("warmstart resume")));
    resume(&run, &["--batch", "4"])
        .success()
        .stderr(contains("continuing after epoch 2 of 4"))
        .said(contains("phase 2 of 2, thaw: 2 epochs × 30 steps, batch 4"));
    let finished = metrics(&run);
    assert_eq!((finished.len(), &finished[..2]), (4, &frozen[..]));
    assert_eq!(finished[2]["epoch"], 3);
    resume(&run, &["--epochs", "7"]).success().said(contains(
        "phase 3 of 3, extension-2: 3 epochs × 30 steps, batch 4",
    ));
    let extended = metrics(&run);
    assert_eq!((extended.len(), &extended[..4]), (7, &finished[..]));
    warmstart()
        .arg("runs")
        .arg(dir.path())
        .assert()
        .success()
        .stdout(contains("finished: 7 epochs").and(contains("--epochs 12")));
}

#[test]
fn steps_that_are_not_finite_are_skipped_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), "on_nonfinite = 'skip'\noptimizer = 'sgd'");
    let text = fs::read_to_string(&recipe).unwrap();
    let wild = text.replace("batch = 8\n", "batch = 8\nlr = 1e30\nwarmup = 0.0\n");
    fs::write(&recipe, wild).unwrap();
    let run = dir.path().join("run");
    assert_eq!(start(&recipe, &run).wait().unwrap().code(), Some(1));
    let words = log(&run);
    assert!(
        words.contains("step 2 of epoch 3 is skipped, 1 in a row: the loss is NaN, first in "),
        "{words}"
    );
    assert_eq!(words.matches("is skipped, ").count(), 10, "{words}");
    assert!(
        words.contains("images of that step: ") && words.contains("/train/"),
        "{words}"
    );
    assert!(
        words.contains("error: the loss is NaN (step 12 of epoch 3"),
        "{words}"
    );
    assert_eq!(checkpoints(&run).last().unwrap(), "epoch-0002");
    resume(&run, &["--lr", "1e-3"]).success();
    assert_eq!(metrics(&run).len(), EPOCHS);
}
