//! Recipes that `new` writes: complete, documented, and accepted as they are.

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;
use warmstart_recipe::{Draft, PHASE_OPTIONS, RUN_OPTIONS};

use crate::common::{data, pretrained, scenes, warmstart};

fn new(data: &Path, out: &Path, flags: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.arg("new").arg(data).arg("--out").arg(out);
    command.args(flags).assert()
}

fn train(recipe: &Path, run: &Path, flags: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.arg("train").arg(recipe).arg("--out").arg(run);
    command.args(flags).assert()
}

/// A recipe in which every option that has a value is one.
fn uncommented(text: &str) -> String {
    let is_option = |line: &str| !line.starts_with("# ") && line.contains(" = ");
    let line = |line: &str| match line.strip_prefix('#') {
        Some(option) if is_option(line) => format!("{option}\n"),
        Some(_) | None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn a_recipe_for_classes_trains_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let recipe = dir.path().join("recipe.toml");
    new(&data, &recipe, &["--weights", &weights])
        .success()
        .stdout(contains("3 classes; 27 training, 12 validation images"))
        .stdout(contains("warmstart train"));
    let text = fs::read_to_string(&recipe).unwrap();
    for option in RUN_OPTIONS {
        let line = format!("{} =", option.key);
        assert!(text.contains(&line), "{line}");
        let first = option.documentation.split_whitespace().next().unwrap();
        assert!(text.contains(first), "{first}");
    }
    for option in PHASE_OPTIONS {
        let begin = format!("{} =", option.key);
        let lines = text.lines().map(|line| line.trim_start_matches('#'));
        let count = lines.filter(|line| line.starts_with(&begin)).count();
        assert_eq!(count, 2, "{begin} in both phases");
    }
    assert_eq!(text.matches("\n[[phase]]\n").count(), 2);
    // The documented values are such.
    let other = dir.path().join("uncommented.toml");
    fs::write(&other, uncommented(&text)).unwrap();
    let draft = Draft::read(&other).unwrap();
    assert_eq!(
        (draft.seed, draft.phase.map(|it| it.len())),
        (Some(42), Some(2))
    );
    let run = dir.path().join("run");
    train(&recipe, &run, &["--image-size", "32", "--epochs", "1"]).success();
    new(&data, &recipe, &["--weights", &weights])
        .code(2)
        .stderr(contains("not overwritten").and(contains("--out")));
    assert_eq!(fs::read_to_string(&recipe).unwrap(), text);
}

#[test]
fn a_recipe_for_boxes_trains_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 8, 64);
    let recipe = dir.path().join("recipe.toml");
    let flags = ["--model", "mobilenet_v2", "--weights", "none"];
    new(&data, &recipe, &flags).success().stdout(contains(
        "detect, 3 classes; 8 training, 6 validation images",
    ));
    let text = fs::read_to_string(&recipe).unwrap();
    assert!(text.contains("\ntask = \"detect\"\n") && text.contains("\nweights = \"none\"\n"));
    assert!(text.contains("\nepochs = 20\n"), "{text}");
    fs::write(&recipe, text.replace("\nepochs = 20\n", "\nepochs = 1\n")).unwrap();
    let run = dir.path().join("run");
    train(&recipe, &run, &["--image-size", "64"]).success();
}

#[test]
fn published_weights_are_not_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let recipe = dir.path().join("recipe.toml");
    new(&data, &recipe, &[]).success();
    let text = fs::read_to_string(&recipe).unwrap();
    assert!(
        text.contains("\nweights = \"mobilenet_v2.imagenet1k_v1\"\n"),
        "{text}"
    );
    new(
        &data,
        &dir.path().join("other.toml"),
        &["--weights", "imagnet"],
    )
    .code(2)
    .stderr(contains("did you mean `imagenet`?"));
    new(&dir.path().join("gone"), &dir.path().join("gone.toml"), &[])
        .failure()
        .stderr(contains("gone"));
    assert!(!dir.path().join("gone.toml").exists());
}
