//! `warmstart plan`, and the process that measures for it.

use std::path::Path;

use serde::Serialize;
use warmstart_language::message;
use warmstart_recipe::{Draft, Error, Recipe, Undecided, resolve};
use warmstart_run::event::Observer;
use warmstart_run::plan::Plan;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::plan::automatic::measure;
use warmstart_train::plan::cost_probe::{self, PhaseCost};
use warmstart_train::plan::make;
use warmstart_train::plan::network::Network;
use warmstart_train::plan::over_ranks::{RanksPlan, over_ranks};
use warmstart_train::resources::Resources;

use crate::prepare::prepare;
use crate::recognise::settle_model;
use crate::settle_data::settle_data;

/// Several machines that could share a run.
pub struct Machines {
    /// The largest number of ranks to plan for, one on each machine.
    pub most: usize,
    /// The network between them.
    pub network: Network,
}

/// The plan of a run, and of its epochs on several machines where that was asked.
#[derive(Debug, Serialize)]
pub struct Planned {
    /// The plan on this machine.
    #[serde(flatten)]
    pub plan: Plan,
    /// The epochs on several machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RanksPlan>,
}

/// The plan of a run with an empty cache.
///
/// # Errors
/// If anything in the request is wrong, or a step cannot be measured.
pub fn plan(
    mut draft: Draft,
    resources: Resources,
    machines: Option<&Machines>,
    observe: Observer,
) -> Result<Planned, Error> {
    settle_data(&mut draft, &resources, observe)?;
    settle_model(&mut draft, observe)?;
    let shards = draft.virtual_shards;
    let (recipe, undecided) = resolve(draft)?;
    with_task!(recipe.task, T => {
        plan_task::<T>((recipe, shards), &undecided, resources, machines, observe)
    })
}

/// The plan of a recipe, with the virtual shards that were asked for.
fn plan_task<T: Task>(
    (recipe, shards): (Recipe, Option<usize>),
    undecided: &Undecided,
    resources: Resources,
    machines: Option<&Machines>,
    observe: Observer,
) -> Result<Planned, Error> {
    let mut trainer = prepare::<T>(recipe, Some(undecided), resources, observe)?;
    let measured = measure(&mut trainer, &undecided.by_memory(), observe)?;
    // Which features are cached already depends on the pretrained weights, which are not read.
    let plan = make::plan(&trainer, &measured, None)?;
    let of = |machines: &Machines| {
        let between = (machines.most, &machines.network);
        over_ranks(&trainer, &measured, shards, between)
    };
    let ranks = machines.map(of).transpose()?;
    Ok(Planned { plan, ranks })
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
