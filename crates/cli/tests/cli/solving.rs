//! Heads in closed form: solved once, kept beside an ordinary model, and solved again after the thaw.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{
    self, CLASSES, copy, data, metrics, outcome, pictures, pretrained, small_run, tensors,
    warmstart,
};

const SEVERAL: &str = "multi_head.";
const FROZEN: &str = "frozen_top.";
const KNOWN: &str = "known.";

/// Images and weights for the runs of a test.
struct Setup {
    dir: tempfile::TempDir,
    data: PathBuf,
    weights: String,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        pictures(&data.join("train"), &CLASSES, 200, 20);
        pictures(&data.join("test"), &CLASSES, 500, 5);
        let weights = pretrained(dir.path(), &data);
        Self { dir, data, weights }
    }

    /// Trains with some flags, and returns the run and its messages.
    fn train(&self, name: &str, flags: &[&str]) -> (PathBuf, String) {
        let out = self.dir.path().join(name);
        let mut command = warmstart();
        command.arg("train").arg("--data").arg(&self.data);
        command.args([
            "--weights",
            &self.weights,
            "--image-size",
            "32",
            "--fit",
            "crop",
        ]);
        let output = command
            .args(flags)
            .arg("--out")
            .arg(&out)
            .assert()
            .success();
        let said = common::said(output.get_output());
        (out, said)
    }
}

fn summary(run: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
}

/// The accuracy of a run's model on its validation images, by `eval`.
fn accuracy(run: &Path) -> f64 {
    let output = warmstart()
        .arg("eval")
        .arg(run)
        .arg("--json")
        .assert()
        .success();
    let result: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    result["top_1"].as_f64().unwrap()
}

#[test]
fn a_solved_head_is_one_epoch_and_the_thaw_keeps_its_own() {
    let setup = Setup::new();
    let (run, said) = setup.train("run", &["--freeze-epochs", "3", "--epochs", "5"]);
    assert!(
        said.contains("ridge head on 4 layers (features.13.conv.2, "),
        "{said}"
    );
    let metrics = metrics(&run);
    let phases: Vec<&Value> = metrics.iter().map(|record| &record["phase"]).collect();
    assert_eq!(phases, ["freeze", "thaw", "thaw"]);
    for figure in ["leave_one_out", "last_layer"] {
        let share = metrics[0][figure].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{figure}: {share}");
        assert!(!metrics[1].contains_key(figure));
    }
    let summary = summary(&run);
    let guard = &summary["guard"];
    for candidate in ["probe", "thawed", "mean"] {
        assert!(guard[candidate]["value"].is_number(), "{guard}");
    }
    assert_eq!(summary["kept"]["kind"], guard["kind"]);
    assert_eq!(accuracy(&run), summary["kept"]["value"]);
    assert!(summary["test"]["metric"].is_number());
}

#[test]
fn without_the_tensors_of_several_layers_the_file_is_an_ordinary_model() {
    let setup = Setup::new();
    let (several, _) = setup.train("several", &["--freeze-epochs", "1", "--epochs", "1"]);
    let layer = [
        "--head-layers",
        "last",
        "--freeze-epochs",
        "1",
        "--epochs",
        "1",
    ];
    let (last, said) = setup.train("last", &layer);
    assert!(said.contains("ridge head on the last layer"), "{said}");
    let mut own = tensors(&several.join("best.safetensors"));
    assert!(own.keys().any(|name| name.starts_with(SEVERAL)));
    let is_beside = |name: &str| name.starts_with(SEVERAL) || name.starts_with(KNOWN);
    own.retain(|name, _| !is_beside(name));
    let mut alone = tensors(&last.join("best.safetensors"));
    assert!(alone.keys().any(|name| name.starts_with(KNOWN)));
    alone.retain(|name, _| !is_beside(name));
    assert!(own == alone, "the same model");
    let (of_both, of_last) = (metrics(&several), metrics(&last));
    assert_eq!(of_both[0]["last_layer"], of_last[0]["metric"]);
    assert_eq!(accuracy(&last), of_last[0]["metric"]);
    // As weights it is that model, too.
    let again = setup.dir.path().join("again");
    let model = several.join("best.safetensors");
    let mut arguments = small_run(&setup.data, model.to_str().unwrap(), &again);
    arguments.extend(["--freeze-epochs", "0", "--epochs", "1"]);
    warmstart().args(arguments).assert().success();
    let report = fs::read_to_string(again.join("load-report.txt")).unwrap();
    assert!(
        report.contains("head: 2 of 2 tensors") && report.contains("unused: none"),
        "{report}"
    );
}

