//! An epoch of training: batches → features → steps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use warmstart_data::{Loader, batches};
use warmstart_language::{english, message, translated};
use warmstart_nn::devices::card_of;
use warmstart_recipe::{Error, OnNonFinite};
use warmstart_run::epoch_progress::EpochProgress;
use warmstart_run::event::{Event, Observer, Progress};
use warmstart_tasks::task::Task;

use crate::frozen::{Frozen, Prepared, Source};
use crate::image_supply::ImageSupply;
use crate::schedule::learning_rate;
use crate::step::{NonFinite, Step, StepPoint};
use crate::trainer::{CurrentPhase, Trainer, batches_ahead};
use crate::training_state::TrainingState;
use crate::watch::Watch;

/// Most consecutive steps that `on_nonfinite = "skip"` skips: if more fail, the cause is the parameters, not a batch.
const MOST_SKIPPED: u64 = 10;

/// End of the training part of an epoch.
pub enum EpochEnd {
    /// Every image was processed.
    Complete,
    /// A stop was requested.
    Stopped,
    /// A step could not be taken.
    NonFinite(RefusedStep),
}

/// A step that could not be taken.
pub struct RefusedStep {
    /// The cause.
    pub cause: NonFinite,
    /// The step within the epoch, from 1.
    pub step: usize,
    /// Its learning rate.
    pub lr: f64,
    /// Its images.
    pub files: Vec<PathBuf>,
}

/// An event of a step at which a hook is called.
pub enum StepEvent<'a> {
    /// The parameters are about to change.
    BeforeChange,
    /// The step is done.
    Done(&'a TrainingState, &'a EpochProgress),
}

/// A function that is called in every step.
pub type StepHook<'a> = &'a mut dyn FnMut(StepEvent, Observer);

/// The end of an epoch whose every image was processed in so many steps.
fn end_of_epoch(state: &TrainingState, progress: &EpochProgress, steps: usize) -> EpochEnd {
    let (what, layer) = match state.first_non_finite() {
        Some(name) => (
            translated(english!("the last step of the epoch was too large")),
            name,
        ),
        None if progress.images == 0 => (
            translated(english!("every step of the epoch was skipped")),
            translated(english!("the layers named above")),
        ),
        None => return EpochEnd::Complete,
    };
    EpochEnd::NonFinite(RefusedStep {
        cause: NonFinite {
            what: what.into(),
            layer: layer.into(),
        },
        step: steps,
        lr: progress.lr,
        files: Vec::new(),
    })
}

/// Everything that the steps of an epoch share.
struct EpochSteps<'a, T: Task> {
    step: Step<'a, T>,
    frozen: &'a Frozen,
    source: Source<T::Target>,
    /// The epoch of the run, from 1.
    epoch: usize,
    /// The epoch of the phase, from 1.
    epoch_in_phase: usize,
    /// Steps of the phase before this epoch.
    steps_before: usize,
    /// Steps of the epoch.
    steps: usize,
    /// The last step with a whole batch, from 1: an incomplete batch is too small to judge by.
    last_full: usize,
}

impl<T: Task> EpochSteps<'_, T> {
    /// Learning rate of a step, which is counted from 1.
    fn learning_rate(&self, step: usize) -> f64 {
        let phase = self.step.phase;
        learning_rate(
            phase,
            self.steps_before + step - 1,
            phase.epochs * self.steps,
        )
    }
}

