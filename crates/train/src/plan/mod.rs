//! Memory, batches, steps and time of each phase, before anything runs.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::frozen::INFERENCE_BATCH;
use crate::job::{Job, batches_ahead};
use crate::memory::{self, Budget};
use crate::phase_setup::PhaseSetup;
use crate::probe::PhaseCost;
use crate::recipe::{
    Automatic, BatchNorm, Memory, OptimizerKind, Phase, Recipe, Task as Kind, Train, usual_batch,
};
use crate::task::{Split, Task};

/// Steps that an automatic batch leaves an epoch, if it can: small data are seen in small batches.
const STEPS_AN_EPOCH: usize = 8;
/// An automatic batch is not smaller: batch norm's statistics would be noise.
const SMALLEST_BATCH: usize = 4;
/// Below so many steps in all, a pretrained network has hardly moved towards the data.
const FEW_STEPS: usize = 200;
const MB: f64 = 1e6;

/// What a run is going to need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Memory to keep within, in MB (10⁶ bytes); `null` where nothing tells.
    pub budget_mb: Option<f64>,
    /// What sets it, for people.
    pub budget_set_by: String,
    /// The phases in order.
    pub phases: Vec<PhasePlan>,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// What a phase is going to need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhasePlan {
    /// Its name.
    pub name: String,
    /// What learns.
    pub train: Train,
    /// Values that learn.
    pub trained: usize,
    /// Values that do not.
    pub frozen: usize,
    /// Passes over the training images.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// Images a step.
    pub batch: usize,
    /// Images that go through the trained part at a time.
    pub micro_batch: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// Memory of a step apart from its images, in MB.
    pub base_mb: f64,
    /// Memory of each image of a micro-batch, in MB.
    pub per_image_mb: f64,
    /// Highest memory of the phase, in MB.
    pub planned_mb: f64,
    /// Memory besides, in MB, while a disk that is slower than a step or two writes a checkpoint.
    #[serde(default)]
    pub saving_mb: f64,
    /// Time of the phase, roughly.
    pub seconds: f64,
}

/// The smaller of what was asked for and what there is.
fn budget(memory: Memory) -> Option<Budget> {
    match memory {
        Memory::Auto => memory::available(),
        Memory::Bytes(size) => Some(Budget {
            bytes: size.as_u64(),
            set_by: "--memory",
        }),
    }
}

impl Plan {
    /// Whether a phase has no room for what a checkpoint holds while it is being written, once a step has
    /// changed it: then no step may, until it is written.
    pub fn has_to_wait_for_writes(&self, phase: &str) -> bool {
        let mut phases = self.phases.iter().filter(|planned| planned.name == phase);
        phases.any(|planned| {
            let budget = self.budget_mb.unwrap_or(f64::INFINITY);
            planned.planned_mb + planned.saving_mb > budget
        })
    }
}

/// Plans a run, and puts the batches, micro-batches and learning rates that were left open into its
/// recipe.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub fn plan<T: Task>(
    job: &mut Job<T>,
    costs: &[PhaseCost],
    automatic: &[Automatic],
) -> Result<Plan, Error> {
    let budget = budget(job.recipe.memory);
    let mut notes = Vec::new();
    let mut phases = Vec::new();
    for (number, cost) in costs.iter().enumerate() {
        let head = job.task.head_parameters();
        let phase = &job.recipe.phases[number];
        let setup = PhaseSetup::new(phase, &job.architecture, &head)?;
        let pixels = job.info.preprocessing.crop.pow(2) as f64 * 3.0 * 4.0;
        let need = Need {
            cost: *cost,
            waiting: match phase.kept_views() {
                Some(_) if setup.boundary > 0 => pixels.max(cost.features),
                _ => pixels,
            },
            pixels,
            preparing: cost.preparing * job.machine.workers as f64,
            gradients: setup.trained as f64 * 4.0,
            saving: setup.trained as f64 * 4.0 * copies(phase),
        };
        let limit = budget.map_or(f64::INFINITY, |budget| budget.bytes as f64);
        let images = job.task.training_images();
        let phase = &mut job.recipe.phases[number];
        if automatic[number].batch {
            phase.batch = largest_batch(T::KIND, phase, &need, images, limit);
            if automatic[number].lr {
                phase.lr *= lr_factor(T::KIND, phase);
            }
        }
        if automatic[number].micro_batch {
            phase.micro_batch = micro_batch(&need, phase.batch, limit);
        }
        let planned = need.bytes(phase.batch, phase.micro_batch());
        notes.extend(memory_note(T::KIND, phase, planned, limit));
        let phase = &job.recipe.phases[number];
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
            base_mb: cost.step.base / MB,
            per_image_mb: cost.step.per_image / MB,
            planned_mb: planned / MB,
            saving_mb: need.saving / MB,
            seconds: seconds(job, phase, cost),
        });
    }
    notes.extend(few_steps(&job.recipe, &phases));
    Ok(Plan {
        budget_mb: budget.map(|budget| budget.bytes as f64 / MB),
        budget_set_by: budget.map_or("nothing", |budget| budget.set_by).to_owned(),
        phases,
        notes,
    })
}

