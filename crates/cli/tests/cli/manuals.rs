//! Completions and manual pages, which say what `--help` says.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::warmstart;

#[test]
fn every_shell_has_completions_of_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        warmstart()
            .args(["completions", shell])
            .assert()
            .success()
            .stdout(contains("init-check").and(contains("image-size")))
            // For the program alone.
            .stdout(contains("probe)").or(contains("Measure steps")).not());
    }
    warmstart().args(["completions", "tcsh"]).assert().code(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    warmstart()
        .arg("man")
        .assert()
        .success()
        .stdout(contains(".TH warmstart 1").and(contains("warmstart\\-predict(1)")));
    let folder = dir.path().join("share/man1");
    warmstart()
        .args(["man", "--out"])
        .arg(&folder)
        .assert()
        .success()
        .stdout(contains("manual pages into"));
    let page = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(page("warmstart-predict.1").contains("\\-\\-csv"));
    assert!(page("warmstart-weights-convert.1").contains("\\-\\-to"));
    assert!(page("warmstart-train.1").contains("\\-\\-image\\-size"));
    assert!(!folder.join("warmstart-probe.1").exists());
}
