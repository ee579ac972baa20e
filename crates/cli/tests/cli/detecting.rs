//! Detection, from labelled boxes to drawn ones.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::scenes::{self, SHAPES, scenes};
use crate::common::server::Server;
use crate::common::{Said, copy, data, metrics, outcome, pretrained, tensors, warmstart};

const EPOCHS: usize = 5;

/// A recipe of a frozen phase and a thaw, whose last two epochs are without mosaics.
fn recipe(dir: &Path, data: &Path, weights: &str) -> PathBuf {
    let recipe = dir.join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 64\nkeep = 'all'\n\
         [[phase]]\nname = 'freeze'\ntrain = 'head'\nepochs = 2\nbatch = 4\nviews = 2\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 3\nbatch = 4\n\
         [phase.augmentation]\nmosaic = 0.9\nmosaic_closing = 0.67\n",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    recipe
}

fn classifier(dir: &Path) -> String {
    let data = data(dir);
    pretrained(dir, &data)
}

fn train(recipe: &Path, run: &Path, flags: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.arg("train").arg(recipe).arg("--out").arg(run);
    command.args(flags).assert()
}

#[test]
fn a_classifier_s_backbone_becomes_a_detector_and_stays_as_it_was_while_frozen() {
    let dir = tempfile::tempdir().unwrap();
    let weights = classifier(dir.path());
    let data = scenes(dir.path(), 12, 64);
    let run = dir.path().join("run");
    let recipe = recipe(dir.path(), &data, &weights);
    train(&recipe, &run, &[])
        .success()
        .said(contains("backbone: 255 of 255 tensors (100%)"))
        .said(contains("head: 0 of 253 tensors (0%)"))
        .said(contains("mAP@[.5:.95]"));
    let report = fs::read_to_string(run.join("load-report.txt")).unwrap();
    assert!(report.contains("not needed: 7 tensors"), "{report}");
    assert!(report.contains("unused: none"), "{report}");
    let before = tensors(Path::new(&weights));
    let frozen = tensors(&run.join("checkpoints/epoch-0002/model.safetensors"));
    let thawed = tensors(&run.join("checkpoints/epoch-0005/model.safetensors"));
    let backbone =
        |name: &&String| name.starts_with("features.") && !name.starts_with("features.18.");
    let mut moved = 0;
    for name in before.keys().filter(backbone) {
        assert_eq!(frozen[name], before[name], "{name} is frozen");
        moved += usize::from(thawed[name] != before[name]);
    }
    assert!(moved > 200, "the thaw moves the backbone: {moved} tensors");
    let metrics = metrics(&run);
    assert!(metrics.iter().all(|record| record["map50"].is_number()));
}

#[test]
fn cut_anywhere_it_ends_in_the_same_bytes_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let weights = classifier(dir.path());
    let data = scenes(dir.path(), 12, 64);
    let recipe = recipe(dir.path(), &data, &weights);
    let whole = dir.path().join("whole");
    train(&recipe, &whole, &["--threads", "2"]).success();
    // In the frozen phase, at the thaw, where the mosaics end, and after it.
    for (cut, threads) in [(1, "1"), (2, "2"), (3, "1"), (4, "2")] {
        let run = dir.path().join(format!("cut-{cut}"));
        copy(&whole, &run);
        let mut resume = warmstart();
        resume.arg("resume").arg(&run);
        resume.args(["--from-epoch", &cut.to_string(), "--threads", threads]);
        resume.assert().success();
        assert!(
            outcome(&run, EPOCHS) == outcome(&whole, EPOCHS),
            "cut after epoch {cut}"
        );
    }
    // Features from a cache or computed anew.
    let uncached = dir.path().join("uncached");
    train(&recipe, &uncached, &["--no-cache"]).success();
    assert!(outcome(&uncached, EPOCHS) == outcome(&whole, EPOCHS));
    // The mosaics matter: without them another model comes out.
    let text = fs::read_to_string(&recipe).unwrap();
    fs::write(&recipe, text.replace("mosaic = 0.9", "mosaic = 0.0")).unwrap();
    let other = dir.path().join("other");
    train(&recipe, &other, &[]).success();
    assert!(outcome(&other, EPOCHS) != outcome(&whole, EPOCHS));
}

