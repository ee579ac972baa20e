//! Every mistake gives one line that names the cause and the fix, and leaves no files behind.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{CLASSES, data, pictures, small_run, warmstart};

/// The fixtures of the crate `weights`: small files from PyTorch.
fn weights(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../weights/tests/fixtures")
        .join(name);
    assert!(path.is_file(), "{}", path.display());
    path.to_str().unwrap().to_owned()
}

/// Runs it and checks the exit code, that it is one line with these words, and that no panic and no
/// run is left.
fn fails(arguments: &[&str], out: Option<&Path>, code: i32, words: &[&str]) {
    let assert = warmstart().args(arguments).assert().code(code);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "one error: {text}");
    assert!(
        text.trim_end().ends_with(errors[0]),
        "the error is the last line: {text}"
    );
    for word in words {
        assert!(errors[0].contains(word), "`{word}` in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    if let Some(out) = out {
        assert!(!out.exists(), "nothing is left in {}", out.display());
    }
}

#[test]
fn a_truncated_or_malicious_weight_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("run");
    let whole = fs::read(weights("zip.pth")).unwrap();
    let truncated = dir.path().join("truncated.pth");
    fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    let truncated = truncated.to_str().unwrap();
    fails(
        &small_run(&data, truncated, &out),
        Some(&out),
        1,
        &["truncated.pth", "download or copy it again"],
    );
    for name in ["runs_code.pth", "runs_code_legacy.pth"] {
        let file = weights(name);
        fails(
            &small_run(&data, &file, &out),
            Some(&out),
            1,
            &[name, "nothing was run"],
        );
        fails(&["weights", "inspect", &file], None, 1, &[name, "system"]);
    }
    fails(
        &small_run(&data, "missing.pth", &out),
        Some(&out),
        1,
        &["missing.pth"],
    );
}

#[test]
fn a_file_of_another_model() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("run");
    let file = weights("zip.pth");
    fails(
        &small_run(&data, &file, &out),
        Some(&out),
        1,
        &["backbone", "--allow-partial"],
    );
    let mut arguments = small_run(&data, &file, &out);
    arguments.extend(["--allow-partial", "--epochs", "1"]);
    warmstart().args(arguments).assert().success();
}

#[test]
fn data_that_cannot_be_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let case = |name: &str, make: &dyn Fn(&Path), words: &[&str]| {
        let data: PathBuf = dir.path().join(name);
        make(&data);
        let code = if name == "h" { 2 } else { 1 };
        fails(&small_run(&data, "none", &out), Some(&out), code, words);
    };
    case("a", &|_| (), &["cannot read", "check that it exists"]);
    case(
        "b",
        &|path| fs::create_dir(path).unwrap(),
        &["one subfolder per class"],
    );
    case(
        "c",
        &|path| fs::write(path, "text").unwrap(),
        &["is a file; expected a folder"],
    );
    case(
        "d",
        &|path| pictures(path, &["only"], 0, 5),
        &["only one class, \"only\""],
    );
    let hollow = |path: &Path| {
        pictures(path, &CLASSES, 0, 5);
        fs::create_dir(path.join("hollow")).unwrap();
    };
    case(
        "e",
        &hollow,
        &["hollow has no image", "remove the class folder"],
    );
    let stranger = |path: &Path| {
        pictures(&path.join("train"), &CLASSES, 0, 5);
        pictures(&path.join("val"), &["stranger"], 0, 5);
    };
    case(
        "f",
        &stranger,
        &["stranger is not one of the 3 classes", "rename or remove"],
    );
    let text = |path: &Path| {
        pictures(path, &CLASSES, 0, 4);
        fs::write(path.join("vertical/text.jpg"), "text").unwrap();
    };
    case(
        "g",
        &text,
        &[
            "1 of 13 images cannot be decoded",
            "text.jpg",
            "remove or replace",
        ],
    );
    let unreadable_class = |path: &Path| {
        pictures(path, &CLASSES, 0, 40);
        fs::create_dir(path.join("lost")).unwrap();
        fs::write(path.join("lost/text.jpg"), "text").unwrap();
    };
    case(
        "h",
        &unreadable_class,
        &["class lost has no training image that can be read"],
    );
}

