//! Whichever system call fails, or is the last before a kill, the checkpoints are sound, the messages are clear, and
//! the run ends in the same bits.
//!
//! `WARMSTART_FAULTS=all cargo test --release -p warmstart --test cli faults::` makes every call fail.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::common::shim::{Fault, How, KINDS, MEMORY, Shim, counted};
use crate::common::{copy, outcome, pictures};

const EPOCHS: usize = 2;
const EIO: How = How::Error("EIO", 5);
const ENOMEM: How = How::Error("ENOMEM", 12);
const ENOSPC: How = How::Error("ENOSPC", 28);
/// Calls of a kind that fail in a way, unless all of them are asked for.
const SOME: u64 = 7;

/// In how many ways a call of a kind may end.
fn ways(kind: &str) -> &'static [How] {
    match kind {
        "open" => &[EIO, How::Kill],
        "write" => &[EIO, ENOSPC, How::Short, How::Kill, How::Torn],
        "mkdir" => &[ENOSPC, How::Kill],
        "rename" => &[EIO, ENOSPC, How::Kill],
        "fsync" | "unlink" => &[EIO, How::Kill],
        "memory" => &[ENOMEM],
        _ => unreachable!(),
    }
}

type Outcome = (Vec<Vec<u8>>, Vec<BTreeMap<String, Value>>);

/// A recipe, the result of a run of it, and the library that makes calls fail.
struct Trial {
    _dir: tempfile::TempDir,
    dir: PathBuf,
    shim: Shim,
    expected: Outcome,
}

/// The command that is under the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// A run from its beginning to its end.
    Train,
    /// A killed run that is resumed.
    Resume,
}

/// A folder for one run, with its cache.
struct Place(PathBuf);

impl Place {
    fn run(&self) -> PathBuf {
        self.0.join("work/run")
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn counts(&self) -> PathBuf {
        self.0.join("counts")
    }
}

impl Trial {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().canonicalize().unwrap();
        let data = dir.join("data");
        pictures(&data.join("train"), &["a", "b"], 0, 3);
        pictures(&data.join("val"), &["a", "b"], 100, 1);
        let recipe = format!(
            "data = '{}'\nmodel = 'mobilenet_v2'\nweights = 'none'\nimage_size = 32\ncheckpoint_every = 1\n\
             keep = 1\n\
             [[phase]]\nname = 'freeze'\ntrain = 'head'\nepochs = 1\nbatch = 4\nviews = 1\n\
             [[phase]]\nname = 'thaw'\ntrain = 'from:features.18'\nepochs = 1\nbatch = 4\n",
            data.display()
        );
        fs::write(dir.join("recipe.toml"), recipe).unwrap();
        let mut trial = Self {
            shim: Shim::build(&dir),
            _dir: temporary,
            dir,
            expected: Default::default(),
        };
        let whole = trial.place("whole");
        assert!(trial.go(&whole, Stage::Train, None).success());
        trial.expected = outcome(&whole.run(), EPOCHS);
        trial
    }

    fn place(&self, name: &str) -> Place {
        let place = self.dir.join(name);
        fs::create_dir_all(place.join("work")).unwrap();
        Place(place)
    }

    fn command(&self, place: &Place, stage: Stage) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("warmstart"));
        command.env("LC_ALL", "C");
        match stage {
            Stage::Train => command
                .arg("train")
                .arg(self.dir.join("recipe.toml"))
                .arg("--out"),
            Stage::Resume => command.arg("resume"),
        };
        command.arg(place.run());
        command.arg("--cache").arg(place.0.join("work/cache"));
        command.args(["--threads", "1"]);
        let log = fs::File::create(place.log()).unwrap();
        command.stderr(log).stdout(Stdio::null());
        command
    }

    /// Runs to the end, or until the fault ends it.
    fn go(&self, place: &Place, stage: Stage, fault: Option<Fault>) -> ExitStatus {
        let mut command = self.command(place, stage);
        let below = place.0.join("work");
        self.shim
            .watch(&mut command, &below, &place.counts(), fault);
        command.status().unwrap()
    }

    /// A run that was killed when half of its writes were done.
    fn killed(&self) -> Place {
        let whole = counted(&self.dir.join("whole/counts"));
        let killed = self.place("killed");
        let fault = Fault {
            kind: 1,
            call: whole[1] / 2,
            how: How::Torn,
        };
        let status = self.go(&killed, Stage::Train, Some(fault));
        assert_eq!(status.signal(), Some(9));
        killed
    }

    /// Makes a call fail, and finishes the run. Returns how the fault was met, or what is wrong with the run.
    fn meet(&self, name: &str, stage: Stage, fault: Fault) -> Result<&'static str, String> {
        let place = self.place(name);
        if stage == Stage::Resume {
            copy(&self.dir.join("killed/work"), &place.0.join("work"));
        }
        let status = self.go(&place, stage, Some(fault));
        let mut said = fs::read_to_string(place.log()).unwrap();
        let mut met = "absorbed";
        check_end(&place, fault, status, &said)?;
        check_checkpoints(&place.run())?;
        if !status.success() {
            met = if fault.how.kills() {
                "killed"
            } else {
                "ended with an error"
            };
            // The same command again, where there is nothing to resume.
            let again = if place.run().join("recipe.toml").exists() {
                Stage::Resume
            } else {
                Stage::Train
            };
            self.finish(&place, again, &mut said)?;
        }
        if fault.kind == MEMORY
            && said.contains("for lack of memory: continuing with micro-batches")
        {
            met = "goes on in smaller parts";
        } else if outcome(&place.run(), EPOCHS) != self.expected {
            return Err(format!("other bits\n{said}"));
        }
        if !leftovers(&place.0.join("work")).is_empty() {
            self.finish(&place, Stage::Resume, &mut said)?;
        }
        let left = leftovers(&place.0.join("work"));
        if !left.is_empty() {
            return Err(format!("left over: {left:?}\n{said}"));
        }
        fs::remove_dir_all(&place.0).unwrap();
        Ok(met)
    }

    /// Finishes a run without a fault.
    fn finish(&self, place: &Place, stage: Stage, said: &mut String) -> Result<(), String> {
        let status = self.go(place, stage, None);
        let words = fs::read_to_string(place.log()).unwrap();
        *said += &format!("--- {stage:?}\n{words}");
        if status.success() {
            Ok(())
        } else {
            Err(format!("not finished by {stage:?}\n{said}"))
        }
    }
}