#[test]
fn phases_that_close_and_phases_that_do_not_share_no_features() {
    let dir = tempfile::tempdir().unwrap();
    let weights = classifier(dir.path());
    let data = scenes(dir.path(), 8, 64);
    let recipe = |views: usize, epochs: usize| {
        let recipe = dir.path().join(format!("{views}.toml"));
        let text = format!(
            "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 64\n\
             [[phase]]\ntrain = 'head'\nepochs = {epochs}\nbatch = 4\nviews = {views}\n\
             [phase.augmentation]\nmosaic = 0.9\nmosaic_closing = 0.2\n",
            data.display()
        );
        fs::write(&recipe, text).unwrap();
        recipe
    };
    let cache = dir.path().join("cache");
    let cached = ["--cache", cache.to_str().unwrap()];
    // Two views that do not close, then one that does: two of each image are kept either way.
    train(&recipe(2, 2), &dir.path().join("first"), &cached).success();
    let [second, fresh] = ["second", "fresh"].map(|name| dir.path().join(name));
    train(&recipe(1, 5), &second, &cached).success();
    train(&recipe(1, 5), &fresh, &["--no-cache"]).success();
    let best = |run: &Path| fs::read(run.join("best.safetensors")).unwrap();
    assert!(best(&second) == best(&fresh));
    assert!(metrics(&second) == metrics(&fresh));
}

#[test]
fn eight_images_are_learned_by_heart_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("eight");
    scenes::split(&data, "train", 0..8, 96);
    scenes::split(&data, "val", 0..8, 96);
    let recipe = dir.path().join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = 'none'\nimage_size = 96\n\
         [[phase]]\ntrain = 'all'\nepochs = 120\nbatch = 8\nlr = 2e-3\n\
         [phase.augmentation]\nmosaic = 0.0\nscale = [1.0, 1.0]\nflip = 0.0\n",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    let run = dir.path().join("run");
    train(&recipe, &run, &[]).success();
    let eval = |split: &[&str]| -> Value {
        let mut command = warmstart();
        command
            .arg("eval")
            .arg(&run)
            .arg("--data")
            .arg(&data)
            .arg("--json");
        let output = command.args(split).assert().success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    };
    let result = eval(&[]);
    let ap50 = result["coco"]["ap_50"].as_f64().unwrap();
    assert!(ap50 > 0.95, "mAP50 is {ap50}");
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap();
    let (best, measured) = (&summary["highest"]["value"], &result["coco"]["ap"]);
    let apart = best.as_f64().unwrap() - measured.as_f64().unwrap();
    assert!(
        apart.abs() < 1e-9,
        "eval measures what training measured: {best} {measured}"
    );
    assert_eq!(eval(&["--split", "train"])["coco"], result["coco"]);
    warmstart()
        .arg("eval")
        .arg(&run)
        .arg("--data")
        .arg(&data)
        .assert()
        .success()
        .stdout(
            contains("8 images: mAP@[.5:.95]")
                .and(contains("disc"))
                .and(contains("VOC mAP")),
        );
    shows_what_it_found(&run, &data.join("train"), dir.path());
    lists_what_it_found(&run, &data.join("train"), dir.path());
}

