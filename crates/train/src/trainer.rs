//! What a run works with, and how its phases and epochs go: batches → features → steps, and an
//! evaluation. It does not know which task it trains.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use warmstart_data::{FeatureCacheFolder, Loader, batches};
use warmstart_models::Architecture;
use warmstart_nn::block::{Forward, ParameterInfo};
use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::{Parameters, release_free_memory};

use warmstart_recipe::Error;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use warmstart_run::event::Progress;
use crate::frozen::Frozen;
use crate::frozen::FeatureKey;
use crate::frozen::Prepared;
use crate::frozen::Source;
use warmstart_run::health::Health;
use crate::watch::Watch;
use crate::memory;
use warmstart_tasks::model_file::ModelInfo;
use crate::phase_setup::PhaseSetup;
use crate::phase_setup::boundary;
use warmstart_recipe::OnNonFinite;
use warmstart_recipe::Phase;
use warmstart_recipe::Recipe;
use crate::schedule::learning_rate;
use crate::training_state::TrainingState;
use crate::step::NonFinite;
use crate::step::Step;
use warmstart_run::stop::Stop;
use warmstart_tasks::task::Split;
use warmstart_tasks::task::Task;

/// Images that are prepared ahead of the batch that trains, rounded up to whole batches.
const IMAGES_AHEAD: usize = 8;
/// Steps in a row that `on_nonfinite = "skip"` leaves out: after more, the parameters are at fault, and no
/// batch.
const MOST_SKIPPED: u64 = 10;

/// What a run works with besides its folder and what it has learned.
pub struct Trainer<T> {
    /// The phases, and everything else that was asked for.
    pub recipe: Recipe,
    /// The network without its head.
    pub architecture: Architecture,
    /// What it learns.
    pub task: Arc<T>,
    /// The metadata of its model files.
    pub info: ModelInfo,
    /// What it may use.
    pub machine: Resources,
    /// Where it computes.
    pub device: Device,
}

/// What a run may use of the machine it is on; its result does not depend on it.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Threads that prepare images.
    pub workers: usize,
    /// Where what frozen parts make of images is kept.
    pub cache: Option<FeatureCacheFolder>,
    /// The program, which measures steps and starts again in processes of its own.
    pub program: PathBuf,
    /// Flags of its `resume` that mean this machine.
    pub flags: Vec<OsString>,
    /// Ends the run early.
    pub stop: Stop,
}

/// A phase while it runs.
pub struct CurrentPhase {
    /// Its index.
    pub number: usize,
    /// What it trains.
    pub setup: PhaseSetup,
    /// What it does not.
    pub frozen: Frozen,
}

/// How the training part of an epoch ended.
pub enum EpochEnd {
    /// Every image was seen.
    Complete,
    /// There is a wish to stop.
    Stopped,
    /// A step could not be taken.
    NonFinite(RefusedStep),
}

/// A step that could not be taken.
pub struct RefusedStep {
    /// Why.
    pub cause: NonFinite,
    /// The step within the epoch, from 1.
    pub step: usize,
    /// Its learning rate.
    pub lr: f64,
    /// Its images.
    pub files: Vec<PathBuf>,
}

/// A moment of a step at which something else may be done.
pub enum StepEvent<'a> {
    /// What is learned is about to change.
    BeforeChange,
    /// The step is done.
    Done(&'a TrainingState, &'a EpochProgress),
}

/// What is done beside the steps.
pub type StepHook<'a> = &'a mut dyn FnMut(StepEvent, Observer);

/// Batches that are prepared ahead.
pub fn batches_ahead(batch: usize) -> usize {
    IMAGES_AHEAD.div_ceil(batch)
}

impl<T: Task> Trainer<T> {
    /// Every parameter of the network, the backbone's first.
    pub fn parameter_infos(&self) -> Vec<ParameterInfo> {
        let mut infos = self.architecture.backbone_parameters();
        infos.extend(self.task.head_parameters());
        infos
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self, phase: &Phase) -> usize {
        self.task.training_images().div_ceil(phase.batch)
    }

    /// The stages before `boundary`, for so many images at a time, without a cache.
    pub fn frozen(&self, boundary: usize, parameters: &Parameters, images: usize) -> Frozen {
        Frozen::new::<T>(
            &self.architecture,
            boundary,
            parameters,
            self.info.preprocessing.crop,
            images,
            &self.device,
        )
    }

