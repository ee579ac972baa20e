//! Good inputs of the crate that trains, most of them out of a small run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::seeds::{Seeds, png, texts};

pub fn recipes() -> Seeds {
    texts(&[
        "data = \"pets\"\nmodel = \"mobilenet_v2\"\nweights = \"w.pth\"\nseed = 42\nmemory = \"6GiB\"\n\n[[phase]]\nname = \"freeze\"\nepochs = 8\ntrain = \"head\"\nbatch = \"auto\"\nlr = 3e-3\n\n\
         [[phase]]\nname = \"thaw\"\nepochs = 6\ntrain = \"all\"\nbatch = 16\nlr = 3e-4\nlayer_decay = 0.75\nwarmup = 0.1\n",
        "task = \"detect\"\ndata = \"street\"\nmodel = \"resnet18\"\nweights = \"none\"\ninit = \"kaiming\"\nimage_size = 320\n",
    ])
}

pub fn resolved_recipes() -> Seeds {
    vec![file_of_run("recipe.toml")]
}

pub fn states() -> Seeds {
    vec![file_of_run("checkpoints/epoch-0001/state.json")]
}

pub fn model_metadata() -> Seeds {
    vec![parts_of_model().0.clone()]
}

/// The model of a run with other metadata: the JSON under the key `warmstart`.
pub fn model_with(metadata: &[u8]) -> Vec<u8> {
    let (_, header, tensors) = parts_of_model();
    let mut header = header.clone();
    header["__metadata__"]["warmstart"] = String::from_utf8_lossy(metadata).into();
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(tensors);
    file
}

/// Metadata, header and tensors of a run's model.
fn parts_of_model() -> &'static (Vec<u8>, serde_json::Value, Vec<u8>) {
    static PARTS: OnceLock<(Vec<u8>, serde_json::Value, Vec<u8>)> = OnceLock::new();
    PARTS.get_or_init(|| {
        let file = file_of_run("best.safetensors");
        let (length, rest) = file.split_first_chunk::<8>().expect("a header");
        let (header, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header: serde_json::Value = serde_json::from_slice(header).expect("a header in JSON");
        let metadata = header["__metadata__"]["warmstart"]
            .as_str()
            .expect("metadata");
        (
            metadata.as_bytes().to_vec(),
            header.clone(),
            tensors.to_vec(),
        )
    })
}

/// A file of a small run that the program beside this one makes, once a process.
fn file_of_run(name: &str) -> Vec<u8> {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(small_run);
    fs::read(folder.path().join("run").join(name)).expect("a file of the run")
}

fn small_run() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().join("data");
    for name in [
        "train/cat/a",
        "train/cat/b",
        "train/dog/c",
        "train/dog/d",
        "val/cat/e",
        "val/dog/f",
    ] {
        let path = data.join(name).with_extension("png");
        fs::create_dir_all(path.parent().expect("a class folder")).expect("a folder");
        fs::write(path, png()).expect("a picture");
    }
    let out = folder.path().join("run");
    let options = [
        "--model",
        "mobilenet_v2",
        "--weights",
        "none",
        "--image-size",
        "32",
        "--epochs",
        "1",
        "--batch",
        "2",
    ];
    let made = Command::new(program())
        .arg("train")
        .args([
            "--data".as_ref(),
            data.as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
        ])
        .args(options)
        .output();
    let made = made.expect("warmstart is built: cargo build --release");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    folder
}

/// The program, which is built beside this one or, for `cargo fuzz`, in the workspace's own folder.
fn program() -> PathBuf {
    let this = std::env::current_exe().expect("this program finds itself");
    let beside = this.ancestors().map(|folder| folder.join("warmstart"));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/warmstart");
    beside
        .chain([workspace])
        .find(|path| path.is_file())
        .expect("warmstart is built: cargo build --release")
}
