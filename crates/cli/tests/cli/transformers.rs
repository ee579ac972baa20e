//! Runs of a vision transformer and of a ConvNeXt, from published weights to what is made of them.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use warmstart_nn::ParameterInfo;

use crate::common::kills::{Kills, Moment, Numbers, Undisturbed};
use crate::common::published::{published, published_with};
use crate::common::scenes::{SHAPES, scenes};
use crate::common::{CLASSES, Said, data, metrics, pictures, tensors, warmstart};

/// A network, the stage from which a run trains it first, and the tensors of its backbone.
const NETWORKS: [(&str, &str, usize); 2] = [
    ("vit_tiny_patch16_224", "blocks.9", 150),
    ("convnext_atto", "stages.3", 126),
];

/// A recipe of a frozen epoch, whose features fill a cache, and of two thawed ones over micro-batches, which leave
/// branches out at random.
fn recipe(dir: &Path, model: &str, stage: &str) -> PathBuf {
    let recipe = dir.join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = '{model}'\nweights = '{}'\nimage_size = 32\nkeep = 'all'\n\
         [[phase]]\nname = 'freeze'\ntrain = 'from:{stage}'\nepochs = 1\nbatch = 10\nviews = 2\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 2\nbatch = 8\nmicro_batch = 3\n\
         stochastic_depth = 0.3\nclip_norm = 1.0\n",
        data(dir).display(),
        published(dir, model).display()
    );
    fs::write(&recipe, text).unwrap();
    recipe
}

fn train(arguments: &[&str], data: &Path, run: &Path) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.arg("train").args(arguments);
    command.arg("--data").arg(data).arg("--out").arg(run);
    command.assert()
}

#[test]
fn published_weights_are_found_whole_stay_while_frozen_and_move_after_the_thaw() {
    for (model, stage, of_backbone) in NETWORKS {
        let dir = tempfile::tempdir().unwrap();
        let recipe = recipe(dir.path(), model, stage);
        let run = dir.path().join("run");
        warmstart()
            .arg("train")
            .arg(&recipe)
            .arg("--out")
            .arg(&run)
            .assert()
            .success()
            .said(contains(format!("{of_backbone} of {of_backbone} tensors")));
        let before = tensors(&dir.path().join(format!("{model}-published.safetensors")));
        let [frozen, thawed] = ["epoch-0001", "epoch-0003"].map(|epoch| {
            tensors(
                &run.join("checkpoints")
                    .join(epoch)
                    .join("model.safetensors"),
            )
        });
        let network = warmstart_recipe::architecture(model).unwrap();
        let boundary = network.stage(stage).unwrap();
        for info in network.backbone_parameters() {
            let name = &info.name;
            let stays = network.stage_of(name).unwrap() < boundary;
            assert_eq!(frozen[name] == before[name], stays, "{model}: {name}");
            assert!(thawed[name] != frozen[name], "{model}: {name}");
        }
        let lines = metrics(&run);
        assert_eq!(lines.len(), 3, "{model}");
        for line in lines {
            assert!(line["train_loss"].is_number(), "{model}: {line:?}");
        }
    }
}

#[test]
fn killed_on_any_number_of_threads_and_without_a_cache_they_end_in_the_same_bytes() {
    for (number, (model, stage, _)) in (1..).zip(NETWORKS) {
        let dir = tempfile::tempdir().unwrap();
        let recipe = recipe(dir.path(), model, stage);
        pictures(&dir.path().join("pictures"), &["any"], 50, 3);
        let whole = Undisturbed::new(dir.path(), &recipe, [1, 3]);
        let mut kills = Kills::default();
        let moments = [Moment::Boundary, Moment::Any];
        whole.kill("killed", &moments, &mut Numbers(number), &mut kills);
        assert!(kills.all > 0, "{model}: {kills:?}");

        let other = |name: &str, flags: &[&str]| {
            let run = dir.path().join(name);
            let mut command = warmstart();
            command.arg("train").arg(&recipe).arg("--out").arg(&run);
            command.args(flags).assert().success();
            whole.outcome(&run)
        };
        let one_thread = other("one-thread", &["--threads", "1"]);
        assert!(one_thread == whole.expected, "{model} on one thread");
        let computed = other("computed", &["--no-cache"]);
        assert!(computed == whole.expected, "{model} without a cache");
        // The comparison can fail.
        let another_seed = other("another-seed", &["--seed", "7"]);
        assert!(another_seed != whole.expected, "{model}");
    }
}