/// What the memory of a phase is made of, in bytes.
struct Need {
    cost: PhaseCost,
    /// Of an image.
    pixels: f64,
    /// Of an image that waits for its step: its pixels, or its features.
    waiting: f64,
    /// Of images that are being read.
    preparing: f64,
    /// Of what learns.
    gradients: f64,
    /// Of a checkpoint that is being written, once a step has changed what it holds.
    saving: f64,
}

/// Values that are saved of each that learns: itself, its moments, its average.
fn copies(phase: &Phase) -> f64 {
    let moments = match phase.optimizer {
        OptimizerKind::Sgd => 1.0,
        OptimizerKind::Adam | OptimizerKind::AdamW => 2.0,
    };
    1.0 + moments + if phase.ema_decay > 0.0 { 1.0 } else { 0.0 }
}

impl Need {
    fn bytes(&self, batch: usize, micro_batch: usize) -> f64 {
        let ahead = (batches_ahead(batch) * batch) as f64;
        let mut step = self.cost.step.of(micro_batch);
        if micro_batch < batch {
            // The sum of the gradients, and the images that wait.
            step += self.gradients + self.waiting * batch as f64;
        }
        let images = micro_batch.min(INFERENCE_BATCH);
        let inference = self.cost.inference.of(images) + self.pixels * (batch - images) as f64;
        step.max(inference) + self.waiting * ahead + self.preparing
    }
}

/// The usual batch, halved while that leaves an epoch few steps, or while it does not fit.
fn largest_batch(task: Kind, phase: &Phase, need: &Need, images: usize, limit: f64) -> usize {
    let mut batch = usual_batch(task, &phase.train);
    while batch > SMALLEST_BATCH
        && (images < batch * STEPS_AN_EPOCH || need.bytes(batch, batch) > limit)
    {
        batch /= 2;
    }
    batch
}

/// The learning rate follows an automatic batch: in proportion with SGD (Goyal and others, arXiv
/// 1706.02677, section 2.1), by the square root with Adam and AdamW, whose steps do not grow with the
/// gradient (Malladi and others, arXiv 2205.10287, section 4).
fn lr_factor(task: Kind, phase: &Phase) -> f64 {
    let factor = phase.batch as f64 / usual_batch(task, &phase.train) as f64;
    match phase.optimizer {
        OptimizerKind::Sgd => factor,
        OptimizerKind::Adam | OptimizerKind::AdamW => factor.sqrt(),
    }
}

/// The fewest equal parts of a batch that fit, or that need the least if none does; `None` if that is
/// the whole.
fn micro_batch(need: &Need, batch: usize, limit: f64) -> Option<usize> {
    let limit = limit.max(need.bytes(batch, 1));
    let mut sizes = (1..=batch).map(|parts| batch.div_ceil(parts));
    sizes
        .find(|&size| need.bytes(batch, size) <= limit)
        .filter(|&size| size < batch)
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
        "{steps} steps in all are few to learn from: more epochs (--epochs {epochs}) or a smaller batch \
         make more"
    ))
}

