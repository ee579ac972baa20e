//! The plan of a run: memory, steps and time of each phase, before anything runs.

use warmstart_data::{FeatureCacheFolder, feature_file_len};
use warmstart_language::{message, translated};
use warmstart_nn::Parameters;
use warmstart_recipe::{Error, Key, Memory, Phase, Recipe};
use warmstart_run::event::{Event, Observer};
use warmstart_run::plan::{PhasePlan, Plan};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use super::cost_probe::{Measured, PhaseCost};
use super::need::{Need, limit};
use crate::head_layers::layers_of;
use crate::memory::{self, Budget};
use crate::phase_setup::PhaseSetup;
use crate::trainer::Trainer;

/// Training steps below which a pretrained network has hardly adapted to the data.
const FEW_STEPS: usize = 200;
/// Share of a phase's memory below which a saving does not matter.
const UNNOTICED: f64 = 0.05;
pub(super) const MB: f64 = 1e6;

/// Reports the plan of a run whose phases were measured; `None` where they could not be. With the parameters that it
/// begins with, features that are cached already count.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub(super) fn report<T: Task>(
    trainer: &Trainer<T>,
    measured: Result<Measured, Error>,
    parameters: Option<&Parameters>,
    observe: Observer,
) -> Result<Option<Plan>, Error> {
    let Measured { costs, budget } = match measured {
        Ok(measured) => measured,
        Err(error) => {
            observe(Event::Note(message!("memory is not planned: {error}")));
            return Ok(None);
        }
    };
    let kept = parameters.map(|parameters| trainer.kept_features(parameters));
    let plan = plan(trainer, &costs, kept.as_deref(), budget.as_ref())?;
    observe(Event::Plan(&plan));
    Ok(Some(plan))
}

/// The plan of a run whose batches are chosen: from each phase's costs, and the shares of the features of
/// its training and its validation images that are cached already, where that is known.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub fn plan<T: Task>(
    trainer: &Trainer<T>,
    costs: &[PhaseCost],
    kept: Option<&[[f64; 2]]>,
    budget: Option<&Budget>,
) -> Result<Plan, Error> {
    let limit = limit(budget);
    let mut notes = Vec::from_iter(more_than_there_is(trainer.recipe.memory));
    let mut phases = Vec::new();
    let mut reading = 0.0f64;
    for (number, (phase, cost)) in trainer.recipe.phases.iter().zip(costs).enumerate() {
        let kept = kept.map_or([0.0; 2], |kept| kept[number]);
        let setup = PhaseSetup::new(
            phase,
            &trainer.architecture,
            &trainer.task.head().parameters,
        )?;
        let mut need = Need::new(trainer, phase, *cost)?;
        if kept == [1.0; 2] {
            need = need.with_kept_features();
        }
        let planned = need.bytes(phase.batch, phase.micro_batch());
        let line = need.line(phase.batch, phase.micro_batch());
        let effect = (T::KIND.defaults().micro_batch_effect)(setup.takes_batch_statistics());
        notes.extend(memory_note(phase, effect, planned, limit));
        reading = reading.max(need.preparing);
        let cached = cached_bytes(trainer, phase, setup.boundary, cost)?;
        let cache_limit = trainer
            .resources
            .cache
            .as_ref()
            .map(FeatureCacheFolder::limit);
        notes.extend(cache_limit.and_then(|limit| cache_note(&phase.name, cached, limit)));
        phases.push(PhasePlan {
            name: phase.name.clone(),
            train: phase.train.clone(),
            trained: setup.trained,
            frozen: setup.frozen,
            epochs: phase.epochs,
            steps_per_epoch: if phase.is_solved() {
                0
            } else {
                trainer.steps_per_epoch(phase)
            },
            batch: phase.batch,
            micro_batch: phase.micro_batch(),
            lr: phase.lr,
            base_mb: line.base / MB,
            per_image_mb: line.per_image / MB,
            planned_mb: planned / MB,
            waits_for_writes: is_noticed(need.saving, planned, limit),
            cached_mb: cached as f64 / MB,
            seconds: seconds(trainer, phase, cost, kept),
        });
    }
    notes.extend(reading_note(reading, trainer.resources.workers, limit));
    notes.extend(few_steps(&trainer.recipe, &phases));
    Ok(Plan {
        budget_mb: budget.map(|budget| budget.bytes as f64 / MB),
        budget_set_by: budget.map_or("nothing".to_owned(), |budget| budget.set_by.clone()),
        phases,
        notes,
    })
}

