//! The view that a person has of a data folder: its classes with their counts, and what is not used.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::common::{CLASSES, data, pictures, small_run, warmstart};

/// Returns what `plan` says of a data folder on standard error.
fn planned(data: &Path) -> String {
    let mut arguments = small_run(data, "none", data);
    arguments[0] = "plan";
    arguments.truncate(arguments.len() - 2);
    let output = warmstart()
        .args(arguments)
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn classes_are_shown_with_the_images_of_each_split() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    pictures(&root.join("Training"), &CLASSES, 0, 5);
    pictures(&root.join("Validation"), &CLASSES[..2], 10, 2);
    pictures(&root.join("Testing"), &CLASSES[1..], 20, 1);
    pictures(&root.join("extra"), &CLASSES, 30, 1);
    let text = planned(&root);
    let expected = "classes (training / validation / test images): checker 5 / 0 / 1, horizontal 5 / 2 / 0, vertical 5 / 2 / 1";
    assert!(text.contains(expected), "{text}");
    assert!(
        text.contains("note: training images come from Training, validation images come from Validation, test images come from Testing"),
        "{text}"
    );
    let unused = format!("not used: {} (3 images)", root.join("extra").display());
    assert!(text.contains(&unused), "{text}");
}

#[cfg(unix)]
#[test]
fn what_is_skipped_is_told_by_type_and_nothing_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let root = data(dir.path());
    let place = |name: &str| root.join("train/checker").join(name);
    fs::write(place("a.heic"), "").unwrap();
    fs::write(place("b.HEIC"), "").unwrap();
    fs::write(place("notes.txt"), "").unwrap();
    fs::create_dir(place("@eaDir")).unwrap();
    fs::write(place("@eaDir").join("thumb.png"), "").unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(place("pipe.jpg"))
        .status();
    assert!(made.unwrap().success());
    let text = planned(&root);
    assert!(
        text.contains("skipped 3 files of unsupported types (.heic 2, .txt 1); save .heic as JPEG or PNG to use them"),
        "{text}"
    );
    assert!(
        text.contains("pipe.jpg: a pipe, a socket or a device, not a file"),
        "{text}"
    );
    assert!(text.contains("27 training images"), "{text}");
    assert!(!text.contains("not images by their name"), "{text}");
}

#[test]
fn a_data_folder_in_the_place_of_a_recipe_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let root = data(dir.path());
    let output = warmstart().arg("train").arg(&root).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = format!("for a data set, use --data {}", root.display());
    assert!(text.contains(&expected), "{text}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_folder_without_images_is_named_by_predict_and_eval() {
    let dir = tempfile::tempdir().unwrap();
    let root = data(dir.path());
    let run = dir.path().join("run");
    let mut arguments = small_run(&root, "none", &run);
    arguments.extend(["--epochs", "1"]);
    warmstart().args(arguments).assert().success();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("x.heic"), "").unwrap();
    let (run, empty) = (run.to_str().unwrap(), empty.to_str().unwrap());
    let error = |arguments: &[&str]| {
        let output = warmstart().args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let text = error(&["predict", run, empty]);
    assert!(text.contains("there is no image in it"), "{text}");
    assert!(text.contains(".heic 1"), "{text}");
    let text = error(&["eval", run, "--data", empty]);
    assert!(
        text.contains("0 images lie directly in it, but 1 file of an unsupported type (.heic 1)"),
        "{text}"
    );
}
