//! Files of a run that are pipes, or claim 100 GB: no command waits for them or reads them to their end.
#![cfg(unix)]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use crate::common::{data, small_run, warmstart};

const FILES: [&str; 10] = [
    "recipe.toml",
    "data-files.txt",
    "summary.json",
    "metrics.jsonl",
    "results.csv",
    "plan.json",
    "running.json",
    "run.lock",
    "best.safetensors",
    "checkpoints/epoch-0001/state.json",
];

/// Longest that a command may take for a run in which nothing is left to train.
const AT_MOST: Duration = Duration::from_secs(30);

fn pipe(path: &Path) {
    let made = Program::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

fn sparse(path: &Path) {
    File::create(path).unwrap().set_len(100 << 30).unwrap();
}

#[test]
fn a_pipe_or_a_sparse_file_in_the_place_of_a_file_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("runs/one");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "1"]);
    warmstart().args(&arguments).assert().success();
    let names = fs::read_dir(&run).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.into_string().unwrap()
    });
    let events: Vec<String> = names.filter(|name| name.contains("tfevents")).collect();
    assert_eq!(events.len(), 1, "{events:?}");
    for name in FILES.into_iter().chain([events[0].as_str()]) {
        let path = run.join(name);
        let kept = dir.path().join("kept");
        let was_there = fs::rename(&path, &kept).is_ok();
        for (make, kind) in [(pipe as fn(&Path), "pipe"), (sparse, "sparse file")] {
            // A checksum takes as long as its file is large.
            if kind == "sparse file" && name == "best.safetensors" {
                continue;
            }
            let commands: [&[&str]; 3] =
                [&["runs"], &["eval", "runs/one"], &["resume", "runs/one"]];
            for command in commands {
                let _ = fs::remove_file(&path);
                make(&path);
                let start = Instant::now();
                let mut program = warmstart();
                program
                    .current_dir(dir.path())
                    .args(command)
                    .timeout(AT_MOST);
                let output = program.output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let case = format!("{kind} {name}, {command:?}: {said}");
                assert!(start.elapsed() < AT_MOST, "{case}");
                assert!(matches!(output.status.code(), Some(0..=2)), "{case}");
                assert!(!said.contains("panicked"), "{case}");
            }
        }
        let _ = fs::remove_file(&path);
        if was_there {
            fs::rename(&kept, &path).unwrap();
        }
    }
}
