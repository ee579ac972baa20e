//! The runs below a folder and their states.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use warmstart_language::message;
use warmstart_recipe::run_files::{CHECKPOINTS, LOAD_REPORT, RECIPE};
use warmstart_recipe::{Error, Key, Recipe, command};

use crate::checkpoint::{Checkpoints, State};
use crate::folder::{recipe_of, summary_of};
use crate::lock::{LOCK, Owner, owner};
use crate::position;
use crate::record::EpochFigure;
use crate::summary::{RunState, Summary};

/// Levels of folders below the first that are searched.
const DEPTH: usize = 6;
/// Epochs by which it is proposed to extend a finished run.
pub const MORE_EPOCHS: usize = 5;

/// A run that was found.
#[derive(Clone, Debug, Serialize)]
pub struct FoundRun {
    /// Its folder; in JSON, bytes that are not UTF-8 are written as `\xff`.
    #[serde(serialize_with = "path_text")]
    pub run: PathBuf,
    /// Its status.
    #[serde(flatten)]
    pub status: Status,
    /// Epochs of its recipe; 0 if that cannot be read.
    pub epochs: usize,
    /// The epoch in best.safetensors: the chosen one of a finished run, else the highest so far.
    pub kept: Option<EpochFigure>,
    /// The epoch with the highest metric so far.
    pub highest: Option<EpochFigure>,
    /// The highest epoch and why it was not kept, in a line; `None` where it was.
    pub not_kept: Option<String>,
    /// The command that continues it; `None` while it runs.
    pub command: Option<String>,
}

fn path_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    warmstart_files::text(path).serialize(serializer)
}

/// The status of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Status {
    /// A process trains it.
    Running {
        /// The process's ID, if it can be read.
        process: Option<u32>,
        /// Finished epochs at the newest checkpoint.
        epoch: usize,
    },
    /// Epochs are left, and no process trains it.
    Interrupted {
        /// Finished epochs.
        epoch: usize,
        /// Images of the next epoch already processed.
        images: usize,
    },
    /// All epochs are done.
    Finished,
    /// It cannot be resumed.
    Broken {
        /// The reason.
        problem: String,
    },
}

/// The runs in and below a folder, by path.
///
/// # Errors
/// If the folder cannot be listed.
pub fn runs(folder: &Path) -> Result<Vec<FoundRun>, Error> {
    fs::read_dir(folder).map_err(|error| Error::io("list", folder, error))?;
    let mut found = Vec::new();
    search(folder, DEPTH, &mut found);
    found.sort();
    Ok(found.into_iter().map(|run| look(&run)).collect())
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if is_run(folder) {
        found.push(folder.to_owned());
        return;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    // A folder that may not be read is not ours.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&entry.path(), depth, found);
        }
    }
}

/// Whether a folder is that of a run.
pub fn is_run(folder: &Path) -> bool {
    let any = |names: [&str; 2]| names.iter().any(|name| folder.join(name).exists());
    // A recipe alone may be one that a user wrote.
    folder.join(CHECKPOINTS).is_dir() && any([RECIPE, LOCK])
        || folder.join(RECIPE).is_file() && any([LOAD_REPORT, LOCK])
}

fn look(run: &Path) -> FoundRun {
    let checkpoints = Checkpoints::of(run);
    let state = checkpoints.newest_state().ok().flatten();
    let has_checkpoints = checkpoints.list().is_ok_and(|list| !list.is_empty());
    let recipe = recipe_of(run).map(|(recipe, _)| recipe);
    let history = state.as_ref().map_or(&[][..], |state| &state.history);
    let epoch = history.len();
    let epochs = recipe.as_ref().map_or(0, Recipe::epochs);
    let has_none_left = |recipe: &Recipe| position::next(recipe, history).is_none();
    let is_done = recipe.as_ref().is_ok_and(has_none_left) && is_finished(run);
    let status = match owner(run) {
        Owner::Process(process) => Status::Running { process, epoch },
        Owner::Nobody => match recipe {
            Err(error) => Status::Broken {
                problem: error.to_string(),
            },
            Ok(_) => status_of_stopped(state.as_ref(), has_checkpoints, [epoch, epochs], is_done),
        },
    };
    let resume = command::resume(run);
    // More epochs do not change a head that is solved.
    let ends_solved = recipe_of(run).is_ok_and(|(recipe, _)| {
        let last = recipe.phases.last();
        last.is_some_and(warmstart_recipe::Phase::is_solved)
    });
    let command = match &status {
        Status::Running { .. } | Status::Broken { .. } => None,
        Status::Interrupted { .. } => Some(resume),
        Status::Finished if ends_solved => None,
        Status::Finished => Some(format!("{resume} {} {}", Key::EPOCHS, epoch + MORE_EPOCHS)),
    };
    let summary = summary_of(run).filter(|_| status == Status::Finished);
    let not_kept = summary.as_ref().and_then(Summary::not_kept);
    let (kept, highest) = match summary {
        Some(summary) => (Some(summary.kept), Some(summary.highest)),
        None => {
            let metric = |state: &State| state.recipe.task.metric();
            let highest =
                state.and_then(|state| EpochFigure::highest(&state.history, metric(&state)));
            (highest.clone(), highest)
        }
    };
    FoundRun {
        run: run.to_owned(),
        kept,
        highest,
        not_kept,
        status,
        epochs,
        command,
    }
}

/// The status of a run that no process trains; of `epochs`, `done` are finished.
fn status_of_stopped(
    state: Option<&State>,
    has_checkpoints: bool,
    [done, epochs]: [usize; 2],
    is_done: bool,
) -> Status {
    if has_checkpoints && state.is_none() {
        Status::Broken {
            problem: message!("none of its checkpoints can be read by this version"),
        }
    } else if done > epochs {
        Status::Broken {
            problem: message!("its recipe has {epochs} epochs, and {done} are done"),
        }
    } else if is_done {
        Status::Finished
    } else {
        Status::Interrupted {
            epoch: done,
            images: state.map_or(0, State::images_in_epoch),
        }
    }
}

/// Whether the choice of the kept model and the test after the last epoch are done, too.
fn is_finished(run: &Path) -> bool {
    summary_of(run).is_some_and(|summary| summary.state == RunState::Finished)
}