#[test]
fn requests_that_contradict_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let data_path = data.to_str().unwrap();
    let out = dir.path().join("run");
    let train = |rest: &[&str], words: &[&str]| {
        let mut arguments = vec!["train", "--data", data_path, "--out", out.to_str().unwrap()];
        arguments.extend(rest);
        fails(&arguments, Some(&out), 2, words);
    };
    train(
        &["--model", "resnet99", "--weights", "none"],
        &[
            "resnet99",
            "mobilenet_v2, mobilenet_v3_small",
            "did you mean",
        ],
    );
    train(
        &["--model", "resnet18"],
        &["--weights FILE", "--weights none"],
    );
    train(&["--weights", "none"], &["--model NAME"]);
    let tiny = [
        "--model",
        "resnet18",
        "--weights",
        "none",
        "--image-size",
        "8",
    ];
    train(&tiny, &["--image-size is 8"]);
    let usual = ["--model", "resnet18", "--weights", "none"];
    train(
        &[&usual[..], &["--epochs", "2", "--freeze-epochs", "3"]].concat(),
        &["more than --epochs 2"],
    );
    let recipe = dir.path().join("recipe.toml");
    fs::write(&recipe, "model = 'resnet18'\nweights = 'none'\nepoch = 3\n").unwrap();
    train(&[recipe.to_str().unwrap()], &["recipe.toml:3", "epoch"]);
    let phases =
        "model = 'resnet18'\nweights = 'none'\n[[phase]]\ntrain = 'from:layer9'\nepochs = 1\n";
    fs::write(&recipe, phases).unwrap();
    train(&[recipe.to_str().unwrap()], &["layer9", "layer4.1"]);
    train(
        &[recipe.to_str().unwrap(), "--lr", "0.1"],
        &["--lr", "the recipe defines its own"],
    );
}

#[test]
fn near_misses_of_flags_and_keys() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("run");
    for (flags, words) in [
        (
            &["--freeze", "2"][..],
            &["--freeze", "`--freeze-epochs`"][..],
        ),
        (&["--learning-rate", "0.1"], &["`--lr`"]),
        (&["--task", "detection"], &["detection", "classify, detect"]),
    ] {
        let mut arguments = small_run(&data, "none", &out);
        arguments.extend(flags);
        fails(&arguments, Some(&out), 2, words);
    }
    fails(&["trian"], None, 2, &["trian", "'train'"]);
    let folder = data.to_str().unwrap();
    fails(&["train", folder], None, 2, &["is a folder", "--data"]);
    let recipe = dir.path().join("recipe.toml");
    let recipe_path = recipe.to_str().unwrap();
    for (text, words) in [
        (
            "epochs = 3\n",
            &[":1: ", "`epochs`", "[[phase]]", "--epochs"][..],
        ),
        ("seed = 1\nmodle = 'resnet18'\n", &[":2: ", "`model`"]),
        (
            "[[phase]]\ntrain = 'all'\nepochs = 1\nseed = 2\n",
            &[":4: ", "above the first [[phase]]"],
        ),
    ] {
        fs::write(&recipe, text).unwrap();
        fails(&["train", recipe_path, "--data", folder], None, 2, words);
    }
}

#[test]
fn a_run_that_exists_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("run");
    let mut arguments = small_run(&data, "none", &out);
    arguments.extend(["--epochs", "1"]);
    warmstart().args(&arguments).assert().success();
    let before = fs::read(out.join("best.safetensors")).unwrap();
    fails(
        &arguments,
        None,
        2,
        &["is a run already", "warmstart resume"],
    );
    assert_eq!(fs::read(out.join("best.safetensors")).unwrap(), before);
    let other = dir.path().join("photos");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.txt"), "mine").unwrap();
    let mut arguments = small_run(&data, "none", &other);
    arguments.extend(["--epochs", "1"]);
    fails(&arguments, None, 2, &["photos: it exists and is not empty"]);
}

#[test]
fn a_model_file_that_warmstart_did_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let file = weights("zip.pth");
    let val = data.join("val");
    fails(
        &["eval", &file, "--data", val.to_str().unwrap()],
        None,
        1,
        &["zip.pth", "class names"],
    );
    fails(
        &["predict", "no-such-model", "a.png"],
        None,
        1,
        &["no-such-model"],
    );
}