/// Exports a model, and requires that an engine for the file computes the same on the validation images.
fn export(run: &Path, dir: &Path) {
    let (file, folder) = (dir.join("model.onnx"), dir.join("torch"));
    let output = warmstart()
        .arg("export")
        .arg(run)
        .arg("--onnx")
        .arg(&file)
        .arg("--torch")
        .arg(&folder)
        .arg("--json")
        .assert()
        .success();
    let result: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(result["compared_on"], "validation_images");
    let checked = &result["onnx"]["checked"]["network"];
    assert_eq!(checked["images"], 12);
    assert_eq!(checked["same_class"], 12);
    let difference = checked["largest_difference"].as_f64().unwrap();
    assert!(difference < 1e-3, "{difference}");
    assert!(folder.join("model.py").exists());
    let compiled = std::process::Command::new("python3")
        .args(["-m", "py_compile"])
        .arg(folder.join("model.py"))
        .status();
    assert!(compiled.unwrap().success());
}

#[test]
fn both_kinds_of_heads_predict_and_are_exported() {
    for (model, ..) in NETWORKS {
        for (head, epochs) in [("ridge", "1"), ("linear", "2")] {
            let dir = tempfile::tempdir().unwrap();
            let data = data(dir.path());
            let weights = published(dir.path(), model);
            let run = dir.path().join("run");
            let weights = weights.to_str().unwrap();
            let flags = ["--model", model, "--weights", weights, "--image-size", "64"];
            let phases = ["--head", head, "--freeze-epochs", "1", "--epochs", epochs];
            let arguments = [&flags[..], &phases, &["--fit", "crop"]].concat();
            train(&arguments, &data, &run).success();
            let predicted = warmstart()
                .arg("predict")
                .arg(&run)
                .arg(data.join("val"))
                .arg("--json")
                .assert()
                .success();
            let text = String::from_utf8(predicted.get_output().stdout.clone()).unwrap();
            let lines: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(lines.len(), 12, "{model}, {head}");
            for line in lines {
                let predictions = line["predictions"].as_array().unwrap();
                let values = predictions.iter().map(|one| one["probability"].as_f64());
                let total: f64 = values.map(Option::unwrap).sum();
                assert_eq!(predictions.len(), CLASSES.len(), "{model}, {head}");
                assert!((total - 1.0).abs() < 1e-3, "{model}, {head}: {line}");
            }
            export(&run, dir.path());
        }
    }
}

#[test]
fn a_detector_is_built_on_a_convnext_and_not_on_a_vision_transformer() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes(dir.path(), 8, 64);
    let weights = published(dir.path(), "convnext_atto");
    let run = dir.path().join("run");
    let small = ["--image-size", "64", "--epochs", "1", "--batch", "4"];
    let weights = weights.to_str().unwrap();
    let convnext = ["--model", "convnext_atto", "--weights", weights];
    let thawed = ["--freeze-epochs", "0"];
    train(&[&convnext[..], &small, &thawed].concat(), &data, &run)
        .success()
        .said(contains("mAP@[.5:.95]"));
    let predicted = warmstart()
        .arg("predict")
        .arg(&run)
        .arg(data.join("val"))
        .args(["--json", "--conf", "0.001"])
        .assert()
        .success();
    let text = String::from_utf8(predicted.get_output().stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 6);
    assert!(SHAPES.iter().any(|shape| text.contains(shape)), "{text}");

    let refused = dir.path().join("refused");
    let transformer = ["--model", "vit_tiny_patch16_224", "--weights", "none"];
    train(&[&transformer[..], &small].concat(), &data, &refused)
        .failure()
        .stderr(contains(
            "vit_tiny_patch16_224 has features of one stride only, so no detector can be built on it",
        ))
        .stderr(contains("ConvNeXt").and(contains("panicked").not()));
    assert!(!refused.exists());
}

#[test]
fn an_image_that_is_no_whole_number_of_patches_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    for (model, size, multiple) in [
        ("vit_tiny_patch16_224", "40", "multiple of 16"),
        ("vit_small_patch14_dinov2", "64", "multiple of 14"),
    ] {
        let arguments = ["--model", model, "--weights", "none", "--image-size", size];
        train(&arguments, &data, &run)
            .code(2)
            .stderr(contains(multiple).and(contains(size)));
        assert!(!run.exists());
    }
}

