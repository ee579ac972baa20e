//! `warmstart train`: a new run, from a request to its last epoch.
//!
//! Where several ranks train together, rank 0 decides, and the others take its recipe: each reads the images and the
//! weights itself.

use std::path::{Path, PathBuf};

use warmstart_data::{data_folder, is_listed};
use warmstart_language::message;
use warmstart_recipe::run_files::RECIPE;
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
use warmstart_train::lockstep::{agree, first};
use warmstart_train::plan::automatic;
use warmstart_train::resources::Resources;
use warmstart_train::run_loop::Run;
use warmstart_train::trainer::Trainer;
use warmstart_train::virtual_shards::VirtualShards;

use crate::common::{require_same_request, require_same_start};
use crate::named_weights::fetch_named;
use crate::prepare::prepare;
use crate::recognise::settle_model;
use crate::settle_data::settle_data;

/// Virtual shards of a run that MPI starts and that asks for no number: as many ranks, or fewer, compute the same bits.
const USUAL_SHARDS: usize = 8;
/// The most virtual shards that a recipe may have.
const MOST_SHARDS: usize = 64;

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
    require_same_request(&resources, &format!("{draft:?} {out:?}"))?;
    let ranks = resources.ranks.clone();
    // Each process copies for its own machine.
    let settled = settle_data(&mut draft, &resources, observe);
    agree(&ranks, settled)?;
    share_shards(&mut draft, &resources, observe);
    let mut own = None;
    let text = first(&ranks, || {
        let request = request(draft, out.clone(), &resources, observe)?;
        let text = request.recipe.to_toml();
        own = Some(request);
        Ok(text)
    })?;
    let request = match own {
        Some(request) => request,
        None => {
            let recipe = Recipe::from_toml(Path::new(RECIPE), &text)?;
            Request {
                out: output_folder(out, &recipe.data),
                recipe,
                undecided: None,
            }
        }
    };
    with_task!(request.recipe.task, T => train_task::<T>(request, resources, observe))
}

/// A run that can begin.
struct Request {
    recipe: Recipe,
    /// What its images decide; `None` where rank 0 decides it.
    undecided: Option<Undecided>,
    out: PathBuf,
}

/// Gives a run that MPI starts enough virtual shards, where it asks for no number.
fn share_shards(draft: &mut Draft, resources: &Resources, observe: Observer) {
    let ranks = &resources.ranks;
    if !ranks.started_by_mpi() || draft.virtual_shards.is_some() {
        return;
    }
    let shards = ranks.count().next_power_of_two();
    let shards = shards.clamp(USUAL_SHARDS, MOST_SHARDS);
    draft.virtual_shards = Some(shards);
    observe(Event::Note(message!(
        "{} is {shards}, because MPI started the run: up to {shards} processes compute the same bits",
        Key::VIRTUAL_SHARDS
    )));
}

/// The request of a run whose folder can be made.
fn request(
    mut draft: Draft,
    out: Option<PathBuf>,
    resources: &Resources,
    observe: Observer,
) -> Result<Request, Error> {
    settle_model(&mut draft, observe)?;
    let (recipe, undecided) = resolve(draft)?;
    // Before any image is read.
    VirtualShards::of(&recipe, &resources.ranks)?;
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
    Ok(Request {
        recipe,
        undecided: Some(undecided),
        out,
    })
}

fn train_task<T: Task>(
    request: Request,
    resources: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let Request {
        recipe,
        undecided,
        out,
    } = request;
    let ranks = resources.ranks.clone();
    let mut trainer = trainer::<T>(recipe, undecided.as_ref(), resources, observe)?;
    let files = DataFiles::of(trainer.data.splits(), &trainer.recipe.data);
    let loaded = files.and_then(|files| {
        if !ranks.is_first() {
            fetch_named(&trainer.recipe, observe)?;
        }
        Ok((files, initial_weights(&trainer, observe)?))
    });
    let (files, initial) = agree(&ranks, loaded)?;
    require_same_start(&ranks, &files, &initial.parameters)?;
    // The folder is created last, so that a file that cannot be loaded leaves none.
    let mut created = None;
    let text = first(&ranks, || {
        let plan = match &undecided {
            Some(open) => automatic::choose(&mut trainer, open, &initial.parameters, observe)?,
            None => None,
        };
        let folder = RunFolder::create(&out)?;
        folder.begin(&trainer.recipe, &initial.report, &files)?;
        observe(Event::Run { path: &out });
        created = Some((folder, plan));
        Ok(trainer.recipe.to_toml())
    })?;
    let (folder, plan) = match created {
        Some(created) => created,
        None => {
            trainer.take_recipe(Recipe::from_toml(&out.join(RECIPE), &text)?);
            (RunFolder::of_another_process(&out), None)
        }
    };
    let mut run = Run::new(trainer, folder, files, initial.parameters);
    let planned = run.take_plan(plan);
    agree(&ranks, planned)?;
    run.run(observe)
}

/// The trainer of the run, with what its images decide: rank 0 reads them first.
fn trainer<T: Task>(
    recipe: Recipe,
    undecided: Option<&Undecided>,
    resources: Resources,
    observe: Observer,
) -> Result<Trainer<T>, Error> {
    let ranks = resources.ranks.clone();
    let mut own = None;
    let text = first(&ranks, || {
        let trainer = prepare::<T>(recipe, undecided, resources.clone(), observe)?;
        let text = trainer.recipe.to_toml();
        own = Some(trainer);
        Ok(text)
    })?;
    let prepared = match own {
        Some(trainer) => Ok(trainer),
        None => Recipe::from_toml(Path::new(RECIPE), &text)
            .and_then(|recipe| prepare::<T>(recipe, None, resources, observe)),
    };
    agree(&ranks, prepared)
}
