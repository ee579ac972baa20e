//! Files of published detectors, made here of random values under the names that they have at home: recognised, used
//! as they are, and trained on.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use warmstart_nn::ParameterInfo;
use warmstart_nn::initialization::Initialization;

use crate::common::scenes::{SHAPES, scenes};
use crate::common::{Said, copy, data, outcome, said, warmstart};

const COCO_CLASSES: usize = 80;

/// A tensor: its name, its shape and its values.
type Named = (String, Vec<usize>, Vec<f32>);

/// The tensors of a detector for COCO, whose predictors are convolutions at home. At each point of its coarsest map it
/// sees a person.
fn tensors(model: &str, sure: &[&str]) -> Vec<Named> {
    let network = warmstart_recipe::architecture(model).unwrap();
    let head = network.detector(COCO_CLASSES).parameters();
    let defaults = network.initialization();
    let infos = network.backbone_parameters().into_iter().chain(head);
    let tensor = |info: ParameterInfo| {
        let mut values = Initialization::default().values(&info, &defaults, 1);
        let mut shape = info.shape;
        if shape.len() == 2 {
            shape.extend([1, 1]);
        }
        if sure.contains(&info.name.as_str()) {
            values[0] = 5.0;
        }
        // YOLOX takes pixels from 0 to 255, and nothing here has learned to make less of them.
        if info.name.ends_with("stem.conv.bn.running_var") {
            values.fill(1e4);
        }
        (info.name, shape, values)
    };
    infos.map(tensor).collect()
}

