//! What users of detectors ask of `eval`, `predict` and `data labels`: the confidence of the best F1, what is confused
//! and missed, tiles and mirrored views, COCO's results, and doubtful boxes.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::scenes::{self, SHAPES, scenes};
use crate::common::{data, pretrained, warmstart};

/// A detector that was trained for an epoch, and its data set of six validation images.
struct Setup {
    dir: tempfile::TempDir,
    data: PathBuf,
    run: PathBuf,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = scenes(dir.path(), 8, 64);
        let run = dir.path().join("run");
        scenes::train(&data, &run).success();
        Self { dir, data, run }
    }

    fn eval(&self, flags: &[&str]) -> Assert {
        let mut command = warmstart();
        command.arg("eval").arg(&self.run).args(flags).assert()
    }

    fn eval_json(&self, flags: &[&str]) -> Value {
        let output = self.eval(&[&["--json"][..], flags].concat()).success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }

    /// The objects of each validation image.
    fn predict(&self, flags: &[&str]) -> Vec<Vec<Value>> {
        let mut command = warmstart();
        command.arg("predict").arg(&self.run).arg("--json");
        command.args(flags).arg(self.data.join("val"));
        let output = command.assert().success();
        let objects = |line: Value| line["predictions"].as_array().unwrap().clone();
        json_lines(&output).into_iter().map(objects).collect()
    }

    fn kept_confidence(&self) -> Option<f64> {
        let summary = fs::read_to_string(self.run.join("summary.json")).unwrap();
        let summary: Value = serde_json::from_str(&summary).unwrap();
        summary["kept"]["confidence"].as_f64()
    }
}