#[test]
fn a_training_that_diverges_stops_and_keeps_the_last_good_state() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("run");
    let recipe = dir.path().join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = 'none'\nimage_size = 32\noptimizer = 'sgd'\n\
         [[phase]]\nname = 'sound'\ntrain = 'all'\nepochs = 1\nbatch = 8\n\
         [[phase]]\nname = 'wild'\ntrain = 'all'\nepochs = 2\nbatch = 8\nlr = 1e30\nwarmup = 0.0\n",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    let arguments = [
        "train",
        recipe.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    fails(
        &arguments,
        None,
        1,
        &[
            "the loss is NaN (step 2 of epoch 2, learning rate",
            "first non-finite value in features.",
            "the last good checkpoint is unchanged",
            "--lr 1e29",
        ],
    );
    assert!(out.join("checkpoints/epoch-0001/state.json").is_file());
    assert!(!out.join("checkpoints/epoch-0002").exists());
    assert!(out.join("best.safetensors").is_file());
}

#[test]
fn a_run_inside_the_data_would_be_taken_for_a_class() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = data.join("runs/first");
    fails(
        &small_run(&data, "none", &out),
        Some(&out),
        2,
        &["lies in the data set's folder"],
    );
}

#[test]
fn a_simd_level_that_there_is_not() {
    warmstart()
        .args(["weights", "inspect", "x"])
        .env("WARMSTART_SIMD", "mmx")
        .assert()
        .code(2)
        .stderr(predicates::str::contains("WARMSTART_SIMD"));
}

#[test]
fn a_device_that_there_is_not_and_a_format_that_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let out = dir.path().join("run");
    let small = small_run(&data, "none", &out);
    let cases: [(&[&str], &[&str]); 3] = [
        (&["--device", "gpu:99"], &["give --device cpu"]),
        (&["--device", "cuda"], &["--device", "gpu:1, or auto"]),
        (
            &["--device", "cpu", "--precision", "bf16"],
            &["in f32 alone", "--precision f32"],
        ),
    ];
    for (flags, words) in cases {
        fails(&[&small[..], flags].concat(), Some(&out), 2, words);
    }
    warmstart()
        .args(&small)
        .env("WARMSTART_DEVICE", "cuda")
        .assert()
        .code(2)
        .stderr(predicates::str::contains("WARMSTART_DEVICE: expected"));
    assert!(!out.exists());
}

#[test]
fn errors_of_a_command_that_prints_json_are_json() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let data = data.to_str().unwrap();
    let recipe = dir.path().join("recipe.toml");
    fs::write(&recipe, "seed = 1\nmodle = 'resnet18'\n").unwrap();
    let recipe = recipe.to_str().unwrap();
    let of_resnet = ["--data", data, "--model", "resnet18", "--weights"];
    type Fields<'a> = &'a [(&'a str, serde_json::Value)];
    let cases: [(&[&str], i32, Fields); 6] = [
        (
            &[
                &["plan", "--json"],
                &of_resnet[..],
                &["none", "--image-size", "31"],
            ]
            .concat(),
            2,
            &[
                ("kind", "usage".into()),
                ("key", "image_size".into()),
                ("found", "31".into()),
                ("expected", "from 32 to 2048".into()),
            ],
        ),
        (
            &["plan", "--json", recipe],
            2,
            &[
                ("kind", "recipe".into()),
                ("file", recipe.into()),
                ("line", 2.into()),
                ("key", "modle".into()),
                ("expected", "model".into()),
            ],
        ),
        (
            &[&["lr-find", "--json"], &of_resnet[..], &["not-there.pth"]].concat(),
            1,
            &[("kind", "file".into()), ("file", "not-there.pth".into())],
        ),
        (
            &["plan", "--json", "--model", "resnet18", "--weights", "none"],
            2,
            &[("key", "data".into()), ("fix", "give --data DIR".into())],
        ),
        (
            &["runs", "--json", "--zebra"],
            2,
            &[("kind", "usage".into())],
        ),
        (
            &["eval", "--json", data],
            1,
            &[("kind", "model".into()), ("file", data.into())],
        ),
    ];
    for (arguments, code, fields) in cases {
        let assert = warmstart().args(arguments).assert().code(code);
        let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        let last = text.lines().last().unwrap();
        let error: serde_json::Value = serde_json::from_str(last).unwrap_or_else(|_| {
            panic!("{arguments:?}: not JSON: {text}");
        });
        assert!(error["error"].is_string(), "{error}");
        for (key, value) in fields {
            let found = &error[*key];
            let ends = |found: &str, expected: &str| found.ends_with(expected);
            let is_same = match (found.as_str(), value.as_str()) {
                // Paths are resolved.
                (Some(found), Some(expected)) => ends(found, expected),
                (_, _) => found == value,
            };
            assert!(is_same, "{key} of {error}");
        }
    }
}
