//! `warmstart features`: the frozen features that a run will read, computed ahead of it, by one process or by shards.

use serde::Serialize;
use warmstart_language::message;
use warmstart_nn::devices::card_of;
use warmstart_recipe::{ByMemory, Draft, Error, Key, Problem, Recipe, Undecided, resolve};
use warmstart_run::event::Observer;
use warmstart_run::shard::Shard;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::fill_features::{Fillable, Filled};
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::linear_probe::choose_fit;
use warmstart_train::resources::Resources;
use warmstart_train::trainer::Trainer;

use crate::prepare::prepare;
use crate::recognise::settle_model;
use crate::settle_data::settle_data;

/// What was done for the features of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PhaseFeatures {
    /// Name of the phase.
    pub phase: String,
    /// Features that the shard is to have: of each view of an image.
    pub features: usize,
    /// Those among them that were not in the cache, and were computed.
    pub computed: usize,
    /// Why none can be computed before training, where that is so.
    pub without: Option<String>,
}

/// Computes the features that a run with the same options reads from the cache: those of the shard's part of the images,
/// for every phase whose frozen part is known before training.
///
/// # Errors
/// If anything in the request is wrong, there is no cache or it refuses, an image cannot be read, or which features the
/// run will read depends on a measurement.
pub fn features(
    mut draft: Draft,
    shard: Shard,
    resources: Resources,
    observe: Observer,
) -> Result<Vec<PhaseFeatures>, Error> {
    if resources.cache.is_none() {
        let what = message!("features are computed into a cache, and there is none");
        let problem = Problem::new(what).of_key(Key("cache"));
        return Err(problem.fix(message!("name one with --cache DIR")).into());
    }
    settle_data(&mut draft, &resources, observe)?;
    settle_model(&mut draft, observe)?;
    let (recipe, undecided) = resolve(draft)?;
    with_task!(recipe.task, T => features_of::<T>(recipe, &undecided, shard, resources, observe))
}

fn features_of<T: Task>(
    recipe: Recipe,
    undecided: &Undecided,
    shard: Shard,
    resources: Resources,
    observe: Observer,
) -> Result<Vec<PhaseFeatures>, Error> {
    let mut trainer = prepare::<T>(recipe, Some(undecided), resources, observe)?;
    let fillable = trainer.fillable();
    require_known_batches(&trainer, &undecided.by_memory(), &fillable)?;
    let parameters = initial_weights(&trainer, observe)?.parameters;
    // As in training, where it is a function of the images and the seed.
    choose_fit(&mut trainer, undecided, &parameters, observe)?;
    let mut done = Vec::new();
    for (number, fillable) in fillable.into_iter().enumerate() {
        let phase = trainer.recipe.phases[number].name.clone();
        if let Some(without) = reason(fillable) {
            done.push(PhaseFeatures {
                phase,
                features: 0,
                computed: 0,
                without: Some(without),
            });
            continue;
        }
        let current = trainer.begin_phase(number, &parameters, observe)?;
        if current.frozen.cache_keys().is_empty() {
            let what = message!("the features of phase \"{phase}\" cannot be cached");
            let fix = message!("see the note above");
            return Err(Problem::new(what).of_key(Key("cache")).fix(fix).into());
        }
        let Some(filled) = trainer.fill_features(&current, shard, observe)? else {
            return Err(Error::refused(message!(
                "it was stopped; the features so far are cached"
            )));
        };
        let Filled {
            images,
            computed,
            failure,
        } = filled;
        if let Some(failure) = failure {
            return Err(Error::refused(failure));
        }
        done.push(PhaseFeatures {
            phase,
            features: images,
            computed,
            without: None,
        });
    }
    Ok(done)
}

/// Why the features of a phase cannot be computed before training; `None` where they can.
fn reason(fillable: Fillable) -> Option<String> {
    match fillable {
        Fillable::Yes => None,
        Fillable::NothingFrozen => Some(message!("nothing is frozen")),
        Fillable::TrainedBefore => Some(message!(
            "an earlier phase trains a part of what is frozen then"
        )),
        Fillable::FreshViews => Some(message!(
            "every epoch sees other variants of the images ({} \"fresh\")",
            Key::VIEWS
        )),
    }
}

/// Refuses a micro-batch that is chosen by memory where features depend on it: on a graphics card.
fn require_known_batches<T: Task>(
    trainer: &Trainer<T>,
    open: &[ByMemory],
    fillable: &[Fillable],
) -> Result<(), Error> {
    if card_of(&trainer.device).is_none() {
        return Ok(());
    }
    let phases = trainer.recipe.phases.iter().zip(open).zip(fillable);
    for ((phase, open), fillable) in phases {
        if *fillable == Fillable::Yes && (open.batch || open.micro_batch) {
            let what = message!(
                "on a graphics card, the features of phase \"{}\" depend on its {}, which training chooses by the \
                 memory that is free",
                phase.name,
                Key::MICRO_BATCH
            );
            let fix = message!(
                "give {} and {} of the phase in the recipe, here and in training",
                Key::BATCH,
                Key::MICRO_BATCH
            );
            let problem = Problem::new(what).of_key(Key::MICRO_BATCH);
            return Err(problem.fix(fix).into());
        }
    }
    Ok(())
}
