//! `warmstart plan`, and the process that measures for it.

use std::path::Path;

use warmstart_language::message;
use warmstart_recipe::{Draft, Error, Recipe, Undecided, resolve};
use warmstart_run::event::Observer;
use warmstart_run::plan::Plan;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::plan::automatic::measure;
use warmstart_train::plan::cost_probe::{self, PhaseCost};
use warmstart_train::plan::make;
use warmstart_train::resources::Resources;

use crate::prepare::prepare;
use crate::recognise::settle_model;

/// The plan of a run with an empty cache.
///
/// # Errors
/// If anything in the request is wrong, or a step cannot be measured.
pub fn plan(mut draft: Draft, resources: Resources, observe: Observer) -> Result<Plan, Error> {
    settle_model(&mut draft, observe)?;
    let (recipe, undecided) = resolve(draft)?;
    with_task!(recipe.task, T => plan_task::<T>(recipe, &undecided, resources, observe))
}

fn plan_task<T: Task>(
    recipe: Recipe,
    undecided: &Undecided,
    resources: Resources,
    observe: Observer,
) -> Result<Plan, Error> {
    let mut trainer = prepare::<T>(recipe, Some(undecided), resources, observe)?;
    let measured = measure(&mut trainer, &undecided.by_memory(), observe)?;
    // Which features are cached already depends on the pretrained weights, which are not read.
    make::plan(&trainer, &measured, None)
}

/// Measures the phase of a request in JSON, for a process that plans; `begin` gets the number of threads first.
///
/// # Errors
/// If the request is invalid, an image cannot be read, or `begin` fails.
pub fn measure_request<E: From<Error>>(
    request: &str,
    program: &Path,
    begin: impl FnOnce(usize) -> Result<(), E>,
) -> Result<PhaseCost, E> {
    let unreadable = |error| Error::usage(message!("the request cannot be read: {error}"));
    let request: serde_json::Value = serde_json::from_str(request).map_err(unreadable)?;
    begin(cost_probe::threads(&request))?;
    let cost = with_task!(cost_probe::kind(&request)?, T => {
        let request = serde_json::from_value(request).map_err(unreadable)?;
        cost_probe::measure::<T>(request, program)
    });
    Ok(cost?)
}
