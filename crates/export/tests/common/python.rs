//! A Python of the tests' own, with onnx, onnxruntime and pillow, made once below `target/`.
#![allow(dead_code, reason = "each test file uses its share")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The packages, with their versions.
const REQUIREMENTS: &str = include_str!("../requirements.txt");

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The interpreter, in an environment that is made on first use. Only one process makes it at a time.
fn python() -> PathBuf {
    let versions: String = REQUIREMENTS
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("-");
    let versions = versions.replace("==", "");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(versions);
    let python = folder.join("bin/python");
    let finished = folder.join("finished");
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let lock = fs::File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !finished.exists() {
        run(Command::new("python3").arg("-m").arg("venv").arg(&folder));
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        run(pip.arg("-r").arg(tests().join("requirements.txt")));
        fs::write(finished, "").unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}");
}

/// What a program of the repository prints.
pub fn said(program: &str, arguments: &[&OsStr]) -> String {
    let output = run_program(program, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a program of the repository says when it fails.
pub fn complaint(program: &str, arguments: &[&OsStr]) -> String {
    let output = run_program(program, arguments);
    assert!(!output.status.success(), "{program} fails");
    String::from_utf8(output.stderr).unwrap()
}

fn run_program(program: &str, arguments: &[&OsStr]) -> Output {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(python())
        .arg(repository.join(program))
        .args(arguments)
        .output()
        .unwrap()
}

/// What a script of the tests prints for a value on its standard input, both JSON.
pub fn answer(script: &str, question: &Value) -> Value {
    let mut child = Command::new(python())
        .arg(tests().join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(question.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed");
    serde_json::from_slice(&output.stdout).unwrap()
}
