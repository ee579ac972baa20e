//! Text lists of other trainers through the binary: `cls_train.txt` and `2007_train.txt`, named by the file or
//! by the trainer's folder.

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::scenes::{SHAPES, picture, shapes};
use crate::common::{CLASSES, Said, pictures, warmstart};

/// Arguments of a run of one epoch, in a trainer's folder.
fn train(folder: &Path, data: &str) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.current_dir(folder);
    command.args(["train", "--model", "mobilenet_v2", "--weights", "none"]);
    command.args(["--image-size", "32", "--epochs", "1", "--batch", "4"]);
    command.args(["--data", data]).assert()
}

/// Measures a run's model, in a trainer's folder.
fn eval(folder: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.current_dir(folder).arg("eval").args(arguments);
    command.assert()
}

#[test]
fn a_classifier_is_trained_and_measured_by_lists() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("classification-pytorch");
    pictures(&folder.join("datasets/train"), &CLASSES, 0, 8);
    pictures(&folder.join("datasets/test"), &CLASSES, 100, 3);
    for (split, variants) in [("train", 0..8), ("test", 100..103)] {
        let mut rows = String::new();
        for (number, class) in CLASSES.iter().enumerate() {
            for variant in variants.clone() {
                // As another machine wrote it.
                rows += &format!(
                    "{number};/root/classification-pytorch/datasets/{split}/{class}/{variant:03}.png\n"
                );
            }
        }
        fs::write(folder.join(format!("cls_{split}.txt")), rows).unwrap();
    }
    fs::create_dir(folder.join("model_data")).unwrap();
    let names = CLASSES.map(|class| format!("{class} stripes\n")).concat();
    fs::write(folder.join("model_data/cls_classes.txt"), names).unwrap();
    // The run's folder lies in the trainer's, which is no part of the data.
    train(&folder, "cls_train.txt").success().said(
        contains("3 classes, 18 training images, 6 validation, 9 test")
            .and(contains("horizontal stripes"))
            .and(contains(
                "image names start elsewhere, such as / or C: (found in the data folder by their end)",
            ))
            .and(contains("test images come from cls_test.txt")),
    );
    let run = "runs/classification-pytorch";
    assert!(folder.join(run).join("best.safetensors").exists());
    let listed = fs::read_to_string(folder.join(run).join("data-files.txt")).unwrap();
    assert!(listed.contains("\tdatasets/train/"), "{listed}");
    eval(&folder, &[run, "--data", "cls_test.txt"])
        .success()
        .stdout(contains("9 images"));
    eval(&folder, &[run]).success().stdout(contains("6 images"));
    let mut check = warmstart();
    check
        .current_dir(&folder)
        .args(["data", "check", "cls_train.txt"]);
    check
        .assert()
        .failure()
        .stderr(contains("it is a data set for classification"));
}

#[test]
fn a_detector_is_trained_and_measured_by_lists() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("yolox-pytorch");
    let images = folder.join("VOCdevkit/VOC2007/JPEGImages");
    fs::create_dir_all(&images).unwrap();
    for (split, numbers) in [("train", 0..9), ("val", 20..24)] {
        let mut rows = String::new();
        for number in numbers {
            let shapes = shapes(number, 64);
            let image = picture(number, 64, &shapes);
            image.save(images.join(format!("{number} a.png"))).unwrap();
            rows += &format!("VOCdevkit/VOC2007/JPEGImages/{number} a.png");
            for shape in shapes {
                let [left, top, width, height] = shape.bbox();
                let (right, bottom) = (left + width, top + height);
                rows += &format!(" {left},{top},{right},{bottom},{}", shape.class);
            }
            rows += "\n";
        }
        fs::write(folder.join(format!("2007_{split}.txt")), rows).unwrap();
    }
    fs::create_dir(folder.join("model_data")).unwrap();
    fs::write(folder.join("model_data/voc_classes.txt"), SHAPES.join("\n")).unwrap();
    let mut check = warmstart();
    check
        .current_dir(&folder)
        .args(["data", "check", "2007_train.txt"]);
    check.assert().success().stdout(
        contains("layout text lists")
            .and(contains("train: 9 images"))
            .and(contains("val: 4 images"))
            .and(contains("disc")),
    );
    let mut convert = warmstart();
    convert.current_dir(&folder);
    convert.args(["data", "convert", ".", "../coco", "--to", "coco"]);
    convert.assert().success();
    assert!(
        dir.path()
            .join("coco/annotations/instances_val.json")
            .exists()
    );
    train(&folder, "2007_train.txt")
        .success()
        .said(contains("3 classes, 9 training images, 4 validation"));
    eval(
        &folder,
        &[
            "runs/yolox-pytorch",
            "--data",
            "2007_val.txt",
            "--split",
            "val",
        ],
    )
    .success()
    .stdout(contains("4 images: mAP@[.5:.95]"));
}