/// Whether the memory of a checkpoint that is being written exceeds the limit together with the phase's, or is a large
/// share of the phase's.
fn is_noticed(saving: f64, planned: f64, limit: f64) -> bool {
    planned + saving > limit.min(planned * (1.0 + UNNOTICED))
}

fn more_than_there_is(memory: Memory) -> Option<String> {
    let (Memory::Bytes(asked), Some(there)) = (memory, memory::available()) else {
        return None;
    };
    let set_by = translated(&there.set_by);
    (asked.as_u64() > there.bytes).then(|| {
        message!(
            "{:.0} MB exceed 90% of {} ({:.0} MB): the system may kill the run, or slow it down",
            asked.as_u64() as f64 / MB,
            set_by,
            there.bytes as f64 / MB
        )
    })
}

/// A note on a phase that does not fit, or only in micro-batches, whose effect on the result is `effect`.
fn memory_note(phase: &Phase, effect: &str, planned: f64, limit: f64) -> Option<String> {
    let Phase { name, batch, .. } = phase;
    if planned > limit {
        let images = match phase.micro_batch() {
            1 => message!("one image at a time"),
            images => message!("{images} images at a time"),
        };
        return Some(message!(
            "{name}: needs about {:.0} MB even with {images}, but {:.0} MB are available: the \
             system may kill the run; use a smaller model or {}",
            planned / MB,
            limit / MB,
            Key::IMAGE_SIZE
        ));
    }
    let micro_batch = phase
        .micro_batch
        .filter(|&micro_batch| micro_batch < *batch)?;
    Some(message!(
        "{name}: a batch of {batch} does not fit and goes through in micro-batches of {micro_batch}, \
         whose gradients are averaged; {effect}"
    ))
}

/// A note on images whose reading takes most of the memory.
fn reading_note(reading: f64, threads: usize, limit: f64) -> Option<String> {
    (reading > limit / 2.0).then(|| {
        message!(
            "reading the largest image takes {:.0} MB in each of {threads} threads, {:.0} MB of the {:.0} MB \
             available: save the largest images smaller, or use fewer {}",
            reading / threads.max(1) as f64 / MB,
            reading / MB,
            limit / MB,
            Key::THREADS
        )
    })
}

/// Bytes on disk of the features that a phase keeps in the cache; 0 where it keeps none.
fn cached_bytes<T: Task>(
    trainer: &Trainer<T>,
    phase: &Phase,
    boundary: usize,
    cost: &PhaseCost,
) -> Result<u64, Error> {
    if trainer.resources.cache.is_none() || boundary == 0 {
        return Ok(0);
    }
    let (views, values) = if phase.is_solved() {
        let layers = layers_of(&trainer.architecture, &phase.head_layers);
        (1, trainer.values_of_layers(&layers)?)
    } else if let Some(views) = phase.kept_views() {
        (
            views,
            vec![(cost.features / size_of::<f32>() as f64) as usize],
        )
    } else {
        return Ok(0);
    };
    let training = trainer.data.train.len() * views;
    let validation = trainer.data.split(EvaluationSplit::Validation).len();
    let of_layer =
        |&values: &usize| feature_file_len(training, values) + feature_file_len(validation, values);
    Ok(values.iter().map(of_layer).sum())
}

/// A note on features that the cache has no room for.
fn cache_note(phase: &str, cached: u64, limit: u64) -> Option<String> {
    (cached > limit).then(|| {
        message!(
            "{phase}: its features take {:.0} MB, and the cache's limit is {:.0} MB: every epoch computes them again \
             unless {} is larger",
            cached as f64 / MB,
            limit as f64 / MB,
            Key::CACHE_LIMIT
        )
    })
}

fn few_steps(recipe: &Recipe, phases: &[PhasePlan]) -> Option<String> {
    let steps: usize = phases
        .iter()
        .map(|phase| phase.epochs * phase.steps_per_epoch)
        .sum();
    // A head in closed form needs no steps.
    if steps >= FEW_STEPS || recipe.phases.iter().any(Phase::is_solved) {
        return None;
    }
    let epochs = (recipe.epochs() * FEW_STEPS).div_ceil(steps.max(1));
    Some(message!(
        "only {steps} training steps: use more epochs ({epochs} in total) or a smaller batch"
    ))
}

