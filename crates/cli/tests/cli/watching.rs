//! The health of a network in training, in metrics.jsonl and in messages.

use serde_json::Value;

use crate::common::{data, metrics, outcome, pretrained, small_run, warmstart};

#[test]
fn every_epoch_says_how_each_trained_stage_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, &weights, &run);
    arguments.extend([
        "--head",
        "linear",
        "--freeze-epochs",
        "1",
        "--epochs",
        "2",
        "--health-every",
        "3",
    ]);
    warmstart().args(arguments).assert().success();
    let metrics = metrics(&run);
    let steps = |record: usize| -> Vec<u64> {
        let health = metrics[record]["health"].as_array().unwrap();
        health
            .iter()
            .map(|step| step["step"].as_u64().unwrap())
            .collect()
    };
    // 27 images are three batches of eight and a part of one, and while frozen six of four and a part. The ninth step of
    // the run is the second thawed one.
    assert_eq!((steps(0), steps(1)), (vec![3, 6], vec![2, 3]));
    let stages = |record: usize| metrics[record]["health"][0]["stages"].as_array().unwrap();
    let [head] = &stages(0)[..] else {
        panic!("the frozen backbone does not learn")
    };
    assert_eq!(
        (&head["stage"], head.get("activation_std")),
        (&"head".into(), None)
    );
    assert_eq!(stages(1).len(), 20, "19 stages and the head");
    for stage in stages(1) {
        let figure = |name: &str| stage[name].as_f64();
        assert!(figure("gradient_norm").unwrap() > 0.0, "{stage}");
        assert!(figure("update_ratio").unwrap() > 0.0, "{stage}");
        if stage["stage"] != "head" {
            assert!(figure("activation_std").unwrap() > 0.0, "{stage}");
            let dead = figure("dead_units");
            assert!(
                dead.is_none_or(|dead| (0.0..=1.0).contains(&dead)),
                "{stage}"
            );
            assert_eq!(
                stage["batch_norm_drift"],
                Value::Null,
                "its statistics are frozen"
            );
        }
    }
}

#[test]
fn watching_does_not_change_the_result() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = |name: &str, every: &str| {
        let run = dir.path().join(name);
        let mut arguments = small_run(&data, "none", &run);
        arguments.extend(["--epochs", "2", "--health-every", every]);
        warmstart().args(arguments).assert().success();
        outcome(&run, 2).0
    };
    assert!(run("often", "1") == run("seldom", "100"));
}

#[test]
fn each_problem_is_reported_once_with_what_to_try() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = dir.path().join("run");
    let mut arguments = small_run(&data, "none", &run);
    arguments.extend(["--epochs", "3", "--lr", "0.3", "--optimizer", "adam"]);
    let output = warmstart().args(arguments).assert().success();
    let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert_eq!(
        said.matches("a step changes the weights of").count(),
        1,
        "{said}"
    );
    assert!(said.contains("warmstart lr-find"), "{said}");
}
