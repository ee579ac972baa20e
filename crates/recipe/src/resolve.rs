//! Resolution of a request to a recipe, with paths that mean the same from every folder.

use std::path::{Path, PathBuf};

use warmstart_data::{data_folder, scenes};
use warmstart_files::Key;
use warmstart_language::message;

use crate::choices::TaskKind;
use crate::error::{Error, Problem};
use crate::named_weights::{architecture, is_detector, named_record, settle_names, weights_file};
use crate::options::{Draft, NO_WEIGHTS, Recipe};
use crate::run_files::resolve_path;
use crate::undecided::Undecided;

/// The task that the data in a folder are for, by its files. Detection data in an unsupported layout are refused by
/// name when they are opened.
fn task_of_data(folder: &Path) -> TaskKind {
    if scenes::is_detection(folder) {
        TaskKind::Detect
    } else {
        TaskKind::Classify
    }
}

/// Refuses a detector's network without weights, whose published ones have its own name.
fn require_weights_of_detector(draft: &Draft) -> Result<(), Error> {
    let (None, Some(model), Some(_)) = (&draft.weights, &draft.model, &draft.data) else {
        return Ok(());
    };
    if !is_detector(model) {
        return Ok(());
    }
    let fix = message!(
        "give {} {model} for the published ones, a file, or {NO_WEIGHTS} to start from scratch",
        Key::WEIGHTS
    );
    let problem = Problem::new(message!("no weights are given")).of_key(Key::WEIGHTS);
    Err(problem.fix(fix).into())
}

/// The recipe of a draft, and the options that are decided later.
///
/// # Errors
/// If options contradict each other, or name something that isn't there.
pub fn resolve(mut draft: Draft) -> Result<(Recipe, Undecided), Error> {
    settle_names(&mut draft)?;
    require_weights_of_detector(&draft)?;
    if let (None, Some(data)) = (draft.task, &draft.data) {
        draft.task = Some(task_of_data(data));
    }
    let native_image_size = match &draft.model {
        Some(model) => architecture(model)?.pretrained().image_size,
        // Without a model the draft does not resolve, whatever the image size.
        None => 0,
    };
    if let Some(data) = &draft.data {
        let data = absolute(data);
        unicode(&data, || {
            message!("the path of the data set is not valid UTF-8, so recipe.toml cannot hold it")
        })?;
        draft.data = Some(data);
    }
    if let Some(weights) = draft.weights.as_deref().filter(|file| *file != NO_WEIGHTS) {
        // A record's name means the same on every machine.
        if named_record(weights).is_none() {
            let weights = resolve_path(Path::new(weights))?;
            // Links stay: the shards of an index lie beside the link, not beside its target.
            let weights = std::path::absolute(&weights).unwrap_or(weights);
            let text = unicode(&weights, || {
                message!(
                    "the path of the weights is not valid UTF-8, so recipe.toml cannot hold it"
                )
            })?;
            draft.weights = Some(text.to_owned());
        }
    }
    let recipe = draft.resolve(native_image_size, None)?;
    // Before any image is read.
    require_weights(&recipe.weights)?;
    let undecided = Undecided {
        phases: draft.draft_phases()?,
        draft,
        native_image_size,
    };
    Ok((recipe, undecided))
}

/// Refuses weights whose file is not there, or not a file.
///
/// # Errors
/// If it cannot be opened.
pub fn require_weights(weights: &str) -> Result<(), Error> {
    if weights == NO_WEIGHTS {
        return Ok(());
    }
    let path = weights_file(weights)?;
    warmstart_files::open(&path)
        .map(drop)
        .map_err(|error| Error::io("read", &path, error))
}

/// Folder of a run: `runs/<name of the data's folder>` unless the user gives another.
pub fn output_folder(out: Option<PathBuf>, data: &Path) -> PathBuf {
    let data = absolute(data);
    let name = data_folder(&data).file_name().unwrap_or_default();
    out.unwrap_or_else(|| Path::new("runs").join(name))
}

/// The text of a path in a recipe; `refusal` has the words for one that has none.
fn unicode(path: &Path, refusal: impl FnOnce() -> String) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| {
        Problem::new(refusal())
            .of_file(path)
            .fix(message!("rename the folder or file"))
            .into()
    })
}

/// A path that means the same from every folder.
pub fn absolute(path: &Path) -> PathBuf {
    path.canonicalize()
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}
