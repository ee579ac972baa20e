//! A run that goes on as rank 0 has decided it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use warmstart_ranks::Ranks;
use warmstart_recipe::run_files::RECIPE;
use warmstart_recipe::{Error, Recipe};
use warmstart_run::checkpoint::At;
use warmstart_run::data_files::DataFiles;
use warmstart_run::event::Observer;
use warmstart_run::folder::RunFolder;
use warmstart_run::summary::Summary;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::lockstep::{agree, hear};
use warmstart_train::resources::Resources;
use warmstart_train::run_loop::Run;

use crate::common::require_same_start;
use crate::named_weights::fetch_named;
use crate::prepare::prepare;

/// How a run goes on, as rank 0 tells the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    /// The recipe, as TOML.
    pub recipe: String,
    /// The checkpoint that each reads; `None` to start over.
    pub checkpoint: Option<At>,
}

/// Whether a run is finished, so that nothing is left to do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IsFinished(pub bool);

/// A resumed run on a rank other than rank 0, which decides everything.
///
/// # Errors
/// If any rank fails; nothing is written here.
pub(super) fn follow(
    path: &Path,
    resources: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let Order { recipe, checkpoint } = hear(&resources.ranks)?;
    let recipe = Recipe::from_toml(&path.join(RECIPE), &recipe)?;
    let at = (path, checkpoint);
    with_task!(recipe.task, T => go_on::<T>(recipe, at, resources, observe))
}

fn go_on<T: Task>(
    recipe: Recipe,
    at: (&Path, Option<At>),
    resources: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let ranks = resources.ranks.clone();
    let run = begun::<T>(recipe, at, resources, observe);
    let mut run = start_together(&ranks, run)?;
    match hear(&ranks)? {
        IsFinished(true) => Ok(run.summary_of_epochs()),
        IsFinished(false) => run.run(observe),
    }
}

/// The run at its checkpoint, or before its first epoch.
fn begun<T: Task>(
    recipe: Recipe,
    (path, checkpoint): (&Path, Option<At>),
    resources: Resources,
    observe: Observer,
) -> Result<Run<T>, Error> {
    let folder = RunFolder::of_another_process(path);
    let trainer = prepare::<T>(recipe, None, resources, observe)?;
    let files = DataFiles::of(trainer.data.splits(), &trainer.recipe.data)?;
    match checkpoint {
        Some(at) => {
            let checkpoint = folder.checkpoints.open(at)?;
            Run::at(trainer, folder, files, checkpoint)
        }
        None => {
            fetch_named(&trainer.recipe, observe)?;
            let initial = initial_weights(&trainer, observe)?;
            Ok(Run::new(trainer, folder, files, initial.parameters))
        }
    }
}

/// The run of this rank, once every rank has the same.
///
/// # Errors
/// If a rank has failed, or has other images or parameters.
pub(super) fn start_together<T: Task>(
    ranks: &Ranks,
    run: Result<Run<T>, Error>,
) -> Result<Run<T>, Error> {
    let run = agree(ranks, run)?;
    require_same_start(ranks, run.files(), run.parameters())?;
    Ok(run)
}
