//! ONNX files of detectors, with and without suppression, as onnxruntime sees them.

mod common;
#[path = "common/python.rs"]
mod python;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::{CLASSES, Kept, SIZE, model, picture, pictures};
use serde_json::{Value, json};
use warmstart_data::{Fit, Letterbox, RgbImage, save_picture};
use warmstart_export::{OnnxRequest, export_onnx};
use warmstart_tasks::detect::detector::{Detector, PointPredictions};
use warmstart_tasks::detect::found_object::FoundObject;
use warmstart_tasks::detect::{Selection, evaluation_pixels};
use warmstart_tasks::kinds::Trained;

/// Networks of each kind of detector: a light one on a classification network, and two that are detectors from the
/// start.
const SELECTING: [&str; 3] = ["mobilenet_v2", "rtmdet_tiny", "yolox_nano"];
/// As above, for the outputs of all points.
const RAW: [&str; 4] = ["resnet18", "convnext_atto", "rtmdet_tiny", "yolox_nano"];
/// Pictures of the larger batch.
const BATCH: usize = 7;
/// Largest difference of a score and of a side of a box, in pixels, between warmstart and onnxruntime.
const SCORE: f64 = 0.02;
const SIDE: f64 = 1.0;

fn detector(source: &Path) -> Detector {
    match Trained::load(source, &warmstart_nn::device()).unwrap() {
        Trained::Detector(detector) => *detector,
        Trained::Classifier(_) => panic!("a detector"),
    }
}

fn request(path: PathBuf) -> OnnxRequest {
    OnnxRequest {
        path,
        preprocessing: true,
        logits: false,
        raw: false,
        half: false,
    }
}

