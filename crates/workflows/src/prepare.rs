//! The trainer of a run, on images that decide some options of a new one.

use warmstart_language::{english, message, translated};
use warmstart_recipe::{
    Balance, Error, Key, Phase, Problem, Recipe, TrainingImages, Undecided, architecture,
    note_on_image_size,
};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::{EvaluationSplit, TaskData};
use warmstart_train::device;
use warmstart_train::open_data::open_data;
use warmstart_train::phase_setup::boundary;
use warmstart_train::resources::Resources;
use warmstart_train::trainer::Trainer;

/// The trainer of a run, whose graphics card is noted. `undecided` has the options of a new run that its images decide.
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
    let backbone = T::backbone(architecture(&recipe.model)?)?;
    for phase in &recipe.phases {
        boundary(&backbone, &phase.train)?;
    }
    device::announce(&recipe, observe)?;
    let data = open_data::<T>(&recipe, resources.cache.as_ref(), observe)?;
    let data = T::images(data, &recipe)?;
    if let Some(undecided) = undecided {
        decide_by_images(&mut recipe, undecided, data.scale(), observe)?;
        if let Some(note) = note_on_image_size(&backbone, recipe.image_size) {
            observe(Event::Note(note));
        }
    }
    require_judge(&recipe, &data)?;
    Trainer::new(recipe, data, resources)
}

/// Refuses steps without a validation image to choose their epoch by; a head in closed form is judged by leaving each
/// training image out.
fn require_judge<L: Clone>(recipe: &Recipe, data: &TaskData<L>) -> Result<(), Error> {
    let is_held_out = !data.evaluated(EvaluationSplit::Validation).is_empty();
    let mut phases = recipe.phases.iter();
    let Some(phase) = phases
        .find(|phase| !phase.is_solved())
        .filter(|_| !is_held_out)
    else {
        return Ok(());
    };
    let what = message!(
        "phase \"{}\" trains by steps, and no validation image chooses its epoch",
        phase.name
    );
    let fix = message!(
        "give {} above 0, or leave out {}, so that the head alone is solved",
        Key::VAL_SPLIT,
        Key::EPOCHS
    );
    Err(Problem::new(what).of_key(Key::VAL_SPLIT).fix(fix).into())
}

/// Puts the options that the images decide into the recipe of a new run; a note says where they balance classes.
fn decide_by_images(
    recipe: &mut Recipe,
    undecided: &Undecided,
    images: TrainingImages,
    observe: Observer,
) -> Result<(), Error> {
    *recipe = undecided.resolve_for(images)?;
    let phases = recipe.phases.iter().enumerate();
    let of_phase = |(number, phase): (usize, &Phase)| {
        let how = match phase.balance {
            Balance::Loss => translated(english!("rare classes get a larger weight (\"loss\")")),
            Balance::Prior => translated(english!(
                "a ridge head's probabilities are divided by the square root of a class's share (\"prior\")"
            )),
            Balance::None | Balance::Sampling => return None,
        };
        undecided
            .has_open_balance(number)
            .then(|| message!("{}: {how}", phase.name))
    };
    let balanced: Vec<String> = phases.filter_map(of_phase).collect();
    if !balanced.is_empty() {
        observe(Event::Note(message!(
            "classes are more imbalanced in training than in validation, so they are balanced: {}; balance = \"none\" \
             does without",
            balanced.join("; ")
        )));
    }
    Ok(())
}
