//! Learning rates from a few steps.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{data, pretrained, small_run, warmstart};

#[test]
fn every_phase_gets_a_suggestion_and_nothing_else_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let before = fs::read(&weights).unwrap();
    let out = dir.path().join("run");
    let picture = dir.path().join("rates.svg");
    let find = |more: &[&str]| {
        let mut arguments = small_run(&data, &weights, &out);
        arguments[0] = "lr-find";
        arguments.extend(["--picture", picture.to_str().unwrap()]);
        arguments.extend(["--head", "linear"]);
        arguments.extend(more);
        warmstart().args(arguments).assert().success()
    };
    find(&[]).stdout(
        contains("freeze: ")
            .and(contains("thaw: "))
            .and(contains("picture: ")),
    );
    assert!(!out.exists(), "no run is made");
    assert_eq!(
        fs::read(&weights).unwrap(),
        before,
        "the weights are untouched"
    );
    let svg = fs::read_to_string(&picture).unwrap();
    assert!(svg.contains("learning rate") && svg.contains("freeze: ") && svg.contains("thaw: "));

    let json = |threads| {
        find(&["--json", "--threads", threads])
            .get_output()
            .stdout
            .clone()
    };
    let printed = json("1");
    assert_eq!(printed, json("2"), "the same seed, the same figures");
    let sweeps: Vec<Value> = String::from_utf8(printed)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [freeze, thaw] = &sweeps[..] else {
        panic!("two phases: {sweeps:?}")
    };
    assert_eq!(
        (&freeze["phase"], &thaw["phase"]),
        (&"freeze".into(), &"thaw".into())
    );
    for sweep in &sweeps {
        let suggestion = sweep["suggestion"].as_f64();
        assert!(
            suggestion.is_none_or(|lr| (1e-7..=0.1).contains(&lr)),
            "{sweep}"
        );
    }
    for sweep in &sweeps {
        let curve = sweep["curve"].as_array().unwrap();
        assert!((20..=100).contains(&curve.len()));
        assert!(
            curve.iter().all(|point| point["loss"].is_f64()),
            "every loss is a number"
        );
    }
}
