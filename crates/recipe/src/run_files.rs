//! Names of the files of a run, and the model file that a path means.

use std::path::{Path, PathBuf};

use warmstart_files::shown;
use warmstart_language::message;

use crate::Error;

/// The kept model.
pub const BEST: &str = "best.safetensors";
/// The resolved recipe.
pub const RECIPE: &str = "recipe.toml";
/// The report of what was loaded from the weight file.
pub const LOAD_REPORT: &str = "load-report.txt";
/// The doubt in the label of each training image, after a head in closed form.
pub const DOUBTS: &str = "doubts.csv";
/// What the run said while it ran.
pub const LOG: &str = "log.txt";
/// The page that shows the run.
pub const REPORT: &str = "report.html";
/// The metrics of every epoch for spreadsheets.
pub const RESULTS: &str = "results.csv";
/// Folder of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// The parameters of a checkpoint's model.
pub const MODEL: &str = "model.safetensors";
/// The parameters as the steps left them, in a checkpoint whose model is their moving average.
pub const TRAINING: &str = "training.safetensors";
/// The optimizer's moments in a checkpoint.
pub const OPTIMIZER: &str = "optimizer.safetensors";

/// Folder of the run of one fold of a cross-validation, counted from 1.
pub fn fold_folder(out: &Path, number: usize) -> PathBuf {
    out.join(format!("fold-{number}"))
}

/// The file that a user means by a path: a folder stands for the kept model of the run, or the
/// model of the checkpoint, in it.
///
/// # Errors
/// If it is a folder without a model, such as that of a cross-validation, whose runs lie in folders of their own.
pub fn resolve_path(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    for name in [BEST, MODEL] {
        if path.join(name).is_file() {
            return Ok(path.join(name));
        }
    }
    let fold = fold_folder(path, 1);
    let (problem, fix) = if fold.is_dir() {
        (
            message!("it is a folder of the runs of a cross-validation, not a run"),
            message!("give one of them, such as {}", shown(&fold)),
        )
    } else if path.join(RECIPE).is_file() {
        (
            message!("the run has no {BEST} yet"),
            message!("let an epoch finish"),
        )
    } else {
        (
            message!("it is a folder without a model ({BEST} or {MODEL})"),
            message!("give the file, or the folder of a run"),
        )
    };
    Err(Error::model(path, problem).fix(fix))
}
