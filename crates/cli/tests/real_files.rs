//! Weight files that people really have. Needs them: `./quickstart --test-data` fetches them.

mod common;

use std::path::Path;

use common::warmstart;
use predicates::prelude::*;
use predicates::str::contains;

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
fn efficientnet_lite0_is_recognised_though_it_cannot_be_trained_yet() {
    let file = real_file("efficientnet-lite0-57934424.pth");
    warmstart()
        .args(["weights", "inspect", &file])
        .assert()
        .success()
        .stdout(contains("EfficientNet-Lite").and(contains("not supported yet")));
    let dir = tempfile::tempdir().unwrap();
    let data = common::data(dir.path());
    let out = dir.path().join("run");
    warmstart()
        .args(common::small_run(&data, &file, &out))
        .assert()
        .code(1)
        .stderr(contains("only 0 of 260 backbone tensors"));
    assert!(!out.exists());
}
