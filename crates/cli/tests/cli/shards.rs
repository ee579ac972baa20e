//! Work in shards: whatever the parts, and whoever computes them how often, they merge to the bytes of one command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::scenes;
use crate::common::{CLASSES, Said, data, pictures, pretrained, said, small_run, warmstart};

/// Numbers of shards.
const NUMBERS: [usize; 4] = [1, 2, 3, 7];

/// Flags for figures in words, and as JSON.
const FORMS: [&[&str]; 2] = [&[], &["--json"]];

/// Runs a command in so many shards, and returns the folder of their parts.
fn in_shards(dir: &Path, words: &[&str], of: usize) -> PathBuf {
    let parts = dir.join(format!("parts-{}-{of}", words[0]));
    for number in 1..=of {
        let mut command = warmstart();
        command.args(words).arg("--parts").arg(&parts);
        let shard = format!("{number}/{of}");
        let part = command.args(["--shard", &shard]).assert().success();
        part.stderr(contains(format!("part {number} of {of}")));
    }
    parts
}

fn merged(parts: &Path, flags: &[&str]) -> (Vec<u8>, Option<i32>) {
    let output = warmstart().arg("merge").arg(parts).args(flags).output();
    let output = output.unwrap();
    (output.stdout, output.status.code())
}

/// What a command prints without shards, and its exit code.
fn unsharded(words: &[&str]) -> (Vec<u8>, Option<i32>) {
    let output = warmstart().args(words).output().unwrap();
    assert!(!output.stdout.is_empty(), "{}", said(&output));
    (output.stdout, output.status.code())
}

fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn predictions_in_parts_are_those_of_one_command() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    let folder = dir.path().join("photos");
    pictures(&folder, &CLASSES, 0, 3);
    fs::write(folder.join("broken.png"), "text").unwrap();
    let photos = folder.to_str().unwrap();
    let words = ["predict", model.as_str(), photos];
    let expected = unsharded(&[&words[..], &["--json"]].concat());
    assert_eq!(expected.1, Some(1), "a file cannot be read");
    for of in NUMBERS {
        let parts = in_shards(dir.path(), &words, of);
        assert_eq!(merged(&parts, &[]), expected, "{of} parts");
    }
    let out = dir.path().join("all.jsonl");
    let parts = dir.path().join("parts-predict-3");
    let written = ["--out", out.to_str().unwrap()];
    assert_eq!(merged(&parts, &written), (Vec::new(), Some(1)));
    assert_eq!(fs::read(&out).unwrap(), expected.0);

    // Other options are another result.
    let table = dir.path().join("table.csv");
    let table_words = [&words[..], &["--csv", table.to_str().unwrap()]].concat();
    warmstart().args(&table_words).assert().code(1);
    let rows = fs::read(&table).unwrap();
    fs::remove_file(&table).unwrap();
    in_shards(dir.path(), &table_words, 3);
    assert!(!table.exists(), "a part writes into its own file only");
    let several = warmstart().arg("merge").arg(&parts).assert().code(2);
    several.stderr(contains("several results").and(contains("--key")));
    let keys = files_in(&parts, "part");
    let keys = keys.iter().map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.split('-').nth(1).unwrap().to_owned()
    });
    let results = keys.map(|key| merged(&parts, &["--key", key.as_str()]));
    let results: Vec<_> = results.collect();
    assert_eq!(results.len(), 6);
    assert!(results.contains(&expected) && results.contains(&(rows, Some(1))));
}

