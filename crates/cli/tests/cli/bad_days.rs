//! Harm to a run other than kills: closed terminals, limits on files, missing home folders, and processes that leave
//! files behind.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::process::{log, signal, wait_until};
use crate::common::{data, outcome, pictures, small_run, warmstart};

/// A half-written file, under the name that the program gives such files.
const HALF_WRITTEN: &str = ".warmstart-0123456789abcdef.writing";

/// Arguments of a run of two short epochs.
fn two_epochs<'a>(data: &'a Path, run: &'a Path) -> Vec<&'a str> {
    let mut arguments = small_run(data, "none", run);
    arguments.extend(["--epochs", "2", "--no-cache"]);
    arguments
}

/// A shell's commands, after which the program replaces the shell, with these arguments. Its output goes to the run's
/// log.
fn after(commands: &str, arguments: &[&str], run: &Path) -> Child {
    let log = fs::File::create(run.with_extension("log")).unwrap();
    Command::new("sh")
        .args(["-c", &format!("{commands}; exec \"$0\" \"$@\"")])
        .arg(assert_cmd::cargo::cargo_bin("warmstart"))
        .args(arguments)
        .env("LC_ALL", "C")
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_file_of_a_run_has_the_permissions_that_the_umask_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    for (umask, mode) in [("022", 0o644), ("027", 0o640)] {
        let run = dir.path().join(umask);
        let mut arguments = small_run(&data, "none", &run);
        let cache = run.join("cache");
        arguments.extend(["--epochs", "1", "--cache", cache.to_str().unwrap()]);
        let mut child = after(&format!("umask {umask}"), &arguments, &run);
        assert!(child.wait().unwrap().success(), "{}", log(&run));
        let files = files(&run);
        assert!(files.len() > 8, "{files:?}");
        for file in files {
            let found = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{} is {found:o}", file.display());
        }
    }
}

#[test]
fn a_run_that_was_started_to_outlive_its_terminal_does() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    let arguments = two_epochs(&data, &run);
    // As `nohup` does.
    let mut child = after("trap '' HUP", &arguments, &run);
    wait_until("the first checkpoint", || {
        run.join("checkpoints/epoch-0001").exists()
    });
    signal(&child, "HUP");
    assert!(child.wait().unwrap().success(), "{}", log(&run));
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_like_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    warmstart()
        .args(two_epochs(&data, &whole))
        .assert()
        .success();
    // Blocks of 512 bytes, fewer than the model has.
    let mut child = after("ulimit -f 8000", &two_epochs(&data, &run), &run);
    let status = child.wait().unwrap();
    let words = log(&run);
    assert_eq!((status.code(), status.signal()), (Some(1), None), "{words}");
    let last = words.lines().last().unwrap();
    assert!(last.starts_with("error: "), "{words}");
    assert!(
        last.contains("model.safetensors") && last.contains("File too large"),
        "{words}"
    );
    warmstart().arg("resume").arg(&run).assert().success();
    assert!(outcome(&run, 2) == outcome(&whole, 2));
}

/// The child process that measures steps.
fn measuring(parent: &Child) -> Option<u32> {
    let id = parent.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    let child = children.split_whitespace().next()?.parse().ok()?;
    let command = fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
    command.contains("\0probe\0").then_some(child)
}

fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    // A process that nobody has waited for is a zombie.
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

#[test]
fn however_a_planning_process_ends_it_leaves_none_that_measures() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, "none", &run);
    // Large enough that measuring takes a while.
    let size = arguments.iter().position(|word| *word == "32").unwrap();
    arguments[size] = "448";
    let mut plan = arguments.clone();
    plan[0] = "plan";
    let out = plan.iter().position(|word| *word == "--out").unwrap();
    plan.drain(out..out + 2);
    for (arguments, name) in [
        (&arguments, "INT"),
        (&arguments, "TERM"),
        (&arguments, "HUP"),
        (&arguments, "KILL"),
        (&plan, "INT"),
        (&plan, "KILL"),
    ] {
        let mut child = after(":", arguments, &run);
        wait_until("the measuring", || measuring(&child).is_some());
        let process = measuring(&child).unwrap();
        signal(&child, name);
        assert!(!child.wait().unwrap().success());
        wait_until("the end of the measuring", || !is_alive(process));
        assert!(!run.exists());
    }
}

#[test]
fn without_a_home_nothing_is_kept_and_nothing_lands_in_the_working_folder() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let working = dir.path().join("working");
    fs::create_dir(&working).unwrap();
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "1"]);
    for (home, cache) in [("", ""), ("here", "there")] {
        let command = |arguments: &[&str]| {
            let mut command = warmstart();
            command.args(arguments).current_dir(&working);
            command.env("HOME", home).env("XDG_CACHE_HOME", cache);
            command.assert()
        };
        let reason = "neither XDG_CACHE_HOME nor HOME names an absolute path";
        command(&arguments)
            .success()
            .stderr(contains("are not cached: ").and(contains(reason)));
        command(&["cache", "list"])
            .code(1)
            .stderr(contains(reason).and(contains("--cache DIR")));
        assert_eq!(fs::read_dir(&working).unwrap().count(), 0);
        fs::remove_dir_all(&run).unwrap();
    }
}

#[test]
fn a_run_that_was_killed_before_its_recipe_was_there_can_be_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("run.lock"), "4711").unwrap();
    fs::write(run.join(HALF_WRITTEN), "data = ").unwrap();
    warmstart().args(two_epochs(&data, &run)).assert().success();
    assert!(!run.join(HALF_WRITTEN).exists());
    // A user's file is not overwritten.
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(".warmstart-notes.writing"), "").unwrap();
    warmstart()
        .args(two_epochs(&data, &other))
        .assert()
        .code(2)
        .stderr(contains("exists and is not empty"));
}

#[test]
fn what_a_killed_process_left_half_written_is_removed_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    warmstart().args(two_epochs(&data, &run)).assert().success();
    let writing = run.join("checkpoints/.writing");
    fs::write(run.join(HALF_WRITTEN), "half").unwrap();
    fs::create_dir(&writing).unwrap();
    fs::write(writing.join("model.safetensors"), "half").unwrap();
    warmstart().arg("resume").arg(&run).assert().success();
    assert!(!run.join(HALF_WRITTEN).exists() && !writing.exists());
    // A picture of the same kind as `predict --draw` and `lr-find` write.
    let drawn = dir.path().join("drawn");
    fs::create_dir(&drawn).unwrap();
    fs::write(drawn.join(HALF_WRITTEN), "half").unwrap();
    pictures(&dir.path().join("few"), &["a"], 0, 1);
    warmstart()
        .args([
            "init-check",
            "--model",
            "mobilenet_v2",
            "--image-size",
            "32",
        ])
        .arg("--picture")
        .arg(drawn.join("signal.svg"))
        .assert()
        .success();
    assert!(!drawn.join(HALF_WRITTEN).exists());
}
