//! The metrics of a run for other programs: TensorBoard's own package and a reader of tables find what metrics.jsonl has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{data, small_run, warmstart};

/// The packages, with their versions.
const REQUIREMENTS: &str = include_str!("tensorboard/requirements.txt");

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/tensorboard")
}

fn succeed(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}");
}

/// The interpreter, in an environment below `target/` that is made on first use. Only one process makes it at a time.
fn python() -> PathBuf {
    let versions: Vec<&str> = REQUIREMENTS.split_whitespace().collect();
    let versions = versions.join("-").replace("==", "");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(versions);
    let python = folder.join("bin/python");
    let finished = folder.join("finished");
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let lock = fs::File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !finished.exists() {
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet"]);
        pip.args(["--disable-pip-version-check", "-r"]);
        succeed(pip.arg(tests().join("requirements.txt")));
        fs::write(finished, "").unwrap();
    }
    python
}

/// The scalars of a run as TensorBoard reads them: by name, `[wall time, step, value]` of each event.
fn scalars(run: &Path) -> Value {
    let mut reader = Command::new(python());
    reader.arg(tests().join("read.py")).arg(run);
    let output = reader.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "TensorBoard reads the run");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The only file of events in a run.
fn events_file(run: &Path) -> PathBuf {
    let entries = fs::read_dir(run)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_events = |path: &PathBuf| path.to_str().unwrap().contains("tfevents");
    let files: Vec<PathBuf> = entries.filter(is_events).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A run of two epochs.
fn run(dir: &Path) -> PathBuf {
    let data = data(dir);
    let run = dir.join("run");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "2"]);
    warmstart().args(&arguments).assert().success();
    run
}

fn resume(run: &Path, flags: &[&str]) {
    let mut command = warmstart();
    command.arg("resume").arg(run).args(flags);
    command.assert().success();
}

fn check_scalars(run: &Path) {
    let scalars = scalars(run);
    let metrics = metrics(run);
    for (tag, key) in [
        ("loss/train", "train_loss"),
        ("loss/validation", "val_loss"),
        ("metric/top-1 accuracy", "metric"),
        ("learning_rate", "lr"),
        ("images_per_second", "images_per_second"),
        ("memory_mb", "peak_memory_mb"),
    ] {
        let events = scalars[tag].as_array().unwrap();
        assert_eq!(events.len(), metrics.len(), "{tag}");
        for (event, record) in events.iter().zip(&metrics) {
            assert_eq!(event[1], record["epoch"], "{tag}");
            let expected = record[key].as_f64().unwrap() as f32;
            assert_eq!(event[2].as_f64().unwrap() as f32, expected, "{tag}");
        }
    }
    let gradients = scalars["health/head/gradient_norm"].as_array().unwrap();
    assert_eq!(gradients.len(), metrics.len());
    let times: Vec<f64> = scalars["loss/train"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event[0].as_f64().unwrap())
        .collect();
    assert!(times.is_sorted());
}

#[test]
fn tensorboard_reads_what_the_metrics_say_and_reads_on_after_a_resume() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    check_scalars(&run);
    let file = events_file(&run);
    let before = fs::read(&file).unwrap();
    resume(&run, &["--epochs", "3"]);
    check_scalars(&run);
    assert_eq!(events_file(&run), file);
    let after = fs::read(&file).unwrap();
    assert!(after.len() > before.len() && after.starts_with(&before));
    // Going back takes later epochs away, and damage is repaired.
    fs::write(&file, &after[..after.len() / 2]).unwrap();
    resume(&run, &["--from-epoch", "1"]);
    check_scalars(&run);
    assert_eq!(events_file(&run), file);
}

#[test]
fn a_table_has_the_metrics_of_every_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    let mut table = csv::Reader::from_path(run.join("results.csv")).unwrap();
    let head = table.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let metrics = metrics(&run);
    assert_eq!(rows.len(), metrics.len());
    let columns = [
        "epoch",
        "phase",
        "train_loss",
        "val_loss",
        "metric",
        "lr",
        "images_per_second",
        "seconds",
        "peak_memory_mb",
    ];
    for column in columns {
        assert!(head.iter().any(|name| name == column), "{column}");
    }
    for (row, record) in rows.iter().zip(&metrics) {
        for (name, cell) in head.iter().zip(row) {
            match &record[name] {
                Value::String(text) => assert_eq!(cell, text),
                value => assert_eq!(cell.parse::<f64>().ok(), value.as_f64(), "{name}"),
            }
        }
    }
}