#[test]
fn a_part_that_is_there_is_not_computed_again_and_one_that_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    let folder = dir.path().join("photos");
    pictures(&folder, &CLASSES, 0, 2);
    let words = ["predict", model.as_str(), folder.to_str().unwrap()];
    let parts = in_shards(dir.path(), &words, 3);
    let expected = merged(&parts, &[]);
    let shard = |number: &str| {
        let mut command = warmstart();
        command.args(words).arg("--parts").arg(&parts);
        command.args(["--shard", "auto/3"]);
        command.env("PARALLEL_SEQ", number).assert()
    };
    shard("2")
        .success()
        .stderr(contains("part 2 of 3 is there already"));
    shard("4").code(2).stderr(contains("PARALLEL_SEQ is 4"));

    let second = files_in(&parts, "part")[1].clone();
    let whole = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    let missing = warmstart().arg("merge").arg(&parts).assert().code(2);
    missing.stderr(
        contains("of 3 parts, these are missing: 2")
            .and(contains("`warmstart predict --shard 2/3 ")),
    );
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&second, &damaged).unwrap();
    let refused = warmstart().arg("merge").arg(&parts).assert().code(2);
    let name = second.file_name().unwrap().to_str().unwrap();
    refused.stderr(contains(name).and(contains("checksum")));
    // It is not taken for the result.
    shard("2").success().stderr(contains("already").not());
    assert_eq!(fs::read(&second).unwrap(), whole);
    assert_eq!(merged(&parts, &[]), expected);

    // Another picture is another result.
    pictures(&folder, &CLASSES, 7, 1);
    shard("2").success().stderr(contains("already").not());
    assert_eq!(files_in(&parts, "part").len(), 4);
}

#[test]
fn what_contradicts_a_shard_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let photos = dir.path().join("photos");
    pictures(&photos, &CLASSES[..1], 0, 1);
    let refused = |words: &[&str], expected: &str| {
        let mut command = warmstart();
        command.arg("predict").arg("model").arg(&photos).args(words);
        let refused = command.env_clear().env("LC_ALL", "C").assert().code(2);
        refused.stderr(contains(expected));
    };
    refused(&["--shard", "3/2", "--parts", "p"], "such as 3/8");
    refused(&["--shard", "1/2"], "--parts <DIR>");
    refused(&["--parts", "p"], "--shard <PART>");
    refused(
        &["--shard", "auto", "--parts", "p"],
        "the environment names no part",
    );
    refused(
        &["--shard", "1/2", "--parts", "p", "--draw", "d"],
        "--draw is of the whole work",
    );
    let none = warmstart().arg("merge").arg(&photos).assert().code(2);
    none.stderr(contains("it has neither parts"));
    let gone = dir.path().join("gone");
    warmstart().arg("merge").arg(gone).assert().code(1);
}

#[test]
fn a_process_among_several_says_that_it_does_all_of_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let model = pretrained(dir.path(), &data(dir.path()));
    let photos = dir.path().join("photos");
    pictures(&photos, &CLASSES[..1], 0, 1);
    let mut command = warmstart();
    command.arg("predict").arg(&model).arg(&photos);
    command.env("OMPI_COMM_WORLD_RANK", "1");
    command.env("OMPI_COMM_WORLD_SIZE", "4");
    let words = contains("process 2 of 4").and(contains("--shard auto"));
    command.assert().success().stderr(words);
}

#[test]
fn evaluations_in_parts_have_the_figures_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    pretrained(dir.path(), &data);
    let run = dir.path().join("pretrained");
    fs::write(data.join("val").join(CLASSES[0]).join("999.png"), "text").unwrap();
    let words = ["eval", run.to_str().unwrap(), "--data"];
    let val = data.join("val");
    let words = [&words[..], &[val.to_str().unwrap()]].concat();
    let [in_words, in_json] = FORMS.map(|flags| unsharded(&[&words[..], flags].concat()));
    for of in NUMBERS {
        let parts = in_shards(dir.path(), &words, of);
        assert_eq!(merged(&parts, &[]), in_words, "{of} parts");
        assert_eq!(merged(&parts, &["--json"]), in_json, "{of} parts");
    }
    let mut refused = warmstart();
    refused
        .args(&words)
        .args(["--shard", "1/2", "--csv", "t.csv"]);
    let refused = refused.arg("--parts").arg(dir.path()).assert().code(2);
    refused.stderr(contains("--csv is of the whole work"));
}