#[test]
fn the_mean_of_both_models_is_one_file_that_predicts_as_it_was_measured() {
    let setup = Setup::new();
    // Labels that are wrong make both models uncertain, each in its own way.
    for (class, wrong) in CLASSES.iter().zip(CLASSES.iter().cycle().skip(1)) {
        for variant in 200..208 {
            let [from, to] = [class, wrong].map(|class| setup.data.join("train").join(class));
            let moved = to.join(format!("{class}-{variant}.png"));
            fs::rename(from.join(format!("{variant}.png")), moved).unwrap();
        }
    }
    let mut kinds = Vec::new();
    for lr in ["1e-4", "2e-4", "3e-4", "5e-4", "1e-3", "2e-3"] {
        let text = format!(
            "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{}'\nimage_size = 32\nfit = 'crop'\n\
             [[phase]]\nname = 'freeze'\ntrain = 'head'\nepochs = 1\n\
             [[phase]]\nname = 'thaw'\ntrain = 'from:features.14'\nepochs = 2\nbatch = 8\nlr = {lr}\n",
            setup.data.display(),
            setup.weights
        );
        let recipe = setup.dir.path().join("recipe.toml");
        fs::write(&recipe, text).unwrap();
        let run = setup.dir.path().join(lr);
        let mut train = warmstart();
        train.arg("train").arg(&recipe).arg("--out").arg(&run);
        train.assert().success();
        let summary = summary(&run);
        assert_eq!(accuracy(&run), summary["kept"]["value"], "{summary}");
        let names = tensors(&run.join("best.safetensors"));
        let twin: Vec<_> = names
            .keys()
            .filter_map(|name| name.strip_prefix(FROZEN))
            .collect();
        let kind = summary["kept"]["kind"].as_str().unwrap().to_owned();
        assert_eq!(!twin.is_empty(), kind == "mean", "{summary}");
        let is_shared = |name: &&&str| name.starts_with("features.13.conv.0");
        assert_eq!(twin.iter().find(is_shared), None);
        if kind == "mean" {
            // The frozen stages are no second network to look for.
            warmstart()
                .args(["weights", "inspect"])
                .arg(run.join("best.safetensors"))
                .assert()
                .success()
                .stdout(contains("set aside: ").and(contains("frozen_top. (")))
                .stdout(contains("it fits under").not());
            // As weights it is the thawed network alone.
            let again = setup.dir.path().join(format!("from-{lr}"));
            let mut train = warmstart();
            train.arg("train").arg("--data").arg(&setup.data);
            train.args([
                "--image-size",
                "32",
                "--freeze-epochs",
                "0",
                "--epochs",
                "1",
            ]);
            train.arg("--weights").arg(&run).arg("--out").arg(&again);
            train.assert().success();
            let report = fs::read_to_string(again.join("load-report.txt")).unwrap();
            assert!(
                report.contains("unused: none") && !report.contains(FROZEN),
                "{report}"
            );
        }
        kinds.push(kind);
    }
    assert!(kinds.contains(&"mean".to_owned()), "{kinds:?}");
}