/// Writes tensors, each under its name after a prefix, as a tool that knows nothing of warmstart does.
fn write(file: &Path, prefix: &str, tensors: &[Named]) {
    let mut header = serde_json::Map::new();
    let mut numbers = Vec::new();
    for (name, shape, values) in tensors {
        let start = numbers.len();
        numbers.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let place = [start, numbers.len()];
        let info = json!({"dtype": "F32", "shape": shape, "data_offsets": place});
        header.insert(format!("{prefix}{name}"), info);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(file, [&length[..], &header, &numbers].concat()).unwrap();
}

/// A file of YOLOX-Nano, saved from a model that was trained on several devices.
fn yolox(file: &Path) {
    let sure = ["head.cls_preds.2.bias", "head.obj_preds.2.bias"];
    write(file, "module.", &tensors("yolox_nano", &sure));
}

/// A file of RTMDet-tiny, with the convolutions that levels share under the name of each, as MMDetection has them.
fn rtmdet(file: &Path, change: impl FnOnce(&mut Vec<Named>)) {
    let mut tensors = tensors("rtmdet_tiny", &["bbox_head.rtm_cls.2.bias"]);
    let is_shared = |name: &str| {
        let branches = ["bbox_head.cls_convs.0.", "bbox_head.reg_convs.0."];
        branches.iter().any(|branch| name.starts_with(branch)) && name.ends_with(".conv.weight")
    };
    let copies: Vec<Named> = tensors
        .iter()
        .filter(|(name, ..)| is_shared(name))
        .flat_map(|(name, shape, values)| {
            let of_level = |level: usize| {
                let name = name.replace("_convs.0.", &format!("_convs.{level}."));
                (name, shape.clone(), values.clone())
            };
            [1, 2].map(of_level)
        })
        .collect();
    assert_eq!(copies.len(), 8);
    tensors.extend(copies);
    // Boxes of one and a half strides around each point.
    for (name, _, values) in &mut tensors {
        if name.starts_with("bbox_head.rtm_reg") && name.ends_with("bias") {
            values.fill(1.5);
        }
    }
    change(&mut tensors);
    write(file, "", &tensors);
}

/// Scenes whose classes have these names.
fn scenes_of(dir: &Path, names: [&str; 3]) -> PathBuf {
    let data = scenes(dir, 8, 64);
    for split in ["train", "val"] {
        let file = data.join(format!("annotations/instances_{split}.json"));
        let mut text = fs::read_to_string(&file).unwrap();
        for (shape, name) in SHAPES.into_iter().zip(names) {
            text = text.replace(&format!("\"{shape}\""), &format!("\"{name}\""));
        }
        fs::write(&file, text).unwrap();
    }
    data
}

fn json_of(output: &[u8]) -> Value {
    let text = std::str::from_utf8(output).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

/// Requires that a model finds persons in a picture, and that it can be evaluated.
fn assert_works(model: &str, data: &Path) {
    let predicted = warmstart()
        .args(["predict", model, "--json", "--conf", "0.5"])
        .arg(data.join("val/100.png"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&predicted.stderr);
    assert!(predicted.status.success(), "{said}");
    let note = "note: the file does not name its classes, which are taken for COCO's 80";
    assert!(said.contains(note), "{said}");
    let predictions = json_of(&predicted.stdout)["predictions"].clone();
    let predictions = predictions.as_array().unwrap();
    assert!(!predictions.is_empty());
    for found in predictions {
        assert_eq!(found["class"], "person");
        assert_eq!(found["box"].as_array().unwrap().len(), 4);
    }
    let evaluated = warmstart()
        .args(["eval", model, "--json", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&evaluated.stderr);
    assert!(evaluated.status.success() && said.contains(note), "{said}");
    assert_eq!(json_of(&evaluated.stdout)["images"], 6);
}

#[test]
fn a_file_of_yolox_is_recognised_and_used_without_training() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes_of(dir.path(), ["person", "car", "dog"]);
    let file = dir.path().join("yolox.safetensors");
    yolox(&file);
    let model = file.to_str().unwrap();
    warmstart()
        .args(["weights", "inspect", model])
        .assert()
        .success()
        .stdout(
            contains("this is yolox_nano")
                .and(contains("stripped: module."))
                .and(contains("letterboxed into 416 pixels"))
                .and(contains("taken for COCO's 80")),
        );
    assert_works(model, &data);
}

#[test]
fn a_file_of_mmdetection_is_recognised_and_used_without_training() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes_of(dir.path(), ["person", "car", "dog"]);
    let file = dir.path().join("rtmdet.safetensors");
    rtmdet(&file, |_| {});
    let model = file.to_str().unwrap();
    warmstart()
        .args(["weights", "inspect", model])
        .assert()
        .success()
        .stdout(contains("this is rtmdet_tiny").and(contains("letterboxed into 640 pixels")));
    assert_works(model, &data);
}

#[test]
fn a_detector_is_named_in_place_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes_of(dir.path(), ["person", "car", "dog"]);
    let record = warmstart_recipe::published("yolox_nano").unwrap();
    let weights = dir.path().join("weights");
    fs::create_dir(&weights).unwrap();
    yolox(&weights.join(format!("{}.safetensors", record.name)));
    let command = |folder: &Path| {
        let mut command = warmstart();
        command
            .env("WARMSTART_WEIGHTS", folder)
            .env("HF_HUB_OFFLINE", "1")
            .env("HOME", dir.path())
            .env_remove("XDG_CACHE_HOME")
            .current_dir(dir.path());
        command.args(["predict", "yolox_nano", "--conf", "0.5"]);
        command.arg(data.join("val/100.png"));
        command
    };
    command(&weights)
        .assert()
        .success()
        .stdout(contains("person"))
        .stderr(contains("not verified"));
    command(&data)
        .assert()
        .code(1)
        .stderr(contains("is not on this machine"));
    warmstart()
        .args(["predict", "rtmdet_tinyy", "a.png"])
        .assert()
        .code(1)
        .stderr(contains("did you mean `rtmdet_tiny`?"));
}

#[test]
fn classes_that_the_file_has_keep_their_rows_and_rates_follow_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes_of(dir.path(), ["Person", "car", "widget"]);
    let file = dir.path().join("yolox.safetensors");
    yolox(&file);
    let run = dir.path().join("run");
    let mut command = warmstart();
    command.args(["train", "--image-size", "64", "--batch", "4"]);
    command.args([
        "--freeze-batch",
        "4",
        "--epochs",
        "2",
        "--freeze-epochs",
        "1",
    ]);
    command.arg("--weights").arg(&file).arg("--data").arg(&data);
    command
        .arg("--out")
        .arg(&run)
        .assert()
        .success()
        .said(contains("the weights are of yolox_nano"))
        .said(contains(
            "head: the file does not name its classes, which are taken for COCO's 80",
        ))
        .said(contains(
            "head: 2 of 3 classes are the file's (Person, car): their rows are kept; 1 is new",
        ))
        .said(contains("2 of 3 rows come from the file's 80"));
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    for line in ["train = \"head\"", "lr = 0.0005", "lr = 0.00015"] {
        assert!(recipe.contains(line), "{line}: {recipe}");
    }
    warmstart().arg("eval").arg(&run).assert().success();
    warmstart()
        .args(["predict", "--json"])
        .arg(&run)
        .arg(data.join("val/100.png"))
        .assert()
        .success();
}

