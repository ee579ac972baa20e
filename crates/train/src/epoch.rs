//! An epoch of training: batches → features → steps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use warmstart_data::{DataError, Loader};
use warmstart_language::{english, message, translated};
use warmstart_nn::devices::card_of;
use warmstart_recipe::{Error, OnNonFinite};
use warmstart_run::epoch_progress::EpochProgress;
use warmstart_run::event::{Event, Observer, Progress};
use warmstart_tasks::task::Task;

use crate::frozen::{Frozen, Prepared, Source};
use crate::image_supply::ImageSupply;
use crate::lockstep::agree_unless_stopped;
use crate::schedule::learning_rate;
use crate::step::{NonFinite, Step, StepPoint};
use crate::trainer::{CurrentPhase, Trainer, batches_ahead};
use crate::training_state::TrainingState;
use crate::watch::Watch;

/// Most consecutive steps that `on_nonfinite = "skip"` skips: if more fail, the cause is the parameters, not a batch.
const MOST_SKIPPED: u64 = 10;
/// Time that the first step of an epoch on several ranks takes at most, as long as nobody has to know it better.
const FIRST_STEP: Duration = Duration::from_secs(60);
/// Least time after which a rank that does not answer is gone, if the run is to stop: it may wait for its disk.
const LEAST_PATIENCE: Duration = Duration::from_secs(60);
/// How many times as long as the longest step before a step may take.
const SLOWER: u32 = 4;

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

/// A batch of a step.
struct StepBatch<P> {
    /// The step within the epoch, from 1.
    step: usize,
    /// Images of the whole batch.
    images: usize,
    /// The part of it that this rank computes.
    own: Vec<P>,
}

/// How long other ranks may let this one wait before they are taken for gone.
struct Patience {
    longest_step: Option<Duration>,
}

impl Patience {
    fn most(&self) -> Duration {
        self.longest_step
            .map_or(FIRST_STEP, |longest| (longest * SLOWER).max(LEAST_PATIENCE))
    }

    fn see(&mut self, step: Duration) {
        self.longest_step = self.longest_step.max(Some(step));
    }
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
    /// Trains on every training image once; `progress` has the images already processed. Of each batch, a rank prepares
    /// and computes its part.
    ///
    /// # Errors
    /// If an image cannot be read, by this rank or another.
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
        let view = phase.view(epoch, epoch_in_phase);
        let left = self.data.batches(&self.recipe, epoch, phase, progress.seen);
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
            last_full: (self.data.training_images() / phase.batch).max(1),
        };
        // On the processor, the threads that prepare images take the cores of the steps, so waiting says nothing.
        let supply = card_of(&self.device).map(|_| Arc::new(ImageSupply::default()));
        let prepare = shared.source.prepare();
        let shards = self.shards;
        let mut loader = Loader::new(
            left.clone().cut(move |images| shards.part_of_rank(images)),
            self.resources.workers,
            batches_ahead(phase.batch),
            match &supply {
                Some(supply) => supply.timed(prepare),
                None => prepare,
            },
        );
        let began = Instant::now();
        let before = progress.elapsed;
        let mut patience = Patience { longest_step: None };
        for (step, number) in (done + 1..).zip(0..left.len()) {
            let asked = Instant::now();
            let Some(batch) = loader.next() else {
                break;
            };
            if supply.is_some() {
                *progress.waiting.get_or_insert_default() += asked.elapsed().as_secs_f64();
            }
            let Some(own) = self.agreed_batch(batch, patience.most())? else {
                return Ok(EpochEnd::Stopped);
            };
            let images = left.images(number);
            let batch = StepBatch { step, images, own };
            let taken = self.resources.with_others(patience.most(), || {
                self.take_step(&shared, batch, state, progress, hook, observe)
            });
            match taken {
                Ok(()) => {}
                Err(cause) if self.may_skip(state) => {
                    let note = skip_step(&cause, (step, epoch), state, progress);
                    observe(Event::Note(note));
                }
                Err(cause) => {
                    let samples = left.get(number).into_iter();
                    let files = samples.map(|sample| self.data.train[sample].path.clone());
                    return Ok(EpochEnd::NonFinite(RefusedStep {
                        cause,
                        step,
                        lr: shared.learning_rate(step),
                        files: files.collect(),
                    }));
                }
            }
            progress.seen += images;
            progress.elapsed = before + began.elapsed().as_secs_f64();
            // Several ranks stop together, before their next step.
            if self.resources.ranks.is_alone() && self.resources.stop.is_requested() {
                return Ok(EpochEnd::Stopped);
            }
            hook(StepEvent::Done(state, progress), observe);
            patience.see(asked.elapsed());
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

    /// The rank's part of a batch, once every rank has its own; `None` if one of several is to stop.
    fn agreed_batch<P>(
        &self,
        own: Result<Vec<P>, DataError>,
        patience: Duration,
    ) -> Result<Option<Vec<P>>, Error> {
        let own = own.map_err(Error::from);
        if self.resources.ranks.is_alone() {
            return own.map(Some);
        }
        let own = own.map(|own| (!self.resources.stop.is_requested()).then_some(own));
        self.resources.with_others(patience, || {
            agree_unless_stopped(&self.resources.ranks, own)
        })
    }

    /// Takes a step on a batch, and reports it.
    fn take_step(
        &self,
        shared: &EpochSteps<T>,
        batch: StepBatch<Prepared<T::Target>>,
        state: &mut TrainingState,
        progress: &mut EpochProgress,
        hook: StepHook,
        observe: Observer,
    ) -> Result<(), NonFinite> {
        let StepBatch { step, images, own } = batch;
        let started = Instant::now();
        // A rank that has no image of a small batch has no features either.
        let features = if own.is_empty() {
            Vec::new()
        } else {
            self.features(shared.frozen, &own, &shared.source, observe)
        };
        let targets: Vec<_> = own.into_iter().map(|image| image.target).collect();
        let lr = shared.learning_rate(step);
        let this_step = state.steps + 1;
        let is_watched = step == shared.last_full
            || matches!(self.recipe.health_every, Some(every) if this_step.is_multiple_of(every as u64));
        let mut watch = is_watched.then(Watch::default);
        let mut reached = |point: StepPoint| match point {
            StepPoint::LossKnown => (),
            StepPoint::GradientsKnown => {
                // From here on, the step needs nobody, and the disk may keep it waiting.
                self.resources.stop.waits_until(None);
                hook(StepEvent::BeforeChange, observe);
            }
        };
        let watched = watch.as_mut();
        let loss = shared
            .step
            .run(state, features, &targets, images, lr, watched, &mut reached)?;
        progress
            .health
            .extend(watch.and_then(|watch| watch.health(step)));
        state.skipped_in_a_row = 0;
        progress.add_step(loss, images, lr, started.elapsed());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_that_waits_for_its_disk_is_not_taken_for_gone() {
        let minute = Duration::from_secs(60);
        let mut patience = Patience { longest_step: None };
        assert!(patience.most() >= minute);
        for (step, most) in [(1, 60), (30, 120), (2, 120)] {
            patience.see(Duration::from_secs(step));
            assert_eq!(patience.most(), Duration::from_secs(most));
        }
    }
}