/// Time of a phase: of its frozen part on what is not kept from an earlier epoch, of its steps, and of
/// the evaluations.
fn seconds<T: Task>(job: &Job<T>, phase: &Phase, cost: &PhaseCost) -> f64 {
    let images = job.task.training_images() as f64;
    let validation = job.task.split(Split::Validation).len() as f64;
    let epochs = phase.epochs as f64;
    let [computed, evaluated] = match (phase.kept_views(), &job.machine.cache) {
        (Some(views), Some(_)) => [epochs.min(views as f64), 1.0],
        _ => [epochs, epochs],
    };
    computed * images * cost.frozen_seconds
        + epochs * images * cost.step_seconds
        + evaluated * validation * cost.evaluation_seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe;
    use crate::recipe::Draft;

    fn memory(base: f64, per_image: f64) -> probe::Memory {
        probe::Memory {
            base: base * MB,
            per_image: per_image * MB,
        }
    }

    fn need() -> Need {
        Need {
            cost: PhaseCost {
                step: memory(100.0, 30.0),
                inference: memory(120.0, 0.0),
                ..PhaseCost::default()
            },
            pixels: 0.0,
            waiting: 0.0,
            preparing: 0.0,
            gradients: 10.0 * MB,
            saving: 0.0,
        }
    }

    fn phase(lines: &str) -> Phase {
        let text =
            format!("data = 'd'\nmodel = 'm'\nweights = 'w'\n[[phase]]\nepochs = 1\n{lines}\n");
        let draft: Draft = toml::from_str(&text).unwrap();
        draft.resolve(224, None).unwrap().phases.remove(0)
    }

    #[test]
    fn a_batch_that_fits_is_not_cut_and_one_that_does_not_goes_in_equal_parts() {
        let at = |limit: f64| micro_batch(&need(), 16, limit * MB);
        assert_eq!(at(600.0), None);
        // 100 + 10 for the sum of the gradients + 30 an image.
        assert_eq!(at(360.0), Some(8));
        assert_eq!(at(300.0), Some(6));
        assert_eq!(at(140.0), Some(1));
        assert_eq!(at(1.0), Some(1));
        // Where the images of a step do not count, cutting it is of no use.
        let mut frozen = need();
        (frozen.cost.step.per_image, frozen.gradients) = (0.0, 0.0);
        assert_eq!(micro_batch(&frozen, 16, 1.0), None);
    }

    #[test]
    fn without_room_for_a_checkpoint_beside_it_a_phase_waits_for_its_writes() {
        let planned = |budget_mb| Plan {
            budget_mb,
            budget_set_by: "--memory".into(),
            phases: vec![PhasePlan {
                name: "thaw".into(),
                train: Train::All,
                trained: 1,
                frozen: 0,
                epochs: 1,
                steps_per_epoch: 1,
                batch: 1,
                micro_batch: 1,
                lr: 1.0,
                base_mb: 1.0,
                per_image_mb: 1.0,
                planned_mb: 700.0,
                saving_mb: 200.0,
                seconds: 1.0,
            }],
            notes: Vec::new(),
        };
        assert!(planned(Some(800.0)).has_to_wait_for_writes("thaw"));
        assert!(!planned(Some(800.0)).has_to_wait_for_writes("freeze"));
        assert!(!planned(Some(900.0)).has_to_wait_for_writes("thaw"));
        assert!(!planned(None).has_to_wait_for_writes("thaw"));
    }

    #[test]
    fn an_automatic_batch_fits_and_leaves_an_epoch_its_steps() {
        let phase = phase("train = 'all'");
        let batch =
            |images, limit: f64| largest_batch(Kind::Classify, &phase, &need(), images, limit * MB);
        assert_eq!(batch(1000, f64::INFINITY), 16);
        assert_eq!(batch(100, f64::INFINITY), 8);
        assert_eq!(batch(9, f64::INFINITY), 4);
        assert_eq!(batch(1000, 400.0), 8);
        assert_eq!(batch(1000, 100.0), 4);
    }

    #[test]
    fn the_rate_follows_an_automatic_batch() {
        let mut adam = phase("train = 'all'");
        assert_eq!(lr_factor(Kind::Classify, &adam), 1.0);
        adam.batch = 4;
        assert_eq!(lr_factor(Kind::Classify, &adam), 0.5);
        let mut sgd = phase("train = 'head'\noptimizer = 'sgd'");
        sgd.batch = 8;
        assert_eq!(lr_factor(Kind::Classify, &sgd), 0.25);
    }

    #[test]
    fn inference_needs_memory_whatever_the_batch() {
        let mut need = need();
        assert_eq!(need.bytes(2, 2), 160.0 * MB);
        need.cost.inference = memory(500.0, 1.0);
        assert_eq!(need.bytes(2, 2), 502.0 * MB);
        assert_eq!(need.bytes(64, 1), 501.0 * MB);
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