#[test]
fn positions_of_another_grid_are_resized_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let at_384_pixels = |infos: &mut Vec<ParameterInfo>| {
        let positions = infos.iter_mut().find(|info| info.name == "pos_embed");
        positions.unwrap().shape[1] = 1 + 24 * 24;
    };
    let file = published_with(dir.path(), "vit_tiny_patch16_224", at_384_pixels);
    let words = "pos_embed [1, 577, 192] → [1, 197, 192]: resized from 24 × 24 to 14 × 14";
    warmstart()
        .args(["weights", "inspect"])
        .arg(&file)
        .assert()
        .success()
        .stdout(contains("this is vit_tiny_patch16_224").and(contains(words)));
    let converted = dir.path().join("converted.safetensors");
    warmstart()
        .args(["weights", "convert"])
        .args([&file, &converted])
        .args(["--to", "timm"])
        .assert()
        .success()
        .stderr(contains(words));
    let (before, after) = (tensors(&file), tensors(&converted));
    assert_eq!(after["pos_embed"].len(), 197 * 192 * size_of::<f32>());
    let first = 192 * size_of::<f32>();
    assert!(after["pos_embed"][..first] == before["pos_embed"][..first]);
    let other = "blocks.3.attn.qkv.weight";
    assert!(after[other] == before[other]);
}

#[test]
fn a_published_name_tells_a_deit_from_a_vit_and_without_it_every_command_says_that_nothing_does() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let unnamed = published(dir.path(), "deit_tiny_patch16_224");
    let named = dir.path().join("deit_tiny_patch16_224-a1311bcf.pth");
    fs::copy(&unnamed, &named).unwrap();
    let note = "belong to deit_tiny_patch16_224: --model NAME chooses";
    for (file, model, record, is_noted) in [
        (
            &named,
            "deit_tiny_patch16_224",
            "assumed: deit_tiny_patch16_224.fb_in1k",
            false,
        ),
        (
            &unnamed,
            "vit_tiny_patch16_224",
            "assumed: vit_tiny_patch16_224.augreg_in21k_ft_in1k",
            true,
        ),
    ] {
        let has_note = || contains(note).count(usize::from(is_noted));
        let run = |arguments: &[&str], paths: &[&Path]| {
            let mut command = warmstart();
            command.args(arguments).args(paths).assert().success()
        };
        run(&["weights", "inspect"], &[file])
            .said(contains(format!("this is {model}\n")).and(contains(record)))
            .said(has_note());
        let out = dir.path().join(format!("{model}.safetensors"));
        run(&["weights", "convert", "--to", "timm"], &[file, &out])
            .said(contains(format!("tensors of timm's {model} into")))
            .said(has_note());
        let rank = ["rank", "--image-size", "32", "--data"];
        let weights = [data.as_path(), Path::new("--weights"), file];
        run(&rank, &weights).said(contains(model)).said(has_note());
    }
}

#[test]
fn a_network_with_other_positions_or_further_layers_is_refused_and_inspected_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    type Change = fn(&mut Vec<ParameterInfo>);
    let without_class_token: Change = |infos| {
        let positions = infos.iter_mut().find(|info| info.name == "pos_embed");
        positions.unwrap().shape[1] = 14 * 14;
    };
    let with_layer_scales: Change = |infos| {
        let norm = infos
            .iter()
            .find(|info| info.name == "blocks.0.norm1.weight");
        let norm = norm.unwrap().clone();
        infos.extend((0..12).map(|block| ParameterInfo {
            name: format!("blocks.{block}.ls1.gamma"),
            ..norm.clone()
        }));
    };
    for (change, refusal, warning, verdict) in [
        (
            without_class_token,
            "the positions of vit_tiny_patch16_224, pos_embed, do not load: it is [1, 196, 192] in the file, \
             [1, 197, 192] in the model",
            "WARNING: the positions do not load",
            "this is vit_tiny_patch16_224",
        ),
        (
            with_layer_scales,
            "blocks.0.ls1.gamma and 11 more belong to layers that vit_tiny_patch16_224 does not have",
            "WARNING: blocks.0.ls1.gamma and 11 more belong to layers",
            "closest to vit_tiny_patch16_224, with 100% of its backbone",
        ),
    ] {
        let file = published_with(dir.path(), "vit_tiny_patch16_224", change);
        warmstart()
            .args(["weights", "inspect"])
            .arg(&file)
            .assert()
            .success()
            .stdout(contains(warning).and(contains(verdict)));
        let weights = file.to_str().unwrap();
        let arguments = ["--model", "vit_tiny_patch16_224", "--weights", weights];
        train(
            &[&arguments[..], &["--image-size", "32"]].concat(),
            &data,
            &run,
        )
        .code(1)
        .stderr(contains(refusal).and(contains("--allow-partial")));
        assert!(!run.exists());
    }
}