impl<T: Task> Trainer<T> {
    /// Trains on every training image once; `progress` has the images already processed.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn train_epoch(
        &self,
        (epoch, epoch_in_phase): (usize, usize),
        current: &CurrentPhase,
        state: &mut TrainingState,
        progress: &mut EpochProgress,
        hook: StepHook,
        observe: Observer,
    ) -> Result<EpochEnd, Error> {
        let frozen = &current.frozen;
        let phase = &self.recipe.phases[current.number];
        let order = self.data.order(self.recipe.seed, epoch, phase);
        let view = phase.view(epoch, epoch_in_phase);
        let left = batches(&order[progress.seen..], phase.batch);
        let steps = self.steps_per_epoch(phase);
        // If the batch was changed within the epoch, the images that are left are its last.
        let done = steps - left.len().min(steps);
        let shared = EpochSteps {
            step: self.step(current),
            frozen,
            source: frozen.training_source(&self.task, &self.data, phase, view),
            epoch,
            epoch_in_phase: epoch_in_phase + 1,
            steps_before: epoch_in_phase * steps,
            steps,
            last_full: (order.len() / phase.batch).max(1),
        };
        // On the processor, the threads that prepare images take the cores of the steps, so waiting says nothing.
        let supply = card_of(&self.device).map(|_| Arc::new(ImageSupply::default()));
        let prepare = shared.source.prepare();
        let mut loader = Loader::new(
            left.clone(),
            self.resources.workers,
            batches_ahead(phase.batch),
            match &supply {
                Some(supply) => supply.timed(prepare),
                None => prepare,
            },
        );
        let began = Instant::now();
        let before = progress.elapsed;
        for (step, samples) in (done + 1..).zip(&left) {
            let asked = Instant::now();
            let Some(batch) = loader.next() else {
                break;
            };
            if supply.is_some() {
                *progress.waiting.get_or_insert_default() += asked.elapsed().as_secs_f64();
            }
            match self.take_step(&shared, (step, batch?), state, progress, hook, observe) {
                Ok(()) => {}
                Err(cause) if self.may_skip(state) => {
                    let note = skip_step(&cause, (step, epoch), state, progress);
                    observe(Event::Note(note));
                }
                Err(cause) => {
                    let files = samples.iter().map(|&s| self.data.train[s].path.clone());
                    return Ok(EpochEnd::NonFinite(RefusedStep {
                        cause,
                        step,
                        lr: shared.learning_rate(step),
                        files: files.collect(),
                    }));
                }
            }
            progress.seen += samples.len();
            progress.elapsed = before + began.elapsed().as_secs_f64();
            if self.resources.stop.is_requested() {
                return Ok(EpochEnd::Stopped);
            }
            hook(StepEvent::Done(state, progress), observe);
        }
        if let Some(supply) = supply.filter(|_| epoch_in_phase == 0) {
            let waiting = progress.waiting.unwrap_or_default();
            let note = supply.note(waiting, progress.elapsed, self.resources.workers);
            if let Some(note) = note {
                observe(Event::Note(note));
            }
        }
        Ok(end_of_epoch(state, progress, steps))
    }

    /// Takes a step, which is counted from 1, on a batch, and reports it.
    fn take_step(
        &self,
        shared: &EpochSteps<T>,
        (step, batch): (usize, Vec<Prepared<T::Target>>),
        state: &mut TrainingState,
        progress: &mut EpochProgress,
        hook: StepHook,
        observe: Observer,
    ) -> Result<(), NonFinite> {
        let started = Instant::now();
        let features = self.features(shared.frozen, &batch, &shared.source, observe);
        let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
        let lr = shared.learning_rate(step);
        let this_step = state.steps + 1;
        let is_watched = step == shared.last_full
            || matches!(self.recipe.health_every, Some(every) if this_step.is_multiple_of(every as u64));
        let mut watch = is_watched.then(Watch::default);
        let mut reached = |point: StepPoint| match point {
            StepPoint::LossKnown => (),
            StepPoint::GradientsKnown => hook(StepEvent::BeforeChange, observe),
        };
        let watched = watch.as_mut();
        let loss = shared
            .step
            .run(state, features, &targets, lr, watched, &mut reached)?;
        progress
            .health
            .extend(watch.and_then(|watch| watch.health(step)));
        state.skipped_in_a_row = 0;
        progress.add_step(loss, targets.len(), lr, started.elapsed());
        observe(Event::Step(Progress {
            epoch: shared.epoch,
            epochs: self.recipe.epochs(),
            epoch_in_phase: shared.epoch_in_phase,
            epochs_in_phase: shared.step.phase.epochs,
            step,
            steps: shared.steps,
            loss,
            images_per_second: progress.images_per_second(),
        }));
        Ok(())
    }

    fn may_skip(&self, state: &TrainingState) -> bool {
        match self.recipe.on_nonfinite {
            OnNonFinite::Stop => false,
            OnNonFinite::Skip => state.skipped_in_a_row < MOST_SKIPPED,
        }
    }
}

/// Skips a step that could not be taken, and returns a note on it.
fn skip_step(
    cause: &NonFinite,
    (step, epoch): (usize, usize),
    state: &mut TrainingState,
    progress: &mut EpochProgress,
) -> String {
    state.skipped_in_a_row += 1;
    state.steps += 1;
    progress.skipped += 1;
    message!(
        "step {step} of epoch {epoch} is skipped, {} in a row: {}, first in {}",
        state.skipped_in_a_row,
        cause.what,
        cause.layer
    )
}
