//! What was left open of a recipe, decided by what the machine and the images say before the first step.

use warmstart_nn::Parameters;

use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use crate::trainer::Trainer;
use crate::memory::Budget;
use crate::plan;
use warmstart_run::plan::Plan;
use crate::plan::cost_probe;
use crate::plan::cost_probe::PhaseCost;
use warmstart_recipe::Automatic;
use warmstart_recipe::NO_WEIGHTS;
use warmstart_recipe::Open;
use warmstart_recipe::Recipe;
use warmstart_tasks::task::Task;
use warmstart_recipe::Error;
use crate::assemble;

/// Decides what was left open of a run that begins with these parameters: batches first, for even the choice of how
/// pictures fit is to keep within the memory; and says what the run is going to need. Where steps cannot be measured, it
/// goes on without a plan.
///
/// # Errors
/// If an image cannot be read, or a phase names a stage that isn't there.
pub fn settle<T: Task>(
    mut job: Trainer<T>,
    open: &Open,
    parameters: &Parameters,
    observe: Observer,
) -> Result<(Trainer<T>, Option<Plan>), Error> {
    let measured = measure(&mut job, &open.phases, observe);
    let job = settle_fit(job, open, parameters, observe)?;
    let plan = tell_plan(&job, measured, Some(parameters), observe)?;
    Ok((job, plan))
}

/// Decides how pictures fit the network's square, where that was left open and there are pretrained features
/// to tell by.
///
/// # Errors
/// If an image cannot be read.
pub fn settle_fit<T: Task>(
    job: Trainer<T>,
    open: &Open,
    parameters: &Parameters,
    observe: Observer,
) -> Result<Trainer<T>, Error> {
    if !open.fit || job.recipe.weights == NO_WEIGHTS {
        return Ok(job);
    }
    let Some((fit, words)) = T::choose_fit(&job, parameters, observe)? else {
        return Ok(job);
    };
    observe(Event::Note(words));
    let recipe = Recipe { fit, ..job.recipe };
    launch::job(recipe, job.task.data().clone(), job.machine)
}

/// What a run needs that goes on, whose `automatic` batches are decided anew; features that it has kept do not count.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub fn make_plan<T: Task>(
    job: &mut Trainer<T>,
    automatic: &[Automatic],
    observe: Observer,
) -> Result<Option<Plan>, Error> {
    let measured = measure(job, automatic, observe);
    tell_plan(job, measured, None, observe)
}

/// What each phase costs, and what there is; the batches are settled by it.
///
/// # Errors
/// If steps cannot be measured, or a phase names a stage that isn't there.
pub fn measure<T: Task>(
    job: &mut Trainer<T>,
    automatic: &[Automatic],
    observe: Observer,
) -> Result<(Vec<PhaseCost>, Option<Budget>), Error> {
    observe(Event::Measuring);
    let costs = probe::ask(job)?;
    let budget = plan::budget(job.recipe.memory);
    plan::settle_batches(job, &costs, automatic, budget.as_ref())?;
    Ok((costs, budget))
}

fn tell_plan<T: Task>(
    job: &Trainer<T>,
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
    let kept = parameters.map(|parameters| job.kept_features(parameters));
    let plan = plan::plan(job, &costs, kept.transpose()?.as_deref(), budget.as_ref())?;
    observe(Event::Plan(&plan));
    Ok(Some(plan))
}