/// An end by the kill, or in success, or with one error that names a file of the run.
fn check_end(place: &Place, fault: Fault, status: ExitStatus, said: &str) -> Result<(), String> {
    if said.contains("panicked") {
        return Err(format!("it panicked\n{said}"));
    }
    let errors: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    match (status.code(), errors.last()) {
        (Some(0), None) => Ok(()),
        (Some(1 | 2), Some(last)) if errors.len() == 1 && said.ends_with(&format!("{last}\n")) => {
            let shown = place.0.display().to_string();
            if fault.kind == MEMORY || last.contains(&shown) {
                Ok(())
            } else {
                Err(format!("no file is named\n{said}"))
            }
        }
        (None, None) if fault.how.kills() && status.signal() == Some(9) => Ok(()),
        _ => Err(format!("it ended by {status}\n{said}")),
    }
}

/// Every folder that looks like a checkpoint has all files of its state.
fn check_checkpoints(run: &Path) -> Result<(), String> {
    for entry in fs::read_dir(run.join("checkpoints")).into_iter().flatten() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        if name.starts_with('.') {
            continue;
        }
        let unsound = |problem: String| format!("{}: {problem}", folder.display());
        let text = fs::read_to_string(folder.join("state.json"));
        let text = text.map_err(|error| unsound(error.to_string()))?;
        let state: Value = serde_json::from_str(&text).map_err(|e| unsound(e.to_string()))?;
        for (file, sum) in state["files"].as_object().unwrap() {
            let bytes = fs::read(folder.join(file)).map_err(|e| unsound(e.to_string()))?;
            if blake3::hash(&bytes).to_hex().as_str() != sum {
                return Err(unsound(format!("{file} is damaged")));
            }
        }
    }
    Ok(())
}

/// Files below a folder that a process began to write or to remove.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .as_encoded_bytes()
            .starts_with(b".")
        {
            found.push(path);
        } else if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}

/// The faults of a stage that makes so many calls of each kind: all, or some of each kind and way, evenly
/// spread, and all of memory.
fn faults(calls: [u64; KINDS.len()], all: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (kind, calls) in calls.into_iter().enumerate() {
        for &how in ways(KINDS[kind]) {
            // Few calls ask for memory, and what happens depends on where it lacks.
            let count = if all || kind == MEMORY {
                calls
            } else {
                calls.min(SOME)
            };
            // The first and the last among them.
            let call = |index: u64| 1 + index * (calls - 1) / (count - 1).max(1);
            faults.extend((0..count).map(|index| Fault {
                kind,
                call: call(index),
                how,
            }));
        }
    }
    faults
}

#[test]
fn whichever_call_fails_the_run_ends_in_the_same_bits() {
    let trial = Trial::new();
    let all = std::env::var("WARMSTART_FAULTS").is_ok_and(|faults| faults == "all");
    trial.killed();
    // How many calls a resumed run makes.
    let resumed = trial.place("resumed");
    copy(&trial.dir.join("killed/work"), &resumed.0.join("work"));
    assert!(trial.go(&resumed, Stage::Resume, None).success());
    assert!(outcome(&resumed.run(), EPOCHS) == trial.expected);
    let mut cases = Vec::new();
    for (stage, place) in [(Stage::Train, "whole"), (Stage::Resume, "resumed")] {
        let calls = counted(&trial.dir.join(place).join("counts"));
        for (kind, calls) in KINDS.iter().zip(calls) {
            assert!(calls > 0, "{stage:?} makes no call of the kind {kind}");
        }
        say(&format!("{stage:?} makes {}", list(&calls)));
        cases.extend(faults(calls, all).into_iter().map(|fault| (stage, fault)));
    }
    let next = AtomicUsize::new(0);
    let met = Mutex::new(BTreeMap::<_, usize>::new());
    let wrong = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(&(stage, fault)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let name = format!("{stage:?}, {fault}").replace([':', ' '], "-");
                    match trial.meet(&name, stage, fault) {
                        Ok(how) => {
                            let key = (stage, fault.kind, fault.how.to_string(), how);
                            *met.lock().unwrap().entry(key).or_default() += 1;
                        }
                        Err(problem) => {
                            let problem = format!("{stage:?}, {fault}: {problem}");
                            wrong.lock().unwrap().push(problem);
                        }
                    }
                }
            });
        }
    });
    for ((stage, kind, way, how), count) in met.into_inner().unwrap() {
        say(&format!("{stage:?}, {} {way}: {count} {how}", KINDS[kind]));
    }
    let wrong = wrong.into_inner().unwrap();
    say(&format!(
        "{} faults, {} met wrongly",
        cases.len(),
        wrong.len()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(cases.len() >= 200);
}

/// Prints a line also where the test passes: only what macros print is kept back.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn list(calls: &[u64; KINDS.len()]) -> String {
    let calls = KINDS.iter().zip(calls);
    let calls: Vec<_> = calls
        .map(|(kind, calls)| format!("{calls} {kind}"))
        .collect();
    calls.join(", ")
}
