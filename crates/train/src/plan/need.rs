//! The memory that a phase needs, and the batches that fit.

use warmstart_recipe::{ByMemory, Error, OptimizerKind, Phase, SMALLEST_BATCH, TaskDefaults};
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::task::Task;

use super::cost_probe::PhaseCost;
use super::memory_line::MemoryLine;
use crate::memory::Budget;
use crate::phase_setup::PhaseSetup;
use crate::trainer::{Trainer, batches_ahead};

/// The parts of the memory of a phase, in bytes.
pub(super) struct Need {
    cost: PhaseCost,
    /// Pixels of an image.
    pixels: f64,
    /// An image that waits for its step: its pixels, or its features.
    waiting: f64,
    /// Images that are being read, in all threads.
    pub(super) preparing: f64,
    /// Gradients of the trained parameters.
    gradients: f64,
    /// A checkpoint that is being written, once a step has changed the parameters.
    pub(super) saving: f64,
}

/// Makes the batches that were left open smaller where they do not fit, splits those that still do not fit into
/// micro-batches, and adapts learning rates that were left open.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub(super) fn choose_batches<T: Task>(
    trainer: &mut Trainer<T>,
    costs: &[PhaseCost],
    open: &[ByMemory],
    budget: Option<&Budget>,
) -> Result<(), Error> {
    let limit = limit(budget);
    let images = trainer.data.training_images();
    let TaskDefaults {
        lr_factor,
        moving_average,
        ..
    } = *trainer.recipe.defaults();
    for (number, cost) in costs.iter().enumerate() {
        let phase = &trainer.recipe.phases[number];
        let need = Need::new(trainer, phase, *cost)?;
        let phase = &mut trainer.recipe.phases[number];
        if open[number].batch {
            let usual = phase.batch;
            phase.batch = largest_batch(usual, &need, limit);
            if open[number].lr {
                phase.lr *= lr_factor(phase.optimizer, usual, phase.batch);
            }
            if open[number].ema_decay {
                let steps = images.div_ceil(phase.batch) * phase.epochs;
                phase.ema_decay = moving_average(&phase.train, steps);
            }
        }
        if open[number].micro_batch {
            phase.micro_batch = micro_batch(&need, phase.batch, limit);
        }
    }
    Ok(())
}

/// The memory budget in bytes.
pub(super) fn limit(budget: Option<&Budget>) -> f64 {
    budget.map_or(f64::INFINITY, |budget| budget.bytes as f64)
}

impl Need {
    pub(super) fn new<T: Task>(
        trainer: &Trainer<T>,
        phase: &Phase,
        cost: PhaseCost,
    ) -> Result<Self, Error> {
        let setup = PhaseSetup::new(
            phase,
            &trainer.architecture,
            &trainer.task.head().parameters,
        )?;
        let pixels = trainer.info.preprocessing.crop.pow(2) as f64 * 3.0 * 4.0;
        Ok(Self {
            cost,
            waiting: match phase.kept_views() {
                Some(_) if setup.boundary > 0 => pixels.max(cost.features),
                _ => pixels,
            },
            pixels,
            preparing: cost.preparing * trainer.resources.workers as f64,
            gradients: setup.trained as f64 * 4.0,
            saving: setup.trained as f64 * 4.0 * copies(phase),
        })
    }

    /// The need where all features are cached already, so that no image is read.
    pub(super) fn with_kept_features(self) -> Self {
        Self {
            waiting: self.cost.features,
            preparing: 0.0,
            pixels: 0.0,
            cost: PhaseCost {
                inference: MemoryLine::default(),
                ..self.cost
            },
            ..self
        }
    }

    pub(super) fn bytes(&self, batch: usize, micro_batch: usize) -> f64 {
        let ahead = (batches_ahead(batch) * batch) as f64;
        let step = self.of_step(batch, micro_batch);
        let inference = self.of_inference(batch, micro_batch);
        step.max(inference) + self.waiting * ahead + self.preparing
    }

    /// The memory of steps or of inference, whichever is larger, as a function of the images at a time. That of steps
    /// is of the part that needs the most for the whole batch: micro-batches can be so small that their images hardly
    /// count.
    pub(super) fn line(&self, batch: usize, micro_batch: usize) -> MemoryLine {
        if self.of_step(batch, micro_batch) < self.of_inference(batch, micro_batch) {
            self.cost.inference
        } else {
            self.cost.step.line(batch)
        }
    }

