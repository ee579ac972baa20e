//! Checks that refuse to resume a run where that would harm it.

use std::path::Path;

use warmstart_language::{english, message, translated};
use warmstart_recipe::run_files::{MODEL, RECIPE};
use warmstart_recipe::{Error, Key, Problem, Recipe};
use warmstart_run::checkpoint::{Checkpoint, State};
use warmstart_run::data_files::DataFiles;
use warmstart_run::event::{Event, Observer};
use warmstart_run::folder::RunFolder;
use warmstart_run::position;
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::task::Task;
use warmstart_train::trainer::Trainer;

use crate::run_data::lists_all_for_both;

/// Said of a run of a fold whose images an earlier version chose.
const OTHER_FOLDS: &str = english!(
    "an earlier version split the images into other folds, so that the run has learned from images of its fold now"
);

/// Refuses a checkpoint of other classes, another network or another image size.
pub(super) fn require_same_model(info: &ModelInfo, checkpoint: &Checkpoint) -> Result<(), Error> {
    let path = checkpoint.folder.join(MODEL);
    let found = ModelInfo::of(&warmstart_weights::read(&path)?)?;
    match info.difference(found.as_ref()) {
        None => Ok(()),
        Some(difference) => Err(Error::model(&path, difference).fix(message!(
            "this run cannot continue with them; start a new one from its weights (warmstart train {})",
            Key::WEIGHTS
        ))),
    }
}

/// The lists of a run's data files, by which a change of them is noticed.
pub(super) struct Lists {
    /// The list as it is now.
    pub now: DataFiles,
    /// In a cross-validation, the list as an earlier version wrote it: all images for training and for validation.
    before: Option<DataFiles>,
    /// Whether that version split the images into the same folds.
    has_same_folds: bool,
}

impl Lists {
    /// The lists of a run.
    ///
    /// # Errors
    /// If a file is not there any more.
    pub(super) fn of<T: Task>(trainer: &Trainer<T>) -> Result<Self, Error> {
        let Trainer { recipe, data, .. } = trainer;
        let before = recipe
            .fold
            .map(|_| DataFiles::of(data.whole_splits(), &recipe.data));
        Ok(Self {
            now: DataFiles::of(data.splits(), &recipe.data)?,
            before: before.transpose()?,
            has_same_folds: T::CLASS_OF.is_some(),
        })
    }
}

/// Data that differ from those that the run was trained on.
pub(super) struct OtherData {
    /// The difference, in words.
    pub difference: String,
    /// Whether the images are the same, and an earlier version split them into other folds.
    pub are_other_folds: bool,
    /// Whether they were accepted before, by a process that ended before its first checkpoint.
    pub was_accepted: bool,
}

/// Difference between the data and those of the run; `None` if there is none.
pub(super) fn other_data(
    run: &RunFolder,
    lists: &Lists,
    checkpoint: Option<&Checkpoint>,
) -> Option<OtherData> {
    let Lists { now, before, .. } = lists;
    let listed = run.data_files();
    let expected = match checkpoint {
        Some(checkpoint) => checkpoint.state.data.clone(),
        None => listed.as_ref()?.checksum(),
    };
    if now.checksum() == expected {
        return None;
    }
    let was_accepted = listed.as_ref() == Some(now);
    if before
        .as_ref()
        .is_some_and(|before| before.checksum() == expected)
    {
        return (!lists.has_same_folds).then(|| OtherData {
            difference: translated(OTHER_FOLDS).into(),
            are_other_folds: true,
            was_accepted,
        });
    }
    // The list may be lost, or belong to a later change.
    let listed = listed.filter(|listed| listed.checksum() == expected);
    let difference = listed.map_or_else(
        || {
            message!(
                "files, sizes or labels differ; which ones is unknown, because the list of data files is missing"
            )
        },
        |listed| {
            // Of the same form: otherwise every image would differ.
            let alike = before.as_ref().filter(|_| lists_all_for_both(&listed));
            alike.unwrap_or(now).difference(&listed)
        },
    );
    Some(OtherData {
        difference,
        are_other_folds: false,
        was_accepted,
    })
}

/// The newest checkpoint between two epochs: the progress within an epoch does not fit other images.
pub(super) fn between_epochs(
    run: &RunFolder,
    checkpoint: Option<Checkpoint>,
    observe: Observer,
) -> Result<Option<Checkpoint>, Error> {
    let is_within_epoch = |checkpoint: &Checkpoint| checkpoint.state.epoch_in_progress.is_some();
    if !checkpoint.as_ref().is_some_and(is_within_epoch) {
        return Ok(checkpoint);
    }
    let newest = run.checkpoints.newest_epoch(&mut |damage| {
        observe(Event::Note(message!(
            "skipped a damaged checkpoint: {damage}"
        )));
    })?;
    let epoch = newest.as_ref().map_or(0, |newest| newest.state.epoch);
    observe(Event::Note(message!("epoch {} begins again", epoch + 1)));
    Ok(newest)
}

/// Refuses a recipe in which the position of the run is not that of its checkpoint.
pub(super) fn require_same_place(recipe: &Recipe, run: &Path, state: &State) -> Result<(), Error> {
    let file = run.join(RECIPE);
    let refuse = |what: String, fix: &str| Err(Problem::new(what).of_file(&file).fix(fix).into());
    let before = &state.recipe;
    for (key, is_same) in [
        (Key::SHUFFLE, recipe.shuffle == before.shuffle),
        (
            Key::VIRTUAL_SHARDS,
            recipe.virtual_shards == before.virtual_shards,
        ),
    ] {
        if !is_same {
            let what = message!(
                "it changes `{}`, which stays the same from a run's first checkpoint on",
                key.0
            );
            return refuse(what, &message!("change it back, or start a new run"));
        }
    }
    let is_within_epoch = state.epoch_in_progress.is_some();
    if recipe.phases.iter().all(|phase| phase.name != state.phase) {
        let names: Vec<&str> = recipe.phases.iter().map(|phase| &*phase.name).collect();
        let what = message!(
            "it has phase {} where the run is in phase {}",
            names.join(", "),
            state.phase
        );
        let fix = message!("restore the names and the order of the phases");
        return refuse(what, &fix);
    }
    let Some(position) = state.position(recipe) else {
        let what = message!(
            "it has {} epochs, and {} are finished",
            recipe.epochs(),
            state.epoch
        );
        return refuse(
            what,
            &message!("give it more epochs, or go back by {}", Key::FROM_EPOCH),
        );
    };
    let phase = &recipe.phases[position.phase];
    if phase.name != state.phase {
        let what = message!(
            "it has phase {} where the run is in phase {}",
            phase.name,
            state.phase
        );
        let fix = message!(
            "restore the names and the order of the phases, and a patience that was lowered"
        );
        return refuse(what, &fix);
    }
    let before = before.phases.iter().find(|phase| phase.name == state.phase);
    let Some(before) = before
        .filter(|_| is_within_epoch || !position::ends_phase(recipe, &state.history, state.epoch))
    else {
        return Ok(());
    };
    match phase.changed_within(before) {
        None => Ok(()),
        Some(key) => {
            let what = message!(
                "it changes `{key}` in phase {}, which is in progress",
                phase.name
            );
            let fix = message!(
                "change it back, or go back to the phase's beginning by {}",
                Key::FROM_EPOCH
            );
            refuse(what, &fix)
        }
    }
}
