//! `warmstart demo`: real runs, whose printed commands are those that make them.

use std::fs;
use std::path::Path;
use std::process::Output;

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::{said, warmstart};

/// The smallest demonstration.
const SMALL: [&str; 6] = ["--seeds", "1", "--pictures", "4", "--epochs", "2"];

/// Starts a demonstration in `dir/demo`, with a cache of its own.
fn demo(dir: &Path, flags: &[&str]) -> Output {
    let mut command = warmstart();
    command
        .current_dir(dir)
        .args(["demo", "demo", "--cache", "cache"]);
    let output = command.args(flags).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    output
}

/// The commands among the lines.
fn commands(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("warmstart train "))
        .collect()
}

#[test]
fn the_runs_are_real_and_their_commands_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let shown = demo(dir.path(), &[&SMALL[..], &["--data-only"]].concat());
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!dir.path().join("demo/runs").exists(), "nothing is trained");

    let output = demo(dir.path(), &SMALL);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(commands(&shown), commands(&text));
    assert_eq!(commands(&text).len(), 9);
    for target in ["related", "unrelated"] {
        for start in ["scratch", "random", "frozen", "thawed"] {
            let is_of = |line: &&str| {
                let mut words = line.split_whitespace();
                words.next() == Some(target) && words.next() == Some(start)
            };
            assert_eq!(text.lines().filter(is_of).count(), 1, "{text}");
        }
        let verdict = format!("{target} target: pretraining bought ");
        assert!(text.contains(&verdict), "{text}");
    }
    let page = text.lines().find_map(|line| line.strip_prefix("report: "));
    assert!(dir.path().join(page.unwrap()).is_file());

    // A printed command, typed by hand, has the same recipe and the same model.
    for run in ["related-frozen-1", "related-scratch-1"] {
        let mut printed = commands(&text).into_iter();
        let printed = printed.find(|command| command.ends_with(run)).unwrap();
        let mut words: Vec<&str> = printed.split(' ').skip(1).collect();
        let out = words.pop().unwrap();
        warmstart()
            .current_dir(dir.path())
            .args(&words)
            .args(["by-hand", "--cache", "cache"])
            .assert()
            .success();
        for file in ["recipe.toml", "best.safetensors"] {
            let of = |folder: &str| fs::read(dir.path().join(folder).join(file)).unwrap();
            assert!(of("by-hand") == of(out), "{run}: {file}");
        }
        fs::remove_dir_all(dir.path().join("by-hand")).unwrap();
    }

    a_second_start_keeps_what_is_finished(dir.path());
}

fn a_second_start_keeps_what_is_finished(dir: &Path) {
    let model = |run: &str| {
        let file = dir.join("demo/runs").join(run).join("best.safetensors");
        fs::metadata(file).unwrap().modified().unwrap()
    };
    let before = [model("pretrain"), model("related-thawed-1")];
    fs::remove_dir_all(dir.join("demo/runs/unrelated-frozen-1")).unwrap();
    let output = demo(dir, &[&SMALL[..], &["--json"]].concat());
    assert_eq!(before, [model("pretrain"), model("related-thawed-1")]);
    model("unrelated-frozen-1");
    let lines: Vec<serde_json::Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 10, "nine runs and the table");
    assert_eq!(lines[0]["task"], "source");
    assert!(
        lines[0]["command"]
            .as_str()
            .unwrap()
            .contains("--weights none")
    );
    assert_eq!(lines[9]["lines"].as_array().unwrap().len(), 8);

    // Another size would not be the same demonstration.
    warmstart()
        .current_dir(dir)
        .args(["demo", "demo", "--pictures", "5", "--epochs", "2"])
        .assert()
        .code(2)
        .stderr(contains("--pictures 4 --epochs 2"));
}

#[test]
fn a_folder_with_other_things_in_it_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    warmstart()
        .arg("demo")
        .arg(dir.path())
        .assert()
        .code(2)
        .stderr(contains("is not empty").and(contains("give another folder")));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
