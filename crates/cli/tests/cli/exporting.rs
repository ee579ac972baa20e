//! Trained models as files of other libraries.
#![allow(clippy::print_stderr, reason = "a test says what it cannot compare")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use warmstart_nn::initialization::Initialization;
use warmstart_tasks::model_file::write_tensors;

use crate::common::{CLASSES, browser, data, pretrained, scenes, small_run, warmstart};

/// Names an interpreter with numpy, pillow, safetensors, torch, torchvision and timm.
const PYTHON: &str = "WARMSTART_TORCH_PYTHON";

fn export(model: impl AsRef<OsStr>) -> assert_cmd::Command {
    let mut command = warmstart();
    command.arg("export").arg(model);
    command
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A run on a few images, from random weights.
fn finished_run(dir: &Path) -> (PathBuf, PathBuf) {
    let data = data(dir);
    let run = dir.join("run");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "2", "--fit", "crop"]);
    warmstart().args(arguments).assert().success();
    (data, run)
}

#[test]
fn a_run_is_exported_and_checked_on_its_validation_images() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = finished_run(dir.path());
    let file = dir.path().join("model.onnx");
    let output = export(&run)
        .arg("--onnx")
        .arg(&file)
        .arg("--json")
        .assert()
        .success();
    let result: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(result["compared_on"], "validation_images");
    let onnx = &result["onnx"];
    assert_eq!(onnx["bytes"], fs::metadata(&file).unwrap().len());
    assert_eq!(onnx["checked"]["network"]["images"], 12);
    assert_eq!(onnx["checked"]["network"]["same_class"], 12);
    let difference = onnx["checked"]["network"]["largest_difference"]
        .as_f64()
        .unwrap();
    assert!(difference < 1e-3, "{difference}");
    // Only the finished file is there.
    assert!(
        !names(dir.path())
            .iter()
            .any(|name| name.ends_with(".writing"))
    );
    export(&run)
        .arg("--onnx")
        .arg(&file)
        .args(["--half", "--preprocessing", "outside"])
        .assert()
        .success()
        .stdout(contains(
            "checked by tract on validation images: largest difference",
        ))
        .stdout(contains(
            "16-bit weights beside 32-bit ones: largest difference",
        ))
        .stdout(contains(
            "model.preprocessing.json: what the caller has to do",
        ));
    let beside = fs::read_to_string(dir.path().join("model.preprocessing.json")).unwrap();
    let beside: Value = serde_json::from_str(&beside).unwrap();
    assert_eq!(
        beside["classes"],
        serde_json::json!(["checker", "horizontal", "vertical"])
    );
    assert_eq!(
        beside["inputs"][0]["shape"],
        serde_json::json!(["batch", 3, 32, 32])
    );
}

#[test]
fn a_model_without_its_run_is_checked_on_noise() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = dir.path().join("alone.safetensors");
    fs::copy(pretrained(dir.path(), &data), &model).unwrap();
    let file = dir.path().join("alone.onnx");
    export(&model)
        .arg("--onnx")
        .arg(&file)
        .assert()
        .success()
        .stdout(contains("mobilenet_v2, 3 classes").and(contains("on noise")));
    assert!(file.exists());
}

#[test]
fn what_cannot_be_written_is_one_line_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = pretrained(dir.path(), &data);
    let cut = dir.path().join("cut.safetensors");
    let bytes = fs::read(&model).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let folder = dir.path().join("out");
    fs::create_dir(&folder).unwrap();
    let whole = folder.join("model.onnx");
    let missing = folder.join("missing/model.onnx");
    let model = Path::new(&model);
    let nowhere = dir.path().join("nowhere.safetensors");
    let mut cases: Vec<(&Path, &str, &Path, &str)> = vec![
        (&cut, "--onnx", &whole, "cut.safetensors"),
        (&nowhere, "--onnx", &whole, "nowhere.safetensors"),
        (
            model,
            "--onnx",
            &missing,
            "create the folder, or give another path",
        ),
        (model, "--onnx", &folder, "it is a folder"),
        (&cut, "--torch", &folder, "cut.safetensors"),
        (model, "--torch", model, "it is not a folder"),
    ];
    if cfg!(target_os = "linux") {
        cases.push((
            model,
            "--onnx",
            Path::new("/dev/full"),
            "could not write /dev/full",
        ));
        cases.push((
            model,
            "--onnx",
            Path::new("/proc/model.onnx"),
            "could not write /proc/model.onnx",
        ));
        cases.push((
            model,
            "--torch",
            Path::new("/proc/folder"),
            "could not create /proc/folder",
        ));
    }
    for (model, flag, target, words) in cases {
        let result = export(model).arg(flag).arg(target).assert().failure();
        let said = String::from_utf8(result.get_output().stderr.clone()).unwrap();
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(names(&folder).is_empty(), "{words}: {:?}", names(&folder));
    }
}

