//! Frozen features are computed once, and the cache changes no result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use predicates::prelude::*;
use predicates::str::contains;

#[cfg(target_os = "linux")]
use crate::common::process;
use crate::common::{self, data, outcome, pretrained, small_run, warmstart};

const EPOCHS: usize = 5;

/// A recipe of frozen epochs that see `views` of each image, and a thawed one.
struct Setup {
    dir: tempfile::TempDir,
    recipe: PathBuf,
}

impl Setup {
    fn new(train: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        let weights = pretrained(dir.path(), &data);
        let recipe = dir.path().join("recipe.toml");
        let text = format!(
            "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 32\nfit = 'crop'\n\
             [[phase]]\nname = 'freeze'\ntrain = '{train}'\nepochs = 4\nbatch = 10\nviews = 2\n\
             [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 1\nbatch = 8\n",
            data.display()
        );
        fs::write(&recipe, text).unwrap();
        Self { dir, recipe }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn run(&self, name: &str, flags: &[&str]) -> (PathBuf, String) {
        let out = self.dir.path().join(name);
        let mut command = warmstart();
        command
            .arg("train")
            .arg(&self.recipe)
            .arg("--out")
            .arg(&out);
        let output = command.args(flags).assert().success();
        let text = common::said(output.get_output());
        (out, text)
    }

    /// A process that trains with the cache, to be started and killed.
    fn child(&self, out: &Path) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("warmstart"));
        command.arg("train").arg(&self.recipe).arg("--out").arg(out);
        command
            .env("LC_ALL", "C")
            .arg("--cache")
            .arg(self.cache())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn cached(&self, name: &str, flags: &[&str]) -> (PathBuf, String) {
        let cache = self.cache();
        let mut all = vec!["--cache", cache.to_str().unwrap()];
        all.extend(flags);
        self.run(name, &all)
    }
}

fn features(cache: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(cache)
        .unwrap()
        .map(|file| file.unwrap().path());
    files.collect()
}

#[test]
fn with_a_cache_cold_or_warm_and_without_the_result_is_the_same() {
    for train in ["head", "from:features.17"] {
        let setup = Setup::new(train);
        let (without, _) = setup.run("without", &["--no-cache"]);
        let expected = outcome(&without, EPOCHS);
        let (cold, said) = setup.cached("cold", &["--threads", "2"]);
        assert!(said.contains("0 of 54 for training and 0 of 12"), "{said}");
        let (warm, said) = setup.cached("warm", &["--threads", "1"]);
        assert!(
            said.contains("54 of 54 for training and 12 of 12"),
            "{said}"
        );
        assert!(outcome(&cold, EPOCHS) == expected, "{train}, cold");
        assert!(outcome(&warm, EPOCHS) == expected, "{train}, warm");
    }
}

