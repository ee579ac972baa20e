//! Doubtful labels, of a run and of a data set.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::common::{CLASSES, data, pictures, pretrained, warmstart};

/// Images of a data set in which some labels are wrong.
const WRONG: usize = 2;

/// A data set in which the names of the images with a wrong label begin with `wrong-`, and weights.
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
        let weights = pretrained(dir.path(), &data);
        let [from, to] = [CLASSES[0], CLASSES[1]].map(|class| data.join("train").join(class));
        for number in 0..WRONG {
            let name = format!("{number:03}.png");
            fs::rename(from.join(&name), to.join(format!("wrong-{name}"))).unwrap();
        }
        Self { dir, data, weights }
    }

    fn train(&self, name: &str, flags: &[&str]) -> PathBuf {
        let run = self.dir.path().join(name);
        let mut command = warmstart();
        command.arg("train").arg("--data").arg(&self.data);
        command.args(["--weights", &self.weights, "--image-size", "32"]);
        command.args(["--fit", "crop", "--freeze-epochs", "1", "--epochs", "1"]);
        command.args(flags).arg("--out").arg(&run);
        command.assert().success();
        run
    }
}

fn labels(folder: &Path, flags: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = warmstart();
    command.args(["data", "labels"]).arg(folder);
    command.args(flags).assert()
}

fn printed(assert: assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
}

/// Checks that the wrong labels are in the first third.
fn check(files: &[String]) {
    let first = files.iter().take(files.len() / 3);
    let wrong = first.filter(|file| file.contains("wrong-")).count();
    assert_eq!(wrong, WRONG, "{files:?}");
}

#[test]
fn a_run_s_doubtful_labels_are_printed_the_most_doubtful_first() {
    let setup = Setup::new();
    let run = setup.train("run", &[]);
    let text = printed(labels(&run, &["--json"]));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let files: Vec<String> = lines
        .iter()
        .map(|line| line["file"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(files.len(), 87, "every training image");
    check(&files);
    let wrong = lines.iter().find(|line| line["doubtful"] == true).unwrap();
    assert!(wrong["label"] != wrong["probable"]);
    let table = setup.dir.path().join("doubts.csv");
    let shown = printed(labels(
        &run,
        &["--top", "3", "--csv", table.to_str().unwrap()],
    ));
    let shown: Vec<&str> = shown.lines().collect();
    let doubtful = lines.iter().filter(|line| line["doubtful"] == true).count();
    assert!(
        shown[0].starts_with(&format!("{doubtful} of 87 labels are doubtful")),
        "{shown:?}"
    );
    assert_eq!(shown.len(), 6, "{shown:?}");
    for word in ["file", "label", "probable", "score"] {
        assert!(shown[2].contains(word), "{shown:?}");
    }
    assert!(shown[3].contains(&files[0]), "{shown:?}");
    let of_no_number = printed(labels(&run, &[]));
    let of_no_number: Vec<&str> = of_no_number.lines().skip(3).collect();
    let is_doubtful = |line: &&Value| line["doubtful"] == true;
    let expected = lines.iter().filter(is_doubtful).take(20);
    let expected: Vec<&str> = expected
        .map(|line| line["file"].as_str().unwrap())
        .collect();
    let found = of_no_number
        .iter()
        .map(|line| line.split("  ").next().unwrap());
    assert_eq!(
        found.collect::<Vec<_>>(),
        expected,
        "those that count as doubtful, and no others"
    );
    let [own, copy] = [run.join("doubts.csv"), table].map(|path| fs::read(path).unwrap());
    assert!(own == copy, "the table is that of the run");
    labels(&run, &["--weights", "imagenet"])
        .code(2)
        .stderr(contains("--weights is for a data set"));
}

#[test]
fn a_data_set_needs_no_run() {
    let setup = Setup::new();
    let table = setup.dir.path().join("doubts.csv");
    let flags = ["--weights", &setup.weights, "--image-size", "32"];
    let flags = [&flags[..], &["--csv", table.to_str().unwrap()]].concat();
    let text = printed(labels(&setup.data, &flags));
    // The images of both splits.
    assert!(text.contains(" of 99 labels are doubtful"), "{text}");
    let text = fs::read_to_string(table).unwrap();
    let files: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    assert_eq!(files.len(), 99);
    check(&files);
}

#[test]
fn a_run_without_a_ridge_head_says_what_to_do() {
    let setup = Setup::new();
    let run = setup.train("linear", &["--head", "linear"]);
    labels(&run, &[])
        .code(2)
        .stderr(contains("no doubts.csv").and(contains("warmstart data labels DIR")));
}
