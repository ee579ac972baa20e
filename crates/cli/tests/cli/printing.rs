//! Whatever a command prints, options are spelled as flags: the marks around their names are for the program alone.

use std::fs;
use std::path::Path;

use crate::common::{data, pretrained, small_run, warmstart};

/// Standard output and standard error of a command, neither of which holds a mark.
fn printed(arguments: &[&str]) -> [String; 2] {
    let output = warmstart().args(arguments).output().unwrap();
    let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    for text in &texts {
        let is_marked = text.contains(['\u{2068}', '\u{2069}']);
        assert!(!is_marked, "{arguments:?}: {text:?}");
    }
    texts
}

/// A file with the tensors of another one twice, under two prefixes.
fn two_copies(single: &Path, file: &Path) {
    let bytes = fs::read(single).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let both = ["encoder_q.", "encoder_k."].into_iter().flat_map(|prefix| {
        let tensors = tensors.tensors().into_iter();
        tensors.map(move |(name, view)| (format!("{prefix}{name}"), view))
    });
    safetensors::serialize_to_file(both, None, file).unwrap();
}

#[test]
fn no_command_prints_the_marks_of_options() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let images = data.to_str().unwrap();
    let single = pretrained(dir.path(), &data);
    let run = path("pretrained");
    let twice = path("twice.safetensors");
    two_copies(Path::new(&single), Path::new(&twice));

    let [report, _] = printed(&["weights", "inspect", &twice]);
    assert!(report.contains("choose with --weights-prefix"), "{report}");
    printed(&["weights", "inspect", &twice, "--json"]);

    let out = path("refused");
    let mut train = small_run(&data, &twice, Path::new(&out));
    train.extend(["--epochs", "1", "--memory", "1MB"]);
    printed(&train);
    for json in [&[][..], &["--json"]] {
        for command in [
            &[
                "plan",
                "--data",
                images,
                "--model",
                "mobilenet_v2",
                "--weights",
                "gone.pth",
            ][..],
            &["rank", "--data", images, "--weights", "none"],
            &["eval", "gone.safetensors"],
            &["eval", &run, "--data", images, "--split", "test"],
            &["predict", &run, images, "--count"],
            &["predict", &run, "gone.png"],
            &["init-check", "--model", "plain", "--data", images],
            &["init-check", "--model", "plain", "--init", "lsuv"],
            &["data", "check", images],
            &["runs", dir.path().to_str().unwrap()],
        ] {
            printed(&[command, json].concat());
        }
    }
    printed(&["resume", &run, "--epochs", "0"]);
    printed(&["resume", &run, "--from-epoch", "7"]);
    printed(&["train", "--data", images, "--folds", "1"]);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_for_programs_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let model = pretrained(dir.path(), &data);
    let broken = dir.path().join("broken.png");
    fs::write(&broken, "not an image").unwrap();
    let [results, errors] = printed(&["predict", &model, broken.to_str().unwrap(), "--json"]);
    let [result, error] = [results, errors].map(|text| -> serde_json::Value {
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    });
    assert_eq!(result["file"], broken.to_str().unwrap());
    assert!(result["error"].as_str().unwrap().contains("cannot decode"));
    assert_eq!(error["error"], "1 of 1 files could not be read");
}
