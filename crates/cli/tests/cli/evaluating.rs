//! What `eval` writes image by image: tables, lines of JSON, and mistakes as files.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::scenes::{self, SHAPES};
use crate::common::{CLASSES, data, pictures, pretrained, warmstart};

fn rows(table: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let mut table = csv::Reader::from_path(table).unwrap();
    let cells = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect::<Vec<_>>();
    let head = cells(table.headers().unwrap());
    let rows = table.records().map(|row| cells(&row.unwrap())).collect();
    (head, rows)
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_classifier_s_images_are_rows_lines_and_mistakes_by_class() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    // Two classes are swapped, so that some images are mistakes whatever the model says.
    let test = dir.path().join("test");
    pictures(&test, &[CLASSES[1], CLASSES[0], CLASSES[2]], 300, 4);
    let [table, lines, wrong] = ["t.csv", "t.jsonl", "wrong"].map(|name| dir.path().join(name));
    let eval = || {
        let mut command = warmstart();
        command.arg("eval").arg(&model).arg("--data").arg(&test);
        command.arg("--csv").arg(&table).arg("--lines").arg(&lines);
        command.arg("--mistakes").arg(&wrong).arg("--json");
        command.assert()
    };
    let output = eval()
        .success()
        .stderr(contains("wrote ").and(contains(" mistakes in ")));
    let result: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let (head, rows) = rows(&table);
    assert_eq!(
        head,
        [
            "file",
            "label",
            "prediction",
            "probability",
            "label_probability",
            "correct"
        ]
    );
    let lines = json_lines(&lines);
    assert_eq!([rows.len(), lines.len()], [12, 12]);
    for (row, line) in rows.iter().zip(&lines) {
        for (name, cell) in head.iter().zip(row) {
            match &line[name] {
                Value::String(text) => assert_eq!(cell, text),
                Value::Bool(is_so) => assert_eq!(cell, &is_so.to_string()),
                number => {
                    let cell: f32 = cell.parse().unwrap();
                    assert_eq!(number.as_f64(), Some(f64::from(cell)), "{name}");
                }
            }
        }
        assert_eq!(row[5] == "true", row[1] == row[2]);
        assert!(row[0].contains(&row[1]), "the label is the folder's");
    }
    let right = rows.iter().filter(|row| row[5] == "true").count();
    assert_eq!(result["top_1"], right as f64 / 12.0);
    let mistakes = files_below(&wrong);
    assert!(!mistakes.is_empty());
    assert_eq!(mistakes.len(), 12 - right);
    for row in rows.iter().filter(|row| row[5] == "false") {
        let name = Path::new(&row[0]).file_name().unwrap();
        let file = wrong.join(&row[1]).join(&row[2]).join(name);
        assert_eq!(fs::read(file).unwrap(), fs::read(&row[0]).unwrap());
    }
    // Nothing is mixed with the mistakes of another evaluation.
    eval()
        .code(2)
        .stderr(contains("not empty").and(contains("new folder")));
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_the_images_are_judged() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = pretrained(dir.path(), &data);
    let eval = |flags: &[&str]| {
        let mut command = warmstart();
        command.arg("eval").arg(&model).arg("--data");
        command.arg(data.join("val")).args(flags).assert()
    };
    eval(&["--csv", "no/folder/t.csv"])
        .code(1)
        .stderr(contains("could not write no/folder/t.csv"));
    eval(&["--csv", "t.png"])
        .code(2)
        .stderr(contains("ends in .csv"));
    eval(&["--lines", "t.json"])
        .code(2)
        .stderr(contains("ends in .jsonl"));
}

#[test]
fn a_detector_s_objects_are_rows_and_lines() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 8, 64);
    let run = dir.path().join("run");
    scenes::train(&data, &run).success();
    let [table, lines] = ["t.csv", "t.jsonl"].map(|name| dir.path().join(name));
    warmstart()
        .arg("eval")
        .arg(&run)
        .arg("--csv")
        .arg(&table)
        .arg("--lines")
        .arg(&lines)
        .assert()
        .success();
    let (head, rows) = rows(&table);
    assert_eq!(
        head,
        ["file", "class", "score", "x1", "y1", "x2", "y2", "matched"]
    );
    for row in &rows {
        assert!(SHAPES.contains(&row[1].as_str()), "{row:?}");
        let [score, x1, y1, x2, y2] =
            [2, 3, 4, 5, 6].map(|column: usize| row[column].parse::<f64>().unwrap());
        assert!(
            (0.0..=1.0).contains(&score) && x1 <= x2 && y1 <= y2,
            "{row:?}"
        );
        assert!(["true", "false"].contains(&row[7].as_str()));
    }
    let lines = json_lines(&lines);
    assert_eq!(
        lines.len(),
        6,
        "every validation image, with objects or without"
    );
    let objects = lines
        .iter()
        .map(|line| line["objects"].as_array().unwrap().len());
    assert_eq!(objects.sum::<usize>(), rows.len());
    let refused = warmstart()
        .arg("eval")
        .arg(&run)
        .arg("--mistakes")
        .arg(dir.path().join("wrong"))
        .assert();
    refused.code(2).stderr(contains("warmstart predict --draw"));
    assert!(!dir.path().join("wrong").exists());
}

#[test]
fn files_of_an_evaluation_go_neither_into_the_data_nor_over_those_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = pretrained(dir.path(), &data);
    let run = dir.path().join("pretrained");
    let table = fs::read(run.join("results.csv")).unwrap();
    let eval = |flag: &str, path: &Path| {
        let mut command = warmstart();
        command.arg("eval").arg(&model).arg(flag).arg(path);
        command.assert()
    };
    eval("--mistakes", &data.join("val/wrong"))
        .code(2)
        .stderr(contains("it lies in the data set's folder"));
    assert!(!data.join("val/wrong").exists());
    eval("--csv", &run.join("results.csv"))
        .code(2)
        .stderr(contains("it is a file of a run"));
    assert_eq!(fs::read(run.join("results.csv")).unwrap(), table);
}
