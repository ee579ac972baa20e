//! The options of a recipe that were left open, chosen by the machine and the images before the first step.

use warmstart_nn::Parameters;
use warmstart_recipe::{ByMemory, Error, Undecided};
use warmstart_run::event::{Event, Observer};
use warmstart_run::plan::Plan;
use warmstart_tasks::task::Task;

use super::cost_probe::{self, PhaseCost};
use super::make;
use super::need::choose_batches;
use crate::linear_probe::choose_fit;
use crate::memory::Budget;
use crate::trainer::Trainer;

/// Chooses the options that were left open, for a run that begins with these parameters, and reports the plan. Batches
/// come first, because the choice of `fit` has to keep within the memory, too. Where steps cannot be measured, the run
/// continues without a plan.
///
/// # Errors
/// If an image cannot be read, or a phase names a stage that isn't there.
pub fn choose<T: Task>(
    trainer: &mut Trainer<T>,
    undecided: &Undecided,
    parameters: &Parameters,
    observe: Observer,
) -> Result<Option<Plan>, Error> {
    let measured = measure(trainer, &undecided.by_memory(), observe);
    choose_fit(trainer, undecided, parameters, observe)?;
    report_plan(trainer, measured, Some(parameters), observe)
}

/// The plan of a run that continues, with the `open` options chosen anew; its cached features do not count.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub fn make_plan<T: Task>(
    trainer: &mut Trainer<T>,
    open: &[ByMemory],
    observe: Observer,
) -> Result<Option<Plan>, Error> {
    let measured = measure(trainer, open, observe);
    report_plan(trainer, measured, None, observe)
}

/// The cost of each phase and the memory budget. The batches are chosen by them.
///
/// # Errors
/// If steps cannot be measured, or a phase names a stage that isn't there.
pub fn measure<T: Task>(
    trainer: &mut Trainer<T>,
    open: &[ByMemory],
    observe: Observer,
) -> Result<(Vec<PhaseCost>, Option<Budget>), Error> {
    observe(Event::Measuring);
    let costs = cost_probe::ask(trainer)?;
    let budget = make::budget(trainer.recipe.memory);
    choose_batches(trainer, &costs, open, budget.as_ref())?;
    Ok((costs, budget))
}

fn report_plan<T: Task>(
    trainer: &Trainer<T>,
    measured: Result<(Vec<PhaseCost>, Option<Budget>), Error>,
    parameters: Option<&Parameters>,
    observe: Observer,
) -> Result<Option<Plan>, Error> {
    let (costs, budget) = match measured {
        Ok(measured) => measured,
        Err(error) => {
            observe(Event::Note(format!("memory is not planned: {error}")));
            return Ok(None);
        }
    };
    let kept = parameters.map(|parameters| trainer.kept_features(parameters));
    let plan = make::plan(
        trainer,
        &costs,
        kept.transpose()?.as_deref(),
        budget.as_ref(),
    )?;
    observe(Event::Plan(&plan));
    Ok(Some(plan))
}
