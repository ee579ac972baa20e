//! Folders for PyTorch: programs of plain `torch.nn` for the networks that no library has, programs with timm, and files
//! of published detectors as files of warmstart's.
#![allow(clippy::print_stderr, reason = "a test says what it cannot compare")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Kept, SIZE, model, picture};
use serde_json::Value;
use warmstart_data::{Fit, RgbImage, evaluation_pixels_of, save_picture};
use warmstart_export::export_torch;
use warmstart_metrics::softmax;
use warmstart_nn::initialization::Initialization;
use warmstart_tasks::detect::evaluation_pixels;
use warmstart_tasks::kinds::Trained;
use warmstart_tasks::model_file::{read_tensors, write_tensors};

/// Names an interpreter with numpy, pillow, safetensors, timm, torch and torchvision.
const PYTHON: &str = "WARMSTART_TORCH_PYTHON";
/// Networks that neither torchvision nor timm has as they are here.
const PLAIN: [(&str, Kept); 11] = [
    ("cspnext_tiny", Kept::Plain),
    ("cspnext_s", Kept::SeveralLayers),
    ("cspnext_tiny", Kept::Detector),
    ("rtmdet_tiny", Kept::Detector),
    ("rtmdet_s", Kept::Detector),
    ("yolox_nano", Kept::Detector),
    ("yolox_tiny", Kept::Detector),
    ("vit_tiny_patch16_224", Kept::Plain),
    ("deit_tiny_distilled_patch16_224", Kept::SeveralLayers),
    ("vit_small_patch14_dinov2", Kept::Plain),
    ("vit_small_patch14_reg4_dinov2", Kept::SeveralLayers),
];
/// Networks that timm has.
const OF_TIMM: [(&str, Kept); 2] = [
    ("convnext_atto", Kept::SeveralLayers),
    ("convnextv2_atto", Kept::Plain),
];
/// What is run beside a program: the sums of the squares of its results for a picture.
const SQUARES: &str = "\
import json, model
results = model.load_model()(model.to_input(model.open_picture('picture.png')))
results = results if isinstance(results, tuple) else (results,)
print(json.dumps([result.double().square().sum().item() for result in results]))
";

/// The sums of the squares of what a network says of a picture: of scores and of sides of boxes, or of probabilities.
fn squares(source: &Path, picture: &RgbImage) -> Vec<f64> {
    let sum = |values: &[f32]| -> f64 { values.iter().map(|v| f64::from(*v).powi(2)).sum() };
    match Trained::load(source, &warmstart_nn::device()).unwrap() {
        Trained::Detector(detector) => {
            let pixels = evaluation_pixels(picture, &detector.info.preprocessing);
            let found = detector.points(&[&pixels]).swap_remove(0);
            vec![sum(&found.scores), sum(found.boxes.as_flattened())]
        }
        Trained::Classifier(classifier) => {
            let pixels = evaluation_pixels_of(picture, &classifier.info.preprocessing).unwrap();
            vec![sum(&softmax(&classifier.logits(&[&pixels])[0]))]
        }
    }
}

/// Exports models, and compares what their programs say of a picture with what warmstart says; `is_of_timm` tells whether
/// timm builds their networks.
fn assert_programs_agree(models: &[(&str, Kept)], is_of_timm: bool) {
    let dir = tempfile::tempdir().unwrap();
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    if python.is_none() {
        eprintln!("{PYTHON} names no interpreter with torch: the programs are compiled, not run");
    }
    let picture = picture(SIZE, SIZE, 4);
    for (number, &(name, kept)) in models.iter().enumerate() {
        let source = model(dir.path(), name, kept, Fit::Squash);
        let folder = dir.path().join(number.to_string());
        let [parameters, program] = export_torch(&source, &folder).unwrap();
        assert_eq!(fs::read(parameters).unwrap(), fs::read(&source).unwrap());
        let text = fs::read_to_string(&program).unwrap();
        assert!(text.contains(&format!("NETWORK = \"{name}\"")), "{name}");
        assert_eq!(text.contains("import timm"), is_of_timm, "{name}");
        let mut compile = Command::new("python3");
        compile.args(["-m", "py_compile"]).arg(&program);
        assert!(compile.status().unwrap().success(), "{name}");
        let Some(python) = &python else {
            continue;
        };
        save_picture(&folder.join("picture.png"), &picture).unwrap();
        let mut run = Command::new(python);
        let output = run.args(["-c", SQUARES]).current_dir(&folder).output();
        let output = output.unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {complaint}");
        let found: Vec<f64> = serde_json::from_slice(&output.stdout).unwrap();
        let expected = squares(&source, &picture);
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            let difference = (found - expected).abs();
            assert!(
                difference <= 1e-3 * expected.abs(),
                "{name}: {found} and {expected}"
            );
        }
    }
}

#[test]
fn a_network_that_no_library_has_is_a_program_that_loads_the_same_parameters() {
    assert_programs_agree(&PLAIN, false);
}

#[test]
fn a_network_of_timm_loads_the_same_parameters() {
    assert_programs_agree(&OF_TIMM, true);
}

#[test]
fn the_file_of_a_published_detector_becomes_one_of_warmstart_s() {
    let dir = tempfile::tempdir().unwrap();
    let network = warmstart_models::by_name("yolox_nano").unwrap();
    let mut infos = network.backbone_parameters();
    infos.extend(network.detector(80).parameters());
    let device = warmstart_nn::device();
    let defaults = network.initialization();
    let made = Initialization::default().parameters(&infos, &defaults, 1, &device);
    let published = dir.path().join("yolox_nano.safetensors");
    write_tensors(&published, &made).unwrap();
    let [parameters, program] = export_torch(&published, &dir.path().join("torch")).unwrap();
    let trained = Trained::load(&parameters, &warmstart_nn::device()).unwrap();
    let info = trained.info();
    assert_eq!(
        (info.model.as_str(), info.classes.len()),
        ("yolox_nano", 80)
    );
    assert_eq!(info.classes[0], "person");
    let written = read_tensors(&parameters, &device).unwrap();
    for info in &infos {
        assert_eq!(written.values(&info.name), made.values(&info.name));
    }
    let text = fs::read_to_string(program).unwrap();
    assert!(text.contains("CONFIDENCE = 0.25"));
    let classes = text
        .lines()
        .find_map(|line| line.strip_prefix("CLASSES = "));
    let classes: Vec<Value> = serde_json::from_str(classes.unwrap()).unwrap();
    assert_eq!(classes.len(), 80);
}
