//! ONNX files of every structure, as onnx.checker, onnxruntime and tract see them.

mod common;
#[path = "common/python.rs"]
mod python;

use std::fs;
use std::path::{Path, PathBuf};

use common::{CLASSES, Kept, model, picture, pictures, size};
use serde_json::{Value, json};
use warmstart_data::{Fit, RgbImage, evaluation_pixels_of};
use warmstart_export::{OnnxRequest, export_onnx};
use warmstart_metrics::softmax;
use warmstart_tasks::kinds::Trained;

/// Most that a probability may differ after the network, and from pixels on.
const NETWORK: f64 = 1e-3;
const PIXELS: f64 = 0.02;
/// Pictures of the larger batch.
const BATCH: usize = 7;

fn request(path: PathBuf) -> OnnxRequest {
    OnnxRequest {
        path,
        preprocessing: true,
        logits: false,
        raw: false,
        half: false,
    }
}

fn export(source: &Path, request: &OnnxRequest) -> warmstart_export::Exported {
    let trained = Trained::load(source, &warmstart_nn::device()).unwrap();
    export_onnx(source, &trained, &pictures(), request).unwrap()
}

/// A run of a file on pictures of one size.
fn of_pixels(dir: &Path, name: &str, pictures: &[RgbImage]) -> Value {
    let path = dir.join(format!("{name}.pixels"));
    let pixels: Vec<u8> = pictures.iter().flat_map(|p| p.pixels.clone()).collect();
    fs::write(&path, pixels).unwrap();
    let RgbImage { width, height, .. } = pictures[0];
    json!({"input": path, "type": "uint8", "shape": [pictures.len(), height, width, 3]})
}

/// A run of a file on prepared inputs.
fn of_inputs(dir: &Path, name: &str, inputs: &[Vec<f32>], size: usize) -> Value {
    let path = dir.join(format!("{name}.inputs"));
    let values: Vec<u8> = inputs
        .iter()
        .flatten()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    fs::write(&path, values).unwrap();
    json!({"input": path, "type": "float32", "shape": [inputs.len(), 3, size, size]})
}

fn planes(pixels: &[f32]) -> Vec<f32> {
    let plane = |channel| pixels.iter().skip(channel).step_by(3).copied();
    (0..3).flat_map(plane).collect()
}

/// Probabilities of the trainer.
fn expected(source: &Path, pictures: &[RgbImage]) -> Vec<Vec<f32>> {
    let trained = Trained::load(source, &warmstart_nn::device()).unwrap();
    let Trained::Classifier(classifier) = trained else {
        panic!("a classifier");
    };
    let preprocessing = &classifier.info.preprocessing;
    let pixels = pictures
        .iter()
        .map(|picture| evaluation_pixels_of(picture, preprocessing).unwrap());
    pixels
        .map(|pixels| softmax(&classifier.logits(&[&pixels])[0]))
        .collect()
}

fn largest_difference(expected: &[Vec<f32>], found: &Value) -> f64 {
    let found: Vec<Vec<f64>> = serde_json::from_value(found.clone()).unwrap();
    assert_eq!(expected.len(), found.len());
    let pairs = expected.iter().flatten().zip(found.iter().flatten());
    pairs
        .map(|(expected, found)| (f64::from(*expected) - found).abs())
        .fold(0.0, f64::max)
}

/// The structures: a network of each kind of layer, and every kind of model that training keeps.
const STRUCTURES: [(&str, Kept, Fit); 18] = [
    ("mobilenet_v2", Kept::Plain, Fit::Crop),
    ("mobilenet_v3_small", Kept::Plain, Fit::Squash),
    ("mobilenetv4_conv_small", Kept::Plain, Fit::Letterbox),
    ("efficientnet_b0", Kept::Plain, Fit::Crop),
    ("efficientnet_lite0", Kept::SeveralLayers, Fit::Letterbox),
    ("tf_efficientnet_lite0.in1k", Kept::Plain, Fit::Crop),
    ("resnet18", Kept::Plain, Fit::Squash),
    ("cspnext_tiny", Kept::SeveralLayers, Fit::Crop),
    ("resnet18d", Kept::Mean, Fit::Crop),
    ("mobilenet_v2", Kept::SeveralLayers, Fit::Crop),
    ("mobilenet_v2", Kept::Mean, Fit::Letterbox),
    ("mobilenet_v3_small", Kept::Mean, Fit::Crop),
    ("mobilenetv4_conv_small", Kept::SeveralLayers, Fit::Squash),
    ("convnext_atto", Kept::SeveralLayers, Fit::Crop),
    ("convnextv2_atto", Kept::Plain, Fit::Letterbox),
    ("vit_tiny_patch16_224", Kept::Plain, Fit::Squash),
    ("deit_tiny_distilled_patch16_224", Kept::Mean, Fit::Crop),
    (
        "vit_small_patch14_reg4_dinov2",
        Kept::SeveralLayers,
        Fit::Squash,
    ),
];

