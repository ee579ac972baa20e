//! The plan of a run: memory, steps and time of each phase, before anything runs.

use warmstart_data::{FeatureCacheFolder, feature_file_len};
use warmstart_language::message;
use warmstart_nn::Parameters;
use warmstart_recipe::{Error, Phase};
use warmstart_run::event::{Event, Observer};
use warmstart_run::plan::{PhasePlan, Plan};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use super::cost_probe::{Measured, PhaseCost};
use super::limits::Limits;
use super::memory_line::MB;
use super::need::Need;
use super::notes::{
    cache_note, few_steps, memory_note, more_than_there_is, reading_note, unknown_card_note,
};
use crate::head_layers::layers_of;
use crate::phase_setup::PhaseSetup;
use crate::trainer::Trainer;

/// Share of a phase's memory below which a saving does not matter.
const UNNOTICED: f64 = 0.05;

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
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            observe(Event::Note(message!("memory is not planned: {error}")));
            return Ok(None);
        }
    };
    let kept = parameters.map(|parameters| trainer.kept_features(parameters));
    let plan = plan(trainer, &measured, kept.as_deref())?;
    observe(Event::Plan(&plan));
    Ok(Some(plan))
}

/// The plan of a run whose batches are chosen: from each phase's costs, the memory that there is, and the shares of the
/// features of its training and its validation images that are cached already, where that is known.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub fn plan<T: Task>(
    trainer: &Trainer<T>,
    measured: &Measured,
    kept: Option<&[[f64; 2]]>,
) -> Result<Plan, Error> {
    let Measured {
        costs,
        budget,
        card,
    } = measured;
    let (budget, card) = (budget.as_ref(), card.as_ref());
    let limits = Limits::of(budget, card);
    let mut notes = Vec::from_iter(more_than_there_is(
        trainer.recipe.memory,
        trainer.resources.ranks.on_this_machine(),
    ));
    notes.extend(card.and_then(unknown_card_note));
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
        let demand = need.demand(phase.batch, phase.micro_batch());
        let whole = need.demand(phase.batch, phase.batch);
        let line = need.line(phase.batch, phase.micro_batch());
        let effect = (T::KIND.defaults().micro_batch_effect)(setup.takes_batch_statistics());
        notes.extend(memory_note(phase, effect, [whole, demand], &limits));
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
            planned_mb: demand.system / MB,
            card_mb: card.map(|_| demand.card / MB),
            waits_for_writes: is_noticed(need.saving, limits.of_tensors(demand)),
            cached_mb: cached as f64 / MB,
            seconds: seconds(trainer, phase, cost, kept),
        });
    }
    let workers = trainer.resources.workers;
    notes.extend(reading_note(reading, workers, limits.most.system));
    notes.extend(few_steps(&trainer.recipe, &phases));
    Ok(Plan {
        budget_mb: budget.map(|budget| budget.bytes as f64 / MB),
        budget_set_by: budget.map_or("nothing".to_owned(), |budget| budget.set_by.clone()),
        card: card.map(|card| card.title.clone()),
        card_budget_mb: card.and_then(|card| Some(card.bytes? as f64 / MB)),
        phases,
        notes,
    })
}

/// Whether the memory of a checkpoint that is being written exceeds the limit together with what is planned for the
/// phase where its tensors lie, or is a large share of that.
fn is_noticed(saving: f64, [planned, limit]: [f64; 2]) -> bool {
    planned + saving > limit.min(planned * (1.0 + UNNOTICED))
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

/// Time of a phase: of its frozen part on images whose features are not cached already or by an earlier epoch, of its
/// steps, and of the evaluations.
fn seconds<T: Task>(trainer: &Trainer<T>, phase: &Phase, cost: &PhaseCost, kept: [f64; 2]) -> f64 {
    let images = trainer.data.training_images() as f64;
    let validation = trainer.data.split(EvaluationSplit::Validation).len() as f64;
    let epochs = phase.epochs as f64;
    let [computed, evaluated] = passes(trainer, phase, kept);
    computed * images * cost.frozen_seconds
        + epochs * images * cost.step_seconds
        + evaluated * validation * cost.evaluation_seconds
}

/// How often the images of a phase go through its frozen part, the training images and those of the evaluations: less
/// often than there are epochs, where features are kept.
pub(super) fn passes<T: Task>(
    trainer: &Trainer<T>,
    phase: &Phase,
    [kept, kept_validation]: [f64; 2],
) -> [f64; 2] {
    let epochs = phase.epochs as f64;
    match (phase.kept_views(), &trainer.resources.cache) {
        (Some(views), Some(_)) => [
            epochs.min(views as f64) * (1.0 - kept),
            1.0 - kept_validation,
        ],
        _ => [epochs, epochs],
    }
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::{BatchNorm, TaskKind};

    use super::super::notes::tests::phase;
    use super::*;

    #[test]
    fn a_phase_waits_for_writes_that_it_has_no_room_for_or_that_are_a_part_of_it() {
        assert!(is_noticed(20.0, [700.0, 710.0]));
        assert!(!is_noticed(20.0, [700.0, 800.0]));
        assert!(!is_noticed(20.0, [700.0, f64::INFINITY]));
        assert!(is_noticed(200.0, [700.0, f64::INFINITY]));
        let plan = Plan {
            budget_mb: None,
            budget_set_by: String::new(),
            card: None,
            card_budget_mb: None,
            phases: Vec::new(),
            notes: Vec::new(),
        };
        assert!(plan.waits_for_writes("a phase that was added later"));
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
}
