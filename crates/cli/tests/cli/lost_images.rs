//! An image that vanishes or breaks in the middle of a run does not end the run for good.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;

use crate::common::process::{log, start, wait_until};
use crate::common::{self, data, outcome, pictures, pretrained, warmstart};

const EPOCHS: usize = 5;

/// A recipe that reads every image in every epoch.
fn recipe(dir: &Path) -> PathBuf {
    let data = data(dir);
    let weights = pretrained(dir, &data);
    pictures(&data.join("train"), &common::CLASSES, 200, 30);
    let recipe = dir.join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\nimage_size = 32\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = {EPOCHS}\nbatch = 8\n",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    recipe
}

/// Some image of a split.
fn image(data: &Path, split: &str) -> PathBuf {
    let class = data.join(split).join(common::CLASSES[0]);
    let mut images: Vec<_> = fs::read_dir(class)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    images.sort();
    images.swap_remove(0)
}

#[test]
fn the_run_is_saved_and_continues_with_the_image_or_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path());
    let whole = dir.path().join("whole");
    assert!(start(&recipe, &whole).wait().unwrap().success());
    let expected = outcome(&whole, EPOCHS);
    for (name, split, breaks) in [
        ("vanished", "train", false),
        ("broken", "train", true),
        ("validation", "val", false),
    ] {
        let run = dir.path().join(name);
        let resume = |flags: &[&str]| warmstart().arg("resume").arg(&run).args(flags).assert();
        let lost = image(&dir.path().join("data"), split);
        let content = fs::read(&lost).unwrap();
        let mut child = start(&recipe, &run);
        wait_until("the first epoch", || {
            run.join("checkpoints/epoch-0001").exists()
        });
        if breaks {
            fs::write(&lost, &content[..content.len() / 2]).unwrap();
        } else {
            fs::remove_file(&lost).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(1), "{}", log(&run));
        let words = log(&run);
        let last = words.lines().last().unwrap();
        let what = if breaks { "decode" } else { "read" };
        let named = format!("error: cannot {what} {}: ", lost.display());
        assert!(last.starts_with(&named), "{words}");
        let with = "and saved: bring it back and continue with `warmstart resume ";
        assert!(last.contains(with), "{words}");
        assert!(last.ends_with(" --accept-data-change`"), "{words}");

        // Not without the user's consent.
        resume(&[]).code(1).stderr(contains("1 fewer: "));
        if split == "val" {
            resume(&["--accept-data-change"])
                .success()
                .stderr(contains("the data set has changed").and(contains("1 fewer: ")));
        } else {
            fs::write(&lost, &content).unwrap();
            resume(&[]).success();
            assert_eq!(outcome(&run, EPOCHS), expected, "{name}");
        }
    }
}