/// Time of a phase: of its frozen part on images whose features are not cached already or by an earlier epoch, of its
/// steps, and of the evaluations.
fn seconds<T: Task>(
    trainer: &Trainer<T>,
    phase: &Phase,
    cost: &PhaseCost,
    [kept, kept_validation]: [f64; 2],
) -> f64 {
    let images = trainer.data.training_images() as f64;
    let validation = trainer.data.split(EvaluationSplit::Validation).len() as f64;
    let epochs = phase.epochs as f64;
    let [computed, evaluated] = match (phase.kept_views(), &trainer.resources.cache) {
        (Some(views), Some(_)) => [
            epochs.min(views as f64) * (1.0 - kept),
            1.0 - kept_validation,
        ],
        _ => [epochs, epochs],
    };
    computed * images * cost.frozen_seconds
        + epochs * images * cost.step_seconds
        + evaluated * validation * cost.evaluation_seconds
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::{BatchNorm, TaskKind};

    use super::*;
    use warmstart_recipe::Draft;

    fn phase(lines: &str) -> Phase {
        let text =
            format!("data = 'd'\nmodel = 'm'\nweights = 'w'\n[[phase]]\nepochs = 1\n{lines}\n");
        let draft: Draft = toml::from_str(&text).unwrap();
        draft.resolve(224, None).unwrap().phases.remove(0)
    }

    #[test]
    fn a_phase_waits_for_writes_that_it_has_no_room_for_or_that_are_a_part_of_it() {
        assert!(is_noticed(20.0, 700.0, 710.0));
        assert!(!is_noticed(20.0, 700.0, 800.0));
        assert!(!is_noticed(20.0, 700.0, f64::INFINITY));
        assert!(is_noticed(200.0, 700.0, f64::INFINITY));
        let plan = Plan {
            budget_mb: None,
            budget_set_by: String::new(),
            phases: Vec::new(),
            notes: Vec::new(),
        };
        assert!(plan.waits_for_writes("a phase that was added later"));
    }

    #[test]
    fn images_that_take_most_of_the_memory_to_read_are_noted() {
        assert_eq!(reading_note(400.0 * MB, 2, 900.0 * MB), None);
        assert_eq!(reading_note(400.0 * MB, 2, f64::INFINITY), None);
        let note = reading_note(600.0 * MB, 2, 900.0 * MB).unwrap();
        assert!(
            note.starts_with(
                "reading the largest image takes 300 MB in each of 2 threads, 600 MB of the 900 MB"
            ),
            "{note}"
        );
    }

    #[test]
    fn features_that_the_cache_has_no_room_for_are_noted() {
        assert_eq!(cache_note("freeze", 20_000_000, 20_000_000), None);
        let note = cache_note("freeze", 30_000_000, 20_000_000).unwrap();
        let words = "freeze: its features take 30 MB, and the cache's limit is 20 MB";
        assert!(note.starts_with(words), "{note}");
    }

    /// What is said of micro-batches in a phase of a classifier.
    fn effect(model: &str, phase: &Phase) -> &'static str {
        let architecture = warmstart_models::by_name(model).unwrap();
        let head = architecture.classifier_parameters(3);
        let setup = PhaseSetup::new(phase, &architecture, &head).unwrap();
        (TaskKind::Classify.defaults().micro_batch_effect)(setup.takes_batch_statistics())
    }

    #[test]
    fn micro_batches_change_the_result_where_a_trained_batch_norm_takes_their_statistics() {
        let mut thaw = phase("train = 'all'");
        thaw.batch_norm = BatchNorm::Batch;
        assert!(effect("resnet18", &thaw).contains("differs a little"));
        for without_batch_norm in ["vit_tiny_patch16_224", "convnext_atto"] {
            let said = effect(without_batch_norm, &thaw);
            assert!(said.contains("up to rounding"), "{without_batch_norm}");
        }
        thaw.batch_norm = BatchNorm::Frozen;
        assert!(effect("resnet18", &thaw).contains("up to rounding"));
        let mut freeze = phase("train = 'head'");
        freeze.batch_norm = BatchNorm::Batch;
        assert!(effect("resnet18", &freeze).contains("up to rounding"));
    }

    #[test]
    fn the_effect_of_micro_batches_is_noted() {
        let mut thaw = phase("train = 'all'");
        thaw.micro_batch = Some(4);
        let note = |planned| memory_note(&thaw, "as the whole", planned, 2.0).unwrap();
        assert!(note(1.0).ends_with("whose gradients are averaged; as the whole"));
        assert!(note(3.0).contains("even with 4 images"));
    }
}
