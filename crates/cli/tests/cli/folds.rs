//! Cross-validation: a run for each fold of the images, and what they say together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use predicates::str::contains;
use serde_json::Value;

use crate::common::scenes::{self, SHAPES, scenes, shapes};
use crate::common::{CLASSES, Said, data, pictures, pretrained, said, small_run, warmstart};

fn json(file: PathBuf) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn train(data: &Path, weights: &str, run: &Path, flags: &[&str]) -> String {
    let mut arguments = small_run(data, weights, run);
    arguments.extend(flags);
    let output = warmstart().args(arguments).assert().success();
    said(output.get_output())
}

/// Lists the images of a fold's run as an earlier version did: all for training, and all for validation.
fn list_as_before(run: &Path) {
    let file = run.join("data-files.txt");
    let text = fs::read_to_string(&file).unwrap();
    let mut images: Vec<&str> = text
        .lines()
        .map(|line| line.split_once('\t').unwrap().1)
        .collect();
    images.sort_by_key(|image| image.rsplit('\t').next());
    let of = |split: &str| -> String {
        let lines = images.iter().map(|image| format!("{split}\t{image}\n"));
        lines.collect()
    };
    fs::write(&file, of("train") + &of("val")).unwrap();
}

/// Leaves a run as it is before its first checkpoint.
fn begin_again(run: &Path) {
    for file in ["summary.json", "best.safetensors", "metrics.jsonl"] {
        fs::remove_file(run.join(file)).unwrap();
    }
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
}

#[test]
fn a_class_of_one_image_cannot_be_cross_validated() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("folds");
    pictures(&data.join("train"), &["single"], 900, 1);
    let recipe = small_run(&data, "none", &out);
    warmstart()
        .args(recipe)
        .args(["--folds", "3"])
        .assert()
        .code(2)
        .said(contains("class \"single\" has one image"))
        .said(contains("data: 4 classes, 40 images to split into folds"));
}