#[test]
fn the_same_bits_on_one_thread_or_many_with_a_cache_or_without() {
    let setup = Setup::new();
    let cache = setup.dir.path().join("cache");
    let cache = cache.to_str().unwrap();
    let flags = |rest: &[&'static str]| [&["--freeze-epochs", "1", "--epochs", "2"], rest].concat();
    let (one, _) = setup.train("one", &flags(&["--threads", "1", "--no-cache"]));
    let (many, _) = setup.train("many", &flags(&["--threads", "3", "--no-cache"]));
    let mut cached = flags(&[]);
    cached.extend(["--cache", cache]);
    let (filled, _) = setup.train("filled", &cached);
    let (full, said) = setup.train("full", &cached);
    assert!(
        said.contains("87 of 87 for training and 12 of 12 for validation"),
        "{said}"
    );
    let outcome = |run: &Path| {
        (
            fs::read(run.join("best.safetensors")).unwrap(),
            metrics(run),
        )
    };
    for other in [&many, &filled, &full] {
        assert!(outcome(&one) == outcome(other), "{}", other.display());
    }
    // Another choice of layers finds what it shares.
    let mut fewer = cached.clone();
    fewer.extend(["--head-layers", "features.13.conv.2"]);
    let (_, said) = setup.train("fewer", &fewer);
    assert!(
        said.contains("87 of 87 for training and 12 of 12 for validation"),
        "{said}"
    );
}

#[test]
fn a_run_that_goes_on_after_its_head_was_found_ends_in_the_same_bytes() {
    let setup = Setup::new();
    let (run, _) = setup.train("run", &["--freeze-epochs", "1", "--epochs", "3"]);
    let again = setup.dir.path().join("again");
    copy(&run, &again);
    let mut resume = warmstart();
    resume.arg("resume").arg(&again).args(["--from-epoch", "1"]);
    resume.assert().success();
    assert!(outcome(&run, 3) == outcome(&again, 3));
    // The kept model is made again where it is lost.
    fs::remove_file(again.join("best.safetensors")).unwrap();
    warmstart().arg("resume").arg(&again).assert().success();
    assert!(outcome(&run, 3) == outcome(&again, 3));
    // A head gains nothing from more epochs.
    let (solved, _) = setup.train("solved", &["--freeze-epochs", "1", "--epochs", "1"]);
    let mut longer = warmstart();
    longer.arg("resume").arg(&solved).args(["--epochs", "5"]);
    longer
        .assert()
        .code(2)
        .stderr(contains("solves for a head"));
}

#[test]
fn a_layer_that_is_not_there_is_named() {
    let setup = Setup::new();
    let out = setup.dir.path().join("run");
    for (flags, words) in [
        (["--head-layers", "layer3.1"], "has no stage `layer3.1`"),
        (["--head-layers", "a,a"], "`a` is named twice"),
        (["--head", "solved"], "ridge"),
    ] {
        let mut arguments = small_run(&setup.data, &setup.weights, &out);
        arguments.extend(flags);
        let refused = warmstart().args(arguments).assert().failure();
        refused.stderr(contains(words).and(contains("panicked").not()));
        assert!(!out.exists());
    }
}

#[test]
fn without_held_out_images_leaving_each_out_is_the_metric() {
    let setup = Setup::new();
    fs::remove_dir_all(setup.data.join("val")).unwrap();
    let (run, said) = setup.train("run", &["--val-split", "0"]);
    assert!(said.contains("none held out for validation"), "{said}");
    let metrics = metrics(&run);
    assert_eq!(metrics.len(), 1, "the head alone is solved");
    assert_eq!(metrics[0]["metric"], metrics[0]["leave_one_out"]);
    assert!(!metrics[0].contains_key("last_layer"));
    let summary = summary(&run);
    assert_eq!(summary["kept"]["value"], metrics[0]["metric"]);
    let interval = &summary["kept"]["interval"];
    assert!(interval["low"].as_f64() < interval["high"].as_f64());
    assert!(
        summary["test"]["metric"].is_number(),
        "a test split is measured"
    );
    let listed = fs::read_to_string(run.join("data-files.txt")).unwrap();
    assert!(listed.contains("train\t") && !listed.contains("val\t"));
    let eval = warmstart().arg("eval").arg(&run).assert().failure();
    eval.stderr(contains("has no images of the split `val`"));
    let resumed = warmstart()
        .arg("resume")
        .arg(&run)
        .args(["--epochs", "3"])
        .assert();
    resumed
        .code(2)
        .stderr(contains("start a run with this one as its weights"));
    let refused = warmstart()
        .arg("train")
        .arg("--data")
        .arg(&setup.data)
        .args([
            "--weights",
            &setup.weights,
            "--val-split",
            "0",
            "--epochs",
            "5",
        ])
        .arg("--out")
        .arg(setup.dir.path().join("thawed"))
        .assert();
    refused.code(2).stderr(
        contains("phase \"thaw\" trains by steps, and no validation image chooses its epoch")
            .and(contains("--val-split")),
    );
    let scenes = warmstart()
        .arg("train")
        .arg("--data")
        .arg(&setup.data)
        .args(["--weights", &setup.weights, "--val-split", "1"])
        .assert();
    scenes.code(2).stderr(contains("from 0 to below 1"));
}

#[test]
fn the_labels_that_other_images_speak_against_are_listed_first() {
    let setup = Setup::new();
    let train = setup.data.join("train");
    let [from, to] = [CLASSES[0], CLASSES[1]].map(|class| train.join(class));
    let mut pictures: Vec<PathBuf> = fs::read_dir(&from)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pictures.sort();
    let wrong = &pictures[..2];
    for picture in wrong {
        let name = format!("wrong-{}", picture.file_name().unwrap().to_str().unwrap());
        fs::rename(picture, to.join(name)).unwrap();
    }
    let (run, said) = setup.train("run", &["--freeze-epochs", "1", "--epochs", "1"]);
    assert!(said.contains("training labels are doubtful"), "{said}");
    let table = fs::read_to_string(run.join("doubts.csv")).unwrap();
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(
        lines[0].join(" "),
        "file label label_probability probable probability doubtful"
    );
    let images = fs::read_to_string(run.join("data-files.txt")).unwrap();
    let training = images.lines().filter(|line| line.starts_with("train\t"));
    assert_eq!(lines.len() - 1, training.count(), "every training image");
    let probabilities: Vec<f64> = lines[1..]
        .iter()
        .map(|line| line[2].parse().unwrap())
        .collect();
    assert!(probabilities.is_sorted());
    let place = |line: &&Vec<&str>| line[0].contains("wrong-");
    let first = lines[1..].iter().take(lines.len() / 3);
    assert_eq!(first.filter(place).count(), wrong.len(), "{table}");
    let of_wrong = lines.iter().find(place).unwrap();
    assert_eq!([of_wrong[1], of_wrong[3]], [CLASSES[1], CLASSES[0]]);
}

#[test]
fn a_picture_unlike_all_training_pictures_scores_highest() {
    let setup = Setup::new();
    let (run, _) = setup.train("run", &["--freeze-epochs", "1", "--epochs", "1"]);
    let grey = setup.dir.path().join("grey.png");
    image::RgbImage::from_pixel(64, 64, image::Rgb([127; 3]))
        .save(&grey)
        .unwrap();
    let learned = setup.data.join("train").join(CLASSES[0]);
    let learned = fs::read_dir(learned).unwrap().next().unwrap().unwrap();
    let predict = |run: &Path, flags: &[&str]| {
        let mut command = warmstart();
        command
            .arg("predict")
            .arg(run)
            .arg(learned.path())
            .arg(&grey);
        command.args(flags).assert()
    };
    let said = |assert: assert_cmd::assert::Assert| {
        String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
    };
    let lines = said(predict(&run, &["--json"]));
    let judged = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let unknown = &line["unknown"];
        (
            unknown["score"].as_f64().unwrap(),
            unknown["is_unknown"].as_bool().unwrap(),
        )
    });
    let judged: Vec<(f64, bool)> = judged.collect();
    let [learned_score, grey_score] = [judged[0].0, judged[1].0];
    assert!(0.0 <= learned_score && learned_score < grey_score && grey_score <= 1.0);
    let words = said(predict(&run, &["--unknown"]));
    let marked = words
        .lines()
        .map(|line| line.contains("unlike all training images"));
    let expected: Vec<bool> = judged.iter().map(|judged| judged.1).collect();
    assert_eq!(marked.collect::<Vec<_>>(), expected);
    // Steps leave no record of pictures.
    let linear = ["--head", "linear", "--freeze-epochs", "1", "--epochs", "1"];
    let (linear, _) = setup.train("linear", &linear);
    let line = said(predict(&linear, &["--json"]));
    assert!(!line.contains("unknown"), "{line}");
    predict(&linear, &["--unknown"])
        .code(2)
        .stderr(contains("this one has none"));
}
