//! The measurement of a phase, by steps, a frozen part and evaluations of it, in the process that was started for it.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use warmstart_language::message;
use warmstart_nn::initialization::Initialization;
use warmstart_nn::{forget_memory_peak, memory_in_use, memory_peak};
use warmstart_recipe::Error;
use warmstart_run::loss_scale::LossScale;
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use super::card_meter::CardMeter;
use super::memory_line::{MB, MemoryLine, StepMemory, StepPeaks};
use crate::head_layers::layers_of;
use crate::memory;
use crate::optimizer::Optimizer;
use crate::step::StepPoint;
use crate::trainer::{CurrentPhase, Trainer};
use crate::training_state::TrainingState;
use crate::watch::Watch;

/// Most images of the smaller of two evaluations.
const FEW: usize = 4;
/// Steps of a batch size, the last of which is timed.
const STEPS: usize = 2;
/// The same on a graphics card, which compiles its kernels in the first.
const STEPS_ON_CARD: usize = 3;
/// The step in which the parts of a card's memory are read, counted from 1: the first has no moments yet, and after
/// this one the memory of all parts is held.
const IN_PARTS: usize = 2;

/// The cost of a phase, in bytes and seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PhaseCost {
    /// Memory of the system for a training step, without the frozen part.
    pub step: StepMemory,
    /// The same for inference: for the frozen part and for evaluations.
    pub inference: MemoryLine,
    /// Highest memory of preparing one image, in each thread, without its pixels.
    pub preparing: f64,
    /// Bytes of an image's frozen features in the cache and in the system's memory, where they are f32.
    pub features: f64,
    /// Bytes of the same as they enter the trained part, in the format that it computes in.
    pub entering: f64,
    /// Seconds of the frozen part per image.
    pub frozen_seconds: f64,
    /// Seconds of a training step per image.
    pub step_seconds: f64,
    /// Those of them in which gradients are computed, per image.
    pub gradient_seconds: f64,
    /// Seconds of the rest of a training step, which has nothing to do with its images.
    pub update_seconds: f64,
    /// Seconds of the evaluation per image.
    pub evaluation_seconds: f64,
    /// Memory of the graphics card; `None` on the processor.
    pub card: Option<CardCost>,
}

/// The memory of a graphics card that a phase needs, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct CardCost {
    /// Of a training step, without the frozen part.
    pub step: StepMemory,
    /// Of inference: of the frozen part and of evaluations.
    pub inference: MemoryLine,
    /// The largest piece of it that a training step asks for.
    pub piece: MemoryLine,
}

/// A phase that is measured by taking steps of it.
pub(super) struct PhaseProbe<T: Task> {
    trainer: Trainer<T>,
    state: TrainingState,
    card: CardMeter,
}

impl<T: Task> PhaseProbe<T> {
    pub(super) fn new(trainer: Trainer<T>) -> Result<Self, Error> {
        let mut parameters = Initialization::default().parameters(
            &trainer.parameter_infos(),
            &trainer.architecture.initialization(),
            trainer.recipe.seed,
            &trainer.device,
        );
        let phase = &trainer.recipe.phases[0];
        let layers = if phase.is_solved() {
            layers_of(&trainer.architecture, &phase.head_layers)
        } else {
            Vec::new()
        };
        if layers.len() > 1 {
            let values = trainer.values_of_layers(&layers)?;
            let classes = trainer.data.classes.len();
            let weight = vec![0.0; classes * values.iter().sum::<usize>()];
            parameters.replace(trainer.multi_head(&layers, &values, &weight, &vec![0.0; classes]));
        }
        let mut state = TrainingState::new(parameters, Optimizer::new(phase.optimizer));
        // Gradients of random values may overflow; such a step is not measured.
        state.loss_scale = LossScale::of(trainer.recipe.precision);
        state.begin_phase(phase);
        Ok(Self {
            card: CardMeter::of(&trainer.device),
            trainer,
            state,
        })
    }