#[test]
fn a_file_of_another_network_is_refused_by_the_name_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes_of(dir.path(), ["person", "car", "dog"]);
    let file = dir.path().join("yolox.safetensors");
    yolox(&file);
    warmstart()
        .args(["train", "--model", "rtmdet_tiny", "--image-size", "64"])
        .arg("--weights")
        .arg(&file)
        .arg("--data")
        .arg(&data)
        .arg("--out")
        .arg(dir.path().join("run"))
        .assert()
        .code(1)
        .stderr(
            contains("it is of yolox_nano, and the run asks for rtmdet_tiny")
                .and(contains("leave --model out, or give --model yolox_nano")),
        );
}

#[test]
fn a_head_is_trained_and_then_everything_and_cut_between_them_it_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes_of(dir.path(), ["person", "car", "dog"]);
    let file = dir.path().join("yolox.safetensors");
    yolox(&file);
    let recipe = dir.path().join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'yolox_nano'\nweights = '{}'\nimage_size = 64\nkeep = 'all'\n\
         [[phase]]\nname = 'freeze'\ntrain = 'head'\nepochs = 1\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 1\nbatch = 4\n",
        data.display(),
        file.display()
    );
    fs::write(&recipe, text).unwrap();
    let whole = dir.path().join("whole");
    let mut train = warmstart();
    train.arg("train").arg(&recipe).arg("--out").arg(&whole);
    let said = said(train.assert().success().get_output());
    // The batch that the first phase leaves open is of the plan.
    assert!(!said.contains("memory is not planned"), "{said}");
    let summary = fs::read_to_string(whole.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let names: Vec<&Value> = summary["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| &phase["name"])
        .collect();
    assert_eq!(names, ["freeze", "thaw"]);
    let cut = dir.path().join("cut");
    copy(&whole, &cut);
    let mut resume = warmstart();
    resume.arg("resume").arg(&cut).args(["--from-epoch", "1"]);
    resume.assert().success();
    let [whole, cut] = [whole, cut].map(|run| outcome(&run, 2));
    assert!(whole == cut);
}

#[test]
fn the_backbone_of_a_classifier_is_told_to_have_no_neck() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes_of(dir.path(), ["person", "car", "dog"]);
    let file = dir.path().join("backbone.safetensors");
    rtmdet(&file, |tensors| {
        tensors.retain(|(name, ..)| name.starts_with("backbone."));
    });
    let run = dir.path().join("run");
    let train = |flags: &[&str]| {
        let mut command = warmstart();
        command.args(["train", "--model", "rtmdet_tiny", "--image-size", "64"]);
        command.args(["--epochs", "1", "--batch", "4"]);
        command.arg("--weights").arg(&file).arg("--data").arg(&data);
        command.arg("--out").arg(&run).args(flags).assert()
    };
    train(&["--freeze-epochs", "0"]).code(1).stderr(
        contains("it has the backbone of rtmdet_tiny without a neck")
            .and(contains("--weights rtmdet_tiny")),
    );
    train(&["--freeze-epochs", "0", "--allow-partial"])
        .success()
        .said(contains("neck: the file has none, so it begins at random"));
}