fn json_lines(assert: &Assert) -> Vec<Value> {
    let text = std::str::from_utf8(&assert.get_output().stdout).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn corners(object: &Value) -> [f64; 4] {
    let corners = object["box"].as_array().unwrap().iter();
    let corners: Vec<f64> = corners.map(|at| at.as_f64().unwrap()).collect();
    corners.try_into().unwrap()
}

#[test]
fn the_model_carries_the_confidence_that_eval_finds_and_predict_uses_it() {
    let setup = Setup::new();
    let result = setup.eval_json(&[]);
    let carried = setup.kept_confidence().expect("something is found");
    let found = result["f1"]["confidence"].as_f64().unwrap();
    assert!((found - carried).abs() < 0.01, "{found}, {carried}");
    let by_default = setup.predict(&[]);
    assert_eq!(by_default.len(), 6);
    let mut objects = by_default.iter().flatten();
    let is_shown = |object: &Value| object["probability"].as_f64().unwrap() >= carried - 1e-6;
    assert!(objects.clone().count() > 0);
    assert!(objects.all(is_shown), "{carried}");
    assert_eq!(by_default, setup.predict(&["--conf", &carried.to_string()]));
    // Rows of the matrix are the labels of a class, and the last one is what is found without a label.
    let counts = result["confusion"]["counts"].as_array().unwrap();
    assert_eq!(counts.len(), SHAPES.len() + 1);
    let mut objects = 0;
    for (row, class) in counts.iter().zip(result["classes"].as_array().unwrap()) {
        let row = row.as_array().unwrap().iter();
        let labels: u64 = row.map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(labels, class["truths"].as_u64().unwrap(), "{class}");
        objects += labels;
    }
    let of_size = |size: &str| result["found_by_size"][size]["truths"].as_u64().unwrap();
    let of_sizes = ["small", "medium", "large"].map(of_size);
    assert_eq!(of_sizes.iter().sum::<u64>(), objects);
    setup
        .eval(&[])
        .success()
        .stdout(contains("confusion at confidence ").and(contains("missed")))
        .stdout(contains("found at confidence ").and(contains("best F1")));
    let page = fs::read_to_string(setup.run.join("report.html")).unwrap();
    assert!(page.contains("id=\"confusion\""));
}

#[test]
fn further_views_find_objects_in_the_picture_and_flags_of_detectors_are_for_detectors() {
    let setup = Setup::new();
    for flags in [&["--tile=32"][..], &["--flip"], &["--tile", "--flip"]] {
        let found = setup.predict(&[&["--conf", "0.002"][..], flags].concat());
        assert_eq!(found.len(), 6, "{flags:?}");
        for object in found.iter().flatten() {
            let [x1, y1, x2, y2] = corners(object);
            assert!(0.0 <= x1 && x1 < x2 && x2 <= 64.0, "{object}");
            assert!(0.0 <= y1 && y1 < y2 && y2 <= 64.0, "{object}");
        }
        assert!(found.iter().flatten().count() > 0, "{flags:?}");
        let result = setup.eval_json(flags);
        assert_eq!(result["images"], 6);
        assert!(result["coco"]["ap"].is_number());
    }
    setup
        .eval(&["--tile=31"])
        .code(2)
        .stderr(contains("expected a whole number from 32 to 2048"));
    let low = ["--conf", "0.002"];
    let across = setup.predict(&[&low[..], &["--across-classes"]].concat());
    assert!(across.iter().flatten().count() > 0);
    for (found, across) in setup.predict(&low).iter().zip(across) {
        assert_eq!(found.first(), across.first(), "the surest stays");
    }
    let classifier = pretrained(setup.dir.path(), &data(setup.dir.path()));
    let pictures = setup.data.join("val");
    let arguments = [
        ["predict", &classifier, pictures.to_str().unwrap(), "--flip"],
        ["eval", &classifier, "--across-classes", "--json"],
        ["eval", &classifier, "--coco-json", "results.json"],
    ];
    for arguments in arguments {
        let refused = warmstart().args(arguments).assert().code(2);
        refused.stderr(contains("is for detectors, and this model is a classifier"));
    }
}

#[test]
fn coco_s_results_have_the_ids_of_the_annotations() {
    let setup = Setup::new();
    let [results, table] = ["results.json", "t.csv"].map(|name| setup.dir.path().join(name));
    let (results_name, table_name) = (results.to_str().unwrap(), table.to_str().unwrap());
    setup
        .eval(&["--coco-json", results_name, "--csv", table_name])
        .success()
        .stderr(contains("results.json"));
    let written: Value = serde_json::from_str(&fs::read_to_string(&results).unwrap()).unwrap();
    let written = written.as_array().unwrap();
    let mut rows = csv::Reader::from_path(&table).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert!(!rows.is_empty());
    assert_eq!(written.len(), rows.len());
    for (object, row) in written.iter().zip(&rows) {
        let name = Path::new(&row[0]).file_stem().unwrap().to_str().unwrap();
        assert_eq!(object["image_id"], name.parse::<u64>().unwrap());
        let category = object["category_id"].as_u64().unwrap() as usize;
        assert_eq!(SHAPES[category - 1], &row[1]);
        let number = |column: usize| row[column].parse::<f64>().unwrap();
        let [left, top, width, height] =
            [0, 1, 2, 3].map(|at| object["bbox"][at].as_f64().unwrap());
        let sides = [left, top, left + width, top + height];
        for (side, column) in sides.into_iter().zip(3..) {
            assert!((side - number(column)).abs() < 1e-3, "{object}, {row:?}");
        }
        assert!((object["score"].as_f64().unwrap() - number(2)).abs() < 1e-6);
    }
    // Over its own, and not over annotations.
    setup.eval(&["--coco-json", results_name]).success();
    let annotations = setup.data.join("annotations/instances_val.json");
    let before = fs::read(&annotations).unwrap();
    setup
        .eval(&["--coco-json", annotations.to_str().unwrap()])
        .code(2)
        .stderr(contains("does not hold COCO's results"));
    assert_eq!(fs::read(&annotations).unwrap(), before);
}

#[test]
fn the_boxes_of_held_out_images_are_judged_by_the_detector() {
    let setup = Setup::new();
    let labels = |flags: &[&str]| {
        let mut command = warmstart();
        command.args(["data", "labels"]).arg(&setup.run);
        command.args(flags).assert()
    };
    labels(&[])
        .success()
        .stdout(contains("6 images with ").and(contains("labels where nothing is found")));
    let table = setup.dir.path().join("doubts.csv");
    let listed = labels(&["--json", "--csv", table.to_str().unwrap()]).success();
    let doubts = json_lines(&listed);
    assert!(!doubts.is_empty());
    for doubt in &doubts {
        assert!(
            doubt["file"].as_str().unwrap().starts_with("val/"),
            "{doubt}"
        );
        let has = |name: &str| doubt[name].is_string();
        let expected = match doubt["doubt"].as_str().unwrap() {
            "no_label" => [false, true],
            "other_class" => [true, true],
            "not_found" => [true, false],
            other => panic!("{other}"),
        };
        assert_eq!([has("label"), has("found")], expected, "{doubt}");
    }
    let text = fs::read_to_string(&table).unwrap();
    assert_eq!(text.lines().count(), doubts.len() + 1);
    labels(&["--weights", "imagenet"])
        .code(2)
        .stderr(contains("this is a run, which has its own"));
    // A recipe that cannot be read is an error, and not a data set.
    let recipe = setup.run.join("recipe.toml");
    fs::write(&recipe, "model = ").unwrap();
    labels(&[]).failure().stderr(contains("recipe.toml"));
}

#[test]
fn classes_are_those_of_the_model_however_a_data_set_spells_them() {
    let setup = Setup::new();
    let expected = setup.eval_json(&[]);
    for split in ["train", "val"] {
        let file = setup
            .data
            .join(format!("annotations/instances_{split}.json"));
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"disc\"", "\"Disc\"")).unwrap();
    }
    let results = setup.dir.path().join("results.json");
    let data = setup.data.to_str().unwrap();
    let flags = ["--data", data, "--coco-json", results.to_str().unwrap()];
    let found = setup.eval_json(&flags);
    assert_eq!(found["coco"], expected["coco"]);
    let written: Value = serde_json::from_str(&fs::read_to_string(&results).unwrap()).unwrap();
    let mut written = written.as_array().unwrap().iter();
    assert!(written.any(|object| object["category_id"] == 1));
}
