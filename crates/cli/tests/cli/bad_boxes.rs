//! Flawed detection data: every problem is named, and no image is lost for one bad box.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use crate::common::scenes::{self, picture, shapes, train, write_annotations};
use crate::common::{self, Said, warmstart};

/// A data set in YOLO's layout with these label files; the validation images are sound.
fn yolo(dir: &Path, labels: &[(&str, &str)]) -> PathBuf {
    let data = dir.join("yolo");
    for split in ["train", "val"] {
        fs::create_dir_all(data.join(format!("images/{split}"))).unwrap();
        fs::create_dir_all(data.join(format!("labels/{split}"))).unwrap();
    }
    let yaml = "train: images/train\nval: images/val\nnames: [disc, square, cross]\n";
    fs::write(data.join("data.yaml"), yaml).unwrap();
    let write = |split: &str, number: u32, name: &str, text: &str| {
        let image = picture(number, 64, &shapes(number, 64));
        image
            .save(data.join(format!("images/{split}/{name}.png")))
            .unwrap();
        fs::write(data.join(format!("labels/{split}/{name}.txt")), text).unwrap();
    };
    for (number, (name, text)) in (0..).zip(labels) {
        write("train", number, name, text);
    }
    write(
        "val",
        100,
        "sound",
        "0 0.5 0.5 0.4 0.4\n1 0.2 0.2 0.2 0.2\n",
    );
    data
}

#[test]
fn every_bad_label_is_named_and_training_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let crowded = (0..500).map(|i| {
        let (x, y) = (i % 25, i / 25);
        format!(
            "{} {} {} 0.03 0.04\n",
            i % 3,
            0.02 + 0.038 * f64::from(x),
            0.03 + 0.045 * f64::from(y)
        )
    });
    let crowded: String = crowded.collect();
    let data = yolo(
        dir.path(),
        &[
            ("out-of-range", "7 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n"),
            ("not-a-number", "0 nan 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n"),
            ("no-box", ""),
            ("crowded", &crowded),
            ("one-pixel", "2 0.5 0.5 0.015625 0.015625\n"),
            ("outside", "2 0.95 0.5 0.4 0.3\n"),
            ("words", "a dog at the left\n1 0.5 0.5 0.2 0.2\n"),
        ],
    );
    train(&data, &dir.path().join("run"))
        .success()
        .said(contains("out-of-range.txt").and(contains("line 1")))
        .said(contains("not-a-number.txt"))
        .said(contains("no-box"))
        .said(contains("outside.txt"))
        .said(contains("words.txt"))
        .said(contains("3 classes, 7 training images, 1 validation"));
    let check = warmstart()
        .args(["data", "check", "--json"])
        .arg(&data)
        .assert()
        .success();
    let report: Value = serde_json::from_slice(&check.get_output().stdout).unwrap();
    assert_eq!(report["splits"][0]["images"], 7);
    assert_eq!(report["splits"][0]["most_in_an_image"], 500);
    warmstart()
        .args(["data", "check"])
        .arg(&data)
        .assert()
        .success()
        .stdout(contains("disc").and(contains("out-of-range.txt")));
}

#[test]
fn a_missing_image_and_a_huge_one_do_not_stop_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 4, 64);
    image::GrayImage::from_fn(6000, 4000, |x, y| image::Luma([(x / 40 + y / 40) as u8]))
        .save(data.join("train/huge.png"))
        .unwrap();
    let images: Vec<Value> = (0..4)
        .map(|id| json!({"id": id, "file_name": format!("{id:03}.png"), "width": 64, "height": 64}))
        .chain([
            json!({"id": 70, "file_name": "huge.png", "width": 6000, "height": 4000}),
            json!({"id": 71, "file_name": "gone.png", "width": 64, "height": 64}),
        ])
        .collect();
    let annotation = |id: u32, image: u32, bbox: [u32; 4]| json!({"id": id, "image_id": image, "category_id": 2, "bbox": bbox, "area": 100, "iscrowd": 0});
    let annotations = [
        annotation(1, 70, [100, 200, 3000, 2500]),
        annotation(2, 71, [1, 2, 20, 20]),
        annotation(3, 0, [5, 5, 30, 30]),
    ];
    write_annotations(&data, "train", &images, &annotations);
    train(&data, &dir.path().join("run"))
        .success()
        .said(contains("gone.png"))
        .said(contains("5 training images"));
}

