//! Small data sets, made on the spot, and the binary that is tested.

pub mod browser;
pub mod kills;
pub mod process;
pub mod published;
pub mod scenes;
pub mod server;
#[cfg(target_os = "linux")]
pub mod shim;
pub mod tamper;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use image::{Rgb, RgbImage};
use predicates::Predicate;

/// The binary under test, which speaks English whatever the tester's language is.
pub fn warmstart() -> Command {
    let mut command = Command::cargo_bin("warmstart").unwrap();
    command.env("LC_ALL", "C");
    command
}

/// Everything that a process said: standard output, then standard error.
pub fn said(output: &std::process::Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(bytes).unwrap()
}

/// Checks of what a process said, on whichever output.
pub trait Said {
    /// Requires that it said that.
    fn said(self, expected: impl Predicate<str>) -> Self;
}

impl Said for Assert {
    fn said(self, expected: impl Predicate<str>) -> Self {
        let text = said(self.get_output());
        assert!(expected.eval(&text), "{expected}: {text}");
        self
    }
}

/// A picture of a class: 0 horizontal stripes, 1 vertical ones, 2 a checkerboard; `variant` shifts
/// and colours it.
fn picture(class: usize, variant: u32) -> RgbImage {
    RgbImage::from_fn(40, 36, |x, y| {
        let [x, y] = [x + variant % 5, y + variant % 3].map(|v| v / 5 % 2);
        let lit = match class {
            0 => y == 0,
            1 => x == 0,
            _ => x == y,
        };
        let shade = 120 + (variant * 37 % 120) as u8;
        if lit {
            Rgb([shade, 255 - shade, 200])
        } else {
            Rgb([20, shade / 2, 40])
        }
    })
}

/// Writes `count` pictures of each class below `dir`, from variant `first` on.
pub fn pictures(dir: &Path, classes: &[&str], first: u32, count: u32) {
    for (number, class) in classes.iter().enumerate() {
        let folder = dir.join(class);
        fs::create_dir_all(&folder).unwrap();
        for variant in first..first + count {
            picture(number, variant)
                .save(folder.join(format!("{variant:03}.png")))
                .unwrap();
        }
    }
}

pub const CLASSES: [&str; 3] = ["horizontal", "vertical", "checker"];

/// A data set of three classes with a training and a validation split.
pub fn data(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    pictures(&data.join("train"), &CLASSES, 0, 9);
    pictures(&data.join("val"), &CLASSES, 100, 4);
    data
}

/// Arguments of a small, quick run.
pub fn small_run<'a>(data: &'a Path, weights: &'a str, out: &'a Path) -> Vec<&'a str> {
    vec![
        "train",
        "--data",
        data.to_str().unwrap(),
        "--model",
        "mobilenet_v2",
        "--weights",
        weights,
        "--image-size",
        "32",
        "--batch",
        "8",
        "--out",
        out.to_str().unwrap(),
    ]
}

/// A model trained for one epoch, to be the pretrained weights of other runs.
pub fn pretrained(dir: &Path, data: &Path) -> String {
    let out = dir.join("pretrained");
    let mut arguments = small_run(data, "none", &out);
    arguments.extend(["--epochs", "1", "--seed", "5"]);
    warmstart().args(arguments).assert().success();
    out.join("best.safetensors").to_str().unwrap().to_owned()
}

/// The lines of metrics.jsonl without what may differ between two runs of one recipe.
pub fn metrics(run: &Path) -> Vec<BTreeMap<String, serde_json::Value>> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let mut record: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(line).unwrap();
            for time in ["images_per_second", "seconds", "peak_memory_mb"] {
                assert!(record.remove(time).is_some(), "{time} is reported");
            }
            // Only on a graphics card.
            record.remove("waiting_for_images");
            record.remove("card_memory_mb");
            record
        })
        .collect()
}

/// Everything of a run that must not differ: the kept model, the last checkpoint's tensors, and
/// the metrics.
pub fn outcome(
    run: &Path,
    epochs: usize,
) -> (Vec<Vec<u8>>, Vec<BTreeMap<String, serde_json::Value>>) {
    let last = run.join(format!("checkpoints/epoch-{epochs:04}"));
    let mut files = vec![
        run.join("best.safetensors"),
        last.join("model.safetensors"),
        last.join("optimizer.safetensors"),
    ];
    // Where the model is a moving average.
    files.extend(Some(last.join("training.safetensors")).filter(|file| file.exists()));
    let bytes = files.into_iter().map(|file| fs::read(file).unwrap());
    (bytes.collect(), metrics(run))
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// The tensors of a safetensors file as raw bytes by name.
pub fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, view)| (name, view.data().to_vec()))
        .collect()
}
