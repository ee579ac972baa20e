//! Names that are not text, or that would command a terminal: they work, and every line stays a line.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{self, data, warmstart};

/// A class that clears the screen and breaks the line.
const HOSTILE: &[u8] = b"a\x1b[2J\nb\xe2\x80\xae";

fn named(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(name))
}

/// Two classes, with a training and a validation picture whose names are not UTF-8.
fn odd_data(dir: &Path) -> PathBuf {
    let data = data(dir);
    for split in ["train", "val"] {
        let folder = data.join(split);
        fs::remove_dir_all(folder.join("checker")).unwrap();
        let pictures = named(&folder, HOSTILE);
        fs::rename(folder.join("vertical"), &pictures).unwrap();
        let mut files: Vec<_> = fs::read_dir(&pictures).unwrap().flatten().collect();
        files.sort_by_key(|file| file.file_name());
        for (file, name) in files
            .iter()
            .zip([&b"\xff\xfe.png"[..], b"\xff\n\x1b[31m.png"])
        {
            fs::rename(file.path(), named(&pictures, name)).unwrap();
        }
    }
    data
}

/// Runs a command in a folder; returns its output and its messages, both lines of plain text.
fn run(dir: &Path, words: &[&OsStr]) -> (String, String) {
    let output = warmstart().current_dir(dir).args(words).output().unwrap();
    let [out, said] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{words:?}: {said}");
    for text in [&out, &said] {
        let is_unsafe =
            |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
        assert!(!text.contains(is_unsafe), "{words:?}: {text:?}");
    }
    (out, said)
}

fn words<'a>(text: &'a str, rest: &[&'a OsStr]) -> Vec<&'a OsStr> {
    let mut words: Vec<&OsStr> = text.split(' ').map(OsStr::new).collect();
    words.extend(rest);
    words
}

const SMALL: &str =
    "--data data --model mobilenet_v2 --weights none --image-size 32 --batch 8 --epochs 1";

#[test]
fn every_command_takes_names_of_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    odd_data(dir);
    let out = OsStr::from_bytes(b"runs/\xff\n\x1b[31m");
    let (said, _) = run(dir, &words(&format!("train {SMALL} --out"), &[out]));
    assert!(
        said.contains("plan: memory"),
        "the steps were measured: {said}"
    );
    assert!(
        said.contains("in runs/\\xff\\n\\u{1b}[31m/best.safetensors"),
        "{said}"
    );
    for command in ["plan", "lr-find"] {
        run(dir, &words(&format!("{command} {SMALL}"), &[]));
    }
    run(
        dir,
        &words(&format!("train {SMALL} --folds 2 --out folds"), &[]),
    );
    run(dir, &words("resume --epochs 2", &[out]));
    run(dir, &words("eval", &[out]));
    run(dir, &words("eval --data data/val", &[out]));
    run(dir, &words("cache list", &[]));

    let files = 8;
    let (predicted, _) = run(dir, &words("predict", &[out, OsStr::new("data/val")]));
    assert_eq!(predicted.lines().count(), files);
    assert!(predicted.contains("/\\xff\\xfe.png: "), "{predicted}");
    assert!(
        predicted.contains("a\\u{1b}[2J\\nb\\u{202e} "),
        "{predicted}"
    );
    let (listed, _) = run(dir, &words("runs", &[]));
    assert!(
        listed.starts_with("runs/\\xff\\n\\u{1b}[31m\n  finished"),
        "{listed}"
    );
}

#[test]
fn json_has_the_names_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    odd_data(dir);
    let out = OsStr::from_bytes(b"runs/\xfe");
    run(dir, &words(&format!("train {SMALL} --out"), &[out]));
    let lines = |words: &[&OsStr]| -> Vec<Value> {
        let output = warmstart().current_dir(dir).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    };
    let runs = lines(&words("runs --json", &[]));
    assert_eq!(runs[0]["run"], "runs/\\xfe");
    assert!(
        runs[0]["command"]
            .as_str()
            .unwrap()
            .contains("$'runs/\\xfe'")
    );
    let eval = lines(&words("eval --json", &[out]));
    let class = String::from_utf8(HOSTILE.to_vec()).unwrap();
    assert_eq!(eval[0]["classes"][0]["class"], class);
    let predicted = lines(&words("predict --json", &[out, OsStr::new("data/val")]));
    let files: Vec<&str> = predicted
        .iter()
        .map(|line| line["file"].as_str().unwrap())
        .collect();
    assert!(
        files
            .iter()
            .any(|file| file.ends_with("/\\xff\n\u{1b}[31m.png")),
        "{files:?}"
    );
    assert_eq!(predicted.len(), 8);
}

#[test]
fn a_recipe_refuses_in_one_line_what_it_cannot_hold() {
    let dir = tempfile::tempdir().unwrap();
    let folder = named(dir.path(), b"\xff");
    fs::create_dir(&folder).unwrap();
    odd_data(&folder);
    let output = warmstart()
        .current_dir(&folder)
        .args(words(&format!("train {SMALL} --out run"), &[]))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("\\xff/data: the path of the data set is not valid UTF-8"),
        "{said}"
    );
    assert!(!folder.join("run").exists());
}

#[test]
fn a_phase_s_name_breaks_neither_lines_nor_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    odd_data(dir);
    let recipe = "data = 'data'\nmodel = 'mobilenet_v2'\nweights = 'none'\nimage_size = 32\n\
                  [[phase]]\nname = \"a\\u001b[2J\\n\\uffff<b\"\ntrain = 'all'\nepochs = 1\n";
    fs::write(dir.join("recipe.toml"), recipe).unwrap();
    run(dir, &words("lr-find recipe.toml", &[]));
    let svg = fs::read_to_string(dir.join("lr-find.svg")).unwrap();
    let is_malformed = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{ffff}';
    assert!(!svg.contains(is_malformed), "{svg}");
    assert!(svg.contains("a\\u{1b}[2J\\n"), "{svg}");
    let output = warmstart()
        .current_dir(dir)
        .args(["train", "recipe.toml", "--out", "run"])
        .output();
    let said = common::said(&output.unwrap());
    assert!(!said.contains('\u{1b}'), "{said}");
}
