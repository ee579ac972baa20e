//! Initialization of weights that no file gives.

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{self, data, pretrained, small_run, tensors, warmstart};

#[test]
fn a_check_shows_signal_and_gradient_layer_by_layer() {
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("init.svg");
    let check = |arguments: &[&str]| {
        let mut command = warmstart();
        command.args(["init-check", "--picture", picture.to_str().unwrap()]);
        command.args(arguments).assert()
    };
    check(&["--model", "plain", "--init", "kaiming_normal"])
        .success()
        .stdout(contains("layer30").and(contains("both stay within a factor of a thousand")));
    check(&[
        "--model",
        "plain",
        "--compare",
        "normal(0.01)",
        "normal(0.1)",
    ])
    .success()
    .stdout(contains("the gradient vanishes: ").and(contains("lower layers hardly learn")))
    .stdout(contains("the signal explodes: ").and(contains("picture: ")));
    let svg = fs::read_to_string(&picture).unwrap();
    assert!(
        svg.contains("normal(0.01)") && svg.contains("normal(0.1)"),
        "{svg}"
    );
    let data = data(dir.path());
    let data = data.to_str().unwrap();
    let printed = check(&[
        "--model",
        "resnet18",
        "--image-size",
        "32",
        "--data",
        data,
        "--json",
    ])
    .success();
    let printed: Value = serde_json::from_slice(&printed.get_output().stdout).unwrap();
    assert_eq!(printed["init"], "torchvision");
    assert_eq!(printed["layers"].as_array().unwrap().len(), 20);
    assert_eq!(printed["head"]["name"], "fc");
    assert!(printed["head"]["gradient_deviation"].as_f64().unwrap() > 0.0);
    assert_eq!(printed["findings"], serde_json::json!([]));
    check(&["--model", "resnet18", "--image-size", "32"])
        .success()
        .stdout(contains("\nfc "));
}

#[test]
fn what_is_no_initialization_is_named_with_those_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("run");
    let mut arguments = small_run(&data, "none", &out);
    arguments.extend(["--init", "he"]);
    warmstart()
        .args(arguments)
        .assert()
        .code(2)
        .stderr(contains(
            "`he` is no initialization: it is normal(deviation)",
        ));
    warmstart()
        .args(["init-check", "--model", "alexnet"])
        .assert()
        .code(2)
        .stderr(contains("possible values: mobilenet_v2").and(contains("plain")));
    warmstart()
        .args(["init-check", "--model", "plain", "--data", "pets"])
        .assert()
        .code(2)
        .stderr(contains("leave --data out"));
    warmstart()
        .args(["init-check", "--model", "plain", "--image-size", "64"])
        .assert()
        .code(2)
        .stderr(contains("leave --image-size out"));
    warmstart()
        .args(["init-check", "--model", "plain", "--picture", "init.png"])
        .assert()
        .code(2)
        .stderr(contains("expected a name that ends in .svg"));
    warmstart()
        .args(["init-check", "--model", "plain", "--init", "lsuv"])
        .assert()
        .code(2)
        .stderr(contains(
            "lsuv scales convolutions, and the plain network has none",
        ));
    warmstart()
        .args([
            "init-check",
            "--model",
            "plain",
            "--picture",
            "no/such/folder.svg",
        ])
        .assert()
        .code(1)
        .stderr(contains("could not write no/such/folder.svg"));
    let recipe = dir.path().join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = 'none'\nimage_size = 32\n\
         [init.by_name]\nlayer4 = 'orthogonal'\n",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    warmstart()
        .arg("train")
        .arg(&recipe)
        .arg("--out")
        .arg(&out)
        .assert()
        .code(2)
        .stderr(contains(
            "mobilenet_v2 has no convolution or linear layer `layer4`",
        ));
    assert!(!out.exists());
}

#[test]
fn a_recipe_initializes_by_kind_and_by_name_and_only_what_no_file_gives() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    // With hardly any training, so that the initial values show.
    let run = |name: &str, weights: &str, init: &str| {
        let recipe = dir.path().join(format!("{name}.toml"));
        let text = format!(
            "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 32\n{init}\n\
             [[phase]]\nname = 'still'\ntrain = 'all'\nepochs = 1\nbatch = 8\nlr = 1e-30\nweight_decay = 0.0\n",
            data.display()
        );
        fs::write(&recipe, text).unwrap();
        let run = dir.path().join(name);
        let mut command = warmstart();
        let assert = command
            .arg("train")
            .arg(&recipe)
            .arg("--out")
            .arg(&run)
            .assert()
            .success();
        let said = common::said(assert.get_output());
        (tensors(&run.join("best.safetensors")), said)
    };
    let deviation = |bytes: &[u8]| {
        let values = bytes
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        let (mut sum, mut count) = (0.0, 0.0);
        values.for_each(|value| {
            sum += value * value;
            count += 1.0;
        });
        (sum / count).sqrt()
    };
    let near = |bytes: &[u8], expected: f64| (deviation(bytes) / expected - 1.0).abs() < 0.1;
    let table = "init = { weights = 'normal(0.05)', linear = 'normal(0.2)', zero_last_norm = true, \
                 by_name = { 'features.18' = 'normal(0.4)' } }";
    let (model, said) = run("table", "none", table);
    assert!(
        said.contains("normal(0.05), linear layers normal(0.2), features.18 normal(0.4), residual branches zero"),
        "{said}"
    );
    for (name, expected) in [
        ("features.5.conv.0.0.weight", 0.05),
        ("classifier.1.weight", 0.2),
        ("features.18.0.weight", 0.4),
        // A branch with a shortcut, and one without.
        ("features.3.conv.3.weight", 0.0),
        ("features.2.conv.3.weight", 1.0),
    ] {
        let found = &model[name];
        match expected {
            // Except for one tiny step.
            0.0 => assert!(deviation(found) < 1e-20, "{name}"),
            expected => assert!(near(found, expected), "{name}: {}", deviation(found)),
        }
    }
    // The same seed, the same bits, also where data decide.
    let (first, _) = run("first", "none", "init = 'lsuv'");
    let (second, _) = run("second", "none", "init = 'lsuv'");
    assert!(first == second);
    assert!(first["features.5.conv.0.0.weight"] != model["features.5.conv.0.0.weight"]);
    let (named, _) = run(
        "named",
        "none",
        "init = { weights = 'lsuv', by_name = { 'features.18' = 'normal(0.4)' } }",
    );
    assert!(near(&named["features.18.0.weight"], 0.4));
    assert!(named["features.5.conv.0.0.weight"] == first["features.5.conv.0.0.weight"]);
    let before = tensors(Path::new(&weights));
    let (loaded, _) = run("loaded", &weights, "init = 'lsuv'");
    assert!(loaded["features.5.conv.0.0.weight"] == before["features.5.conv.0.0.weight"]);
}
