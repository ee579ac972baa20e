//! `warmstart demo`: what pretraining buys, shown by real runs on pictures that are drawn on the spot.
//!
//! A network is pretrained on a source task, and two small targets are trained without and with its weights: one
//! that is like the source, and one that is not. [`Demo::begin`] draws the pictures and lists the runs,
//! [`Demo::train`] trains one of them, [`results()`] compares them.

mod drawing;
mod pictures;
mod results;
mod runs;
mod shapes;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use warmstart_files::read_text;
use warmstart_language::message;
use warmstart_nn::devices::DeviceName;
use warmstart_recipe::{DEFAULT_MODEL, Draft, Error, Key, NO_WEIGHTS, Problem, command};
use warmstart_run::event::Observer;
use warmstart_run::replace_file;
use warmstart_train::resources::Resources;

use crate::complete::{complete, finished};
use crate::recognise::settle_model;
use drawing::EDGE;
use runs::{is_first_with_its_data, runs};

pub use results::{Gain, Outcome, Results, results};
pub use runs::{DemoRun, DemoTask, Start};

/// File of the request, by which the folder of a demonstration is known.
const REQUEST: &str = "demo.json";
/// Most bytes of that file.
const LARGEST_REQUEST: u64 = 1 << 16;
/// Folder of the pretraining run, below `runs/`.
const PRETRAINING: &str = "pretrain";
/// Learning rate of the pretraining: higher than the default, because the steps are few.
const PRETRAINING_LR: &str = "0.002";

/// A request for a demonstration.
#[derive(Clone, Debug)]
pub struct Request {
    /// Folder of the pictures and the runs.
    pub out: PathBuf,
    /// Runs of each target and start: seeds from 1.
    pub seeds: u64,
    /// What all starts of one demonstration have in common.
    pub size: Size,
    /// The device of all runs; `None` for the one that `auto` stands for.
    pub device: Option<DeviceName>,
}

/// The size of a demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Training pictures of each class of the source.
    pub pictures: usize,
    /// Epochs of the pretraining, and of each run from scratch or with a thaw.
    pub epochs: usize,
}

/// A demonstration whose pictures are drawn.
pub struct Demo {
    out: PathBuf,
    size: Size,
    device: Option<DeviceName>,
    /// Its runs, in the order in which they are trained.
    pub runs: Vec<DemoRun>,
}

impl Demo {
    /// Draws the pictures into a new folder, or into that of an earlier start.
    ///
    /// # Errors
    /// If the folder has other things in it, or a demonstration of another size, or the disk refuses.
    pub fn begin(request: &Request) -> Result<Self, Error> {
        if request.out.to_str().is_none() {
            let what = message!("its path is not valid UTF-8, so no recipe could name it");
            return Err(Problem::new(what)
                .of_file(&request.out)
                .fix(message!("give another folder"))
                .into());
        }
        require_own(&request.out, request.size)?;
        warmstart_files::create_folder(&request.out)
            .map_err(|error| Error::io("create", &request.out, error))?;
        let text = serde_json::to_string(&request.size).expect("numbers are plain data");
        replace_file(&request.out.join(REQUEST), (text + "\n").as_bytes())?;
        let demo = Self {
            out: request.out.clone(),
            size: request.size,
            device: request.device,
            runs: runs(request.seeds),
        };
        for run in demo.runs.iter().filter(|run| is_first_with_its_data(run)) {
            pictures::draw(run.task, run.seed, demo.size.pictures, &demo.data(run))?;
        }
        Ok(demo)
    }

    /// Trains a run to its end. One that an earlier start has begun is continued, or used as it is if it is finished.
    ///
    /// # Errors
    /// If training fails, or the run that is there was requested with other options.
    pub fn train(
        &self,
        run: &DemoRun,
        resources: Resources,
        observe: Observer,
    ) -> Result<Outcome, Error> {
        let folder = self.folder(run);
        let mut draft = self.draft(run)?;
        // The command does not name the model of pretrained weights.
        settle_model(&mut draft, &mut |_| {})?;
        let other = message!("give another folder");
        let summary = complete(draft, &folder, &other, resources, observe)?;
        Ok(Outcome {
            run: *run,
            folder,
            command: self.command(run),
            metric: summary.kept.metric,
            value: summary.kept.value,
            interval: summary.kept.interval,
            seconds: summary.phases.iter().map(|phase| phase.seconds).sum(),
        })
    }

