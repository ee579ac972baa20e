//! The way to eight bits of `docs/export.md`: onnxruntime's quantizer, by `bench/quantize_onnx.py`.

mod common;
#[path = "common/python.rs"]
mod python;

use std::fs;
use std::path::{Path, PathBuf};

use common::{CLASSES, Kept, model, picture};
use serde_json::{Value, json};
use warmstart_data::{Fit, RgbImage, save_picture};
use warmstart_export::{OnnxRequest, export_onnx, noise};
use warmstart_tasks::kinds::Trained;

/// Pictures that ranges are measured on.
const TRAINING: usize = 24;
/// Other pictures.
const OTHERS: usize = 24;
/// Most that a probability of random layers may differ in eight bits, and in the mean. With ranges that are measured in
/// front of the activations, as the quantizer does unless it is told otherwise, both are larger.
const LARGEST: f64 = 0.25;
const MEAN: f64 = 0.04;

/// A folder with pictures of one size.
fn training_pictures(dir: &Path) -> PathBuf {
    let folder = dir.join("train");
    fs::create_dir(&folder).unwrap();
    for number in 0..TRAINING {
        let path = folder.join(format!("{number}.png"));
        save_picture(&path, &picture(120, 90, number)).unwrap();
    }
    folder
}

/// A model's file in 32 bits, and the one in eight that is made of it.
fn files(dir: &Path, name: &str, kept: Kept, pictures: &Path) -> [PathBuf; 2] {
    let source = model(dir, name, kept, Fit::Letterbox);
    let [whole, small] = ["whole", "small"].map(|kind| dir.join(format!("{name}-{kind}.onnx")));
    let request = OnnxRequest {
        path: whole.clone(),
        preprocessing: true,
        logits: false,
        raw: false,
        half: false,
    };
    let trained = Trained::load(&source, &warmstart_nn::device()).unwrap();
    export_onnx(&source, &trained, &noise(), &request).unwrap();
    let arguments = [whole.as_os_str(), small.as_os_str(), pictures.as_os_str()];
    let said = python::said("bench/quantize_onnx.py", &arguments);
    assert!(said.contains("small.onnx: "), "{said}");
    assert!(said.contains(&format!("{TRAINING} ")), "{said}");
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    assert!(bytes(&small) * 4 < bytes(&whole) * 3, "{name} is smaller");
    [whole, small]
}

/// The answers of files about pictures that none of them has seen.
fn answers(dir: &Path, files: &[PathBuf]) -> Value {
    let path = dir.join("others.pixels");
    let others: Vec<RgbImage> = (0..OTHERS)
        .map(|number| picture(120, 90, 1000 + number))
        .collect();
    let pixels: Vec<u8> = others.into_iter().flat_map(|other| other.pixels).collect();
    fs::write(&path, pixels).unwrap();
    let run = json!({"input": path, "type": "uint8", "shape": [OTHERS, 90, 120, 3]});
    let jobs = files
        .iter()
        .map(|file| json!({"model": file, "runs": [run]}));
    let jobs: Vec<Value> = jobs.collect();
    python::answer("run_onnx.py", &json!({"jobs": jobs}))
}

#[test]
fn in_eight_bits_a_model_says_nearly_what_it_says_in_thirty_two() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = training_pictures(dir.path());
    let classifier = files(dir.path(), "mobilenet_v2", Kept::SeveralLayers, &pictures);
    let detector = files(dir.path(), "yolox_nano", Kept::Detector, &pictures);
    let answers = answers(dir.path(), &[classifier, detector].concat());
    let of = |file: usize, name: &str| answers["jobs"][file]["runs"][0][name].clone();
    let probabilities = |file| -> Vec<Vec<f64>> {
        serde_json::from_value(of(file, "probabilities")).expect("a row for each picture")
    };
    let [whole, small] = [0, 1].map(probabilities);
    assert_eq!((small.len(), small[0].len()), (OTHERS, CLASSES.len()));
    let pairs = whole.iter().flatten().zip(small.iter().flatten());
    let differences: Vec<f64> = pairs.map(|(whole, small)| (whole - small).abs()).collect();
    let largest = differences.iter().copied().fold(0.0, f64::max);
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    assert!(largest > 0.0 && largest < LARGEST, "{largest}");
    assert!(mean < MEAN, "{mean}");
    for file in [1, 3] {
        let job = &answers["jobs"][file];
        assert_eq!(job["metadata"]["weights_are"], "8 bits");
        let operators = job["operators"].as_array().unwrap();
        assert!(operators.contains(&json!("DequantizeLinear")));
    }
    // A detector's scores are from 0 to 1, however many objects it has now.
    let scores: Vec<f64> = serde_json::from_value(of(3, "scores")).unwrap();
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
}

#[test]
fn what_cannot_be_quantized_is_refused_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = training_pictures(dir.path());
    let source = model(dir.path(), "mobilenet_v2", Kept::Plain, Fit::Crop);
    let trained = Trained::load(&source, &warmstart_nn::device()).unwrap();
    let cases = [
        (false, false, "export it with its preprocessing inside"),
        (true, true, "export it without --half"),
    ];
    for (preprocessing, half, words) in cases {
        let request = OnnxRequest {
            path: dir.path().join("model.onnx"),
            preprocessing,
            logits: false,
            raw: false,
            half,
        };
        export_onnx(&source, &trained, &noise(), &request).unwrap();
        let target = dir.path().join("small.onnx");
        let arguments = [
            request.path.as_os_str(),
            target.as_os_str(),
            pictures.as_os_str(),
        ];
        let complaint = python::complaint("bench/quantize_onnx.py", &arguments);
        assert!(complaint.contains(words), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(!target.exists());
    }
}