/// A table and a server give what `predict --json` gives.
fn lists_what_it_found(run: &Path, pictures: &Path, dir: &Path) {
    let table = dir.join("found.csv");
    let predict = |flags: &[&str]| -> Vec<Value> {
        let mut command = warmstart();
        command.arg("predict").arg(run).arg(pictures).args(flags);
        let output = command.assert().success();
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let lines = predict(&["--json", "--csv", table.to_str().unwrap()]);
    let text = fs::read_to_string(&table).unwrap();
    let mut rows = text
        .lines()
        .skip(1)
        .map(|row| row.split(',').collect::<Vec<_>>());
    let mut objects = 0;
    for line in &lines {
        let predictions = line["predictions"].as_array().unwrap();
        if predictions.is_empty() {
            let row = rows.next().unwrap();
            assert_eq!((row[0], row[2]), (line["file"].as_str().unwrap(), ""));
        }
        for (prediction, rank) in predictions.iter().zip(1..) {
            let row = rows.next().unwrap();
            assert_eq!(row[0], line["file"]);
            assert_eq!(row[1], rank.to_string());
            assert_eq!(row[2], prediction["class"]);
            let corners = row[4..8].iter().map(|at| at.parse::<f64>().unwrap());
            assert_eq!(corners.collect::<Value>(), prediction["box"]);
            objects += 1;
        }
    }
    assert!(rows.next().is_none() && objects > 8, "{objects} objects");
    for line in predict(&["--json", "--top", "1"]) {
        assert!(line["predictions"].as_array().unwrap().len() < 2, "{line}");
    }
    let server = Server::start(run);
    for line in &lines {
        let picture = fs::read(line["file"].as_str().unwrap()).unwrap();
        let answer = server.predict("image/png", &picture).json();
        assert_eq!(answer["predictions"], line["predictions"]);
    }
}

fn shows_what_it_found(run: &Path, pictures: &Path, dir: &Path) {
    let (drawn, crops) = (dir.join("drawn"), dir.join("crops"));
    let predict = |flags: &[&str]| -> Vec<Value> {
        let mut command = warmstart();
        command
            .arg("predict")
            .arg(run)
            .arg(pictures)
            .arg("--json")
            .args(flags);
        let output = command.assert().success();
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let folders = [drawn.to_str().unwrap(), crops.to_str().unwrap()];
    let lines = predict(&["--draw", folders[0], "--crop", folders[1], "--count"]);
    assert_eq!(lines.len(), 8);
    let summary = fs::read_to_string(run.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let confidence = summary["kept"]["confidence"].as_f64().unwrap();
    let mut objects = 0;
    for line in &lines {
        let predictions = line["predictions"].as_array().unwrap();
        let scores: Vec<f64> = predictions
            .iter()
            .map(|p| p["probability"].as_f64().unwrap())
            .collect();
        assert!(scores.is_sorted_by(|a, b| a >= b));
        assert!(scores.iter().all(|score| *score > confidence - 1e-6));
        for prediction in predictions {
            let corners: Vec<f64> = prediction["box"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_f64().unwrap())
                .collect();
            assert!(corners[0] < corners[2] && corners[1] < corners[3]);
            assert!(corners.iter().all(|value| (0.0..=96.0).contains(value)));
            assert!(SHAPES.contains(&prediction["class"].as_str().unwrap()));
        }
        let counted: u64 = line["counts"]
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum();
        assert_eq!(counted as usize, predictions.len());
        objects += predictions.len();
    }
    assert_eq!(fs::read_dir(&drawn).unwrap().count(), 8);
    assert_eq!(fs::read_dir(&crops).unwrap().count(), objects);
    let found = |flags: &[&str]| -> usize {
        let count = |line: &Value| line["predictions"].as_array().unwrap().len();
        predict(flags).iter().map(count).sum()
    };
    assert_eq!(found(&["--conf", "1.0"]), 0);
    assert!(found(&["--conf", "0.01", "--iou", "1.0"]) > objects);
    let mut over_the_inputs = warmstart();
    over_the_inputs
        .arg("predict")
        .arg(run)
        .arg(pictures)
        .arg("--draw")
        .arg(pictures);
    over_the_inputs
        .assert()
        .code(2)
        .stderr(contains("holds the input images"));
    // Frames are drawn where boxes are.
    let plain = image::open(pictures.join("000.png")).unwrap().to_rgb8();
    let shown = image::load_from_memory(&fs::read(drawn.join("000.jpg")).unwrap());
    let shown = shown.unwrap().to_rgb8();
    assert_eq!(shown.dimensions(), plain.dimensions());
    let differ = |x: u32, y: u32| {
        let [a, b] = [plain.get_pixel(x, y), shown.get_pixel(x, y)].map(|p| p.0.map(i32::from));
        (0..3).map(|c| (a[c] - b[c]).abs()).max().unwrap() > 60
    };
    let changed = (0..96).flat_map(|y| (0..96).map(move |x| (x, y)));
    assert!(changed.filter(|&(x, y)| differ(x, y)).count() > 30);
}

#[test]
fn a_detector_starts_from_a_detector_and_other_classes_need_another_predictor() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes(dir.path(), 6, 64);
    let small = |data: &Path, weights: &str, run: &Path| {
        let mut command = warmstart();
        command.args([
            "train",
            "--model",
            "mobilenet_v2",
            "--image-size",
            "64",
            "--epochs",
            "1",
        ]);
        command.args(["--weights", weights, "--freeze-epochs", "0"]);
        command
            .arg("--data")
            .arg(data)
            .arg("--out")
            .arg(run)
            .assert()
            .success()
    };
    let first = dir.path().join("first");
    small(&data, "none", &first);
    warmstart()
        .args(["weights", "inspect"])
        .arg(first.join("best.safetensors"))
        .assert()
        .success()
        .stdout(contains(
            "mobilenet_v2 detector (native names): 100% of the backbone",
        ));
    let second = dir.path().join("second");
    small(&data, first.to_str().unwrap(), &second)
        .said(contains("head: 253 of 253 tensors (100%)"))
        .said(contains("head: same classes, kept"));
    let file = data.join("annotations/instances_train.json");
    for file in [file, data.join("annotations/instances_val.json")] {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"disc\"", "\"ball\"")).unwrap();
    }
    let third = dir.path().join("third");
    small(&data, first.to_str().unwrap(), &third)
        .said(contains("head: 251 of 253 tensors"))
        .said(contains(
            "head: 2 of 3 classes are the file's (square, cross): their rows are kept; 1 is new",
        ));
    warmstart()
        .arg("eval")
        .arg(&first)
        .arg("--data")
        .arg(&data)
        .assert()
        .code(2)
        .stderr(contains(
            "the class ball is not one of the model's 3: disc, square, cross",
        ));
}