#[test]
fn a_request_that_does_not_fit_the_model_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = pretrained(dir.path(), &data);
    let file = dir.path().join("model.onnx");
    export(&model)
        .arg("--onnx")
        .arg(&file)
        .arg("--raw")
        .assert()
        .code(2)
        .stderr(contains(
            "--raw is for detectors, and this model is a classifier",
        ));
    export(&model)
        .assert()
        .code(2)
        .stderr(contains("--onnx").and(contains("--torch")));
    export(&model)
        .args(["--torch", "x", "--half"])
        .assert()
        .code(2)
        .stderr(contains("--onnx"));
    assert!(!file.exists());
}

/// Fails unless the program in a folder for PyTorch is valid Python.
fn require_python(folder: &Path) {
    let compiled = Command::new("python3")
        .args(["-m", "py_compile"])
        .arg(folder.join("model.py"))
        .status()
        .unwrap();
    assert!(compiled.success());
}

/// An interpreter that can run exported models; `None`, and a line that says so, where none is named.
fn python_with_torch() -> Option<PathBuf> {
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    if python.is_none() {
        eprintln!("{PYTHON} names no interpreter with torch: its predictions are not compared");
    }
    python
}

/// The lines that a program prints, as JSON.
fn json_lines(output: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What a folder for PyTorch says of pictures, and what `predict` says.
fn both(python: &Path, model: &Path, folder: &Path, images: &[PathBuf]) -> [Vec<Value>; 2] {
    let program = Command::new(python)
        .arg(folder.join("model.py"))
        .args(images)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&program.stderr);
    assert!(program.status.success(), "{said}");
    let ours = warmstart()
        .arg("predict")
        .arg(model)
        .args(images)
        .arg("--json")
        .assert()
        .success();
    [
        json_lines(&program.stdout),
        json_lines(&ours.get_output().stdout),
    ]
}

#[test]
fn a_folder_for_pytorch_is_a_program_that_predicts_what_predict_does() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = finished_run(dir.path());
    let folder = dir.path().join("torch");
    export(&run)
        .arg("--torch")
        .arg(&folder)
        .assert()
        .success()
        .stdout(contains("model.py").and(contains("model.safetensors")));
    assert_eq!(names(&folder), ["model.py", "model.safetensors"]);
    let kept = fs::read(run.join("best.safetensors")).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), kept);
    require_python(&folder);
    let Some(python) = python_with_torch() else {
        return;
    };
    let images: Vec<PathBuf> = CLASSES
        .iter()
        .map(|class| data.join(format!("val/{class}/100.png")))
        .collect();
    let [theirs, ours] = both(&python, &run, &folder, &images);
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let probability = |line: &Value, class: &Value| {
            let predictions = line["predictions"].as_array().unwrap();
            let of_class = predictions.iter().find(|p| p["class"] == *class).unwrap();
            of_class["probability"].as_f64().unwrap()
        };
        for class in CLASSES.map(Value::from) {
            let difference = (probability(theirs, &class) - probability(ours, &class)).abs();
            assert!(difference < 0.02, "{theirs} and {ours}");
        }
    }
}

#[test]
fn a_detector_is_exported_for_both() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 8, 64);
    let run = dir.path().join("run");
    scenes::train(&data, &run).success();
    let folder = dir.path().join("torch");
    let file = dir.path().join("detector.onnx");
    export(&run)
        .arg("--onnx")
        .arg(&file)
        .arg("--torch")
        .arg(&folder)
        .assert()
        .success()
        .stdout(contains(
            "checked by tract on validation images: largest difference",
        ))
        .stdout(contains(
            "the network alone was checked, without its preprocessing",
        ));
    assert!(file.exists());
    export(&run)
        .arg("--onnx")
        .arg(&file)
        .arg("--logits")
        .assert()
        .code(2)
        .stderr(contains(
            "--logits is for classifiers, and this model is a detector",
        ));
    require_python(&folder);
    let Some(python) = python_with_torch() else {
        return;
    };
    let images = [data.join("val/100.png"), data.join("val/101.png")];
    let [theirs, ours] = both(&python, &run, &folder, &images);
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let count = |line: &Value| line["predictions"].as_array().unwrap().len();
        assert_eq!(count(theirs), count(ours));
    }
}

/// A file of YOLOX-Nano for COCO with random values, as a tool that knows nothing of warmstart writes it.
fn published_detector(file: &Path) {
    let network = warmstart_recipe::architecture("yolox_nano").unwrap();
    let mut infos = network.backbone_parameters();
    infos.extend(network.detector(80).parameters());
    let device = warmstart_nn::device();
    let defaults = network.initialization();
    let mut values = Initialization::default().parameters(&infos, &defaults, 1, &device);
    // It takes pixels from 0 to 255, and nothing here has learned to make less of them.
    let stem = "backbone.backbone.stem.conv.bn.running_var";
    let shape = values.shape(stem);
    values.insert_values(stem, &shape, vec![1e4; shape[0]], &device);
    write_tensors(file, &values).unwrap();
}