#[test]
fn every_structure_of_a_classifier_is_the_same_network_in_onnxruntime() {
    let dir = tempfile::tempdir().unwrap();
    let mut jobs = Vec::new();
    let mut sources = Vec::new();
    let batch: Vec<RgbImage> = (0..BATCH).map(|number| picture(120, 90, number)).collect();
    for (number, (name, kept, fit)) in STRUCTURES.into_iter().enumerate() {
        let source = model(dir.path(), name, kept, fit);
        let size = size(name);
        let file = |kind: &str| dir.path().join(format!("{number}-{kind}.onnx"));
        let inside = request(file("inside"));
        let outside = OnnxRequest {
            preprocessing: false,
            ..request(file("outside"))
        };
        for request in [&inside, &outside] {
            let exported = export(&source, request);
            let network = exported.checked.expect("the check is on").network;
            assert!(network.is_close(size), "{name}: {network:?}");
        }
        let mut runs: Vec<Value> = pictures()
            .iter()
            .enumerate()
            .map(|(index, picture)| {
                let name = format!("{number}-{index}");
                of_pixels(dir.path(), &name, std::slice::from_ref(picture))
            })
            .collect();
        runs.push(of_pixels(dir.path(), &format!("{number}-batch"), &batch));
        jobs.push(json!({"model": inside.path, "runs": runs}));
        let trained = Trained::load(&source, &warmstart_nn::device()).unwrap();
        let Trained::Classifier(classifier) = trained else {
            panic!("a classifier");
        };
        let preprocessing = &classifier.info.preprocessing;
        let inputs: Vec<Vec<f32>> = batch
            .iter()
            .map(|picture| planes(&evaluation_pixels_of(picture, preprocessing).unwrap()))
            .collect();
        let runs = vec![
            of_inputs(dir.path(), &format!("{number}-one"), &inputs[..1], size),
            of_inputs(dir.path(), &format!("{number}-all"), &inputs, size),
        ];
        jobs.push(json!({"model": outside.path, "runs": runs}));
        sources.push((source, size, format!("{name}, {kept:?}, {fit}")));
    }
    let answers = python::answer("run_onnx.py", &json!({"jobs": jobs}));
    let answers = answers["jobs"].as_array().unwrap();
    let batch_of = |source: &Path| expected(source, &batch);
    for ((source, size, what), answers) in sources.iter().zip(answers.chunks(2)) {
        let [inside, outside] = answers else {
            panic!("two answers");
        };
        let separate: Vec<Vec<f32>> = expected(source, &pictures());
        let batch = batch_of(source);
        let probabilities =
            |answer: &Value, run: usize| answer["runs"][run]["probabilities"].clone();
        for (run, expected) in separate.iter().enumerate() {
            let expected = std::slice::from_ref(expected);
            let difference = largest_difference(expected, &probabilities(inside, run));
            assert!(difference <= PIXELS, "{what}, picture {run}: {difference}");
        }
        let difference = largest_difference(&batch, &probabilities(inside, separate.len()));
        assert!(difference <= PIXELS, "{what}, batch: {difference}");
        let difference = largest_difference(&batch[..1], &probabilities(outside, 0));
        assert!(difference <= NETWORK, "{what}, one: {difference}");
        let difference = largest_difference(&batch, &probabilities(outside, 1));
        assert!(difference <= NETWORK, "{what}, all: {difference}");
        assert_eq!(
            inside["inputs"],
            json!([["pixels", "tensor(uint8)", ["batch", "height", "width", 3]]])
        );
        assert_eq!(
            outside["inputs"],
            json!([["input", "tensor(float)", ["batch", 3, size, size]]])
        );
        assert_eq!(
            inside["outputs"],
            json!([["probabilities", "tensor(float)", ["batch", CLASSES.len()]]])
        );
        let metadata = &inside["metadata"];
        let classes: Vec<String> =
            serde_json::from_str(metadata["classes"].as_str().unwrap()).unwrap();
        assert_eq!(classes, CLASSES);
        assert_eq!(metadata["task"], "classify");
        assert_eq!(metadata["image_size"], size.to_string());
        assert_eq!(metadata["version"], env!("CARGO_PKG_VERSION"));
        let operators = inside["operators"].as_array().unwrap();
        assert!(!operators.contains(&json!("BatchNormalization")), "{what}");
    }
}

#[test]
fn logits_and_halves_are_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let batch: Vec<RgbImage> = (0..2).map(|number| picture(100, 100, number)).collect();
    let mut jobs = Vec::new();
    let mut expectations = Vec::new();
    for kept in [Kept::Plain, Kept::Mean] {
        let source = model(dir.path(), "mobilenet_v2", kept, Fit::Crop);
        let logits = OnnxRequest {
            logits: true,
            ..request(dir.path().join(format!("{kept:?}-logits.onnx")))
        };
        let half = OnnxRequest {
            half: true,
            ..request(dir.path().join(format!("{kept:?}-half.onnx")))
        };
        let whole = export(&source, &logits);
        let halved = export(&source, &half);
        assert!(halved.bytes * 10 < whole.bytes * 6, "{halved:?}");
        let agreement = halved.half.expect("a half is measured");
        assert!(agreement.largest_difference > 0.0 && agreement.largest_difference < 0.1);
        for request in [logits, half] {
            let runs = vec![of_pixels(dir.path(), "batch", &batch)];
            jobs.push(json!({"model": request.path, "runs": runs}));
        }
        expectations.push(expected(&source, &batch));
    }
    let answers = python::answer("run_onnx.py", &json!({"jobs": jobs}));
    let answers = answers["jobs"].as_array().unwrap();
    for (expected, answers) in expectations.iter().zip(answers.chunks(2)) {
        let logits: Vec<Vec<f32>> =
            serde_json::from_value(answers[0]["runs"][0]["logits"].clone()).unwrap();
        let probabilities: Vec<Vec<f32>> = logits.iter().map(|row| softmax(row)).collect();
        let difference = largest_difference(expected, &json!(probabilities));
        assert!(difference <= PIXELS, "{difference}");
        let difference = largest_difference(expected, &answers[1]["runs"][0]["probabilities"]);
        assert!(difference <= 0.1, "{difference}");
        let stored = answers[1]["metadata"]["f16_largest_difference"]
            .as_str()
            .unwrap();
        assert!(stored.parse::<f32>().unwrap() > 0.0, "{stored}");
        assert_eq!(answers[1]["metadata"]["weights_are"], "f16");
    }
}