/// The objects that `predict` finds in pictures.
fn predicted(dir: &Path, detector: &Detector, pictures: &[RgbImage]) -> Vec<Vec<FoundObject>> {
    let paths: Vec<PathBuf> = (0..pictures.len())
        .map(|number| dir.join(format!("picture-{number}.png")))
        .collect();
    for (path, picture) in paths.iter().zip(pictures) {
        save_picture(path, picture).unwrap();
    }
    let mut found = Vec::new();
    detector
        .predict(&paths, 1, Selection::PREDICTION, &mut |objects| {
            found.push(objects.objects.unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn run(dir: &Path, name: &str, pictures: &[RgbImage]) -> Value {
    let path = dir.join(format!("{name}.pixels"));
    let pixels: Vec<u8> = pictures.iter().flat_map(|p| p.pixels.clone()).collect();
    fs::write(&path, pixels).unwrap();
    let RgbImage { width, height, .. } = pictures[0];
    json!({"input": path, "type": "uint8", "shape": [pictures.len(), height, width, 3]})
}

/// An object that onnxruntime found: picture, class, score and box.
struct Found {
    picture: usize,
    class: usize,
    score: f64,
    sides: [f64; 4],
}

fn found(run: &Value) -> Vec<Found> {
    fn list<T: serde::de::DeserializeOwned>(run: &Value, name: &str) -> Vec<T> {
        serde_json::from_value(run[name].clone()).unwrap()
    }
    let (classes, pictures) = (list::<usize>(run, "classes"), list::<usize>(run, "images"));
    let (scores, boxes) = (list::<f64>(run, "scores"), list::<[f64; 4]>(run, "boxes"));
    assert!([classes.len(), pictures.len(), boxes.len()] == [scores.len(); 3]);
    (0..scores.len())
        .map(|place| Found {
            picture: pictures[place],
            class: classes[place],
            score: scores[place],
            sides: boxes[place],
        })
        .collect()
}

fn is_same(object: &FoundObject, found: &Found) -> bool {
    let sides = object.bounds.corners();
    let far = sides.iter().zip(found.sides).map(|(a, b)| (a - b).abs());
    object.class == found.class
        && (f64::from(object.score) - found.score).abs() <= SCORE
        && far.fold(0.0, f64::max) <= SIDE
}

/// A box at the edge of a threshold may fall on the other side, so one in fifty may have no counterpart.
fn assert_same(expected: &[FoundObject], found: &[&Found], what: &str) {
    let lacking = expected
        .iter()
        .filter(|object| !found.iter().any(|found| is_same(object, found)))
        .count();
    let allowed = expected.len() / 50;
    assert!(
        lacking <= allowed,
        "{what}: {lacking} of {}",
        expected.len()
    );
    assert!(
        found.len().abs_diff(expected.len()) <= allowed,
        "{what}: {}",
        found.len()
    );
    assert!(
        found.is_sorted_by(|a, b| a.score >= b.score),
        "{what}: scores fall"
    );
}

#[test]
fn onnxruntime_finds_the_objects_that_predict_finds_in_single_pictures_and_in_batches() {
    let dir = tempfile::tempdir().unwrap();
    let batch: Vec<RgbImage> = (0..BATCH).map(|number| picture(140, 90, number)).collect();
    let singles = pictures();
    let mut runs: Vec<Value> = singles
        .iter()
        .enumerate()
        .map(|(number, picture)| {
            run(
                dir.path(),
                &number.to_string(),
                std::slice::from_ref(picture),
            )
        })
        .collect();
    runs.push(run(dir.path(), "batch", &batch));
    let mut jobs = Vec::new();
    let mut sources = Vec::new();
    for name in SELECTING {
        let source = model(dir.path(), name, Kept::Detector, Fit::Letterbox);
        let request = request(dir.path().join(format!("{name}.onnx")));
        let trained = Trained::load(&source, &warmstart_nn::device()).unwrap();
        let exported = export_onnx(&source, &trained, &singles, &request).unwrap();
        let network = exported.checked.expect("the check is on").network;
        assert!(network.is_close(SIZE), "{name}: {network:?}");
        jobs.push(json!({"model": request.path, "runs": runs}));
        sources.push(source);
    }
    let answers = python::answer("run_onnx.py", &json!({"jobs": jobs}));
    for (place, (name, source)) in SELECTING.into_iter().zip(sources).enumerate() {
        let answer = &answers["jobs"][place];
        let detector = detector(&source);
        let mut objects = 0;
        for (number, expected) in predicted(dir.path(), &detector, &singles)
            .iter()
            .enumerate()
        {
            let found = found(&answer["runs"][number]);
            assert!(found.iter().all(|found| found.picture == 0));
            assert_same(
                expected,
                &found.iter().collect::<Vec<_>>(),
                &format!("{name}, picture {number}"),
            );
            objects += expected.len();
        }
        assert!(
            objects > 10,
            "{name} has something to find: {objects} objects"
        );
        let all = found(&answer["runs"][singles.len()]);
        assert!(all.is_sorted_by_key(|found| found.picture));
        for (number, expected) in predicted(dir.path(), &detector, &batch).iter().enumerate() {
            let of_picture: Vec<&Found> = all.iter().filter(|f| f.picture == number).collect();
            assert_same(
                expected,
                &of_picture,
                &format!("{name}, picture {number} of the batch"),
            );
        }
        assert_eq!(
            answer["outputs"],
            json!([
                ["boxes", "tensor(float)", ["found", 4]],
                ["scores", "tensor(float)", ["found"]],
                ["classes", "tensor(int64)", ["found"]],
                ["images", "tensor(int64)", ["found"]],
            ])
        );
        assert_eq!(answer["metadata"]["task"], "detect");
        assert_eq!(answer["metadata"]["fit"], "letterbox");
    }
}

#[test]
fn without_suppression_every_point_is_in_the_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let picture = picture(140, 90, 3);
    let pixels_run = run(dir.path(), "pixels", std::slice::from_ref(&picture));
    let mut jobs = Vec::new();
    let mut expectations = Vec::new();
    for name in RAW {
        let source = model(dir.path(), name, Kept::Detector, Fit::Letterbox);
        let inside = OnnxRequest {
            raw: true,
            ..request(dir.path().join(format!("{name}-inside.onnx")))
        };
        let outside = OnnxRequest {
            preprocessing: false,
            path: dir.path().join(format!("{name}-outside.onnx")),
            ..inside.clone()
        };
        let trained = Trained::load(&source, &warmstart_nn::device()).unwrap();
        for request in [&inside, &outside] {
            export_onnx(&source, &trained, &pictures(), request).unwrap();
        }
        let beside = format!("{name}-outside.preprocessing.json");
        assert!(dir.path().join(beside).exists());
        let detector = detector(&source);
        let pixels = evaluation_pixels(&picture, &detector.info.preprocessing);
        let plane = |channel| pixels.iter().skip(channel).step_by(3).copied();
        let input: Vec<f32> = (0..3).flat_map(plane).collect();
        let path = dir.path().join(format!("{name}-input"));
        let bytes: Vec<u8> = input.iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(&path, bytes).unwrap();
        let prepared = json!({"input": path, "type": "float32", "shape": [1, 3, SIZE, SIZE]});
        jobs.push(json!({"model": inside.path, "runs": [pixels_run]}));
        jobs.push(json!({"model": outside.path, "runs": [prepared]}));
        expectations.push(detector.points(&[&pixels]).swap_remove(0));
    }
    let answers = python::answer("run_onnx.py", &json!({"jobs": jobs}));
    let answers = answers["jobs"].as_array().unwrap();
    for (answers, expected) in answers.chunks(2).zip(&expectations) {
        assert_is_every_point(answers, expected, &picture);
    }
}

/// `answers` are those of a file with its preprocessing inside, and of one with it outside.
fn assert_is_every_point(answers: &[Value], expected: &PointPredictions, picture: &RgbImage) {
    let points = expected.boxes.len();
    let values = |file: usize, name: &str| -> Vec<Vec<Vec<f32>>> {
        serde_json::from_value(answers[file]["runs"][0][name].clone()).unwrap()
    };
    let letterbox = Letterbox::new(picture.width, picture.height, SIZE);
    for (file, tolerance) in [(0, SCORE as f32), (1, 1e-3)] {
        let scores = &values(file, "scores")[0];
        assert_eq!((scores.len(), scores[0].len()), (points, CLASSES.len()));
        for (expected, found) in expected.scores.iter().zip(scores.iter().flatten()) {
            assert!(
                (expected - found).abs() <= tolerance,
                "{expected} and {found}"
            );
        }
    }
    let [inside, outside] = [0, 1].map(|file| values(file, "boxes").swap_remove(0));
    for (point, expected) in expected.boxes.iter().enumerate() {
        for (expected, found) in expected.iter().zip(&outside[point]) {
            assert!((expected - found).abs() <= 1e-3 * (1.0 + expected.abs()));
        }
        let [left, top, right, bottom] = expected.map(f64::from);
        let bounds = warmstart_data::BoundingBox {
            left,
            top,
            right,
            bottom,
        };
        let placed = letterbox.back(bounds).corners();
        for (expected, found) in placed.iter().zip(&inside[point]) {
            assert!(
                (expected - f64::from(*found)).abs() <= SIDE,
                "{expected} and {found}"
            );
        }
    }
}
