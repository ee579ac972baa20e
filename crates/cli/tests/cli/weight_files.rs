//! Files of weights as people have them, through the program.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use crate::common::{Said, data, pretrained, small_run, tamper, warmstart};

/// The tensors of a safetensors file: header and numbers.
fn parts(file: &Path) -> (serde_json::Map<String, Value>, Vec<u8>) {
    let bytes = fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<String, Value> =
        serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.remove("__metadata__");
    (header, bytes[8 + length..].to_vec())
}

fn write(file: &Path, header: &serde_json::Map<String, Value>, numbers: &[u8]) {
    let header = serde_json::to_vec(header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(file, [&length[..], &header, numbers].concat()).unwrap();
}

/// A file with the network twice, under these prefixes; the second copy's first layer is all zeros.
fn two_copies(file: &Path, out: &Path, prefixes: [&str; 2]) {
    let (header, numbers) = parts(file);
    let mut both = serde_json::Map::new();
    for (copy, prefix) in prefixes.iter().enumerate() {
        for (name, info) in &header {
            let mut info = info.clone();
            for place in 0..2 {
                let offset = info["data_offsets"][place].as_u64().unwrap();
                info["data_offsets"][place] = (offset + (copy * numbers.len()) as u64).into();
            }
            both.insert(format!("{prefix}{name}"), info);
        }
    }
    write(out, &both, &numbers.repeat(2));
}

#[test]
fn of_two_copies_the_one_that_was_chosen_is_taken_and_noted_in_the_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let single = pretrained(dir.path(), &data);
    let file = dir.path().join("moco.safetensors");
    two_copies(
        Path::new(&single),
        &file,
        ["module.encoder_q.", "module.encoder_k."],
    );
    let weights = file.to_str().unwrap();
    let out = dir.path().join("run");
    let mut arguments = small_run(&data, weights, &out);
    arguments.extend(["--epochs", "2"]);
    warmstart()
        .args(&arguments)
        .assert()
        .success()
        .said(contains(
            "`encoder_q.` is taken (the trained copy comes before its moving average)",
        ))
        .said(contains("backbone: 260 of 260 tensors (100%)"));
    assert!(
        !fs::read_to_string(out.join("recipe.toml"))
            .unwrap()
            .contains("weights_prefix")
    );

    let chosen = dir.path().join("chosen");
    let mut arguments = small_run(&data, weights, &chosen);
    arguments.extend(["--epochs", "2", "--weights-prefix", "encoder_k"]);
    warmstart()
        .args(&arguments)
        .assert()
        .success()
        .said(contains(
            "`encoder_k.` is taken (as requested); also `encoder_q.`",
        ));
    let recipe = fs::read_to_string(chosen.join("recipe.toml")).unwrap();
    assert!(
        recipe.contains("weights_prefix = \"encoder_k\""),
        "{recipe}"
    );

    warmstart()
        .args(["weights", "inspect", weights])
        .assert()
        .success()
        .stdout(contains("fits under `encoder_k.` as well").and(contains("this is mobilenet_v2")));
    warmstart()
        .args([
            "weights",
            "inspect",
            weights,
            "--weights-prefix",
            "encoder_x",
        ])
        .assert()
        .code(1)
        .stderr(contains("under the prefix `encoder_x`"));
}

#[test]
fn a_grey_first_layer_is_spread_and_a_missing_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let single = pretrained(dir.path(), &data);
    let (header, numbers) = parts(Path::new(&single));
    let first = "features.0.0.weight";
    let file = dir.path().join("changed.safetensors");
    let with_channels = |channels: usize| {
        let mut header = header.clone();
        let bytes = 32 * channels * 9 * 4;
        let offsets = [numbers.len(), numbers.len() + bytes];
        // The former first layer becomes a tensor that the model does not have.
        let old = header.remove(first).unwrap();
        header.insert("old".into(), old);
        let info = json!({"dtype": "F32", "shape": [32, channels, 3, 3], "data_offsets": offsets});
        header.insert(first.into(), info);
        write(&file, &header, &[numbers.clone(), vec![0; bytes]].concat());
    };
    let out = dir.path().join("run");
    let weights = file.to_str().unwrap();
    let mut arguments = small_run(&data, weights, &out);
    arguments.extend(["--epochs", "1"]);
    with_channels(2);
    warmstart()
        .args(&arguments)
        .assert()
        .code(1)
        .stderr(contains(
            "the first layer of mobilenet_v2, features.0.0.weight, does not load",
        ));
    assert!(!out.exists());
    with_channels(1);
    warmstart()
        .args(&arguments)
        .assert()
        .success()
        .said(contains(
            "features.0.0.weight: 1 input channel in the file, converted to 3",
        ));
}

