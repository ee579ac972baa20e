//! The binary as a process that is watched and sent signals.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub fn start(recipe: &Path, run: &Path) -> Child {
    let log = fs::File::create(run.with_extension("log")).unwrap();
    Command::new(assert_cmd::cargo::cargo_bin("warmstart"))
        .env("LC_ALL", "C")
        .arg("train")
        .arg(recipe)
        .arg("--out")
        .arg(run)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
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

/// Runs a shell script in a mount namespace of its own, in which `disk` is a file system in memory of
/// `size`, and returns what the program said in its `log`.
pub fn on_a_small_disk(dir: &Path, size: &str, script: &str) -> String {
    let prelude = format!("set -eu; mkdir disk; mount -t tmpfs -o size={size} tmpfs disk");
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c"])
        .arg(format!("{prelude}\n{script}"))
        .current_dir(dir)
        .env("WARMSTART", assert_cmd::cargo::cargo_bin("warmstart"))
        .env("LC_ALL", "C")
        .output()
        .expect("this test needs `unshare`, of util-linux");
    let words = fs::read_to_string(dir.join("log")).unwrap_or_default();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}\n{words}");
    words
}
