//! Memory, batches, steps and time of each phase, before anything runs.

mod need;

use serde::{Deserialize, Serialize};

use warmstart_recipe::Error;
use crate::trainer::Trainer;
use crate::memory;
use crate::memory::Budget;
use crate::phase_setup::PhaseSetup;
use crate::plan::cost_probe::PhaseCost;
use warmstart_recipe::BatchNorm;
use warmstart_recipe::Memory;
use warmstart_recipe::Phase;
use warmstart_recipe::Recipe;
use warmstart_recipe::TaskKind as Kind;
use warmstart_recipe::Train;
use warmstart_tasks::task::Split;
use warmstart_tasks::task::Task;
pub use need::settle_batches;
use need::{Need, limit};

/// Below so many steps in all, a pretrained network has hardly moved towards the data.
const FEW_STEPS: usize = 200;
/// Share of a phase's memory that the plan need not know of.
const UNNOTICED: f64 = 0.05;
const MB: f64 = 1e6;

/// The smaller of what was asked for and what there is.
pub fn budget(memory: Memory) -> Option<Budget> {
    match memory {
        Memory::Auto => memory::available(),
        Memory::Bytes(size) => Some(Budget {
            bytes: size.as_u64(),
            set_by: "--memory",
        }),
    }
}

/// What a run is going to need, whose batches are settled: with each phase's costs, and the shares of the features of
/// its training and its validation images that are kept already, where that is known.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub fn plan<T: Task>(
    job: &Trainer<T>,
    costs: &[PhaseCost],
    kept: Option<&[[f64; 2]]>,
    budget: Option<&Budget>,
) -> Result<Plan, Error> {
    let limit = limit(budget);
    let mut notes = Vec::from_iter(more_than_there_is(job.recipe.memory));
    let mut phases = Vec::new();
    let mut reading = 0.0f64;
    for (number, (phase, cost)) in job.recipe.phases.iter().zip(costs).enumerate() {
        let kept = kept.map_or([0.0; 2], |kept| kept[number]);
        let setup = PhaseSetup::new(phase, &job.architecture, &job.task.head_parameters())?;
        let mut need = Need::new(job, phase, *cost)?;
        if kept == [1.0; 2] {
            need = need.with_kept_features();
        }
        let planned = need.bytes(phase.batch, phase.micro_batch());
        let line = need.line(phase.batch, phase.micro_batch());
        notes.extend(memory_note(T::KIND, phase, planned, limit));
        reading = reading.max(need.preparing);
        phases.push(PhasePlan {
            name: phase.name.clone(),
            train: phase.train.clone(),
            trained: setup.trained,
            frozen: setup.frozen,
            epochs: phase.epochs,
            steps_per_epoch: job.steps_per_epoch(phase),
            batch: phase.batch,
            micro_batch: phase.micro_batch(),
            lr: phase.lr,
            base_mb: line.base / MB,
            per_image_mb: line.per_image / MB,
            planned_mb: planned / MB,
            waits_for_writes: is_noticed(need.saving, planned, limit),
            seconds: seconds(job, phase, cost, kept),
        });
    }
    notes.extend(reading_note(reading, job.machine.workers, limit));
    notes.extend(few_steps(&job.recipe, &phases));
    Ok(Plan {
        budget_mb: budget.map(|budget| budget.bytes as f64 / MB),
        budget_set_by: budget.map_or("nothing", |budget| budget.set_by).to_owned(),
        phases,
        notes,
    })
}

/// Whether what a checkpoint holds while it is written is too much for the phase's memory, or much beside it.
fn is_noticed(saving: f64, planned: f64, limit: f64) -> bool {
    planned + saving > limit.min(planned * (1.0 + UNNOTICED))
}

fn more_than_there_is(memory: Memory) -> Option<String> {
    let (Memory::Bytes(asked), Some(there)) = (memory, memory::available()) else {
        return None;
    };
    (asked.as_u64() > there.bytes).then(|| {
        format!(
            "{:.0} MB are more than nine tenths of {}, {:.0} MB: the system may end the run, or slow it down",
            asked.as_u64() as f64 / MB,
            there.set_by,
            there.bytes as f64 / MB
        )
    })
}