/// A picture that cannot be decoded, which would be named first if images were read first.
#[test]
fn a_missing_file_is_reported_before_any_image_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    for number in 0..40 {
        fs::write(
            data.join(format!("train/checker/broken-{number}.png")),
            "text",
        )
        .unwrap();
    }
    let out = dir.path().join("run");
    let small = small_run(&data, "missing.pth", &out);
    let mut plan = small.clone();
    plan[0] = "plan";
    let mut lr_find = small.clone();
    lr_find[0] = "lr-find";
    let data = data.to_str().unwrap();
    let rank = vec![
        "rank",
        "--data",
        data,
        "--model",
        "mobilenet_v2",
        "--weights",
        "none",
        "missing.pth",
    ];
    for arguments in [small, plan, lr_find, rank] {
        let assert = warmstart()
            .current_dir(dir.path())
            .args(&arguments)
            .assert()
            .code(1);
        let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("missing.pth") && !text.contains("broken"),
            "{text}"
        );
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_sparse_files_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let pipe = dir.path().join("pipe.pth");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let sparse = dir.path().join("sparse.safetensors");
    fs::File::create(&sparse)
        .unwrap()
        .set_len(100 << 30)
        .unwrap();
    let out = dir.path().join("run");
    for file in [&pipe, &sparse] {
        let file = file.to_str().unwrap();
        for arguments in [
            small_run(&data, file, &out),
            vec!["weights", "inspect", file],
            vec!["predict", file, "a.png"],
        ] {
            let started = Instant::now();
            let mut command = warmstart();
            command.args(&arguments).timeout(Duration::from_secs(20));
            command.assert().code(1).stderr(contains(file));
            assert!(started.elapsed() < Duration::from_secs(10), "{arguments:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn weights_of_a_path_that_is_no_text_are_refused_by_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    for command in ["train", "plan", "lr-find", "rank"] {
        warmstart()
            .args([
                command,
                "--data",
                "data",
                "--model",
                "resnet18",
                "--weights",
            ])
            .arg(OsStr::from_bytes(b"w\xff.pth"))
            .assert()
            .code(2)
            .stderr(contains("w\\xff.pth is not valid Unicode").and(contains("panicked").not()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_inspected_all_the_same() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir
        .path()
        .join(OsStr::from_bytes(b"f32-\xff\n.safetensors"));
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/tests/fixtures/f32.safetensors");
    fs::copy(fixture, &file).unwrap();
    let output = warmstart()
        .args(["weights", "inspect", "--json"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        json["path"]
            .as_str()
            .unwrap()
            .ends_with("f32-\\xff\\n.safetensors")
    );
    warmstart()
        .args(["weights", "inspect"])
        .arg(&file)
        .assert()
        .success()
        .stdout(contains("f32-\\xff\\n.safetensors"));
}

/// The errors of a command that is refused before it has a result. `train` has said what it found until then.
fn refusal(arguments: &[&str]) -> String {
    let output = warmstart().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    let is_silent = output.stdout.is_empty() || arguments[0] == "train";
    assert!(is_silent, "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn values_with_which_nothing_can_be_computed_are_refused_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let sound = pretrained(dir.path(), &data);
    let folder = data.join("val");
    let (folder, picture) = (
        folder.to_str().unwrap(),
        data.join("val/checker/100.png")
            .to_str()
            .unwrap()
            .to_owned(),
    );
    let out = dir.path().join("run");
    let last = |value: f32| {
        move |values: &mut [u8]| {
            let place = values.len() - 4;
            values[place..].copy_from_slice(&value.to_le_bytes());
        }
    };
    let variance = "features.17.conv.1.1.running_var";
    for (tensor, value, words) in [
        (
            "classifier.1.weight",
            f32::NAN,
            "values that are not finite",
        ),
        (
            "classifier.1.bias",
            f32::INFINITY,
            "values that are not finite",
        ),
        (
            "features.0.0.weight",
            f32::NEG_INFINITY,
            "values that are not finite",
        ),
        (variance, f32::NAN, "values that are not finite"),
        (variance, -0.25, "negative variances"),
    ] {
        let file = dir.path().join("damaged.safetensors");
        fs::copy(&sound, &file).unwrap();
        tamper::with_tensor(&file, tensor, last(value));
        let file = file.to_str().unwrap();
        let mut train = small_run(&data, file, &out);
        train.extend(["--epochs", "1"]);
        for arguments in [
            vec!["eval", file, "--data", folder],
            vec!["eval", file, "--data", folder, "--json"],
            vec!["predict", file, &picture],
            train,
        ] {
            let said = refusal(&arguments);
            let sentence = format!("{file}: {tensor} holds {words}: take another copy");
            if arguments.contains(&"--json") {
                let answer: Value = serde_json::from_str(&said).unwrap();
                assert_eq!(answer["error"], sentence, "{arguments:?}");
            } else {
                let line = format!("error: {sentence}\n");
                assert!(said.ends_with(&line), "{arguments:?}: {said}");
            }
        }
        assert!(!out.exists());
    }
    // Zero is a variance, even with a minus sign.
    let file = dir.path().join("zero.safetensors");
    fs::copy(&sound, &file).unwrap();
    tamper::with_tensor(&file, variance, last(-0.0));
    let file = file.to_str().unwrap();
    warmstart()
        .args(["predict", file, &picture])
        .assert()
        .success();
}

#[cfg(unix)]
#[test]
fn shards_are_found_beside_a_link_to_their_index() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let single = pretrained(dir.path(), &data);
    let (header, _) = parts(Path::new(&single));
    let cache = dir.path().join("models--a--b");
    let snapshot = cache.join("snapshots/0a1b");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(cache.join("blobs")).unwrap();
    let map: serde_json::Map<String, Value> = header
        .keys()
        .map(|name| (name.clone(), "model-00001-of-00001.safetensors".into()))
        .collect();
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    fs::write(cache.join("blobs/1f"), index).unwrap();
    fs::copy(&single, cache.join("blobs/2e")).unwrap();
    for (blob, name) in [
        ("1f", "model.safetensors.index.json"),
        ("2e", "model-00001-of-00001.safetensors"),
    ] {
        symlink(format!("../../blobs/{blob}"), snapshot.join(name)).unwrap();
    }
    let file = snapshot.join("model.safetensors.index.json");
    let weights = "models--a--b/snapshots/0a1b/model.safetensors.index.json";
    for (name, weights) in [("whole", file.to_str().unwrap()), ("relative", weights)] {
        let out = dir.path().join(name);
        let mut arguments = small_run(&data, weights, &out);
        arguments.extend(["--epochs", "1"]);
        warmstart()
            .current_dir(dir.path())
            .args(&arguments)
            .assert()
            .success()
            .said(contains("backbone: 260 of 260 tensors (100%)"));
        let recipe = fs::read_to_string(out.join("recipe.toml")).unwrap();
        let words = format!("{weights}\"");
        assert!(
            recipe.contains(&words) && recipe.contains("weights = \"/"),
            "{recipe}"
        );
    }
}

#[test]
fn a_folder_without_a_model_is_called_that() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let plain = dir.path().join("plain");
    fs::create_dir(&plain).unwrap();
    let out = dir.path().join("run");
    let folder = plain.to_str().unwrap();
    let rank = [
        "rank",
        "--data",
        data.to_str().unwrap(),
        "--model",
        "mobilenet_v2",
        "--weights",
        folder,
    ];
    let commands = [
        small_run(&data, folder, &out),
        vec!["eval", folder],
        vec!["predict", folder, "a.png"],
        rank.to_vec(),
    ];
    for arguments in &commands {
        let said = refusal(arguments);
        assert_eq!(
            said,
            format!(
                "error: {folder}: it is a folder without a model (best.safetensors or model.safetensors): give the \
                 file, or the folder of a run\n"
            )
        );
    }
    fs::create_dir_all(plain.join("fold-1")).unwrap();
    for arguments in &commands {
        let said = refusal(arguments);
        let fold = plain.join("fold-1");
        assert!(said.contains("give one of them, such as"), "{said}");
        assert!(said.ends_with(&format!("{}\n", fold.display())), "{said}");
    }
}