    /// Measures the phase with steps of two batch sizes.
    ///
    /// # Errors
    /// If an image cannot be read, or a step is refused.
    pub(super) fn cost(mut self, batches: [usize; 2]) -> Result<PhaseCost, Error> {
        let mut cost = PhaseCost {
            preparing: self.preparing()?,
            ..PhaseCost::default()
        };
        let mut card = CardCost::default();
        if !self.trainer.recipe.phases[0].is_solved() {
            let mut peaks = [StepPeaks::default(); 2];
            let mut on_card = [StepPeaks::default(); 2];
            let mut besides = [0.0; 2];
            let mut pieces = [(0, 0.0); 2];
            for (index, batch) in batches.into_iter().enumerate() {
                [peaks[index], on_card[index]] = self.step(batch, &mut cost)?;
                besides[index] = self.uncounted(peaks[index].highest());
                pieces[index] = (batch, self.card.largest() as f64);
            }
            cost.step = StepMemory::through(batches, peaks, besides);
            card.step = StepMemory::through(batches, on_card, [0.0; 2]);
            card.piece = MemoryLine::through(pieces);
        }
        // The frozen part comes after the steps: the gaps between its freed blocks would count as memory of the steps.
        self.frozen_part(INFERENCE_BATCH, &mut cost)?;
        let [_, few] = batches;
        let mut measured = [(0, 0.0); 2];
        let mut on_card = [(0, 0.0); 2];
        for (index, images) in [few.min(FEW), INFERENCE_BATCH].into_iter().enumerate() {
            let [system, held] = self.evaluation(images, &mut cost)?;
            measured[index] = (images, system);
            on_card[index] = (images, held);
        }
        cost.inference = MemoryLine::through(measured);
        card.inference = MemoryLine::through(on_card);
        cost.card = self.card.is_there().then_some(card);
        Ok(cost)
    }

    /// Peak bytes in use while the largest image is read and augmented, less its pixels.
    fn preparing(&self) -> Result<f64, Error> {
        let before = memory_in_use();
        forget_memory_peak();
        let phase = &self.trainer.recipe.phases[0];
        let example = self
            .trainer
            .task
            .training_example(0, phase.view(0, 0), phase)?;
        Ok(memory_peak().saturating_sub(before + size_of_val(&*example.pixels)) as f64)
    }

    /// Begins the phase with a batch size.
    fn begin(&mut self, batch: usize) -> Result<CurrentPhase, Error> {
        let phase = &mut self.trainer.recipe.phases[0];
        (phase.batch, phase.micro_batch) = (batch, None);
        forget_memory_peak();
        let parameters = &self.state.parameters;
        self.trainer.begin_phase(0, parameters, &mut |_| ())
    }