    /// Whether an earlier start has finished a run.
    pub fn has(&self, run: &DemoRun) -> bool {
        finished(&self.folder(run)).is_some()
    }

    /// The command that trains a run.
    pub fn command(&self, run: &DemoRun) -> String {
        let mut words = vec!["warmstart train".to_owned()];
        for (flag, value) in self.options(run) {
            words.push(format!("--{flag} {}", command::word(Path::new(&value))));
        }
        words.push(format!("--out {}", command::word(&self.folder(run))));
        words.join(" ")
    }

    /// The request that [`command`](Self::command) stands for.
    fn draft(&self, run: &DemoRun) -> Result<Draft, Error> {
        let mut draft = Draft::default();
        for (flag, value) in self.options(run) {
            let text = OsStr::new(&value);
            let set = match flag {
                "epochs" => draft.thawed.set("epochs", text),
                "freeze-epochs" => draft.frozen.set("epochs", text),
                "lr" => draft.thawed.set("lr", text),
                flag => draft.set(&flag.replace('-', "_"), text),
            };
            set.map_err(|expected| Error::usage(format!("{flag}: {expected}")))?;
        }
        Ok(draft)
    }

    /// The flags of a run with their values.
    fn options(&self, run: &DemoRun) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut options = vec![("data", text(self.data(run)))];
        if run.start.is_pretrained() {
            options.push(("weights", text(self.out.join("runs").join(PRETRAINING))));
        } else {
            options.extend([
                ("model", DEFAULT_MODEL.to_owned()),
                ("weights", NO_WEIGHTS.to_owned()),
            ]);
        }
        options.push(("image-size", EDGE.to_string()));
        match (run.task, run.start) {
            (DemoTask::Source, _) => options.extend([
                ("lr", PRETRAINING_LR.to_owned()),
                ("epochs", self.size.epochs.to_string()),
            ]),
            (DemoTask::Related | DemoTask::Unrelated, Start::Scratch) => {
                options.push(("epochs", self.size.epochs.to_string()));
            }
            (DemoTask::Related | DemoTask::Unrelated, Start::Random | Start::Frozen) => options
                .extend([
                    ("freeze-epochs", "1".to_owned()),
                    ("epochs", "1".to_owned()),
                ]),
            (DemoTask::Related | DemoTask::Unrelated, Start::Thawed) => options.extend([
                ("freeze-epochs", "1".to_owned()),
                ("epochs", self.size.epochs.to_string()),
            ]),
        }
        options.push(("seed", run.seed.to_string()));
        options.extend(self.device.map(|device| ("device", device.to_string())));
        options
    }

    /// Folder of a run's data.
    fn data(&self, run: &DemoRun) -> PathBuf {
        let data = self.out.join("data");
        match run.task {
            DemoTask::Source => data.join(run.task.name()),
            DemoTask::Related | DemoTask::Unrelated => {
                data.join(format!("{}-{}", run.task.name(), run.seed))
            }
        }
    }

    /// Folder of a run.
    fn folder(&self, run: &DemoRun) -> PathBuf {
        let runs = self.out.join("runs");
        let (task, start, seed) = (run.task.name(), run.start.name(), run.seed);
        match run.task {
            DemoTask::Source => runs.join(PRETRAINING),
            DemoTask::Related | DemoTask::Unrelated => runs.join(format!("{task}-{start}-{seed}")),
        }
    }
}

