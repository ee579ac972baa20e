//! The trainer of a new run, whose images decide some defaults of the recipe.

use warmstart_data::Dataset;
use warmstart_recipe::{Balance, Error, Recipe, Undecided, architecture};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::TaskData;
use warmstart_train::open_data::open_data;
use warmstart_train::phase_setup::boundary;
use warmstart_train::resources::Resources;
use warmstart_train::trainer::Trainer;

/// Opens the images of a recipe whose phases name stages of its model.
///
/// # Errors
/// If something that it names isn't there, or cannot be read or learned from.
pub fn open<T: Task>(recipe: &Recipe, observe: Observer) -> Result<Dataset<T::Label>, Error> {
    let backbone = T::backbone(architecture(&recipe.model)?);
    for phase in &recipe.phases {
        boundary(&backbone, &phase.train)?;
    }
    open_data::<T>(recipe, observe)
}

/// The trainer of a new run on the images of `data`.
///
/// # Errors
/// If the recipe contradicts itself for such images.
pub fn prepare<T: Task>(
    recipe: &Recipe,
    undecided: &Undecided,
    data: Dataset<T::Label>,
    resources: Resources,
    observe: Observer,
) -> Result<Trainer<T>, Error> {
    let data = TaskData::new(data, recipe, T::CLASS_OF)?;
    let recipe = undecided.resolve_for(data.scale())?;
    let is_weighted = |(number, phase): (usize, &warmstart_recipe::Phase)| {
        undecided.has_open_balance(number) && phase.balance == Balance::Loss
    };
    if recipe.phases.iter().enumerate().any(is_weighted) {
        observe(Event::Note(
            "classes are more unequal in training than in validation, so images of the rare ones \
             weigh more (balance = \"loss\"); balance = \"none\" weighs all the same"
                .to_owned(),
        ));
    }
    Trainer::new(recipe, data, resources)
}