#[test]
fn what_cannot_be_trained_on_is_refused_before_a_folder_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let refused = |data: &Path, words: &str| {
        train(data, &run).failure().stderr(contains(words));
        assert!(!run.exists());
    };
    let data = scenes::scenes(dir.path(), 4, 64);
    write_annotations(&data, "val", &[], &[]);
    refused(&data, "validation");
    fs::write(
        data.join("annotations/instances_val.json"),
        "{\"images\": [",
    )
    .unwrap();
    refused(&data, "instances_val.json");
    let data = yolo(dir.path(), &[("a", ""), ("b", "")]);
    refused(&data, "no object");
    fs::remove_file(data.join("data.yaml")).unwrap();
    fs::write(data.join("data.yaml"), "train: [unclosed\n").unwrap();
    refused(&data, "data.yaml");
}

#[test]
fn boxes_around_crowds_only_are_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let data = scenes::scenes(dir.path(), 4, 64);
    for split in ["train", "val"] {
        let file = data.join(format!("annotations/instances_{split}.json"));
        let mut annotations: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for annotation in annotations["annotations"].as_array_mut().unwrap() {
            annotation["iscrowd"] = json!(1);
        }
        fs::write(&file, annotations.to_string()).unwrap();
    }
    train(&data, &run)
        .failure()
        .stderr(contains("every box of the training images is a crowd"));
    assert!(!run.exists());
}

#[test]
fn an_unread_layout_is_named_and_a_tool_s_is_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 4, 64);
    for split in ["train", "val"] {
        let file = data.join(format!("annotations/instances_{split}.json"));
        fs::rename(file, data.join(split).join("_annotations.coco.json")).unwrap();
    }
    train(&data, &dir.path().join("run"))
        .success()
        .said(contains("3 classes, 4 training images"));
    for split in ["train", "val"] {
        fs::remove_file(data.join(split).join("_annotations.coco.json")).unwrap();
    }
    fs::write(data.join("annotations.xml"), "<annotations></annotations>").unwrap();
    train(&data, &dir.path().join("other"))
        .failure()
        .stderr(contains("CVAT's own XML, which is not read").and(contains("class folder").not()));
}

#[test]
fn a_data_set_converts_to_every_layout_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 5, 64);
    let objects = |data: &Path| {
        let check = warmstart()
            .args(["data", "check", "--json"])
            .arg(data)
            .assert()
            .success();
        let report: Value = serde_json::from_slice(&check.get_output().stdout).unwrap();
        let splits = report["splits"].as_array().unwrap();
        splits
            .iter()
            .map(|split| split["by_class"].clone())
            .collect::<Vec<_>>()
    };
    let mut last = data.clone();
    for layout in ["yolo", "voc", "coco"] {
        let out = dir.path().join(layout);
        let mut convert = warmstart();
        convert
            .args(["data", "convert"])
            .arg(&last)
            .arg(&out)
            .args(["--to", layout]);
        convert.assert().success().stdout(contains("11 images"));
        assert_eq!(objects(&out), objects(&data), "{layout}");
        last = out;
    }
    warmstart()
        .args(["data", "convert"])
        .arg(&data)
        .arg(&last)
        .args(["--to", "voc"])
        .assert()
        .failure()
        .stderr(contains("coco"));
}

#[test]
fn flags_of_detectors_are_refused_for_a_classifier() {
    let dir = tempfile::tempdir().unwrap();
    let data = common::data(dir.path());
    let model = common::pretrained(dir.path(), &data);
    let predict = |flag: &[&str]| {
        let mut command = warmstart();
        command
            .args(["predict", &model])
            .arg(data.join("val"))
            .args(flag);
        command
            .assert()
            .code(2)
            .stderr(contains("is for detectors"));
    };
    predict(&["--conf", "0.5"]);
    predict(&["--draw", "somewhere"]);
    predict(&["--count"]);
    let mut eval = warmstart();
    eval.args(["eval", &model, "--split", "val"])
        .arg("--data")
        .arg(data.join("val"));
    eval.assert().code(2).stderr(contains(
        "already names the folder of a split: leave --split out",
    ));
    let mut size = warmstart();
    size.args([
        "train",
        "--task",
        "detect",
        "--model",
        "mobilenet_v2",
        "--weights",
        "none",
    ]);
    size.arg("--data").arg(&data).args(["--image-size", "100"]);
    size.assert()
        .code(2)
        .stderr(contains("--image-size is 100; it must be a multiple of 32"));
}