#[test]
fn pretrained_beats_random_at_the_same_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = |data: &Path, weights: &str, epochs: usize| {
        let recipe = dir.path().join("recipe.toml");
        let text = format!(
            "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 64\n\
             [[phase]]\ntrain = 'all'\nepochs = {epochs}\nbatch = 8\nlr = 2e-3\n",
            data.display()
        );
        fs::write(&recipe, text).unwrap();
        recipe
    };
    let best = |run: &Path| {
        let summary = fs::read_to_string(run.join("summary.json")).unwrap();
        let summary: Value = serde_json::from_str(&summary).unwrap();
        summary["highest"]["value"].as_f64().unwrap()
    };
    let large = scenes(&dir.path().join("large"), 64, 64);
    let pretrained = dir.path().join("pretrained");
    train(&recipe(&large, "none", 40), &pretrained, &[]).success();
    let small = scenes(&dir.path().join("small"), 16, 64);
    let mut values = Vec::new();
    for weights in [pretrained.to_str().unwrap(), "none"] {
        let run = dir.path().join(format!("run-{}", values.len()));
        train(&recipe(&small, weights, 6), &run, &[]).success();
        values.push(best(&run));
    }
    assert!(
        values[0] > values[1] + 0.1,
        "pretrained {}, random {}",
        values[0],
        values[1]
    );
}

#[test]
fn every_backbone_detects_and_any_boundary_gives_the_same_with_and_without_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes(dir.path(), 6, 64);
    let cache = dir.path().join("cache");
    // Behind a tap, between two of them, and in front of the first.
    for (model, stage, epochs) in [
        ("mobilenet_v2", "features.14", 2),
        ("mobilenet_v2", "features.9", 2),
        ("resnet18", "layer3", 2),
        ("resnet34", "layer4.1", 1),
        ("resnet50", "layer1", 1),
    ] {
        let recipe = dir.path().join("recipe.toml");
        let text = format!(
            "data = '{}'\nmodel = '{model}'\nweights = 'none'\nimage_size = 64\n\
             [[phase]]\ntrain = 'from:{stage}'\nepochs = {epochs}\nbatch = 3\nviews = 1\n",
            data.display()
        );
        fs::write(&recipe, text).unwrap();
        let runs =
            ["cached", "computed"].map(|how| dir.path().join(format!("{model}-{stage}-{how}")));
        train(&recipe, &runs[0], &["--cache", cache.to_str().unwrap()])
            .success()
            .said(contains("frozen features: 0 of 6 for training"));
        train(&recipe, &runs[1], &["--no-cache"]).success();
        let [cached, computed] = runs.map(|run| {
            let model = fs::read(run.join("best.safetensors")).unwrap();
            // A large model's checkpoints would fill a small disk.
            fs::remove_dir_all(run).unwrap();
            model
        });
        assert!(cached == computed, "{model} from {stage}");
    }
}