#[test]
fn evaluations_of_a_detector_in_parts_have_the_figures_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = scenes::scenes(dir.path(), 8, 64);
    let run = dir.path().join("run");
    scenes::train(&data, &run).success();
    let words = ["eval", run.to_str().unwrap()];
    let [in_words, in_json] = FORMS.map(|flags| unsharded(&[&words[..], flags].concat()));
    for of in [2, 7] {
        let parts = in_shards(dir.path(), &words, of);
        assert_eq!(merged(&parts, &[]), in_words, "{of} parts");
        assert_eq!(merged(&parts, &["--json"]), in_json, "{of} parts");
    }
    let photos = data.join("val");
    let words = ["predict", words[1], photos.to_str().unwrap(), "--conf", "0"];
    let expected = unsharded(&[&words[..], &["--json"]].concat());
    let parts = in_shards(dir.path(), &words, 3);
    assert_eq!(merged(&parts, &[]), expected);
}

#[test]
fn a_ranking_in_parts_is_that_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let weights = pretrained(dir.path(), &data);
    let cache = dir.path().join("cache");
    let mut words = vec!["rank", "--data", data.to_str().unwrap(), "--weights"];
    words.extend([weights.as_str(), "none", "--model", "mobilenet_v2"]);
    words.extend(["--image-size", "32", "--cache", cache.to_str().unwrap()]);
    let [in_words, in_json] = FORMS.map(|flags| unsharded(&[&words[..], flags].concat()));
    for of in NUMBERS {
        let parts = in_shards(dir.path(), &words, of);
        assert_eq!(merged(&parts, &[]), in_words, "{of} parts");
        assert_eq!(merged(&parts, &["--json"]), in_json, "{of} parts");
    }
}

