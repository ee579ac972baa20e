//! `warmstart train`: a new run, from a request to its last epoch.

use std::path::{Path, PathBuf};

use warmstart_data::{data_folder, is_listed};
use warmstart_language::message;
use warmstart_recipe::{
    Draft, Error, Key, Problem, Recipe, Undecided, absolute, output_folder, resolve,
};
use warmstart_run::data_files::DataFiles;
use warmstart_run::event::{Event, Observer};
use warmstart_run::folder::RunFolder;
use warmstart_run::summary::Summary;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::plan::automatic;
use warmstart_train::resources::Resources;
use warmstart_train::run_loop::Run;

use crate::prepare::prepare;
use crate::recognise::settle_model;

/// Starts a run in a new folder, `runs/<name of the data's folder>` if none is given, and trains it
/// to its end.
///
/// # Errors
/// If anything in the request is wrong, before the folder is created; if training fails, after that.
pub fn train(
    mut draft: Draft,
    out: Option<PathBuf>,
    resources: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    settle_model(&mut draft, observe)?;
    let (recipe, undecided) = resolve(draft)?;
    let out = output_folder(out, &recipe.data);
    let is_inside = absolute(&out).starts_with(data_folder(&recipe.data));
    // What lists do not name is no part of the data.
    if is_inside && !is_listed(&recipe.data) {
        let what =
            message!("it lies in the data set's folder, where it would be taken for a part of it");
        return Err(Problem::new(what)
            .of_file(&out)
            .fix(message!("give another {}", Key::OUT))
            .into());
    }
    RunFolder::require_new(&out)?;
    with_task!(recipe.task, T => train_task::<T>(recipe, &undecided, &out, resources, observe))
}

fn train_task<T: Task>(
    recipe: Recipe,
    undecided: &Undecided,
    out: &Path,
    resources: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let mut trainer = prepare::<T>(recipe, Some(undecided), resources, observe)?;
    let files = DataFiles::of(trainer.data.splits(), &trainer.recipe.data)?;
    // The folder is created last, so that a file that cannot be loaded leaves none.
    let initial = initial_weights(&trainer, observe)?;
    let plan = automatic::choose(&mut trainer, undecided, &initial.parameters, observe)?;
    let folder = RunFolder::create(out)?;
    folder.begin(&trainer.recipe, &initial.report, &files)?;
    observe(Event::Run { path: out });
    Run::new(trainer, folder, files, initial.parameters)
        .with_plan(plan)?
        .run(observe)
}
