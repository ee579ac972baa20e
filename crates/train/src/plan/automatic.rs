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

/// The plan of a run that continues, with the `open` options chosen anew; its cached features do not count. Where
/// micro-batches may not grow, those that are smaller already stay.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub fn make_plan<T: Task>(
    trainer: &mut Trainer<T>,
    open: &[ByMemory],
    may_grow: bool,
    observe: Observer,
) -> Result<Option<Plan>, Error> {
    let before = trainer.recipe.phases.iter().map(|phase| phase.micro_batch);
    let before: Vec<_> = before.collect();
    let measured = measure(trainer, open, observe);
    if !may_grow {
        for (phase, before) in trainer.recipe.phases.iter_mut().zip(before) {
            phase.micro_batch = smaller(before, phase.micro_batch);
        }
    }
    make::report(trainer, measured, None, observe)
}

/// The smaller of two micro-batches; `None` is the whole batch.
fn smaller(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    one.into_iter().chain(other).min()
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
    let budget = Budget::of(
        trainer.recipe.memory,
        trainer.resources.ranks.on_this_machine(),
    );
    let card = CardBudget::of(&trainer.device);
    let limits = Limits::of(budget.as_ref(), card.as_ref());
    choose_batches(trainer, &costs, open, &limits)?;
    Ok(Measured {
        costs,
        budget,
        card,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_micro_batch_stays_and_the_whole_batch_is_the_largest() {
        assert_eq!(smaller(Some(8), Some(4)), Some(4));
        assert_eq!(smaller(Some(4), Some(8)), Some(4));
        assert_eq!(smaller(Some(4), None), Some(4));
        assert_eq!(smaller(None, Some(8)), Some(8));
        assert_eq!(smaller(None, None), None);
    }
}
