//! Weight files that people really have. Needs them: `./quickstart --test-data` fetches them.

use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::{self, Said, warmstart};

fn real_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../quickstart-data")
        .join(name);
    assert!(
        path.is_file(),
        "{} is missing: run ./quickstart --test-data first",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}

#[test]
fn torchvisions_mobilenet_v2_is_recognised_and_whole() {
    warmstart()
        .args([
            "weights",
            "inspect",
            &real_file("mobilenet_v2-b0353104.pth"),
        ])
        .assert()
        .success()
        .stdout(contains("legacy pickle").and(contains("features.18.0.weight")))
        .stdout(contains("mobilenet_v2").and(contains("100% of the backbone")));
}

#[test]
fn the_names_of_efficientnet_lite0_tell_its_constants() {
    let file = real_file("efficientnet-lite0-57934424.pth");
    let assumed = "assumed: efficientnet_lite0.lite_pytorch, 224 of 256 pixels bicubic, mean 0.498 0.498 0.498, \
                   deviation 0.502 0.502 0.502, epsilon 1e-3, padding as in TensorFlow";
    warmstart()
        .args(["weights", "inspect", &file])
        .assert()
        .success()
        .stdout(contains("this is efficientnet_lite0\n").and(contains(assumed)));

    let dir = tempfile::tempdir().unwrap();
    let data = common::data(dir.path());
    let picture = data.join("val/checker/100.png");
    // Without a model, with the architecture, with a record that the user knows better.
    for (index, (model, note, recipe)) in [
        (
            None,
            "note: the weights are of efficientnet_lite0.lite_pytorch",
            "efficientnet_lite0.lite_pytorch",
        ),
        (
            Some("efficientnet_lite0"),
            "the names in the weights are those of efficientnet_lite0.lite_pytorch",
            "efficientnet_lite0.lite_pytorch",
        ),
        (
            Some("tf_efficientnet_lite0.in1k"),
            "assumed: tf_efficientnet_lite0.in1k",
            "tf_efficientnet_lite0.in1k",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let out = dir.path().join(format!("run-{index}"));
        let mut arguments = common::small_run(&data, &file, &out);
        let place = arguments
            .iter()
            .position(|&argument| argument == "--model")
            .unwrap();
        match model {
            Some(model) => arguments[place + 1] = model,
            None => drop(arguments.drain(place..place + 2)),
        }
        arguments.extend(["--epochs", "2", "--freeze-epochs", "1"]);
        warmstart()
            .args(arguments)
            .assert()
            .success()
            .said(contains(note))
            .said(contains("model: efficientnet_lite0 (lukemelas names)"))
            .said(contains("backbone: 245 of 245 tensors (100%)"));
        let saved = std::fs::read_to_string(out.join("recipe.toml")).unwrap();
        assert!(saved.contains(&format!("model = \"{recipe}\"")), "{saved}");
        let best = out.join("best.safetensors");
        warmstart()
            .args(["predict", best.to_str().unwrap(), picture.to_str().unwrap()])
            .assert()
            .success();
        // A resumed run keeps its constants.
        warmstart()
            .args(["resume", out.to_str().unwrap(), "--epochs", "3"])
            .assert()
            .success();
    }
}
