//! The trainer: phases, epochs (batches → features → steps) and evaluations. It does not know which task it trains.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use warmstart_data::{Fit, Loader, batches};
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::{Forward, ParameterInfo, Parameters, release_free_memory};
use warmstart_recipe::{Error, OnNonFinite, Phase, Recipe, architecture};
use warmstart_run::epoch_progress::EpochProgress;
use warmstart_run::event::{Event, Observer, Progress};
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::{Split, TaskData};

use crate::frozen::{FeatureKey, Frozen, Prepared, Source};
use crate::memory;
use crate::phase_setup::{PhaseSetup, boundary};
use crate::resources::Resources;
use crate::schedule::learning_rate;
use crate::step::{NonFinite, Step};
use crate::training_state::TrainingState;
use crate::watch::Watch;

/// Images that are prepared ahead of the batch that trains, rounded up to whole batches.
const IMAGES_AHEAD: usize = 8;
/// Most consecutive steps that `on_nonfinite = "skip"` skips: if more fail, the cause is the parameters, not a batch.
const MOST_SKIPPED: u64 = 10;

/// Everything a run needs except its folder and training state.
pub struct Trainer<T: Task> {
    /// The phases, and every other option.
    pub recipe: Recipe,
    /// Index of the first stage that each phase trains; the number of stages if it trains the head alone.
    pub boundaries: Vec<usize>,
    /// The network without its head.
    pub architecture: Architecture,
    /// The images.
    pub data: Arc<TaskData<T::Label>>,
    /// The task: head, loss and metric.
    pub task: Arc<T>,
    /// The metadata of its model files.
    pub info: ModelInfo,
    /// The part of the machine that it may use.
    pub resources: Resources,
    /// The device that it computes on.
    pub device: Device,
}

/// A phase in progress.
pub struct CurrentPhase {
    /// Its index.
    pub number: usize,
    /// Its trained part.
    pub setup: PhaseSetup,
    /// Its frozen part.
    pub frozen: Frozen,
}

