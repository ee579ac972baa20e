//! Predictions of many files: tables, counts of what is skipped, errors among the results, and memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image::{Rgb, RgbImage};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{CLASSES, data, pictures, pretrained, warmstart};

/// A folder with three pictures, one of them broken, and four files of unsupported types.
fn mixed(dir: &Path) -> PathBuf {
    let folder = dir.join("mixed");
    pictures(&folder, &CLASSES[..1], 0, 2);
    fs::write(folder.join("broken.png"), "text").unwrap();
    for name in ["a.heic", "b.heic", "c.HEIC", "d.svg"] {
        fs::write(folder.join(name), "").unwrap();
    }
    folder
}

fn json_lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn files_that_cannot_be_read_are_results_and_skipped_ones_are_counted_by_type() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    let folder = mixed(dir.path());
    let printed = warmstart()
        .arg("predict")
        .arg(&model)
        .args([&folder, &dir.path().join("gone.png"), &folder])
        .arg("--json")
        .assert()
        .code(1)
        .stderr(contains(
            "skipped 8 files of unsupported types (.heic 6, .svg 2)",
        ))
        .stderr(contains("3 of 7 files could not be read"));
    let lines = json_lines(&printed.get_output().stdout);
    let files: Vec<(bool, bool)> = lines
        .iter()
        .map(|line| (line["predictions"].is_array(), line["error"].is_string()))
        .collect();
    let (good, bad) = ((true, false), (false, true));
    assert_eq!(files, [bad, good, good, bad, bad, good, good]);
    assert!(lines[3]["file"].as_str().unwrap().ends_with("gone.png"));
    warmstart()
        .arg("predict")
        .arg(&model)
        .arg(folder.join(CLASSES[0]))
        .assert()
        .success()
        .stderr("");
}

#[test]
fn a_table_has_the_likeliest_classes_of_each_file() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    let folder = mixed(dir.path());
    let table = dir.path().join("table.csv");
    let predict = |flags: &[&str]| {
        let mut command = warmstart();
        command.arg("predict").arg(&model).arg(&folder).args(flags);
        command.assert()
    };
    let table_name = table.to_str().unwrap();
    predict(&["--csv", table_name, "--top", "2"])
        .code(1)
        .stdout("")
        .stderr(contains("broken.png").and(contains("wrote ")));
    let lines = predict(&["--json", "--top", "2"]).code(1);
    let lines = json_lines(&lines.get_output().stdout);
    let text = fs::read_to_string(&table).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows[0][..4], ["file", "rank", "class", "probability"]);
    assert_eq!(rows.len(), 1 + 1 + 2 * 2, "{text}");
    assert!(rows[1][8].contains("cannot decode"), "{text}");
    for (picture, line) in lines[1..].iter().enumerate() {
        let predictions = line["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 2);
        for (rank, prediction) in predictions.iter().enumerate() {
            let row = &rows[2 + 2 * picture + rank];
            assert_eq!(row[0], line["file"]);
            assert_eq!(row[1], (rank + 1).to_string());
            assert_eq!(row[2], prediction["class"]);
            let probability: f32 = row[3].parse().unwrap();
            assert_eq!(f64::from(probability), prediction["probability"]);
            assert_eq!(row[4..], ["", "", "", "", ""]);
        }
    }
    predict(&["--csv", "no/folder/table.csv"])
        .code(1)
        .stderr(contains("could not write no/folder/table.csv"));
    predict(&["--csv", "picture.png"])
        .code(2)
        .stderr(contains("a name that ends in .csv"));
    predict(&["--top", "0"]).code(2);
}

#[test]
fn a_reader_that_has_enough_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    let folder = dir.path().join("many");
    pictures(&folder, &CLASSES, 0, 200);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("warmstart"))
        .env("LC_ALL", "C")
        .arg("predict")
        .arg(&model)
        .arg(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// The largest memory that a `predict` of a folder took, in kB, from the kernel.
#[cfg(target_os = "linux")]
fn peak_kilobytes(model: &str, folder: &Path) -> u64 {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("warmstart"))
        .env("LC_ALL", "C")
        .args(["predict", model, "--threads", "2"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = now.unwrap_or(0).max(peak);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_number_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    // Each is 12 MB when it is decoded.
    let picture = RgbImage::from_pixel(2000, 2000, Rgb([90, 120, 30]));
    let folder = |name: &str, count: usize| {
        let folder = dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let first = folder.join("0.png");
        picture.save(&first).unwrap();
        for number in 1..count {
            fs::hard_link(&first, folder.join(format!("{number}.png"))).unwrap();
        }
        folder
    };
    let [few, many] = [("few", 8), ("many", 80)].map(|(name, count)| {
        let peak = peak_kilobytes(&model, &folder(name, count));
        assert!(peak > 20_000, "it was measured: {peak} kB");
        peak
    });
    assert!(
        many < few + 60_000,
        "{few} kB for 8 files, {many} kB for 80"
    );
}