/// The planned seconds and memory of the frozen phase.
fn planned(run: &Path) -> [f64; 2] {
    let text = fs::read_to_string(run.join("plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    ["seconds", "planned_mb"].map(|key| plan["phases"][0][key].as_f64().unwrap())
}

#[test]
fn a_plan_knows_which_features_are_there() {
    let setup = Setup::new("head");
    let larger = fs::read_to_string(&setup.recipe)
        .unwrap()
        .replace("image_size = 32", "image_size = 128");
    fs::write(&setup.recipe, larger).unwrap();
    let [cold, warm] = ["cold", "warm"].map(|name| planned(&setup.cached(name, &[]).0));
    assert!(
        warm[0] < 0.5 * cold[0],
        "{warm:?} s and MB, {cold:?} before"
    );
    assert!(
        warm[1] < 0.9 * cold[1],
        "{warm:?} s and MB, {cold:?} before"
    );
}

#[test]
fn a_plan_states_the_size_of_the_cache_on_disk() {
    for train in ["head", "from:features.17"] {
        let setup = Setup::new(train);
        let (run, said) = setup.cached("run", &[]);
        let text = fs::read_to_string(run.join("plan.json")).unwrap();
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
        let planned = plan["phases"][0]["cached_mb"].as_f64().unwrap();
        let files = features(&setup.cache());
        let bytes: u64 = files
            .iter()
            .map(|file| fs::metadata(file).unwrap().len())
            .sum();
        assert_eq!((planned * 1e6).round() as u64, bytes, "{train}");
        assert_eq!(plan["phases"][1]["cached_mb"], 0.0);
        let line = format!("cached features on disk: freeze {planned:.1} MB");
        assert!(said.contains(&line), "{said}");
        let (_, said) = setup.run("small", &["--cache-limit", "1kB"]);
        assert!(said.contains("freeze: its features take"), "{said}");
    }
}

#[test]
fn views_come_round_and_fresh_ones_do_not() {
    let setup = Setup::new("head");
    let (two, _) = setup.run("two", &["--no-cache"]);
    let fresh = fs::read_to_string(&setup.recipe)
        .unwrap()
        .replace("views = 2", "views = 'fresh'");
    fs::write(&setup.recipe, fresh).unwrap();
    let (fresh, said) = setup.cached("fresh", &[]);
    assert!(!said.contains("frozen features"), "{said}");
    assert!(!setup.cache().exists());
    assert!(outcome(&two, EPOCHS) != outcome(&fresh, EPOCHS));
}

#[test]
fn killed_while_filling_the_cache_it_ends_in_the_same_bytes() {
    let setup = Setup::new("head");
    let (without, _) = setup.run("without", &["--no-cache"]);
    let expected = outcome(&without, EPOCHS);
    let started = Instant::now();
    assert!(
        setup
            .child(&setup.dir.path().join("timed"))
            .status()
            .unwrap()
            .success()
    );
    let length = started.elapsed();
    for part in 0..10 {
        fs::remove_dir_all(setup.cache()).unwrap();
        let run = setup.dir.path().join(format!("killed-{part}"));
        let mut child = setup.child(&run).spawn().unwrap();
        while !run.join("recipe.toml").exists() || !setup.cache().exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(length.mul_f64(0.05 * f64::from(part)));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut resume = warmstart();
        resume
            .arg("resume")
            .arg(&run)
            .arg("--cache")
            .arg(setup.cache());
        resume.assert().success();
        assert!(outcome(&run, EPOCHS) == expected, "killed in part {part}");
    }
}

#[test]
fn damaged_features_are_computed_again() {
    let setup = Setup::new("head");
    let (cold, _) = setup.cached("cold", &[]);
    let expected = outcome(&cold, EPOCHS);
    let files = features(&setup.cache());
    assert_eq!(files.len(), 2);
    for (number, damage) in [
        |bytes: &mut Vec<u8>| {
            bytes
                .iter_mut()
                .skip(5000)
                .step_by(4001)
                .for_each(|byte| *byte ^= 1)
        },
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2),
        |bytes: &mut Vec<u8>| bytes.clear(),
        |bytes: &mut Vec<u8>| bytes.resize(bytes.len() * 2, 7),
    ]
    .into_iter()
    .enumerate()
    {
        for file in &files {
            let mut bytes = fs::read(file).unwrap();
            damage(&mut bytes);
            fs::write(file, bytes).unwrap();
        }
        let (run, said) = setup.cached(&format!("damaged-{number}"), &[]);
        assert!(said.contains("frozen features"), "{said}");
        if number == 0 {
            // No feature is read only to be counted: damage is found where one is used.
            assert!(
                said.contains("54 of 54 for training and 12 of 12"),
                "{said}"
            );
        }
        assert!(outcome(&run, EPOCHS) == expected, "damage {number}");
    }
}

#[test]
fn two_runs_that_fill_the_same_cache_do_not_disturb_each_other() {
    let setup = Setup::new("head");
    let (without, _) = setup.run("without", &["--no-cache"]);
    let expected = outcome(&without, EPOCHS);
    let runs = ["a", "b"].map(|name| setup.dir.path().join(name));
    let children = runs.each_ref().map(|run| setup.child(run).spawn().unwrap());
    for (mut child, run) in children.into_iter().zip(&runs) {
        assert!(child.wait().unwrap().success());
        assert!(outcome(run, EPOCHS) == expected);
    }
    let (_, said) = setup.cached("after", &[]);
    assert!(said.contains("54 of 54 for training"), "{said}");
}

#[test]
fn a_cache_that_cannot_be_created_is_reported_and_the_run_continues() {
    let setup = Setup::new("head");
    let (without, _) = setup.run("without", &["--no-cache"]);
    let expected = outcome(&without, EPOCHS);
    let file = setup.dir.path().join("a file");
    fs::write(&file, "").unwrap();
    let small = ["--cache-limit", "10KB"];
    let cases = [
        setup.run("in-a-file", &["--cache", file.to_str().unwrap()]),
        setup.cached("too-small", &small),
    ];
    for ((run, said), reason) in cases.into_iter().zip(["a file", "the limit is 0 MB"]) {
        assert!(said.contains("frozen features are not cached in"), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(outcome(&run, EPOCHS) == expected, "{reason}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_turns_the_cache_off_and_the_run_continues() {
    let setup = Setup::new("head");
    let (cold, _) = setup.cached("cold", &[]);
    let expected = outcome(&cold, EPOCHS);
    for file in features(&setup.cache()) {
        fs::remove_file(&file).unwrap();
        // It takes no byte, like a full disk.
        std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    }
    let (run, said) = setup.cached("full", &[]);
    assert!(said.contains("No space left"), "{said}");
    assert!(said.contains("every epoch computes them again"), "{said}");
    assert!(outcome(&run, EPOCHS) == expected);
}

/// In a file system in memory, which is full before all files are written.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_keeps_what_is_there_and_the_run_continues() {
    let setup = Setup::new("head");
    let (without, _) = setup.run("without", &["--no-cache"]);
    let expected = outcome(&without, EPOCHS);
    let script = r#"
        for run in first second; do
            "$WARMSTART" train recipe.toml --cache disk/cache --out $run 2>> log
        done
    "#;
    let words = process::on_a_small_disk(setup.dir.path(), "200k", script);
    assert!(words.contains("No space left"), "{words}");
    assert!(words.contains("missing ones are computed in"), "{words}");
    let found: Vec<u32> = words
        .split("frozen features: ")
        .skip(1)
        .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(found[0] == 0 && (1..54).contains(&found[1]), "{words}");
    for run in ["first", "second"] {
        assert!(
            outcome(&setup.dir.path().join(run), EPOCHS) == expected,
            "{run}"
        );
    }
}

#[test]
fn other_weights_data_or_seeds_have_features_of_their_own() {
    let setup = Setup::new("head");
    setup.cached("first", &[]);
    let (_, said) = setup.cached("other-seed", &["--seed", "7"]);
    assert!(said.contains("0 of 54 for training and 12 of 12"), "{said}");
    let picture = setup.dir.path().join("data/val/vertical/100.png");
    fs::copy(setup.dir.path().join("data/val/vertical/101.png"), picture).unwrap();
    let (_, said) = setup.cached("other-picture", &[]);
    assert!(said.contains("54 of 54 for training and 0 of 12"), "{said}");
    let (_, said) = setup.cached("no-weights", &["--weights", "none"]);
    assert!(said.contains("0 of 54 for training and 0 of 12"), "{said}");
}

#[test]
fn the_cache_is_listed_and_cleared() {
    let setup = Setup::new("head");
    setup.cached("run", &[]);
    let cache = |command: &str| {
        let mut warmstart = warmstart();
        warmstart
            .args(["cache", command, "--cache"])
            .arg(setup.cache());
        warmstart
    };
    cache("list").assert().success().stdout(
        contains("mobilenet_v2, train head: 27 training images, 2 views")
            .and(contains("12 validation images"))
            .and(contains("2 files")),
    );
    cache("clear")
        .assert()
        .success()
        .stdout(contains("removed 2 files"));
    cache("list").assert().success().stdout(contains("0 files"));
}

#[test]
fn views_without_a_frozen_phase_are_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("run");
    for (flags, words) in [
        (
            vec!["--views", "4"],
            "--views has no effect: the run has 0 frozen",
        ),
        (
            vec!["--views", "0", "--freeze-epochs", "1"],
            "views of phase \"freeze\" is 0; it must be \"fresh\", or from 1 to 1000",
        ),
        (
            vec!["--views", "many"],
            "expected a number or \"fresh\", found \"many\"",
        ),
    ] {
        let mut arguments = small_run(&data, "none", &out);
        arguments.extend(flags);
        let failed = warmstart().args(arguments).assert().code(2);
        failed.stderr(contains(words));
        assert!(!out.exists());
    }
}
