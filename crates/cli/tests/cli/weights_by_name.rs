//! Published weights by name: from a folder, from a server on this machine, and not at all. Needs the real MobileNetV2:
//! `./quickstart --test-data` fetches it.

#[path = "../../../fetch/tests/server/mod.rs"]
pub mod server;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use server::{Answer, Server};

use crate::common::{self, Said};

const FILE: &str = "mobilenet_v2-b0353104.pth";

fn real_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../quickstart-data");
    assert!(
        folder.join(FILE).is_file(),
        "{} is missing: run ./quickstart --test-data first",
        folder.join(FILE).display()
    );
    folder.canonicalize().unwrap()
}

/// The program, with a home of its own and nothing of the tester's environment.
fn at_home(home: &Path) -> Command {
    let mut command = common::warmstart();
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    for name in [
        "XDG_CACHE_HOME",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_TOKEN",
        "HF_ENDPOINT",
    ] {
        command.env_remove(name);
    }
    command
        .env("HOME", home)
        .env("LOCALAPPDATA", home)
        .env("HF_HUB_OFFLINE", "1")
        .env("WARMSTART_DOWNLOAD_TIMEOUT", "0.2")
        .env_remove("WARMSTART_WEIGHTS")
        .current_dir(home);
    command
}

/// The program of a user with a network, which is one server on this machine.
fn online(home: &Path, server: &Server) -> Command {
    let mut command = at_home(home);
    command
        .env("HF_HUB_OFFLINE", "0")
        .env("WARMSTART_WEIGHTS", &server.url);
    command
}

#[test]
fn a_folder_of_photos_is_all_that_train_needs() {
    let dir = tempfile::tempdir().unwrap();
    let data = common::data(dir.path());
    let train = ["train", "--data", data.to_str().unwrap()];
    let mut command = at_home(dir.path());
    // As few steps as there can be, at the default size.
    command.env("WARMSTART_WEIGHTS", real_folder());
    let quick = ["--epochs", "1", "--freeze-epochs", "1", "--fit", "crop"];
    command.args(train).args(quick).assert().success().said(
        contains(
            "neither --weights nor --model is given: the default is mobilenet_v2.imagenet1k_v1",
        )
        .and(contains("its SHA-256 is the published one, b0353104…"))
        .and(contains("260 of 260 tensors (100%)")),
    );
    let recipe = fs::read_to_string(dir.path().join("runs/data/recipe.toml")).unwrap();
    assert!(
        recipe.contains("weights = \"mobilenet_v2.imagenet1k_v1\""),
        "{recipe}"
    );
    assert!(recipe.contains("model = \"mobilenet_v2\""), "{recipe}");
    // The recipe means the same on another machine, which lacks the file.
    let again = dir.path().join("runs/data/recipe.toml");
    let mut command = at_home(dir.path());
    command.args(["train", again.to_str().unwrap(), "--out", "again"]);
    command.assert().code(1).stderr(
        contains("`mobilenet_v2.imagenet1k_v1` is not on this machine, and HF_HUB_OFFLINE forbids")
            .and(contains(
                "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
            ))
            .and(contains(
                ".cache/warmstart/weights, or into a folder that WARMSTART_WEIGHTS names",
            ))
            .and(predicate::str::is_match("^(?:note: [^\n]*\n)*error: [^\n]*\n$").unwrap()),
    );
    assert!(!dir.path().join("again").exists());
}