#[test]
fn a_cross_validation_has_a_run_for_each_fold_and_continues_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    pictures(&data.join("test"), &CLASSES, 500, 2);
    let out = dir.path().join("folds");
    let cache = dir.path().join("cache");
    let cache = cache.to_str().unwrap();
    let flags = |folds: &str| -> Vec<String> {
        let flags = [
            "--folds",
            folds,
            "--head",
            "linear",
            "--freeze-epochs",
            "2",
            "--epochs",
            "3",
            "--cache",
            cache,
            "--fit",
            "crop",
        ];
        flags.map(str::to_owned).into()
    };
    let train_folds = |flags: &[String]| {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        train(&data, &weights, &out, &flags)
    };
    let said = train_folds(&flags("3"));
    // 39 images, eight views of each: two epochs see two of them, in every fold those of 26 images.
    assert!(
        said.contains("0 of 312 for training and 0 of 39 for validation"),
        "{said}"
    );
    assert!(said.contains("3 folds: top-1 accuracy"), "{said}");
    let result = json(out.join("folds.json"));
    let values: Vec<f64> = (1..=3)
        .map(|fold| {
            json(out.join(format!("fold-{fold}/summary.json")))["kept"]["value"]
                .as_f64()
                .unwrap()
        })
        .collect();
    for fold in 1..=3 {
        let summary = json(out.join(format!("fold-{fold}/summary.json")));
        assert_eq!(summary["test"], Value::Null, "a test/ is left alone");
    }
    let mean = values.iter().sum::<f64>() / 3.0;
    assert!((result["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    // The second fold finds the features that the first has cached of their common images.
    let found = said
        .lines()
        .filter(|line| line.contains("frozen features:"))
        .nth(1)
        .unwrap();
    assert!(!found.contains(": 0 of 312"), "{found}");

    fs::remove_dir_all(out.join("fold-2")).unwrap();
    fs::remove_file(out.join("fold-3/summary.json")).unwrap();
    let said = train_folds(&flags("3"));
    assert!(
        !said.contains("epoch 1/3 (freeze): train loss") || said.matches("epoch 1/3").count() == 1
    );
    assert_eq!(
        json(out.join("folds.json")),
        result,
        "the same images, the same figures"
    );
    // An earlier version split them into the same folds, and listed them otherwise.
    list_as_before(&out.join("fold-1"));
    list_as_before(&out.join("fold-3"));
    begin_again(&out.join("fold-3"));
    train_folds(&flags("3"));
    assert_eq!(json(out.join("folds.json")), result, "the same folds");

    let resumed = warmstart().arg("resume").arg(&out).assert().code(2);
    resumed.stderr(contains("is a cross-validation of several runs"));
    let mut planned = small_run(&data, &weights, &out);
    planned[0] = "plan";
    planned.extend(["--folds", "3"]);
    let planned = warmstart().args(planned).assert().code(2);
    planned.stderr(contains("--folds is only for train"));

    let again = |folds: &str| {
        let arguments = small_run(&data, &weights, &out);
        warmstart()
            .args(arguments)
            .args(flags(folds))
            .assert()
            .code(2)
    };
    again("4").stderr(contains(
        "is not fold 1 of 4: give the same --folds as before",
    ));
    let mut arguments = small_run(&data, &weights, &out);
    arguments.extend([
        "--folds",
        "3",
        "--head",
        "linear",
        "--freeze-epochs",
        "2",
        "--epochs",
        "4",
        "--fit",
        "crop",
    ]);
    let other = warmstart().args(arguments).assert().code(2);
    other.stderr(contains(
        "was requested with other options (phase thaw: epochs 1 → 2",
    ));
    again("1").stderr(contains("--folds is 1; it must be a number from 2 to 100"));
}

#[test]
fn detectors_judge_the_labels_of_images_that_they_have_not_learned_from() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes(dir.path(), 8, 64);
    let out = dir.path().join("folds");
    let command = |threads: &str| {
        let mut command = warmstart();
        command.args(["train", "--model", "mobilenet_v2", "--weights", "none"]);
        command.args(["--image-size", "64", "--epochs", "1", "--batch", "4"]);
        command.args(["--folds", "2", "--threads", threads]);
        command.arg("--data").arg(&data).arg("--out").arg(&out);
        command.assert()
    };
    let train = |threads: &str| said(command(threads).success().get_output());
    let text = train("2");
    for words in [
        "data: 3 classes, 14 images to split into folds",
        "2 folds: mAP@[.5:.95] ",
        "on which the labels and the detectors of the folds disagree: ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let listed = |fold: usize, split: &str| -> Vec<String> {
        let list = out.join(format!("fold-{fold}/data-files.txt"));
        let text = fs::read_to_string(list).unwrap();
        let of_split = text.lines().filter(|line| line.starts_with(split));
        let path = |line: &str| line.rsplit('\t').next().unwrap().to_owned();
        of_split.map(path).collect()
    };
    let mut images = BTreeSet::new();
    for (fold, other) in [(1, 2), (2, 1)] {
        let own = listed(fold, "val");
        assert_eq!(listed(other, "train"), own, "trained on all others");
        let number = |file: &String| -> u32 {
            let name = Path::new(file).file_stem().unwrap();
            name.to_str().unwrap().parse().unwrap()
        };
        let objects = own.iter().flat_map(|file| shapes(number(file), 64));
        let classes: BTreeSet<usize> = objects.map(|shape| shape.class).collect();
        assert_eq!(classes.len(), SHAPES.len(), "a fold has every class");
        images.extend(own);
    }
    assert_eq!(images.len(), 14);

    let results = || {
        let table = fs::read_to_string(out.join("doubtful_boxes.csv")).unwrap();
        (json(out.join("folds.json")), table)
    };
    let (result, table) = results();
    let mut rows = table.lines();
    let head = "file,doubt,label,found,score,x1,y1,x2,y2,doubtful";
    assert_eq!(rows.next(), Some(head));
    for row in rows {
        let file = row.split(',').next().unwrap();
        assert!(images.contains(file), "{row}");
    }
    fs::remove_dir_all(out.join("fold-1")).unwrap();
    fs::remove_file(out.join("fold-2/summary.json")).unwrap();
    train("1");
    assert_eq!(
        results(),
        (result, table),
        "the same images, the same figures and doubts"
    );

    // An earlier version split the images into other folds.
    let [first, second] = [1, 2].map(|fold| out.join(format!("fold-{fold}")));
    list_as_before(&first);
    fs::remove_dir_all(second).unwrap();
    command("2").code(2).stderr(contains(
        "its validation images are not those of its fold now",
    ));
    begin_again(&first);
    let resumed = warmstart().arg("resume").arg(&first).assert().code(1);
    resumed.stderr(contains(
        "an earlier version split the images into other folds",
    ));
}

#[test]
fn detectors_need_an_image_with_objects_for_each_fold() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("few");
    // The scene of every seventh number is empty.
    scenes::split(&data, "train", 5..8, 64);
    scenes::split(&data, "val", 13..15, 64);
    let out = dir.path().join("folds");
    let mut command = warmstart();
    command.args(small_run(&data, "none", &out));
    command.args(["--folds", "4"]);
    command
        .assert()
        .code(2)
        .stderr(contains("--folds 4: only 3 of 5 images are labelled"));
}
