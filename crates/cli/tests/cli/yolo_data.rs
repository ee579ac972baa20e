//! YOLO data sets through the binary: named by their folder or by a file, as exported, as moved.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::scenes::{picture, shapes};
use crate::common::{Said, warmstart};

/// Writes what Label Studio exports: images, labels and classes, and no file that says so.
fn label_studio(dir: &Path) -> PathBuf {
    let data = dir.join("export");
    fs::create_dir_all(data.join("images")).unwrap();
    fs::create_dir_all(data.join("labels")).unwrap();
    for number in 0..6 {
        let image = picture(number, 64, &shapes(number, 64));
        image
            .save(data.join(format!("images/{number}.png")))
            .unwrap();
        let label = format!("{} 0.5 0.5 0.4 0.4\n", number % 2);
        fs::write(data.join(format!("labels/{number}.txt")), label).unwrap();
    }
    fs::write(data.join("classes.txt"), "red\nblue\n").unwrap();
    fs::write(data.join("notes.json"), "{}").unwrap();
    data
}

fn train(data: &Path, run: &Path) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.args(["train", "--model", "mobilenet_v2", "--weights", "none"]);
    command.args([
        "--image-size",
        "32",
        "--epochs",
        "1",
        "--batch",
        "4",
        "--data",
    ]);
    command.arg(data).arg("--out").arg(run).assert()
}

#[test]
fn an_export_without_a_data_yaml_is_checked_and_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = label_studio(dir.path());
    let mut check = warmstart();
    check
        .args(["data", "check"])
        .arg(&data)
        .assert()
        .success()
        .stdout(
            contains("layout YOLO")
                .and(contains("3 red"))
                .and(contains("2 blue"))
                .or(contains("2 red").and(contains("3 blue"))),
        );
    train(&data, &dir.path().join("run"))
        .success()
        .said(contains("2 classes, 5 training images, 1 validation"));
}

#[test]
fn a_data_yaml_may_be_given_as_the_data_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let data = label_studio(dir.path());
    let yaml = data.join("shapes.yaml");
    let text = "path: ../datasets/shapes\ntrain: images\nval: images\nnames: {0: red, 1: blue}\n";
    fs::write(&yaml, text).unwrap();
    fs::write(data.join("other.yaml"), "train: images\nnames: [a]\n").unwrap();
    // Two files describe the folder, one is given.
    let mut check = warmstart();
    let refusal = check.args(["data", "check"]).arg(&data).assert().failure();
    refusal.stderr(contains("several files describe a data set"));
    let mut check = warmstart();
    check.args(["data", "check"]).arg(&yaml).assert().success();
    let mut convert = warmstart();
    convert
        .args(["data", "convert"])
        .arg(&yaml)
        .arg(dir.path().join("coco"));
    convert.args(["--to", "coco"]).assert().success();
    assert!(
        dir.path()
            .join("coco/annotations/instances_val.json")
            .exists()
    );
    let run = dir.path().join("run");
    train(&yaml, &run)
        .success()
        .said(contains("2 classes, 6 training images, 6 validation"));
    let listed = fs::read_to_string(run.join("data-files.txt")).unwrap();
    assert!(
        listed.lines().next().unwrap().ends_with("\timages/0.png"),
        "{listed}"
    );
    let mut eval = warmstart();
    eval.arg("eval")
        .arg(&run)
        .arg("--data")
        .arg(&yaml)
        .assert()
        .success();
    let mut own = warmstart();
    let own = own.arg("eval").arg(&run).assert().success();
    own.stdout(contains("6 images"));
    // The run's folder is that of the data, not the file's name, and may not lie in it.
    let inside = train(&yaml, &data.join("run")).failure();
    inside.stderr(contains("lies in the data set's folder"));
    let mut named = warmstart();
    named.current_dir(dir.path());
    named.args([
        "train",
        "--model",
        "mobilenet_v2",
        "--weights",
        "none",
        "--image-size",
        "32",
    ]);
    named.args([
        "--epochs",
        "1",
        "--batch",
        "4",
        "--data",
        "export/shapes.yaml",
    ]);
    named.assert().success();
    assert!(dir.path().join("runs/export/summary.json").exists());
}
