//! Runs over several processes that `mpirun` starts: the same bytes on any number of them, whenever one is killed or
//! stopped, and refusals by name where they are not alike.
//!
//! `cargo test --release -p warmstart --features mpi --test ranks` runs them. They need Open MPI's `mpirun`.
#![cfg(feature = "mpi")]

#[allow(dead_code, reason = "the tests of one process use the rest")]
#[path = "cli/common/mod.rs"]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use common::process::{checkpoints, log};
use common::published::published;
use common::scenes::scenes;
use common::{CLASSES, copy, outcome, pictures, said};

/// One test at a time: each starts up to four processes.
static ALONE: Mutex<()> = Mutex::new(());

/// Epochs of the classifier: the solved head's, and two of the thaw.
const EPOCHS: usize = 3;

/// A folder with a recipe and its runs.
struct Setup {
    dir: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Setup {
    /// A folder in which `recipe` prepares what the recipe needs whose text it returns.
    fn new(recipe: impl FnOnce(&Path) -> String) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let text = recipe(dir.path());
        fs::write(dir.path().join("recipe.toml"), text).unwrap();
        Self { dir, _alone: alone }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The words of a rank that trains the recipe.
    fn words(&self, run: &Path, flags: &[&str]) -> Vec<String> {
        let mut words = vec![
            binary(),
            "train".to_owned(),
            text(&self.path("recipe.toml")),
        ];
        words.extend(["--out".to_owned(), text(run)]);
        words.extend(self.resources(run));
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        words
    }

    /// The flags of a run with a cache of its own.
    fn resources(&self, run: &Path) -> Vec<String> {
        let cache = run.with_extension("cache");
        let flags = ["--threads", "1", "--cache"].map(str::to_owned);
        flags.into_iter().chain([text(&cache)]).collect()
    }

    /// Trains the recipe on so many ranks.
    fn train(&self, name: &str, ranks: usize) -> PathBuf {
        let run = self.path(name);
        let output = mpirun(ranks, &self.words(&run, &[])).output().unwrap();
        assert!(output.status.success(), "{name}: {}", said(&output));
        run
    }

    /// Begins to train the classifier on four ranks, and waits for a checkpoint within the thaw.
    fn begin(&self, name: &str) -> (PathBuf, Child) {
        let run = self.path(name);
        let file = fs::File::create(run.with_extension("log")).unwrap();
        let mut command = mpirun(4, &self.words(&run, &[]));
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = command.spawn().unwrap();
        // A head that is solved takes no steps.
        let is_in_thaw = || checkpoints(&run).iter().any(|at| at.starts_with("step-"));
        while !is_in_thaw() {
            assert!(child.try_wait().unwrap().is_none(), "{}", log(&run));
            sleep(Duration::from_millis(2));
        }
        (run, child)
    }

    /// Resumes a run on so many ranks that `mpirun` starts, or without it.
    fn resume(&self, run: &Path, ranks: Option<usize>) -> String {
        let mut words = vec![binary(), "resume".to_owned(), text(run)];
        words.extend(self.resources(run));
        let mut command = match ranks {
            Some(ranks) => mpirun(ranks, &words),
            None => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).env("LC_ALL", "C");
                command
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// What two ranks say that are started differently, and refused.
    fn refused(&self, one: &[String], other: &[String]) -> String {
        let mut command = mpirun(1, one);
        command.args([":", "-n", "1"]).args(other);
        let output = command.output().unwrap();
        let said = said(&output);
        assert!(!output.status.success(), "{said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        said
    }
}

fn binary() -> String {
    text(&assert_cmd::cargo::cargo_bin("warmstart"))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A command on so many ranks.
fn mpirun(ranks: usize, words: &[String]) -> Command {
    let mut command = Command::new("mpirun");
    command.args([
        "--oversubscribe",
        "--allow-run-as-root",
        "--bind-to",
        "none",
    ]);
    command.args(["-n", &ranks.to_string()]).args(words);
    command.env("LC_ALL", "C");
    // A container may not let a process read the memory of another.
    command.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    command
}

/// The process of a rank of an `mpirun`.
fn process(mpirun: &Child, rank: usize) -> String {
    let parent = mpirun.id().to_string();
    let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut processes = entries.filter_map(|entry| {
        let path = entry.path();
        let status = fs::read_to_string(path.join("status")).ok()?;
        let of = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        let environment = fs::read(path.join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let is_it = of.trim() == parent && variables.any(|of| of == variable.as_bytes());
        is_it.then(|| entry.file_name().into_string().unwrap())
    });
    processes.next().expect("the rank is at work")
}

fn signal(process: &str, name: &str) {
    let status = Command::new("kill").args(["-s", name, process]).status();
    assert!(status.unwrap().success());
}

/// A head that is solved, and a thaw of two epochs whose last batch has three images: fewer than virtual shards.
fn classifier(dir: &Path) -> String {
    let data = dir.join("data");
    pictures(&data.join("train"), &CLASSES, 0, 17);
    pictures(&data.join("val"), &CLASSES, 100, 4);
    format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{}'\nimage_size = 64\nfit = 'crop'\nmemory = '2GiB'\n\
         checkpoint_every = 1\n\
         [[phase]]\nname = 'freeze'\ntrain = 'head'\nhead = 'ridge'\nepochs = 1\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 2\nbatch = 16\nclip_norm = 1.0\nema_decay = 0.9\n\
         batch_norm = 'batch'\ndropout = 0.3\n",
        data.display(),
        published(dir, "mobilenet_v2").display()
    )
}

fn detector(dir: &Path) -> String {
    format!(
        "data = '{}'\nmodel = 'yolox_nano'\nweights = 'none'\nimage_size = 64\nmemory = '2GiB'\n\
         [[phase]]\nname = 'all'\ntrain = 'all'\nepochs = 1\nbatch = 8\n",
        scenes(dir, 11, 64).display()
    )
}

/// A run that nothing reaches: what is refused before it.
fn untrained(dir: &Path) -> String {
    let data = dir.join("data");
    pictures(&data.join("train"), &CLASSES, 0, 4);
    pictures(&data.join("val"), &CLASSES, 100, 1);
    format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = 'none'\nimage_size = 32\nmemory = '2GiB'\n\
         [[phase]]\nname = 'all'\ntrain = 'all'\nepochs = 1\nbatch = 8\n",
        data.display()
    )
}

#[test]
fn a_classifier_has_the_same_bytes_on_any_number_of_ranks_whenever_one_ends() {
    let setup = Setup::new(classifier);
    let expected = outcome(&setup.train("one", 1), EPOCHS);
    for ranks in [2, 4] {
        let run = setup.train(&format!("on-{ranks}"), ranks);
        assert!(outcome(&run, EPOCHS) == expected, "on {ranks} ranks");
    }

    let (run, mut child) = setup.begin("killed");
    signal(&process(&child, 2), "KILL");
    assert!(!child.wait().unwrap().success(), "{}", log(&run));
    let again = setup.path("killed-again");
    copy(&run, &again);
    let words = setup.resume(&run, None);
    assert!(words.contains("continuing after epoch "), "{words}");
    assert!(outcome(&run, EPOCHS) == expected, "{words}");
    let words = setup.resume(&again, Some(2));
    assert!(outcome(&again, EPOCHS) == expected, "{words}");

    let (run, mut child) = setup.begin("stopped");
    signal(&process(&child, 1), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143), "{}", log(&run));
    let words = log(&run);
    assert_eq!(words.matches("stopped in epoch ").count(), 1, "{words}");
    assert!(
        words.contains("saved; continue with `warmstart resume "),
        "{words}"
    );
    let words = setup.resume(&run, Some(4));
    assert!(outcome(&run, EPOCHS) == expected, "{words}");
}

#[test]
fn a_detector_has_the_same_bytes_on_any_number_of_ranks() {
    let setup = Setup::new(detector);
    let expected = outcome(&setup.train("one", 1), 1);
    for ranks in [2, 4] {
        let run = setup.train(&format!("on-{ranks}"), ranks);
        assert!(outcome(&run, 1) == expected, "on {ranks} ranks");
    }
}

#[test]
fn a_rank_that_is_unlike_the_first_is_refused_by_name() {
    let setup = Setup::new(untrained);
    let run = setup.path("run");
    let [one, other] = ["1", "2"].map(|seed| setup.words(&run, &["--seed", seed]));
    let said = setup.refused(&one, &other);
    assert!(said.contains("rank 1 ("), "{said}");
    assert!(
        said.contains("has another recipe or other options than rank 0"),
        "{said}"
    );
    assert!(!run.exists());

    // In its own mount namespace, the other rank sees one more picture under the same path.
    let more = setup.path("more");
    copy(&setup.path("data"), &more);
    pictures(&more.join("train"), &CLASSES[..1], 50, 1);
    let same = setup.words(&run, &[]);
    let command: Vec<String> = same.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "mount --bind '{}' '{}' && exec {}",
        more.display(),
        setup.path("data").display(),
        command.join(" ")
    );
    let apart = ["unshare", "--mount", "--map-root-user", "sh", "-c"].map(str::to_owned);
    let apart: Vec<String> = apart.into_iter().chain([script]).collect();
    let said = setup.refused(&same, &apart);
    assert!(said.contains("rank 1 ("), "{said}");
    assert!(
        said.contains("has another list of data files than rank 0"),
        "{said}"
    );
    assert!(!run.exists());
}

#[test]
fn numbers_of_ranks_and_commands_that_cannot_share_a_run_are_refused_once() {
    let setup = Setup::new(untrained);
    let run = setup.path("run");
    for (ranks, flags, expected) in [
        (
            3,
            &[][..],
            "training runs on 3 processes; their number must be a power of two",
        ),
        (
            4,
            &["--virtual-shards", "2"][..],
            "training runs on 4 processes",
        ),
        (
            2,
            &["--folds", "3"][..],
            "a cross-validation does not run on 2 processes together",
        ),
    ] {
        let output = mpirun(ranks, &setup.words(&run, flags)).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(!run.exists());
    }
}
