//! A run that is killed at chosen kinds of moments, and must still give the same result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{outcome, warmstart};

/// When a run is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At any time.
    Any,
    /// While a checkpoint is being written.
    Write,
    /// Between two phases.
    Boundary,
}

/// How often a run was killed in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    pub all: usize,
    /// A checkpoint was half written.
    pub in_write: usize,
    /// The first phase was done, and nothing of the second saved.
    pub at_boundary: usize,
    /// There was a checkpoint within an epoch.
    pub within_epoch: usize,
}

/// A recipe and the result of an undisturbed run of it.
pub struct Undisturbed {
    dir: PathBuf,
    recipe: PathBuf,
    first_phase: usize,
    epochs: usize,
    length: Duration,
    pub expected: Outcome,
}

/// The files' bytes, the metrics, and the model's predictions on some pictures.
pub type Outcome = (
    (
        Vec<Vec<u8>>,
        Vec<std::collections::BTreeMap<String, serde_json::Value>>,
    ),
    Vec<u8>,
);

/// Pseudorandom numbers.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, most: u64) -> u64 {
        // Vigna's xorshift64*.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % most
    }
}

impl Undisturbed {
    /// Trains by a recipe of two phases in `dir`, whose pictures in `pictures` are predicted afterwards.
    pub fn new(dir: &Path, recipe: &Path, [first_phase, epochs]: [usize; 2]) -> Self {
        let mut whole = Self {
            dir: dir.to_owned(),
            recipe: recipe.to_owned(),
            first_phase,
            epochs,
            length: Duration::ZERO,
            expected: Default::default(),
        };
        let run = dir.join("whole");
        let started = Instant::now();
        assert!(whole.train(&run).wait().unwrap().success());
        whole.length = started.elapsed();
        whole.expected = whole.outcome(&run);
        whole
    }

    /// The result of a run.
    pub fn outcome(&self, run: &Path) -> Outcome {
        let pictures = self.dir.join("pictures");
        let predicted = warmstart()
            .arg("predict")
            .arg(run)
            .arg(&pictures)
            .arg("--json")
            .assert()
            .success();
        let lines = predicted.get_output().stdout.clone();
        (outcome(run, self.epochs), lines)
    }

    fn command(&self, words: &[&str], run: &Path, threads: u64) -> Child {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("warmstart"));
        command.env("LC_ALL", "C").args(words).arg(run);
        command.args(["--threads", &threads.to_string()]);
        let log = fs::File::create(run.with_extension("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    pub fn train(&self, run: &Path) -> Child {
        let recipe = self.recipe.to_str().unwrap();
        self.command(&["train", recipe, "--out"], run, 2)
    }

    pub fn resume(&self, run: &Path, threads: u64) -> Child {
        self.command(&["resume"], run, threads)
    }

    /// Begins a run, kills it at such a moment several times, lets it end, and compares. Whatever is
    /// random comes from `numbers`.
    pub fn kill(&self, name: &str, moments: &[Moment], numbers: &mut Numbers, kills: &mut Kills) {
        let run = self.dir.join(name);
        let mut child = self.train(&run);
        // Before the recipe exists, there is nothing to resume.
        while !run.join("recipe.toml").exists() {
            sleep(Duration::from_millis(1));
        }
        let mut log = Vec::new();
        for &moment in moments {
            if !self.wait_for(moment, &run, &mut child, numbers) {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            log.push(format!("{moment:?}: {}", self.note(&run, kills)));
            child = self.resume(&run, 1 + numbers.below(3));
        }
        let said = || fs::read_to_string(run.with_extension("log")).unwrap();
        assert!(child.wait().unwrap().success(), "{log:#?}\n{}", said());
        let same = self.outcome(&run) == self.expected;
        assert!(same, "{name} differs after {log:#?}\n{}", said());
        fs::remove_dir_all(&run).unwrap();
    }

    /// Waits for such a moment, and returns whether the run is still running then.
    fn wait_for(
        &self,
        moment: Moment,
        run: &Path,
        child: &mut Child,
        numbers: &mut Numbers,
    ) -> bool {
        let checkpoints = run.join("checkpoints");
        let boundary = checkpoints.join(format!("epoch-{:04}", self.first_phase));
        let writing = checkpoints.join(".writing");
        // Files that an earlier kill left are not a write.
        let stale = writing.exists().then(|| modified(&writing));
        let micros = self.length.as_micros() as u64;
        let (reached, pause): (&dyn Fn() -> bool, u64) = match moment {
            Moment::Any => (&|| true, numbers.below(micros)),
            Moment::Write => (
                &|| writing.exists() && stale != Some(modified(&writing)),
                numbers.below(15_000),
            ),
            Moment::Boundary => (&|| boundary.exists(), numbers.below(20_000)),
        };
        while !reached() {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            sleep(Duration::from_micros(200));
        }
        sleep(Duration::from_micros(pause));
        child.try_wait().unwrap().is_none()
    }

    /// Counts a kill by what it left.
    fn note(&self, run: &Path, kills: &mut Kills) -> String {
        let mut names: Vec<String> = fs::read_dir(run.join("checkpoints"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let within = names.iter().any(|name| name.starts_with("step-"));
        let newest = names.iter().rfind(|name| name.starts_with("epoch-"));
        let boundary = format!("epoch-{:04}", self.first_phase);
        kills.all += 1;
        kills.in_write += usize::from(names.iter().any(|name| name == ".writing"));
        kills.within_epoch += usize::from(within);
        kills.at_boundary += usize::from(!within && newest == Some(&boundary));
        names.join(" ")
    }
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().ok()?.modified().ok()
}
