//! Runs that are there, and where they stand.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::checkpoint::{Checkpoints, State};
use crate::lock::{Owner, owner};
use crate::recipe::Recipe;
use crate::record::Best;
use crate::run::RECIPE;

/// Folders below the first that are looked into: what is deeper is nobody's run.
const DEPTH: usize = 6;
/// Epochs that a finished run is proposed to go on for.
pub const MORE_EPOCHS: usize = 5;

/// A run that was found.
#[derive(Clone, Debug, Serialize)]
pub struct FoundRun {
    /// Its folder.
    pub run: PathBuf,
    /// Where it stands.
    #[serde(flatten)]
    pub status: Status,
    /// Epochs that it is to have; 0 if its recipe cannot be read.
    pub epochs: usize,
    /// The best epoch of its newest checkpoint.
    pub best: Option<Best>,
    /// The command that goes on with it; none while it runs.
    pub command: Option<String>,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Status {
    /// A process trains it.
    Running {
        /// Its number, if it can be read.
        process: Option<u32>,
        /// Finished epochs at the newest checkpoint.
        epoch: usize,
    },
    /// Epochs are left, and nobody trains it.
    Interrupted {
        /// Finished epochs.
        epoch: usize,
        /// Images of the next epoch that are behind.
        images: usize,
    },
    /// All epochs are done.
    Finished,
    /// It cannot be gone on with.
    Broken {
        /// Why.
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

fn is_run(folder: &Path) -> bool {
    let any = |names: [&str; 2]| names.iter().any(|name| folder.join(name).exists());
    // A recipe alone may be one that somebody wrote.
    folder.join("checkpoints").is_dir() && any([RECIPE, "run.lock"])
        || folder.join(RECIPE).is_file() && any(["load-report.txt", "run.lock"])
}

fn look(run: &Path) -> FoundRun {
    let state = Checkpoints::of(run).newest_state();
    let recipe = match (Recipe::read(&run.join(RECIPE)), &state) {
        (Err(_), Ok(Some(state))) => Ok(state.recipe.clone()),
        (recipe, _) => recipe,
    };
    let epochs = recipe.as_ref().map_or(0, Recipe::epochs);
    let status = match (owner(run), &recipe, &state) {
        (Owner::Process(process), _, Ok(state)) => Status::Running {
            process,
            epoch: state.as_ref().map_or(0, |state| state.epoch),
        },
        (_, Err(error), _) | (_, _, Err(error)) => Status::Broken {
            problem: error.to_string(),
        },
        (_, Ok(_), Ok(Some(state))) if state.epoch >= epochs => Status::Finished,
        (_, Ok(_), Ok(state)) => Status::Interrupted {
            epoch: state.as_ref().map_or(0, |state| state.epoch),
            images: state.as_ref().map_or(0, State::images_in_epoch),
        },
    };
    let resume = format!("warmstart resume {}", run.display());
    let command = match &status {
        Status::Running { .. } | Status::Broken { .. } => None,
        Status::Interrupted { .. } => Some(resume),
        Status::Finished => Some(format!("{resume} --epochs {}", epochs + MORE_EPOCHS)),
    };
    let history = state
        .ok()
        .flatten()
        .map(|state| (state.history, state.recipe.task));
    FoundRun {
        run: run.to_owned(),
        best: history.and_then(|(history, task)| Best::of(&history, task.metric())),
        status,
        epochs,
        command,
    }
}
