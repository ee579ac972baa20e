//! Pictures that are written overwrite nothing but earlier ones.

use std::fs;
use std::path::Path;

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;

use crate::common::scenes::{scenes, train};
use crate::common::warmstart;

fn refused(assert: Assert, file: &str) {
    let one_line = predicate::function(|said: &str| said.lines().count() == 1);
    let output = assert
        .failure()
        .stderr(contains(file).and(contains("did not")).and(one_line));
    assert!(output.get_output().stdout.is_empty(), "nothing was done");
}

fn predict(run: &Path, pictures: &Path, flags: &[&str], folder: &Path) -> Assert {
    let mut command = warmstart();
    command
        .arg("predict")
        .arg(run)
        .arg(pictures)
        .args(["--conf", "0"]);
    command.args(flags).arg(folder).assert()
}

#[test]
fn predict_overwrites_only_what_predict_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let data = scenes(dir, 6, 64);
    let run = dir.join("run");
    train(&data, &run).success();
    let pictures = dir.join("pictures");
    fs::create_dir_all(pictures.join("more")).unwrap();
    let picture = first_picture(&data);
    fs::copy(&picture, pictures.join("a.png")).unwrap();
    fs::copy(&picture, pictures.join("more/A.png")).unwrap();
    for (flag, theirs) in [("--draw", "a.jpg"), ("--crop", "a-1-my cat.jpg")] {
        let folder = dir.join(flag);
        fs::create_dir(&folder).unwrap();
        let theirs = folder.join(theirs);
        fs::copy(&picture, &theirs).unwrap();
        let before = fs::read(&theirs).unwrap();
        refused(
            predict(&run, &pictures, &[flag], &folder),
            theirs.file_name().unwrap().to_str().unwrap(),
        );
        assert_eq!(fs::read(&theirs).unwrap(), before);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_file(&theirs).unwrap();
        // A link to a user's file counts as a user's file, and so does one that leads nowhere.
        #[cfg(unix)]
        for target in [picture.clone(), dir.join("nowhere")] {
            std::os::unix::fs::symlink(&target, &theirs).unwrap();
            refused(
                predict(&run, &pictures, &[flag], &folder),
                theirs.file_name().unwrap().to_str().unwrap(),
            );
            fs::remove_file(&theirs).unwrap();
        }
        predict(&run, &pictures, &[flag], &folder).success();
        let written = fs::read_dir(&folder).unwrap().count();
        assert!(written >= 2, "{flag}: {written}");
        predict(&run, &pictures, &[flag], &folder).success();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), written);
    }
    let drawn = dir.join("--draw");
    assert!(drawn.join("a.jpg").is_file() && drawn.join("A-2.jpg").is_file());
}

fn first_picture(data: &Path) -> std::path::PathBuf {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "png") {
                return path;
            }
        }
    }
    panic!("no picture")
}

#[test]
fn init_check_draws_over_its_own_picture_alone() {
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("mine.svg");
    let check = || {
        let mut command = warmstart();
        command.args([
            "init-check",
            "--model",
            "plain",
            "--batch",
            "2",
            "--picture",
        ]);
        command.arg(&picture).assert()
    };
    check().success();
    check().success();
    fs::write(&picture, "<svg>mine</svg>").unwrap();
    refused(check(), "mine.svg");
    assert_eq!(fs::read_to_string(&picture).unwrap(), "<svg>mine</svg>");
}
