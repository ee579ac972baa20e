//! `weights convert` and `weights diff`.

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use warmstart_nn::ParameterInfo;

use crate::common::published::{published, published_with};
use crate::common::{data, pretrained, scenes, small_run, tensors, warmstart};

fn convert(from: &str, to: &Path, naming: &str) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.args(["weights", "convert", from]).arg(to);
    command.args(["--to", naming]).assert()
}

/// Trains a head on a frozen network for an epoch.
fn frozen_run(data: &Path, weights: &str, out: &Path, flags: &[&str]) {
    let mut command = warmstart();
    command.args(["train", "--model", "mobilenet_v2", "--weights", weights]);
    command.args([
        "--image-size",
        "32",
        "--freeze-epochs",
        "1",
        "--epochs",
        "1",
    ]);
    command.arg("--data").arg(data).arg("--out").arg(out);
    command.args(flags).assert().success();
}

#[test]
fn names_change_and_come_back_and_values_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    let [timm, back] =
        ["timm", "back"].map(|name| dir.path().join(name).with_extension("safetensors"));
    convert(&model, &timm, "timm")
        .success()
        .stdout(contains("tensors of timm's mobilenetv2_100 into"))
        .stderr(contains(
            "class names and preprocessing are not in the new file",
        ));
    let (ours, theirs) = (tensors(Path::new(&model)), tensors(&timm));
    assert_eq!(ours.len(), theirs.len());
    for (native, name) in [
        ("features.0.0.weight", "conv_stem.weight"),
        ("features.1.conv.1.weight", "blocks.0.0.conv_pw.weight"),
        (
            "features.17.conv.3.running_var",
            "blocks.6.0.bn3.running_var",
        ),
        ("classifier.1.bias", "classifier.bias"),
    ] {
        assert_eq!(ours[native], theirs[name], "{native}");
    }
    warmstart()
        .args(["weights", "inspect"])
        .arg(&timm)
        .assert()
        .success()
        .stdout(contains("mobilenet_v2").and(contains("timm")));
    convert(timm.to_str().unwrap(), &back, "native")
        .success()
        .stdout(contains("tensors of mobilenetv2_100.ra_in1k into"))
        .stderr(contains("give --model mobilenetv2_100.ra_in1k with them"));
    assert!(tensors(&back) == ours);
    warmstart()
        .args(["weights", "diff", &model])
        .arg(&back)
        .assert()
        .success()
        .stdout(format!("the same in both: {} tensors\n", ours.len()));
}

#[test]
fn a_model_of_ours_stays_one_under_native_names() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = pretrained(dir.path(), &data);
    let copy = dir.path().join("copy.safetensors");
    convert(&model, &copy, "native").success().stderr("");
    warmstart()
        .arg("predict")
        .arg(&copy)
        .arg(data.join("val/vertical"))
        .assert()
        .success();
}

#[test]
fn what_a_library_does_not_know_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let out = dir.path().join("out.safetensors");
    let refused = |from: &str, naming: &str, words: &str| {
        convert(from, &out, naming)
            .failure()
            .stderr(contains(words.to_owned()));
        assert!(!out.exists());
    };
    // A head in closed form reads several layers.
    let several = dir.path().join("several");
    frozen_run(&data, &weights, &several, &[]);
    refused(several.to_str().unwrap(), "timm", "reads several layers");

    let street = scenes::scenes(dir.path(), 4, 64);
    let detector = dir.path().join("detector");
    scenes::train(&street, &detector).success();
    refused(
        detector.to_str().unwrap(),
        "torchvision",
        "it is a detector",
    );

    let lite = dir.path().join("lite");
    let mut arguments = small_run(&data, "none", &lite);
    arguments.extend(["--epochs", "1"]);
    let place = arguments
        .iter()
        .position(|word| *word == "mobilenet_v2")
        .unwrap();
    arguments[place] = "efficientnet_lite0";
    warmstart().args(arguments).assert().success();
    refused(
        lite.to_str().unwrap(),
        "torchvision",
        "torchvision does not have efficientnet_lite0",
    );

    let odd = dir.path().join("odd.safetensors");
    let mut part = tensors(Path::new(&weights));
    part.retain(|name, _| !name.starts_with("features.18."));
    write(&odd, Path::new(&weights), |name| part.contains_key(name));
    refused(
        odd.to_str().unwrap(),
        "timm",
        "such as features.18.0.weight",
    );

    fs::write(&out, "mine").unwrap();
    convert(&weights, &out, "timm")
        .code(2)
        .stderr(contains("it exists already"));
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    convert(&weights, Path::new("x.pth"), "timm")
        .code(2)
        .stderr(contains("a name that ends in .safetensors"));
}

