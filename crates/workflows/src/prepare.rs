//! The trainer of a run, on images that decide some options of a new one.

use warmstart_recipe::{Balance, Error, Phase, Recipe, TrainingImages, Undecided, architecture};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::TaskData;
use warmstart_train::open_data::open_data;
use warmstart_train::phase_setup::boundary;
use warmstart_train::resources::Resources;
use warmstart_train::trainer::Trainer;

/// The trainer of a run. `undecided` has the options of a new run that its images decide.
///
/// # Errors
/// If something that the recipe names isn't there, cannot be read or learned from, or contradicts the images.
pub fn prepare<T: Task>(
    mut recipe: Recipe,
    undecided: Option<&Undecided>,
    resources: Resources,
    observe: Observer,
) -> Result<Trainer<T>, Error> {
    // Before any image is read.
    let backbone = T::backbone(architecture(&recipe.model)?);
    for phase in &recipe.phases {
        boundary(&backbone, &phase.train)?;
    }
    let data = open_data::<T>(&recipe, observe)?;
    let data = TaskData::new(data, &recipe, T::CLASS_OF)?;
    if let Some(undecided) = undecided {
        decide_by_images(&mut recipe, undecided, data.scale(), observe)?;
    }
    Trainer::new(recipe, data, resources)
}

/// Puts the options that the images decide into the recipe of a new run; a note says where they balance classes.
fn decide_by_images(
    recipe: &mut Recipe,
    undecided: &Undecided,
    images: TrainingImages,
    observe: Observer,
) -> Result<(), Error> {
    *recipe = undecided.resolve_for(images)?;
    let is_weighted = |(number, phase): (usize, &Phase)| {
        undecided.has_open_balance(number) && phase.balance == Balance::Loss
    };
    if recipe.phases.iter().enumerate().any(is_weighted) {
        let note = "classes are more imbalanced in training than in validation, so rare classes get a larger weight \
                    (balance = \"loss\"); balance = \"none\" gives all the same weight";
        observe(Event::Note(note.to_owned()));
    }
    Ok(())
}