    fn of_step(&self, batch: usize, micro_batch: usize) -> f64 {
        let step = &self.cost.step;
        if micro_batch < batch {
            // The sum of the gradients, until they are added up, and the images that wait.
            let summed = step.until_gradients(micro_batch) + self.gradients;
            summed.max(step.update.of(micro_batch)) + self.waiting * batch as f64
        } else {
            step.of(micro_batch)
        }
    }

    fn of_inference(&self, batch: usize, micro_batch: usize) -> f64 {
        let images = micro_batch.min(INFERENCE_BATCH);
        self.cost.inference.of(images) + self.pixels * (batch - images) as f64
    }
}

/// Saved values per trained value: itself, its moments, its average.
fn copies(phase: &Phase) -> f64 {
    let moments = match phase.optimizer {
        OptimizerKind::Sgd => 1.0,
        OptimizerKind::Adam | OptimizerKind::AdamW => 2.0,
    };
    1.0 + moments + if phase.ema_decay > 0.0 { 1.0 } else { 0.0 }
}

/// A batch, halved while it does not fit.
fn largest_batch(mut batch: usize, need: &Need, limit: f64) -> usize {
    while batch > SMALLEST_BATCH && need.bytes(batch, batch) > limit {
        batch /= 2;
    }
    batch
}

/// The largest of a batch's equal parts that fits, or that needs the least if none does; `None` for the whole batch.
fn micro_batch(need: &Need, batch: usize, limit: f64) -> Option<usize> {
    let limit = limit.max(need.bytes(batch, 1));
    let mut sizes = (1..=batch).map(|parts| batch.div_ceil(parts));
    sizes
        .find(|&size| need.bytes(batch, size) <= limit)
        .filter(|&size| size < batch)
}

#[cfg(test)]
mod tests {
    use super::super::make::MB;
    use super::super::memory_line::StepMemory;
    use super::*;

    fn memory(base: f64, per_image: f64) -> MemoryLine {
        MemoryLine {
            base: base * MB,
            per_image: per_image * MB,
        }
    }

    fn need() -> Need {
        Need {
            cost: PhaseCost {
                step: StepMemory {
                    gradients: memory(100.0, 30.0),
                    ..StepMemory::default()
                },
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

    #[test]
    fn a_batch_that_fits_stays_whole_and_another_is_split_into_equal_parts() {
        let at = |limit: f64| micro_batch(&need(), 16, limit * MB);
        assert_eq!(at(600.0), None);
        // 100 + 10 for the sum of the gradients + 30 per image.
        assert_eq!(at(360.0), Some(8));
        assert_eq!(at(300.0), Some(6));
        assert_eq!(at(140.0), Some(1));
        assert_eq!(at(1.0), Some(1));
        // Where the images of a step cost no memory, splitting it does not help.
        let mut frozen = need();
        (frozen.cost.step.gradients, frozen.gradients) = (memory(100.0, 0.0), 0.0);
        assert_eq!(micro_batch(&frozen, 16, 1.0), None);
    }

    #[test]
    fn a_batch_is_split_until_its_update_needs_more_than_its_images() {
        let mut need = need();
        need.cost.step.update = memory(300.0, 0.0);
        assert_eq!(need.bytes(16, 16), 580.0 * MB);
        // 100 + 10 for the sum of the gradients + 6 × 30, which the update exceeds: it has no other gradients.
        assert_eq!(need.bytes(16, 6), 300.0 * MB);
        assert_eq!(need.bytes(16, 1), 300.0 * MB);
        assert_eq!(micro_batch(&need, 16, 200.0 * MB), Some(6));
        assert_eq!(need.line(16, 6).per_image, 30.0 * MB);
    }

    #[test]
    fn an_automatic_batch_is_halved_until_it_fits() {
        let batch = |limit: f64| largest_batch(16, &need(), limit * MB);
        assert_eq!(batch(f64::INFINITY), 16);
        assert_eq!(batch(400.0), 8);
        assert_eq!(batch(100.0), 4);
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
    fn where_all_features_are_kept_no_image_counts() {
        let mut need = need();
        need.cost.inference = memory(500.0, 10.0);
        (need.pixels, need.waiting, need.preparing) = (MB, MB, MB);
        assert_eq!(need.bytes(2, 2), (520.0 + 8.0 + 1.0) * MB);
        assert_eq!(need.with_kept_features().bytes(2, 2), 160.0 * MB);
    }
}
