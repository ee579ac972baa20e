//! Runs on a graphics card: the same bits whenever a run is killed, features of their own, and ways from the processor
//! to the card and back.
//!
//! `scripts/test-cards` passes these tests; where the environment variable WARMSTART_DEVICE names no card, they are
//! left out. The sizes are the smallest that there are: a card may be a program.

#[path = "../../nn/tests/common/card.rs"]
mod card;
#[allow(dead_code, reason = "the tests of the processor use the rest")]
#[path = "cli/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;
use warmstart_nn::burn::tensor::{DType, Device};
use warmstart_nn::devices::{Card, card_of};

use common::published::published;
use common::scenes::scenes;
use common::{CLASSES, copy, metrics, outcome, pictures, said, tensors, warmstart};

/// A card, and a folder with a recipe and its runs.
struct Setup {
    device: Device,
    card: &'static Card,
    /// Its name to give to `--device`.
    name: String,
    dir: TempDir,
}

impl Setup {
    /// A folder in which `recipe` prepares what the recipe needs whose text it returns; `None` without a card.
    fn new(recipe: impl FnOnce(&Path) -> String) -> Option<Self> {
        let device = card::card()?;
        let card = card_of(&device)?;
        let dir = tempfile::tempdir().unwrap();
        let text = recipe(dir.path());
        fs::write(dir.path().join("recipe.toml"), text).unwrap();
        Some(Self {
            device,
            card,
            name: card.name.to_string(),
            dir,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The flags for the card.
    fn on_card(&self) -> [&str; 2] {
        ["--device", self.name.as_str()]
    }

    /// A command with the folder's own cache.
    fn command(&self, name: &str, subject: &Path, flags: &[&str]) -> assert_cmd::Command {
        let mut command = warmstart();
        command.arg(name).arg(subject).args(flags);
        command.arg("--cache").arg(self.path("cache"));
        command
    }

    /// Trains the recipe, and returns the run and what was said.
    fn train(&self, name: &str, flags: &[&str]) -> (PathBuf, String) {
        let run = self.path(name);
        let mut command = self.command("train", &self.path("recipe.toml"), flags);
        let trained = command.arg("--out").arg(&run).assert().success();
        (run, said(trained.get_output()))
    }

    /// Resumes a run, and returns what was said.
    fn resume(&self, run: &Path, flags: &[&str]) -> String {
        let resumed = self.command("resume", run, flags).assert().success();
        said(resumed.get_output())
    }

    /// A process that resumes a run. What it says goes into a file beside the run.
    fn start(&self, run: &Path) -> Child {
        let log = fs::File::create(run.with_extension("log")).unwrap();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("warmstart"));
        command.env("LC_ALL", "C").arg("resume").arg(run);
        command.arg("--cache").arg(self.path("cache"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    /// A run that begins with what another one had before its first epoch, the plan included, and is killed after a
    /// checkpoint within an epoch that lies behind that step.
    fn killed(&self, whole: &Path, step: u64, name: &str) -> PathBuf {
        let run = self.path(name);
        fs::create_dir(&run).unwrap();
        for file in ["recipe.toml", "data-files.txt", "plan.json"] {
            fs::copy(whole.join(file), run.join(file)).unwrap();
        }
        let mut child = self.start(&run);
        while within_epoch(&run).is_none_or(|saved| saved <= step) {
            let is_running = child.try_wait().unwrap().is_none();
            assert!(
                is_running,
                "no checkpoint behind step {step}: {}",
                log(&run)
            );
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        run
    }

    /// Trains the recipe, which is one epoch, and requires that a run that was killed in it ends in the same bytes.
    /// Returns the undisturbed run.
    fn require_same_bytes(&self, name: &str, flags: &[&str]) -> PathBuf {
        let (whole, _) = self.train(name, flags);
        let run = self.killed(&whole, 1, &format!("{name}-killed"));
        let words = self.resume(&run, &[]);
        assert!(words.contains("continuing after epoch "), "{words}");
        assert!(outcome(&run, 1) == outcome(&whole, 1), "{words}");
        whole
    }

    /// The predictions of a model for all pictures in `pictures`.
    fn predictions(&self, run: &Path, device: &str) -> Vec<Value> {
        let mut command = warmstart();
        command.arg("predict").arg(run).arg(self.path("pictures"));
        command.args(["--json", "--device", device]);
        let predicted = command.assert().success();
        let lines = std::str::from_utf8(&predicted.get_output().stdout).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }
}

/// The step of the newest checkpoint within an epoch.
fn within_epoch(run: &Path) -> Option<u64> {
    let entries = fs::read_dir(run.join("checkpoints")).ok()?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let steps = names.filter_map(|name| name.to_str()?.strip_prefix("step-")?.parse().ok());
    steps.max()
}

fn log(run: &Path) -> String {
    fs::read_to_string(run.with_extension("log")).unwrap()
}

/// Images of three classes, 24 to train with and six to validate with.
fn images(dir: &Path) -> String {
    let data = dir.join("data");
    pictures(&data.join("train"), &CLASSES, 0, 8);
    pictures(&data.join("val"), &CLASSES, 100, 2);
    data.display().to_string()
}

/// A frozen phase of two steps, whose features are cached, and a thaw of two epochs of four steps, with all that could
/// be forgotten.
fn two_phases(dir: &Path) -> String {
    format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{}'\nimage_size = 32\nfit = 'crop'\nkeep = 'all'\n\
         checkpoint_every = 1\n\
         [[phase]]\nname = 'freeze'\ntrain = 'head'\nhead = 'linear'\nepochs = 1\nbatch = 12\nviews = 1\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 2\nbatch = 6\nmicro_batch = 3\nclip_norm = 1.0\n\
         ema_decay = 0.9\nbatch_norm = 'batch'\ndropout = 0.3\n",
        images(dir),
        published(dir, "mobilenet_v2").display()
    )
}

/// A phase whose epochs have four steps, from random values.
fn one_phase(dir: &Path, model: &str, epochs: usize, lines: &str) -> String {
    format!(
        "data = '{}'\nmodel = '{model}'\nweights = 'none'\nimage_size = 32\nfit = 'crop'\nkeep = 'all'\n\
         checkpoint_every = 1\n\
         [[phase]]\nname = 'all'\ntrain = 'all'\nepochs = {epochs}\nbatch = 6\n{lines}\n",
        images(dir)
    )
}

fn mobilenet(dir: &Path) -> String {
    one_phase(dir, "mobilenet_v2", 2, "batch_norm = 'batch'")
}

fn transformer(dir: &Path) -> String {
    let lines = "micro_batch = 4\nstochastic_depth = 0.3";
    one_phase(dir, "vit_tiny_patch16_224", 1, lines)
}

/// The tensors of the model after an epoch.
fn model(run: &Path, epoch: usize) -> BTreeMap<String, Vec<u8>> {
    let checkpoint = run.join(format!("checkpoints/epoch-{epoch:04}"));
    tensors(&checkpoint.join("model.safetensors"))
}

#[test]
fn the_card_is_listed_and_auto_stands_for_the_one_that_the_variable_names() {
    let Some(setup) = Setup::new(|_| String::new()) else {
        return;
    };
    let listed = warmstart()
        .args(["devices", "--no-measure", "--json"])
        .output()
        .unwrap();
    let lines = std::str::from_utf8(&listed.stdout).unwrap();
    let mut all = lines
        .lines()
        .map(|line| -> Value { serde_json::from_str(line).unwrap() });
    let card = all.find(|device| device["name"] == setup.name).unwrap();
    assert_eq!(card["auto"], true);
    assert_eq!(card["model"], setup.card.model);
    assert_eq!(card["interface"], setup.card.backend.to_string());
}

#[test]
fn a_plan_counts_the_memory_of_the_card() {
    let Some(setup) = Setup::new(mobilenet) else {
        return;
    };
    let mut command = setup.command("plan", &setup.path("recipe.toml"), &setup.on_card());
    let planned = command.arg("--json").assert().success();
    let plan: Value = serde_json::from_slice(&planned.get_output().stdout).unwrap();
    let card = plan["card"].as_str().unwrap();
    assert!(card.starts_with(&setup.name), "{card}");
    let is_known = setup.card.memory().is_some();
    assert_eq!(
        plan["card_budget_mb"].as_f64() > Some(0.0),
        is_known,
        "{plan}"
    );
    assert!(plan["phases"][0]["card_mb"].as_f64() > Some(0.0), "{plan}");
}

#[test]
fn what_two_phases_promise_holds_on_a_card() {
    let Some(setup) = Setup::new(two_phases) else {
        return;
    };
    let (whole, words) = setup.train("whole", &setup.on_card());
    assert!(
        words.contains(&format!("computing on {}", setup.card.title())),
        "{words}"
    );
    assert!(words.contains("0 of 24 for training and 0 of 6"), "{words}");
    require_frozen(&setup, &whole);
    let killed = setup.killed(&whole, 3, "killed");
    // The killed process read the features that the first run had computed.
    assert!(
        log(&killed).contains("24 of 24 for training and 6 of 6"),
        "{}",
        log(&killed)
    );
    let cut = setup.path("cut");
    copy(&killed, &cut);
    let words = setup.resume(&killed, &[]);
    assert!(words.contains("continuing after epoch "), "{words}");
    assert!(outcome(&killed, 3) == outcome(&whole, 3), "{words}");

    let words = setup.resume(&cut, &["--device", "cpu"]);
    assert!(words.contains(&format!("{} → cpu", setup.name)), "{words}");
    assert_eq!(metrics(&cut).len(), 3);
    let recipe = fs::read_to_string(cut.join("recipe.toml")).unwrap();
    assert!(recipe.contains("device = \"cpu\""), "{recipe}");

    require_own_features(&setup);
    require_same_predictions(&setup, &whole);
}

/// No value of the backbone's weights and statistics changes in the frozen phase, and all tensors do in the thaw.
fn require_frozen(setup: &Setup, run: &Path) {
    let before = tensors(&setup.path("mobilenet_v2-published.safetensors"));
    let (frozen, thawed) = (model(run, 1), model(run, 3));
    let network = warmstart_recipe::architecture("mobilenet_v2").unwrap();
    for info in network.backbone_parameters() {
        let name = &info.name;
        assert!(frozen[name] == before[name], "{name} while it is frozen");
        assert!(thawed[name] != frozen[name], "{name} in the thaw");
    }
}

/// The processor takes no features that the card has computed.
fn require_own_features(setup: &Setup) {
    let (_, words) = setup.train("on-processor", &["--device", "cpu"]);
    assert!(words.contains("0 of 24 for training and 0 of 6"), "{words}");
    let mut list = warmstart();
    list.args(["cache", "list", "--cache"])
        .arg(setup.path("cache"));
    list.assert().success().stdout(contains("4 files"));
}

fn require_same_predictions(setup: &Setup, run: &Path) {
    pictures(&setup.path("pictures"), &CLASSES, 50, 2);
    let found = setup.predictions(run, &setup.name);
    let expected = setup.predictions(run, "cpu");
    assert_eq!(found.len(), 6);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found["file"], expected["file"]);
        let [found, expected] =
            [found, expected].map(|line| line["predictions"].as_array().unwrap());
        assert_eq!(found.len(), expected.len());
        for prediction in expected {
            let is_it = |found: &&Value| found["class"] == prediction["class"];
            let found = found.iter().find(is_it).unwrap();
            let [found, expected] =
                [found, prediction].map(|prediction| prediction["probability"].as_f64().unwrap());
            assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
        }
    }
}

#[test]
fn a_vision_transformer_that_is_killed_ends_in_the_same_bytes() {
    let Some(setup) = Setup::new(transformer) else {
        return;
    };
    setup.require_same_bytes("whole", &setup.on_card());
}

#[test]
fn a_detector_that_is_killed_ends_in_the_same_bytes() {
    let recipe = |dir: &Path| {
        format!(
            "data = '{}'\nmodel = 'yolox_nano'\nweights = 'none'\nimage_size = 64\nkeep = 'all'\n\
             checkpoint_every = 1\n\
             [[phase]]\nname = 'all'\ntrain = 'all'\nepochs = 1\nbatch = 4\nmicro_batch = 2\n",
            scenes(dir, 16, 64).display()
        )
    };
    let Some(setup) = Setup::new(recipe) else {
        return;
    };
    setup.require_same_bytes("whole", &setup.on_card());
}

#[test]
fn a_format_that_the_card_has_trains_and_another_is_refused_by_name() {
    let Some(setup) = Setup::new(transformer) else {
        return;
    };
    for (format, dtype) in [("bf16", DType::BF16), ("f16", DType::F16)] {
        let [flag, name] = setup.on_card();
        let flags = [flag, name, "--precision", format];
        if setup.device.supports_dtype(dtype) {
            let whole = setup.require_same_bytes(format, &flags);
            let state = whole.join("checkpoints/epoch-0001/state.json");
            let state: Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
            // Steps whose gradients overflow are none of the optimizer's.
            assert!(
                state["optimizer_steps"].as_u64() > Some(0),
                "{format}: {state}"
            );
            continue;
        }
        let run = setup.path(format);
        let mut command = setup.command("train", &setup.path("recipe.toml"), &flags);
        let refused = command.arg("--out").arg(&run).assert().code(2);
        let words = format!("{} does not compute in {format}", setup.card.title());
        refused.stderr(contains(words).and(contains("give --precision f32")));
        assert!(!run.exists());
    }
}

#[test]
fn a_run_that_began_on_the_processor_goes_on_on_a_card() {
    let Some(setup) = Setup::new(mobilenet) else {
        return;
    };
    let (run, _) = setup.train("run", &["--device", "cpu"]);
    let first = metrics(&run).swap_remove(0);
    let [flag, name] = setup.on_card();
    let words = setup.resume(&run, &["--from-epoch", "1", flag, name]);
    assert!(words.contains(&format!("cpu → {name}")), "{words}");
    assert!(
        words.contains(&format!("computing on {}", setup.card.title())),
        "{words}"
    );
    let lines = metrics(&run);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], first);
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap();
    assert!(recipe.contains(&format!("device = \"{name}\"")), "{recipe}");
}