    /// What the features of a phase depend on that begins with these parameters.
    pub fn origin<'a>(&'a self, phase: &'a Phase, parameters: &'a Parameters) -> FeatureKey<'a, T> {
        FeatureKey {
            architecture: &self.architecture,
            parameters,
            phase,
            task: &*self.task,
            preprocessing: &self.info.preprocessing,
            seed: self.recipe.seed,
        }
    }

    /// Shares of each phase's features, of training and of validation images, that are kept already by a run with these
    /// parameters; none of a phase whose frozen part learns before.
    ///
    /// # Errors
    /// If a phase names a stage that isn't there.
    pub fn kept_features(&self, parameters: &Parameters) -> Result<Vec<[f64; 2]>, Error> {
        let mut unchanged = self.architecture.stages.len();
        let mut first_epoch = 1;
        let shares = self.recipe.phases.iter().map(|phase| {
            let boundary = boundary(&self.architecture, &phase.train)?;
            let is_unchanged = boundary <= unchanged;
            unchanged = unchanged.min(boundary);
            let places = phase.places(first_epoch);
            first_epoch += phase.epochs;
            Ok(match (phase.kept_views(), &self.machine.cache) {
                (Some(views), Some(folder)) if boundary > 0 && is_unchanged => {
                    let origin = self.origin(phase, parameters);
                    origin.kept(boundary, (views, &places), folder)
                }
                _ => [0.0; 2],
            })
        });
        shares.collect()
    }

    /// Makes a phase ready, and says so.
    ///
    /// # Errors
    /// If the phase names a stage that isn't there.
    pub fn begin_phase(
        &self,
        number: usize,
        parameters: &Parameters,
        observe: Observer,
    ) -> Result<CurrentPhase, Error> {
        let phase = &self.recipe.phases[number];
        release_free_memory();
        memory::reset_peak();
        let setup = PhaseSetup::new(phase, &self.architecture, &self.task.head_parameters())?;
        let mut frozen = self.frozen(setup.boundary, parameters, phase.micro_batch());
        let opened = match &self.machine.cache {
            Some(cache) => frozen.open_cache(&self.origin(phase, parameters), cache),
            None => Ok(None),
        };
        observe(Event::Phase {
            phase,
            number: number + 1,
            phases: self.recipe.phases.len(),
            trained: setup.trained,
            frozen: setup.frozen,
            steps: self.steps_per_epoch(phase),
        });
        if let Some(words) = opened.unwrap_or_else(Some) {
            observe(Event::Note(words));
        }
        Ok(CurrentPhase {
            number,
            setup,
            frozen,
        })
    }

    /// What the steps of a phase share.
    pub fn step<'a>(&'a self, current: &'a CurrentPhase) -> Step<'a, T> {
        Step {
            architecture: &self.architecture,
            task: &*self.task,
            phase: &self.recipe.phases[current.number],
            setup: &current.setup,
            seed: self.recipe.seed,
        }
    }

    /// What the trained part sees of a batch; tells of a failure to keep it.
    pub fn features(
        &self,
        frozen: &Frozen,
        batch: &[Prepared<T::Target>],
        source: &Source<T::Target>,
        observe: Observer,
    ) -> Vec<Tensor<4>> {
        let (features, failure) = frozen.features(batch, source, &self.architecture, &self.device);
        if let Some(failure) = failure {
            observe(Event::Note(failure));
        }
        features
    }

    /// Learns from every training image once, of which `sums` says what is done already.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn train_epoch(
        &self,
        (epoch, epoch_in_phase): (usize, usize),
        current: &CurrentPhase,
        learned: &mut TrainingState,
        sums: &mut EpochProgress,
        beside_steps: StepHook,
        observe: Observer,
    ) -> Result<EpochEnd, Error> {
        let frozen = &current.frozen;
        let phase = &self.recipe.phases[current.number];
        let order = self.task.order(self.recipe.seed, epoch, phase);
        let view = phase.view(epoch, epoch_in_phase);
        let source = frozen.training_source(&self.task, phase, view);
        let left = batches(&order[sums.seen..], phase.batch);
        let steps = self.steps_per_epoch(phase);
        // With another batch than the epoch began with, those left are its last.
        let done = steps - left.len().min(steps);
        let loader = Loader::new(
            left.clone(),
            self.machine.workers,
            batches_ahead(phase.batch),
            source.prepare(),
        );
        // A part of a batch is too little to judge by.
        let last_full = (order.len() / phase.batch).max(1);
        let one_step = self.step(current);
        let began = Instant::now();
        let before = sums.elapsed;
        for (step, (batch, samples)) in (done..).zip(loader.zip(&left)) {
            let batch = batch?;
            let started = Instant::now();
            let features = self.features(frozen, &batch, &source, observe);
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            let step_in_phase = epoch_in_phase * steps + step;
            let lr = learning_rate(phase, step_in_phase, phase.epochs * steps);
            let this_step = learned.steps + 1;
            let is_watched = step + 1 == last_full
                || matches!(self.recipe.health_every, Some(every) if this_step.is_multiple_of(every as u64));
            let mut watch = is_watched.then(Watch::default);
            let mut before_change = || beside_steps(StepEvent::BeforeChange, observe);
            let watched = watch.as_mut();
            match one_step.run(learned, features, &targets, lr, watched, &mut before_change) {
                Ok(loss) => {
                    sums.health
                        .extend(watch.map(|watch| watch.health(step + 1)));
                    learned.skipped_in_a_row = 0;
                    sums.lr = lr;
                    sums.seconds += started.elapsed().as_secs_f64();
                    sums.loss += loss * targets.len() as f64;
                    sums.images += targets.len();
                    observe(Event::Step(Progress {
                        epoch,
                        epochs: self.recipe.epochs(),
                        step: step + 1,
                        steps,
                        loss,
                        images_per_second: sums.images as f64 / sums.seconds,
                    }));
                }
                Err(cause) if self.may_skip(learned) => {
                    learned.skipped_in_a_row += 1;
                    learned.steps += 1;
                    sums.skipped += 1;
                    observe(Event::Note(format!(
                        "step {} of epoch {epoch} is skipped, {} in a row: {}, first in {}",
                        step + 1,
                        learned.skipped_in_a_row,
                        cause.what,
                        cause.layer
                    )));
                }
                Err(cause) => {
                    let files = samples
                        .iter()
                        .map(|&s| self.task.data().train[s].path.clone());
                    return Ok(EpochEnd::NonFinite(RefusedStep {
                        cause,
                        step: step + 1,
                        lr,
                        files: files.collect(),
                    }));
                }
            }
            sums.seen += targets.len();
            sums.elapsed = before + began.elapsed().as_secs_f64();
            if self.machine.stop.is_wished() {
                return Ok(EpochEnd::Stopped);
            }
            beside_steps(StepEvent::Done(learned, sums), observe);
        }
        let (what, layer) = match learned.first_non_finite() {
            Some(name) => ("the last step of the epoch was too large", name),
            None if sums.images == 0 => ("every step of the epoch was skipped", "said above"),
            None => return Ok(EpochEnd::Complete),
        };
        Ok(EpochEnd::NonFinite(RefusedStep {
            cause: NonFinite {
                what: what.into(),
                layer: layer.into(),
            },
            step: steps,
            lr: sums.lr,
            files: Vec::new(),
        }))
    }

    fn may_skip(&self, learned: &TrainingState) -> bool {
        self.recipe.on_nonfinite == OnNonFinite::Skip && learned.skipped_in_a_row < MOST_SKIPPED
    }

    /// Measures the network on a split, image by image; `None` if there is a wish to stop.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn tally(
        &self,
        parameters: &Parameters,
        frozen: &Frozen,
        split: Split,
        observe: Observer,
    ) -> Result<Option<T::Tally>, Error> {
        let units = self.task.head_units();
        let rest = frozen.rest(&self.architecture, units, parameters, &self.device);
        let samples = self.task.samples(Some(split));
        let source = frozen.evaluation_source(&self.task, split);
        let loader = Loader::new(
            batches(&samples, frozen.images()),
            self.machine.workers,
            batches_ahead(frozen.images()),
            source.prepare(),
        );
        let mut tally = T::Tally::default();
        let mut done = 0;
        for batch in loader {
            if self.machine.stop.is_wished() {
                return Ok(None);
            }
            let batch = batch?;
            let features = self.features(frozen, &batch, &source, observe);
            let features = self.architecture.forward_maps(
                frozen.boundary()..self.architecture.stages.len(),
                features,
                &mut Forward::Inference(&rest),
            );
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            self.task
                .tally(&mut tally, features, &rest, parameters, &targets);
            done += targets.len();
            observe(Event::Evaluated {
                images: done,
                of: samples.len(),
            });
        }
        Ok(Some(tally))
    }
}