    /// Steps on noise, the last of which is timed. Returns the highest memory of each part of a step, and of beginning
    /// the phase: of the system, and of the graphics card.
    fn step(&mut self, batch: usize, cost: &mut PhaseCost) -> Result<[StepPeaks; 2], Error> {
        self.card.release();
        let current = self.begin(batch)?;
        let mut peaks = StepPeaks {
            update: memory_peak(),
            ..StepPeaks::default()
        };
        let mut on_card = StepPeaks {
            update: self.card.held(),
            ..StepPeaks::default()
        };
        forget_memory_peak();
        let phase = &self.trainer.recipe.phases[0];
        let target = |image| {
            self.trainer
                .task
                .training_target(image, phase.view(0, 0), phase)
        };
        let targets: Vec<_> = (0..batch).map(target).collect();
        let card = &self.card;
        let steps = if card.is_there() {
            STEPS_ON_CARD
        } else {
            STEPS
        };
        let mut number = 1;
        while number <= steps {
            let seed = self.trainer.recipe.seed;
            if number == IN_PARTS {
                card.release();
            }
            let features = current.frozen.noise(batch, seed, &self.trainer.device);
            card.wait();
            let started = Instant::now();
            let mut gradients_known = started;
            let step = self.trainer.step(&current);
            // Watching the network's health holds the parameters twice; the step without it is timed.
            let mut watch = (number == 1).then(Watch::default);
            let state = &mut self.state;
            let updates = state.optimizer.steps;
            // With a learning rate of zero the parameters stay finite; the loss does not matter.
            let mut reached = |point: StepPoint| match point {
                StepPoint::LossKnown => {
                    peaks.forward = peaks.forward.max(memory_peak());
                    if number == IN_PARTS {
                        on_card.forward = card.held();
                    }
                }
                StepPoint::GradientsKnown => {
                    gradients_known = Instant::now();
                    peaks.gradients = peaks.gradients.max(memory_peak());
                    forget_memory_peak();
                    if number == IN_PARTS {
                        on_card.gradients = card.held();
                    }
                }
            };
            let taken = step.run(
                state,
                features,
                &targets,
                batch,
                0.0,
                watch.as_mut(),
                &mut reached,
            );
            // A step that was refused has not used the memory of a whole step.
            taken.map_err(|refused| Error::memory(message!("it was refused: {}", refused.what)))?;
            card.wait();
            // Nor has one whose gradients overflowed: it is taken again with half the factor on the loss. With a factor
            // of 1 it would be refused.
            if self.state.optimizer.steps == updates {
                forget_memory_peak();
                continue;
            }
            number += 1;
            cost.step_seconds = started.elapsed().as_secs_f64() / batch as f64;
            let gradients = gradients_known.duration_since(started).as_secs_f64();
            cost.gradient_seconds = gradients / batch as f64;
            cost.update_seconds = gradients_known.elapsed().as_secs_f64();
            peaks.update = peaks.update.max(memory_peak());
            on_card.update = on_card.update.max(card.held());
            forget_memory_peak();
        }
        Ok([peaks, on_card])
    }

    /// Takes the time of the frozen part, twice: the first is slow.
    fn frozen_part(&mut self, batch: usize, cost: &mut PhaseCost) -> Result<(), Error> {
        let current = self.begin(batch)?;
        cost.features = (current.frozen.values() * size_of::<f32>()) as f64;
        cost.entering = current.frozen.entering_bytes() as f64;
        let (trainer, phase) = (&self.trainer, &self.trainer.recipe.phases[0]);
        let source = if phase.is_solved() {
            current.frozen.clean_source(&trainer.task, &trainer.data)
        } else {
            let view = phase.view(0, 0);
            current
                .frozen
                .training_source(&trainer.task, &trainer.data, phase, view)
        };
        let prepare = source.prepare();
        let images: Vec<_> = (0..batch).map(&*prepare).collect::<Result<_, _>>()?;
        for _ in 0..2 {
            let started = Instant::now();
            // There is no cache, so there are no messages.
            let features = trainer.features(&current.frozen, &images, &source, &mut |_| ());
            drop(features);
            self.card.wait();
            cost.frozen_seconds = started.elapsed().as_secs_f64() / batch as f64;
        }
        Ok(())
    }

    /// The highest memory of an evaluation, which is timed: of the system, and of the graphics card.
    fn evaluation(&mut self, images: usize, cost: &mut PhaseCost) -> Result<[f64; 2], Error> {
        self.card.release();
        let current = self.begin(images)?;
        // One batch, so that no images are prepared ahead: the plan counts those itself.
        let mut data = (*self.trainer.data).clone();
        data.validate_on(data.train[..images].to_vec());
        self.trainer.data = Arc::new(data);
        // Repeated, because freeing and allocating leaves gaps, as in many batches.
        for _ in 0..2 {
            let started = Instant::now();
            self.trainer.evaluate(
                &self.state.parameters,
                &current.frozen,
                EvaluationSplit::Validation,
                &mut |_| (),
            )?;
            cost.evaluation_seconds = started.elapsed().as_secs_f64() / images as f64;
        }
        let system = memory_peak() as f64 + self.uncounted(memory_peak());
        Ok([system, self.card.held() as f64])
    }

    /// Peak memory of the process that no allocator counted: the program, small allocations, and gaps.
    fn uncounted(&self, counted: usize) -> f64 {
        let counted = counted + self.card.held_in_process();
        (memory::peak_mb() * MB - counted as f64).max(0.0)
    }
}
