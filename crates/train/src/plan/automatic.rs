//! The options of a recipe that were left open, chosen by the machine and the images before the first step.

use warmstart_nn::Parameters;
use warmstart_recipe::{ByMemory, Error, Undecided};
use warmstart_run::event::{Event, Observer};
use warmstart_run::plan::Plan;
use warmstart_tasks::task::Task;

use super::cost_probe::{self, Measured};
use super::limits::Limits;
use super::make;
use super::need::choose_batches;
use crate::linear_probe::choose_fit;
use crate::memory::{Budget, CardBudget};
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
    make::report(trainer, measured, Some(parameters), observe)
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
    make::report(trainer, measured, None, observe)
}

/// The cost of each phase and the memory that there is. The batches are chosen by them.
///
/// # Errors
/// If steps cannot be measured, or a phase names a stage that isn't there.
pub fn measure<T: Task>(
    trainer: &mut Trainer<T>,
    open: &[ByMemory],
    observe: Observer,
) -> Result<Measured, Error> {
    observe(Event::Measuring);
    let costs = cost_probe::ask(trainer)?;
    let budget = Budget::of(trainer.recipe.memory);
    let card = CardBudget::of(&trainer.device);
    let limits = Limits::of(budget.as_ref(), card.as_ref());
    choose_batches(trainer, &costs, open, &limits)?;
    Ok(Measured {
        costs,
        budget,
        card,
    })
}