/// A recipe whose frozen phase sees two views of many images.
struct Setup {
    dir: tempfile::TempDir,
    recipe: PathBuf,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        pictures(&data.join("train"), &CLASSES, 200, 30);
        let weights = pretrained(dir.path(), &data);
        let recipe = dir.path().join("recipe.toml");
        let text = format!(
            "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 128\nfit = 'crop'\n\
             [[phase]]\nname = 'freeze'\ntrain = 'head'\nhead = 'linear'\nepochs = 2\nbatch = 8\nviews = 2\n\
             [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 1\nbatch = 8\n",
            data.display()
        );
        fs::write(&recipe, text).unwrap();
        Self { dir, recipe }
    }

    fn cache(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A process that computes a shard's features into a cache.
    fn process(&self, cache: &Path, shard: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("warmstart"));
        command.env("LC_ALL", "C").arg("features").arg(&self.recipe);
        command.arg("--cache").arg(cache).args(["--shard", shard]);
        command.args(["--threads", "1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn features(&self, cache: &Path, shard: &str) -> String {
        let output = self.process(cache, shard).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Starts a process, and kills it once it has cached something.
    fn kill(&self, cache: &Path, shard: &str) {
        let mut child = self.process(cache, shard).spawn().unwrap();
        let began = Instant::now();
        let has_some = || {
            let files = fs::read_dir(cache).into_iter().flatten().flatten();
            let mut files = files.map(|file| file.path());
            files.any(|path| {
                let bytes = fs::read(path).unwrap_or_default();
                bytes
                    .get(4096..)
                    .is_some_and(|entries| entries.iter().any(|byte| *byte != 0))
            })
        };
        while !has_some() {
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            assert!(began.elapsed() < Duration::from_secs(60));
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it ended too early");
    }
}

/// The files of features in a cache: names and bytes.
fn cached(cache: &Path) -> Vec<(String, Vec<u8>)> {
    let files = files_in(cache, "features").into_iter().map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    });
    files.collect()
}

#[test]
fn features_of_shards_that_are_killed_and_started_anew_merge_to_those_of_one_process() {
    let setup = Setup::new();
    let one = setup.cache("one");
    // 117 training images under two views, and 12 validation images.
    let text = setup.features(&one, "1/1");
    assert!(
        text.contains("freeze: 246 features, 0 were there and 246 computed"),
        "{text}"
    );
    assert!(text.contains("thaw: no features to compute ahead: nothing is frozen"));
    let expected = cached(&one);
    assert_eq!(expected.len(), 2);
    let again = setup.features(&one, "1/1");
    assert!(again.contains("246 were there and 0 computed"), "{again}");

    let parts: Vec<PathBuf> = (1..=4).map(|n| setup.cache(&format!("part-{n}"))).collect();
    for number in [1, 3] {
        setup.kill(&parts[number - 1], &format!("{number}/4"));
    }
    for (number, part) in (1..).zip(&parts) {
        setup.features(part, &format!("{number}/4"));
    }
    let merge = |parts: &[PathBuf], out: &Path, flags: &[&str]| {
        let mut command = warmstart();
        command.arg("merge").args(parts).arg("--out").arg(out);
        command.args(flags).assert()
    };
    let half = setup.cache("half");
    merge(&parts[..2], &half, &[])
        .code(2)
        .stderr(contains("features are missing").and(contains("warmstart features")));
    merge(&parts[..2], &half, &["--partial"]).success();
    let whole = setup.cache("whole");
    merge(&parts, &whole, &[])
        .success()
        .stdout(contains("234 of 234").and(contains("12 of 12")));
    assert!(cached(&whole) == expected, "the merged files differ");
    warmstart().arg("merge").arg(&whole).assert().success();
    warmstart().arg("merge").args(&parts).assert().code(2);

    // What a run reads.
    let out = setup.dir.path().join("run");
    let mut train = warmstart();
    train.arg("train").arg(&setup.recipe).arg("--out").arg(out);
    let run = train.arg("--cache").arg(&whole).assert().success();
    run.said(contains(
        "234 of 234 for training and 12 of 12 for validation",
    ));
}

#[test]
fn shards_may_fill_one_cache_at_once() {
    let setup = Setup::new();
    let one = setup.cache("one");
    setup.features(&one, "1/1");
    let shared = setup.cache("shared");
    let start = |number: usize| setup.process(&shared, &format!("{number}/4")).spawn();
    let children: Vec<_> = (1..=4).map(|number| start(number).unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert!(cached(&shared) == cached(&one), "the files differ");
}

#[test]
fn folds_of_shards_end_as_those_of_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let train = |out: &Path, shard: Option<&str>| {
        let mut command = warmstart();
        command.args(small_run(&data, "none", out));
        command.args(["--epochs", "1", "--folds", "3", "--no-cache"]);
        if let Some(shard) = shard {
            command.args(["--shard", shard]);
        }
        command.assert().success()
    };
    let [one, out] = ["one", "shards"].map(|name| dir.path().join(name));
    train(&one, None);
    train(&out, Some("1/2"));
    let merge = || warmstart().arg("merge").arg(&out).assert();
    merge()
        .code(2)
        .stderr(contains("folds 2, 3 of 3 are missing").and(contains("--folds 3 --shard 2/3")));
    train(&out, Some("2/2"));
    assert!(!out.join("folds.json").exists(), "a shard ends nothing");
    let summary = out.join("fold-2/summary.json");
    let text = fs::read(&summary).unwrap();
    fs::remove_file(&summary).unwrap();
    merge()
        .code(2)
        .stderr(contains("it is not finished").and(contains("warmstart resume")));
    fs::write(&summary, text).unwrap();
    merge()
        .success()
        .stdout(contains("3 folds: top-1 accuracy"));
    let result = |out: &Path| fs::read_to_string(out.join("folds.json")).unwrap();
    assert_eq!(result(&out), result(&one));
}