fn memory_note(task: Kind, phase: &Phase, planned: f64, limit: f64) -> Option<String> {
    let Phase { name, batch, .. } = phase;
    if planned > limit {
        return Some(format!(
            "{name}: even {} planned to need {:.0} MB, and there are {:.0} MB: the \
             run may be ended by the system; use a smaller model or --image-size",
            match phase.micro_batch() {
                1 => "one image at a time is".to_owned(),
                images => format!("{images} images at a time are"),
            },
            planned / MB,
            limit / MB
        ));
    }
    let micro_batch = phase
        .micro_batch
        .filter(|&micro_batch| micro_batch < *batch)?;
    let frozen = phase.batch_norm == BatchNorm::Frozen || phase.train == Train::Head;
    let words = match (task, frozen) {
        (Kind::Classify, true) => "the result is that of the whole batch, up to rounding",
        (Kind::Classify, false) => {
            "batch norm takes its statistics from these, so the result differs a little from that of \
             the whole batch (batch_norm = \"frozen\" does not)"
        }
        (Kind::Detect, _) if phase.batch_norm == BatchNorm::Frozen => {
            "the loss is divided by what of it is in these, so the result differs a little from that \
             of the whole batch"
        }
        (Kind::Detect, _) => {
            "batch norm takes its statistics from these, and the loss is divided by what of it is in \
             these, so the result differs a little from that of the whole batch"
        }
    };
    Some(format!(
        "{name}: a batch of {batch} does not fit and goes through in micro-batches of {micro_batch}, \
         whose gradients are averaged; {words}"
    ))
}

/// Says what to do about images whose reading takes most of the memory.
fn reading_note(reading: f64, threads: usize, limit: f64) -> Option<String> {
    (reading > limit / 2.0).then(|| {
        format!(
            "reading the largest image takes {:.0} MB in each of {threads} threads, {:.0} MB of the {:.0} MB that \
             there are: save the largest images smaller, or use fewer --threads",
            reading / threads.max(1) as f64 / MB,
            reading / MB,
            limit / MB
        )
    })
}

fn few_steps(recipe: &Recipe, phases: &[PhasePlan]) -> Option<String> {
    let steps: usize = phases
        .iter()
        .map(|phase| phase.epochs * phase.steps_per_epoch)
        .sum();
    if steps >= FEW_STEPS {
        return None;
    }
    let epochs = (recipe.epochs() * FEW_STEPS).div_ceil(steps.max(1));
    Some(format!(
        "{steps} steps in all are few to learn from: more epochs ({epochs} in all) or a smaller batch make more"
    ))
}

/// Time of a phase: of its frozen part on what is not kept already or from an earlier epoch, of its steps, and of
/// the evaluations.
fn seconds<T: Task>(
    job: &Trainer<T>,
    phase: &Phase,
    cost: &PhaseCost,
    [kept, kept_validation]: [f64; 2],
) -> f64 {
    let images = job.task.training_images() as f64;
    let validation = job.task.split(Split::Validation).len() as f64;
    let epochs = phase.epochs as f64;
    let [computed, evaluated] = match (phase.kept_views(), &job.machine.cache) {
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
    fn images_that_take_most_of_the_memory_to_read_are_said() {
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
    fn what_a_cut_batch_changes_is_said() {
        let mut thaw = phase("train = 'all'");
        thaw.micro_batch = Some(4);
        thaw.batch_norm = BatchNorm::Batch;
        let said = |phase: &Phase| memory_note(Kind::Classify, phase, 1.0, 2.0).unwrap();
        assert!(said(&thaw).contains("differs a little"));
        thaw.batch_norm = BatchNorm::Frozen;
        assert!(said(&thaw).contains("up to rounding"));
        assert!(
            memory_note(Kind::Classify, &thaw, 3.0, 2.0)
                .unwrap()
                .contains("even 4 images")
        );
    }
}