#[test]
fn weights_come_from_a_server_once_and_are_copied_where_the_user_wants_them() {
    let real = fs::read(real_folder().join(FILE)).unwrap();
    let server = Server::start(move |asked| match asked.path.trim_start_matches('/') {
        FILE => Answer::content(&real, asked),
        _ => Answer::status(404),
    });
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join(".cache/warmstart/weights").join(FILE);
    let get = ["weights", "get", "mobilenet_v2.imagenet1k_v1"];
    online(dir.path(), &server)
        .args(get)
        .assert()
        .success()
        .stdout(format!("{}\n", kept.display()))
        .stderr(
            contains("by torchvision, which states no licence for them), 14.2 MB, from http://127")
                .and(contains("its SHA-256 is the published one")),
        );
    assert_eq!(server.asked().len(), 1);
    // Another name for it, without a network, to a file.
    let copy = dir.path().join("copy.pth");
    let to = ["weights", "get", "imagenet", "--to", copy.to_str().unwrap()];
    at_home(dir.path()).args(to).assert().success();
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&kept).unwrap());
    let exists = contains("copy.pth: it exists already: remove it, or give another --to");
    at_home(dir.path()).args(to).assert().code(2).stderr(exists);
    // Other commands find it, too.
    at_home(dir.path())
        .args(["weights", "list"])
        .assert()
        .success()
        .stdout(
            predicate::str::is_match("mobilenet_v2.imagenet1k_v1 .* torchvision +yes\n").unwrap(),
        );
}

#[test]
fn what_a_server_does_wrong_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let get = ["weights", "get", "mobilenet_v2"];
    let server = Server::start(|asked| Answer::content(b"other weights", asked));
    let other = contains("error: http://127.0.0.1:").and(contains("expected b0353104…"));
    let failed = online(dir.path(), &server)
        .args(get)
        .assert()
        .code(1)
        .stderr(other);
    let said = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
    assert!(
        said.lines().last().unwrap().starts_with("error: "),
        "{said}"
    );
    let weights = dir.path().join(".cache/warmstart/weights");
    let left: Vec<_> = fs::read_dir(weights).unwrap().flatten().collect();
    // The folder of locks.
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn names_that_are_not_known_are_answered_with_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let data = common::data(dir.path());
    let data = data.to_str().unwrap();
    for (arguments, words) in [
        (
            vec!["weights", "get", "mobilenet_v2.imagenet1k_v9"],
            "did you mean `mobilenet_v2.imagenet1k_v1`?",
        ),
        (
            vec!["train", "--data", data, "--weights", "imagnet"],
            "no published weights of that name: did you mean `imagenet`?",
        ),
        (
            vec![
                "train",
                "--data",
                data,
                "--model",
                "resnet18",
                "--weights",
                "resnet34.a1_in1k",
            ],
            "weights of resnet34, not of resnet18: leave out --model, or give --weights imagenet",
        ),
        // Nothing is fetched for a request that cannot be carried out.
        (
            vec!["train", "--weights", "imagenet"],
            "no data set is given: give --data DIR",
        ),
    ] {
        let mut command = at_home(dir.path());
        command
            .args(&arguments)
            .assert()
            .code(2)
            .stderr(contains(words));
    }
    let nowhere = ["train", "--data", "nowhere"];
    let words =
        contains("cannot read nowhere").or(contains("cannot read ").and(contains("/nowhere")));
    at_home(dir.path())
        .args(nowhere)
        .assert()
        .code(1)
        .stderr(words);
}

#[test]
fn networks_and_weights_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    at_home(dir.path()).arg("models").assert().success().stdout(
        contains("mobilenet_v2")
            .and(contains("3,504,872"))
            .and(contains("mobilenet_v2.imagenet1k_v1")),
    );
    let output = at_home(dir.path())
        .args(["models", "--json"])
        .output()
        .unwrap();
    let mut weights = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let network: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            network["multiply_adds"].as_u64().unwrap() > 1_000_000,
            "{line}"
        );
        weights += network["weights"].as_array().unwrap().len();
    }
    let output = at_home(dir.path())
        .args(["weights", "list", "--json"])
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(
        weights > 50 && listed.lines().count() == weights,
        "{weights}"
    );
    let first: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!(first["name"], "mobilenet_v2.imagenet1k_v1");
    assert_eq!(first["sha256"], "b0353104");
    assert_eq!(first["license"], serde_json::Value::Null);
}
