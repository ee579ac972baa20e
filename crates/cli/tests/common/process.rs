//! The binary as a process that is watched and sent signals.
#![allow(dead_code, reason = "each test file uses its share")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub fn start(recipe: &Path, run: &Path) -> Child {
    let log = fs::File::create(run.with_extension("log")).unwrap();
    Command::new(assert_cmd::cargo::cargo_bin("warmstart"))
        .arg("train")
        .arg(recipe)
        .arg("--out")
        .arg(run)
        .stderr(log)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

pub fn wait_until(what: &str, reached: impl Fn() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "never: {what}"
        );
        sleep(Duration::from_millis(2));
    }
}

pub fn signal(child: &Child, name: &str) {
    let arguments = ["-s", name, &child.id().to_string()];
    assert!(
        Command::new("kill")
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
}

pub fn checkpoints(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn log(run: &Path) -> String {
    fs::read_to_string(run.with_extension("log")).unwrap()
}