#[test]
fn a_distilled_deit_has_two_classifiers_in_timm() {
    let dir = tempfile::tempdir().unwrap();
    let model = "deit_tiny_distilled_patch16_224";
    let fields = ["weight", "bias"];
    let out = |name: &str| dir.path().join(name).with_extension("safetensors");
    // A file with one has it twice, so that the mean of two answers is its own.
    let one = published(dir.path(), model);
    convert(one.to_str().unwrap(), &out("copied"), "timm")
        .success()
        .stderr(contains("head_dist is a copy of head"));
    let (before, mut after) = (tensors(&one), tensors(&out("copied")));
    for field in fields {
        let copy = after.remove(&format!("head_dist.{field}")).unwrap();
        assert!(copy == before[&format!("head.{field}")], "{field}");
    }
    assert!(after == before);

    // A file with two keeps both, and has one where there is one.
    let two = published_with(dir.path(), model, |infos| {
        let heads = infos.iter().filter(|info| info.name.starts_with("head."));
        let second = heads.map(|info| ParameterInfo {
            name: info.name.replace("head.", "head_dist."),
            ..info.clone()
        });
        let second: Vec<ParameterInfo> = second.collect();
        infos.extend(second);
    });
    let file = two.to_str().unwrap();
    convert(file, &out("kept"), "timm")
        .success()
        .stderr(contains("head_dist").not());
    let before = tensors(&two);
    assert!(before["head.weight"] != before["head_dist.weight"]);
    assert!(tensors(&out("kept")) == before);
    convert(file, &out("native"), "native")
        .success()
        .stderr(contains("head_dist is left out"));
    let native = tensors(&out("native"));
    assert_eq!(native.len(), before.len() - fields.len());
    assert!(native["head.weight"] == before["head.weight"]);
}

#[test]
fn a_classifier_of_dinov2_is_no_timm_s() {
    let dir = tempfile::tempdir().unwrap();
    let model = "vit_small_patch14_dinov2";
    let out = dir.path().join("out.safetensors");
    let whole = published(dir.path(), model);
    convert(whole.to_str().unwrap(), &out, "timm")
        .failure()
        .stderr(contains(
            "its classifier reads the class token and the mean of the patches, and that of timm's \
             vit_small_patch14_dinov2 the class token alone",
        ));
    assert!(!out.exists());
    let backbone = published_with(dir.path(), model, |infos| {
        infos.retain(|info| !info.name.starts_with("head."));
    });
    convert(backbone.to_str().unwrap(), &out, "timm").success();
    assert!(tensors(&out) == tensors(&backbone));
}

/// Writes some of a file's tensors, without its metadata.
fn write(file: &Path, of: &Path, is_kept: impl Fn(&str) -> bool) {
    let bytes = fs::read(of).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let kept = tensors
        .tensors()
        .into_iter()
        .filter(|(name, _)| is_kept(name));
    safetensors::serialize_to_file(kept, None, file).unwrap();
}

#[test]
fn diff_tells_what_differs_and_by_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let before = pretrained(dir.path(), &data);
    let after = dir.path().join("after");
    frozen_run(&data, &before, &after, &["--head", "linear"]);
    let printed = warmstart()
        .args(["weights", "diff", &before])
        .arg(&after)
        .arg("--json")
        .assert()
        .code(1)
        .stderr("");
    let difference: Value = serde_json::from_slice(&printed.get_output().stdout).unwrap();
    let changed = difference["changed"].as_array().unwrap();
    let names: Vec<&str> = changed
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    // The backbone was frozen.
    assert!(
        !names.is_empty() && names.iter().all(|name| name.starts_with("classifier.1.")),
        "{names:?}"
    );
    for one in changed {
        assert!(one["largest"].as_f64().unwrap() > 0.0 && one["relative"].as_f64().unwrap() <= 2.0);
    }
    let same = difference["same"].as_u64().unwrap() as usize;
    assert_eq!(same + changed.len(), tensors(Path::new(&before)).len());
    warmstart()
        .args(["weights", "diff", &before])
        .arg(&after)
        .assert()
        .code(1)
        .stdout(contains("of other values").and(contains("classifier.1.weight [3, 1280]")));
    let timm = dir.path().join("timm.safetensors");
    convert(&before, &timm, "timm").success();
    warmstart()
        .args(["weights", "diff", &before])
        .arg(&timm)
        .assert()
        .code(1)
        .stderr(contains("no name is in both files"));
}