/// How the training part of an epoch ended.
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
    /// Why.
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
        Some(name) => ("the last step of the epoch was too large", name),
        None if progress.images == 0 => (
            "every step of the epoch was skipped",
            "the layers named above",
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

/// Batches that are prepared ahead.
pub fn batches_ahead(batch: usize) -> usize {
    IMAGES_AHEAD.div_ceil(batch)
}

impl<T: Task> Trainer<T> {
    /// A trainer for the images of a recipe.
    ///
    /// # Errors
    /// If there is no such model, or no such stage in it.
    pub fn new(
        recipe: Recipe,
        data: TaskData<T::Label>,
        resources: Resources,
    ) -> Result<Self, Error> {
        let architecture = T::backbone(architecture(&recipe.model)?);
        let boundaries = recipe.phases.iter();
        let boundaries = boundaries.map(|phase| boundary(&architecture, &phase.train));
        let boundaries = boundaries.collect::<Result<_, _>>()?;
        let data = Arc::new(data);
        let preprocessing = T::preprocessing(architecture.pretrained(), &recipe);
        Ok(Self {
            info: ModelInfo::new(T::KIND, &architecture, &data.classes, preprocessing.clone()),
            task: Arc::new(T::new(&recipe, &architecture, &data, preprocessing)),
            recipe,
            boundaries,
            architecture,
            data,
            resources,
            device: warmstart_nn::device(),
        })
    }

    /// Changes `fit`, and the preprocessing with it.
    pub fn set_fit(&mut self, fit: Fit) {
        self.recipe.fit = fit;
        let preprocessing = T::preprocessing(self.architecture.pretrained(), &self.recipe);
        self.info.preprocessing = preprocessing.clone();
        let task = T::new(&self.recipe, &self.architecture, &self.data, preprocessing);
        self.task = Arc::new(task);
    }

    /// Every parameter of the network, the backbone's first.
    pub fn parameter_infos(&self) -> Vec<ParameterInfo> {
        let mut infos = self.architecture.backbone_parameters();
        infos.extend(self.task.head().parameters);
        infos
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self, phase: &Phase) -> usize {
        self.data.training_images().div_ceil(phase.batch)
    }

    /// The stages before `boundary`, for `images` images at a time, without a cache.
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

    /// The key of the features of a phase that begins with these parameters.
    pub fn feature_key<'a>(
        &'a self,
        phase: &'a Phase,
        parameters: &'a Parameters,
    ) -> FeatureKey<'a, T::Label> {
        FeatureKey {
            kind: T::KIND,
            architecture: &self.architecture,
            parameters,
            phase,
            data: &self.data,
            preprocessing: &self.info.preprocessing,
            seed: self.recipe.seed,
            device: &self.device,
        }
    }

    /// Shares of each phase's features, of the training and of the validation images, that are cached already for a run
    /// that begins with these parameters; 0 for a phase whose frozen part is trained before.
    pub fn kept_features(&self, parameters: &Parameters) -> Vec<[f64; 2]> {
        let mut unchanged = self.architecture.stages.len();
        let mut first_epoch = 1;
        let phases = self.recipe.phases.iter().zip(&self.boundaries);
        let shares = phases.map(|(phase, &boundary)| {
            let is_unchanged = boundary <= unchanged;
            unchanged = unchanged.min(boundary);
            let places = phase.places(first_epoch);
            first_epoch += phase.epochs;
            match (phase.kept_views(), &self.resources.cache) {
                (Some(views), Some(folder)) if boundary > 0 && is_unchanged => {
                    let key = self.feature_key(phase, parameters);
                    key.kept(boundary, (views, &places), folder)
                }
                _ => [0.0; 2],
            }
        });
        shares.collect()
    }

    /// Prepares a phase, and reports it.
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
        let setup = PhaseSetup::new(phase, &self.architecture, &self.task.head().parameters)?;
        let mut frozen = self.frozen(setup.boundary, parameters, phase.micro_batch());
        let opened = match &self.resources.cache {
            Some(cache) => frozen.open_cache(&self.feature_key(phase, parameters), cache),
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

    /// Everything that the steps of a phase share.
    pub fn step<'a>(&'a self, current: &'a CurrentPhase) -> Step<'a, T> {
        Step {
            architecture: &self.architecture,
            task: &*self.task,
            phase: &self.recipe.phases[current.number],
            setup: &current.setup,
            seed: self.recipe.seed,
        }
    }

    /// Input of the trained part for a batch; a failure to cache it is reported.
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
        let source = frozen.training_source(&self.task, &self.data, phase, view);
        let left = batches(&order[progress.seen..], phase.batch);
        let steps = self.steps_per_epoch(phase);
        // If the batch was changed within the epoch, the images that are left are its last.
        let done = steps - left.len().min(steps);
        let loader = Loader::new(
            left.clone(),
            self.resources.workers,
            batches_ahead(phase.batch),
            source.prepare(),
        );
        // An incomplete batch is too small to judge by.
        let last_full = (order.len() / phase.batch).max(1);
        let one_step = self.step(current);
        let began = Instant::now();
        let before = progress.elapsed;
        for (step, (batch, samples)) in (done..).zip(loader.zip(&left)) {
            let batch = batch?;
            let started = Instant::now();
            let features = self.features(frozen, &batch, &source, observe);
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            let step_in_phase = epoch_in_phase * steps + step;
            let lr = learning_rate(phase, step_in_phase, phase.epochs * steps);
            let this_step = state.steps + 1;
            let is_watched = step + 1 == last_full
                || matches!(self.recipe.health_every, Some(every) if this_step.is_multiple_of(every as u64));
            let mut watch = is_watched.then(Watch::default);
            let mut before_change = || hook(StepEvent::BeforeChange, observe);
            let watched = watch.as_mut();
            match one_step.run(state, features, &targets, lr, watched, &mut before_change) {
                Ok(loss) => {
                    progress
                        .health
                        .extend(watch.map(|watch| watch.health(step + 1)));
                    state.skipped_in_a_row = 0;
                    progress.add_step(loss, targets.len(), lr, started.elapsed());
                    observe(Event::Step(Progress {
                        epoch,
                        epochs: self.recipe.epochs(),
                        step: step + 1,
                        steps,
                        loss,
                        images_per_second: progress.images_per_second(),
                    }));
                }
                Err(cause) if self.may_skip(state) => {
                    state.skipped_in_a_row += 1;
                    state.steps += 1;
                    progress.skipped += 1;
                    observe(Event::Note(format!(
                        "step {} of epoch {epoch} is skipped, {} in a row: {}, first in {}",
                        step + 1,
                        state.skipped_in_a_row,
                        cause.what,
                        cause.layer
                    )));
                }
                Err(cause) => {
                    let files = samples.iter().map(|&s| self.data.train[s].path.clone());
                    return Ok(EpochEnd::NonFinite(RefusedStep {
                        cause,
                        step: step + 1,
                        lr,
                        files: files.collect(),
                    }));
                }
            }
            progress.seen += targets.len();
            progress.elapsed = before + began.elapsed().as_secs_f64();
            if self.resources.stop.is_requested() {
                return Ok(EpochEnd::Stopped);
            }
            hook(StepEvent::Done(state, progress), observe);
        }
        Ok(end_of_epoch(state, progress, steps))
    }

    fn may_skip(&self, state: &TrainingState) -> bool {
        self.recipe.on_nonfinite == OnNonFinite::Skip && state.skipped_in_a_row < MOST_SKIPPED
    }

    /// Evaluates the network on a split, image by image; `None` if a stop is requested.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn evaluate(
        &self,
        parameters: &Parameters,
        frozen: &Frozen,
        split: Split,
        observe: Observer,
    ) -> Result<Option<T::Tally>, Error> {
        let layers = self.task.head().layers;
        let rest = frozen.rest(&self.architecture, layers, parameters, &self.device);
        let samples = self.data.evaluated(split);
        let source = frozen.evaluation_source(&self.task, &self.data, split);
        let loader = Loader::new(
            batches(&samples, frozen.images()),
            self.resources.workers,
            batches_ahead(frozen.images()),
            source.prepare(),
        );
        let mut tally = T::Tally::default();
        let mut done = 0;
        for batch in loader {
            if self.resources.stop.is_requested() {
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
                .evaluate(&mut tally, features, &rest, parameters, &targets);
            done += targets.len();
            observe(Event::Evaluated {
                images: done,
                of: samples.len(),
            });
        }
        Ok(Some(tally))
    }
}
