//! What a run prints and where: lines, the log in its folder, events as JSON, and the commands that go on from it.

use std::fs;
use std::path::Path;
use std::process::Output;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{self, data, small_run, warmstart};

/// Trains two epochs.
fn train(data: &Path, run: &Path, flags: &[&str]) -> Output {
    let mut arguments = small_run(data, "none", run);
    arguments.extend(["--epochs", "2", "--no-cache"]);
    arguments.extend(flags);
    let output = warmstart().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", common::said(&output));
    output
}

fn text(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn log(run: &Path) -> Vec<String> {
    text(&fs::read(run.join("log.txt")).unwrap())
}

#[test]
fn lines_are_on_standard_output_and_all_of_them_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    let output = train(&data, &run, &[]);
    let (lines, warnings) = (text(&output.stdout), text(&output.stderr));
    let epochs = lines.iter().filter(|line| line.starts_with("epoch "));
    assert_eq!(epochs.count(), 2, "{lines:#?}");
    assert!(
        lines.iter().all(|line| !line.starts_with("note: ")),
        "{lines:#?}"
    );
    assert!(
        warnings.iter().any(|line| line.starts_with("note: ")),
        "{warnings:#?}"
    );
    let logged = log(&run);
    let mut printed: Vec<String> = lines.iter().chain(&warnings).cloned().collect();
    let mut sorted = logged.clone();
    printed.sort();
    sorted.sort();
    assert_eq!(sorted, printed);
    // In order, too.
    let news: Vec<&String> = logged.iter().filter(|line| lines.contains(line)).collect();
    assert_eq!(news, lines.iter().collect::<Vec<_>>());

    let resumed = warmstart()
        .arg("resume")
        .arg(&run)
        .args(["--epochs", "3", "--no-cache"])
        .output()
        .unwrap();
    assert!(resumed.status.success(), "{}", common::said(&resumed));
    let both = log(&run);
    assert_eq!(both[..logged.len()], logged);
    assert_eq!(both[logged.len()], "continued");
    let rest = &both[logged.len() + 1..];
    assert!(
        text(&resumed.stdout).iter().all(|line| rest.contains(line)),
        "{rest:#?}"
    );
    assert!(
        text(&resumed.stderr).iter().all(|line| rest.contains(line)),
        "{rest:#?}"
    );

    let refused = warmstart()
        .arg("resume")
        .arg(&run)
        .args(["--epochs", "1"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(log(&run).last(), text(&refused.stderr).last());
}

#[test]
fn quiet_leaves_warnings_and_the_result() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    let output = train(&data, &run, &["--quiet"]);
    let lines = text(&output.stdout);
    assert!(lines[0].starts_with("finished: kept "), "{lines:#?}");
    assert!(lines.len() <= 3, "{lines:#?}");
    assert!(log(&run).iter().any(|line| line.starts_with("epoch 2/2")));
    warmstart()
        .args(["train", "--quiet", "--json"])
        .assert()
        .code(2)
        .stderr(contains("--quiet").and(contains("--json")));
}

#[test]
fn events_are_lines_of_json() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    let output = train(&data, &run, &["--json"]);
    let events: Vec<Value> = text(&output.stdout)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_kind = |kind: &str| -> Vec<&Value> {
        let events = events.iter();
        events.filter(|event| event["event"] == kind).collect()
    };
    assert!(events.iter().all(|event| event["version"] == 1));
    for kind in ["data", "run", "phase", "step", "evaluated", "finished"] {
        assert!(!of_kind(kind).is_empty(), "{kind}");
    }
    let metrics = text(&fs::read(run.join("metrics.jsonl")).unwrap());
    let records: Vec<&Value> = of_kind("epoch")
        .into_iter()
        .map(|event| &event["record"])
        .collect();
    assert_eq!(records.len(), metrics.len());
    for (record, line) in records.iter().zip(&metrics) {
        assert_eq!(**record, serde_json::from_str::<Value>(line).unwrap());
    }
    let summary = fs::read_to_string(run.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(of_kind("finished")[0]["summary"], summary);

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/screen.md");
    let page = fs::read_to_string(page).unwrap();
    for event in &events {
        let kind = event["event"].as_str().unwrap();
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{kind}` |")))
            .unwrap_or_else(|| panic!("docs/screen.md lacks {kind}"));
        for field in event.as_object().unwrap().keys() {
            let is_there =
                ["version", "event"].contains(&&**field) || row.contains(&format!("`{field}`"));
            assert!(is_there, "docs/screen.md: {kind} lacks {field}");
        }
    }

    let failed = warmstart()
        .args(["resume", "no-such-run", "--json"])
        .assert()
        .failure();
    let error: Value = serde_json::from_slice(&failed.get_output().stderr).unwrap();
    assert!(error["error"].is_string(), "{error}");
}

#[test]
fn the_last_lines_are_commands_that_work() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run with spaces");
    let output = train(&data, &run, &[]);
    let lines = text(&output.stdout);
    let next = lines.iter().position(|line| line == "what next:").unwrap();
    let commands = &lines[next + 1..];
    let names: Vec<&str> = commands
        .iter()
        .map(|command| command.split_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(names, ["report", "eval", "predict", "export", "resume"]);
    // Exporting has tests of its own, and takes longest.
    #[cfg(unix)]
    for command in commands
        .iter()
        .filter(|command| !command.contains(" export "))
    {
        let program = assert_cmd::cargo::cargo_bin("warmstart");
        let script = format!("warmstart() {{ \"$PROGRAM\" \"$@\"; }}; {command}");
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .env("PROGRAM", program)
            .env("LC_ALL", "C")
            .env("XDG_CACHE_HOME", dir.path().join("cache"))
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command}: {}",
            common::said(&output)
        );
    }
}