#[test]
fn neck_and_head_train_on_a_frozen_backbone_and_copies_are_told_from_what_is_unused() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes_of(dir.path(), ["person", "car", "dog"]);
    let file = dir.path().join("rtmdet.safetensors");
    let recipe = dir.path().join("neck.toml");
    let text = format!(
        "data = '{}'\nmodel = 'rtmdet_tiny'\nweights = '{}'\nimage_size = 64\n\
         [[phase]]\nname = 'neck'\ntrain = 'neck'\nepochs = 1\nbatch = 4\n",
        data.display(),
        file.display()
    );
    fs::write(&recipe, text).unwrap();
    let train = |run: &Path| {
        let mut command = warmstart();
        command.arg("train").arg(&recipe).arg("--out").arg(run);
        command.assert()
    };
    rtmdet(&file, |_| {});
    let run = dir.path().join("run");
    train(&run)
        .success()
        .said(contains("not needed: 8 tensors that the file holds again"))
        .said(contains("unused: none"))
        .said(contains("3 of 3 classes are the file's (person, car, dog)"));
    let saved = fs::read_to_string(run.join("recipe.toml")).unwrap();
    assert!(saved.contains("train = \"from:neck\""), "{saved}");

    rtmdet(&file, |tensors| {
        let second = "bbox_head.cls_convs.1.0.conv.weight";
        let copy = tensors.iter_mut().find(|(name, ..)| name == second);
        copy.unwrap().2[0] += 1.0;
    });
    train(&dir.path().join("other")).code(1).stderr(contains(
        "bbox_head.cls_convs.1.0.conv.weight differs from bbox_head.cls_convs.0.0.conv.weight",
    ));
}

#[test]
fn a_detector_is_for_boxes_and_only_some_networks_have_a_neck() {
    let dir = tempfile::tempdir().unwrap();
    let classes = data(dir.path());
    let train = |arguments: &[&str], data: &Path| {
        let mut command = warmstart();
        command.args(["train", "--weights", "none", "--epochs", "1"]);
        command.args(arguments).arg("--data").arg(data);
        command.arg("--out").arg(dir.path().join("run"));
        command.assert()
    };
    train(&["--model", "rtmdet_tiny"], &classes)
        .code(2)
        .stderr(contains("rtmdet_tiny is a detector").and(contains("--model cspnext_tiny")));
    let boxes = scenes_of(dir.path(), ["person", "car", "dog"]);
    let recipe = dir.path().join("neck.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = 'none'\n\
         [[phase]]\nname = 'neck'\ntrain = 'neck'\nepochs = 1\n",
        boxes.display()
    );
    fs::write(&recipe, text).unwrap();
    warmstart()
        .arg("train")
        .arg(&recipe)
        .arg("--out")
        .arg(dir.path().join("light"))
        .assert()
        .code(2)
        .stderr(contains("mobilenet_v2 has no neck of its own"));
    // init-check, which lists the layers of other networks, takes no detector.
    let text = format!(
        "data = '{}'\nmodel = 'yolox_nano'\nweights = 'none'\nimage_size = 64\n\
         [init.by_name]\n'head.cls_pred' = 'orthogonal'\n",
        boxes.display()
    );
    fs::write(&recipe, text).unwrap();
    warmstart()
        .arg("train")
        .arg(&recipe)
        .arg("--out")
        .arg(dir.path().join("named"))
        .assert()
        .code(2)
        .stderr(contains(
            "did you mean `head.cls_preds.0`, `head.cls_preds.1` or `head.cls_preds.2`?",
        ));
}

#[test]
fn detectors_are_listed_with_their_precision() {
    warmstart().arg("models").assert().success().stdout(
        contains("rtmdet_tiny")
            .and(contains("yolox_nano"))
            .and(contains("25.8")),
    );
    warmstart()
        .args(["weights", "list"])
        .assert()
        .success()
        .stdout(contains("rtmdet_s.300e_coco").and(contains("44.6")));
}