/// Refuses a folder with other things in it, or with a demonstration of another size.
fn require_own(out: &Path, size: Size) -> Result<(), Error> {
    let request = out.join(REQUEST);
    if request.exists() {
        let text = read_text(&request, LARGEST_REQUEST);
        let text = text.map_err(|error| Error::io("read", &request, error))?;
        let before: Option<Size> = serde_json::from_str(&text).ok();
        return match before {
            Some(before) if before == size => Ok(()),
            Some(Size { pictures, epochs }) => {
                let what = message!(
                    "it is a demonstration with {pictures} pictures a class and {epochs} epochs"
                );
                let fix = message!(
                    "give {} {pictures} {} {epochs} to go on with it, or another folder",
                    Key::PICTURES,
                    Key::EPOCHS
                );
                Err(Problem::new(what).of_file(out).fix(fix).into())
            }
            None => Err(
                Problem::new(message!("it does not hold the size of a demonstration"))
                    .of_file(&request)
                    .fix(message!("give another folder"))
                    .into(),
            ),
        };
    }
    let refuse = |what: String| -> Result<(), Error> {
        let fix = message!("give another folder, or one that does not exist yet");
        Err(Problem::new(what).of_file(out).fix(fix).into())
    };
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return refuse(message!("it is not a folder"));
        }
        Err(error) => return Err(Error::io("list", out, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("list", out, error))?;
        // A process that was killed at once leaves a half-written file.
        if !warmstart_files::is_being_written(&entry.file_name()) {
            return refuse(message!(
                "it is not empty, and not the folder of a demonstration"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::Auto;

    use super::*;

    fn demo() -> Demo {
        Demo {
            out: "a demo".into(),
            size: Size {
                pictures: 9,
                epochs: 4,
            },
            device: None,
            runs: runs(2),
        }
    }

    #[test]
    fn a_command_is_the_request_in_words() {
        let demo = demo();
        assert_eq!(demo.runs.len(), 17);
        let commands: Vec<String> = demo.runs.iter().map(|run| demo.command(run)).collect();
        assert_eq!(
            commands[0],
            "warmstart train --data 'a demo/data/source' --model mobilenet_v2 --weights none --image-size 64 \
             --lr 0.002 --epochs 4 --seed 1 --out 'a demo/runs/pretrain'"
        );
        assert_eq!(
            commands[4],
            "warmstart train --data 'a demo/data/related-1' --weights 'a demo/runs/pretrain' --image-size 64 \
             --freeze-epochs 1 --epochs 4 --seed 1 --out 'a demo/runs/related-thawed-1'"
        );
        let draft = demo.draft(&demo.runs[4]).unwrap();
        assert_eq!(draft.frozen.epochs, Some(1));
        assert_eq!(draft.thawed.epochs, Some(4));
        assert_eq!((draft.seed, draft.image_size), (Some(1), Some(64)));
        assert_eq!((draft.model, draft.device), (None, None));
    }

    #[test]
    fn a_device_that_is_asked_for_is_that_of_every_run() {
        let demo = Demo {
            device: Some(DeviceName::Gpu(1)),
            ..demo()
        };
        for run in &demo.runs {
            let command = demo.command(run);
            assert!(command.contains(" --device gpu:1 --out "), "{command}");
            let device = demo.draft(run).unwrap().device;
            assert_eq!(device, Some(Auto::Value(DeviceName::Gpu(1))));
        }
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, size) = (dir.path(), demo().size);
        assert!(require_own(&path.join("new"), size).is_ok());
        assert!(require_own(path, size).is_ok());
        let other = path.join("letter.txt");
        fs::write(&other, "x").unwrap();
        for refused in [path, other.as_path()] {
            let error = require_own(refused, size).unwrap_err().to_string();
            assert!(error.contains("give another folder"), "{error}");
        }
        fs::write(path.join(REQUEST), r#"{"pictures":9,"epochs":4}"#).unwrap();
        assert!(require_own(path, size).is_ok());
        let error = require_own(path, Size { epochs: 5, ..size }).unwrap_err();
        let error = warmstart_recipe::plain(&error.to_string());
        assert!(error.contains("give pictures 9 epochs 4"), "{error}");
    }
}