#[test]
fn a_published_detector_is_exported_without_any_training() {
    let dir = tempfile::tempdir().unwrap();
    let published = dir.path().join("yolox_nano.safetensors");
    published_detector(&published);
    let (folder, file) = (dir.path().join("torch"), dir.path().join("yolox.onnx"));
    let output = export(&published)
        .arg("--onnx")
        .arg(&file)
        .arg("--torch")
        .arg(&folder)
        .arg("--json")
        .assert()
        .success();
    let result: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(result["compared_on"], "noise");
    let onnx = &result["onnx"];
    assert_eq!(onnx["model"], "yolox_nano");
    assert_eq!(onnx["classes"], 80);
    let checked = &onnx["checked"]["network"];
    assert_eq!(checked["same_class"], checked["images"]);
    require_python(&folder);
    let data = data(dir.path());
    warmstart()
        .arg("predict")
        .arg(folder.join("model.safetensors"))
        .arg(data.join("val/checker/100.png"))
        .arg("--json")
        .assert()
        .success();
}

#[test]
fn a_page_for_a_browser_holds_the_model_and_its_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = finished_run(dir.path());
    let page = dir.path().join("page");
    let web = |runtime: &Path| {
        let mut command = export(&run);
        command
            .arg("--web")
            .arg(&page)
            .arg("--runtime")
            .arg(runtime);
        command.assert()
    };
    let runtime = dir.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    web(&runtime)
        .failure()
        .stderr(contains("it does not hold onnxruntime-web"));
    assert!(!page.exists());
    for name in [
        "ort.wasm.min.js",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
    ] {
        fs::write(runtime.join(name), name).unwrap();
    }
    web(&runtime)
        .success()
        .stdout(contains("index.html").and(contains("checked by tract")));
    let written = [
        "index.html",
        "model.js",
        "model.onnx",
        "ort.wasm.min.js",
        "runtime.js",
    ];
    assert_eq!(names(&page), written);
    let model = fs::read_to_string(page.join("model.js")).unwrap();
    let object = model.strip_prefix("self.WARMSTART = ").unwrap();
    let object: Value = serde_json::from_str(object.trim_end().trim_end_matches(';')).unwrap();
    assert_eq!(object["info"]["task"], "classify");
    assert_eq!(
        object["info"]["classes"].as_array().unwrap().len(),
        CLASSES.len()
    );
    assert!(object["onnx"].as_str().unwrap().len() > 1_000_000);
    web(&runtime)
        .failure()
        .stderr(contains("it exists and is not empty"));
}

/// What a page says of a picture: class and probability, the likeliest first.
fn said_by_page(browser: &str, page: &Path, picture: &Path) -> Vec<(String, f64)> {
    let bytes: Vec<String> = fs::read(picture)
        .unwrap()
        .iter()
        .map(u8::to_string)
        .collect();
    let answer = browser::open(
        browser,
        page,
        800,
        &format!(
            "const until = async (is) => {{
               for (let n = 0; n < 4000 && !is(); n++) await new Promise((go) => setTimeout(go, 5));
             }};
             await until(() => document.body.dataset.ready);
             const bytes = new Uint8Array([{}]);
             const files = new DataTransfer();
             files.items.add(new File([bytes], 'picture.png', {{type: 'image/png'}}));
             const input = document.querySelector('input[type=file]');
             input.files = files.files;
             input.dispatchEvent(new Event('change'));
             await until(() => document.querySelector('#results .class, #results .bad'));
             return [...document.querySelectorAll('#results .class')]
               .map((line) => [line.dataset.class, Number(line.dataset.probability)]);",
            bytes.join(",")
        ),
    );
    serde_json::from_value(answer).unwrap()
}

#[test]
fn a_page_says_what_predict_says() {
    let Some(browser) = browser::browser() else {
        return;
    };
    if Command::new("npm").arg("--version").output().is_err() {
        eprintln!("left out: there is no npm client to fetch the runtime of the page");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = finished_run(dir.path());
    let folder = dir.path().join("page");
    export(&run).arg("--web").arg(&folder).assert().success();
    for picture in ["horizontal/101.png", "vertical/102.png"] {
        let picture = data.join("val").join(picture);
        let page = said_by_page(browser, &folder.join("index.html"), &picture);
        let output = warmstart()
            .arg("predict")
            .args([&run, &picture])
            .arg("--json")
            .output()
            .unwrap();
        let ours: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ours = ours["predictions"].as_array().unwrap();
        assert_eq!(page.len(), ours.len());
        for ((class, probability), ours) in page.iter().zip(ours) {
            assert_eq!(class, ours["class"].as_str().unwrap(), "{page:?}");
            let difference = (probability - ours["probability"].as_f64().unwrap()).abs();
            assert!(difference < 1e-3, "{difference}");
        }
    }
}
