//! What a run works with, and how its phases and epochs go: batches → features → steps, and an
//! evaluation. It does not know which task it trains.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use warmstart_data::{FeatureCacheFolder, Loader, batches, epoch_order};
use warmstart_models::Architecture;
use warmstart_nn::block::{Forward, ParameterInfo};
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::{Parameters, release_free_memory};

use crate::Error;
use crate::event::{Event, Observer, Progress};
use crate::frozen::{Frozen, Origin};
use crate::memory;
use crate::model_file::ModelInfo;
use crate::phase_setup::PhaseSetup;
use crate::recipe::{Phase, Recipe};
use crate::schedule::learning_rate;
use crate::step::{Learned, Step};
use crate::task::{Evaluation, Split, Task};

/// Images that are prepared ahead of the batch that trains, rounded up to whole batches.
const IMAGES_AHEAD: usize = 8;

/// What a run works with besides its folder and what it has learned.
pub struct Job<T> {
    /// The phases, and everything else that was asked for.
    pub recipe: Recipe,
    /// The network without its head.
    pub architecture: Architecture,
    /// What it learns.
    pub task: Arc<T>,
    /// The metadata of its model files.
    pub info: ModelInfo,
    /// What it may use.
    pub machine: Machine,
    /// Where it computes.
    pub device: Device,
}

/// What a run may use of the machine it is on; its result does not depend on it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Threads that prepare images.
    pub workers: usize,
    /// Where what frozen parts make of images is kept.
    pub cache: Option<FeatureCacheFolder>,
    /// The program, which measures steps and starts again in processes of its own.
    pub program: PathBuf,
    /// Flags of its `resume` that mean this machine.
    pub flags: Vec<OsString>,
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

/// Sums over the steps of an epoch.
#[derive(Default)]
pub struct EpochSums {
    /// Loss, over the images.
    pub loss: f64,
    /// Images trained on.
    pub images: usize,
    /// Time of the frozen part and the steps.
    pub seconds: f64,
    /// Time of the frozen part.
    pub frozen_seconds: f64,
    /// Learning rate of the last step.
    pub lr: f64,
}

/// Batches that are prepared ahead.
pub fn batches_ahead(batch: usize) -> usize {
    IMAGES_AHEAD.div_ceil(batch)
}

impl<T: Task> Job<T> {
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
        let origin = Origin {
            architecture: &self.architecture,
            parameters,
            phase,
            task: &*self.task,
            preprocessing: &self.info.preprocessing,
            seed: self.recipe.seed,
        };
        let opened = match &self.machine.cache {
            Some(cache) => frozen.open_cache(&origin, cache),
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

    /// Learns from every training image once. `Err` in the result says what stopped being a number.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn train_epoch(
        &self,
        epoch: usize,
        epoch_in_phase: usize,
        current: &CurrentPhase,
        learned: &mut Learned,
        observe: Observer,
    ) -> Result<Result<EpochSums, String>, Error> {
        let CurrentPhase { setup, frozen, .. } = current;
        let phase = &self.recipe.phases[current.number];
        let order = epoch_order(self.recipe.seed, epoch as u64, self.task.training_images());
        let view = phase.view(epoch, epoch_in_phase);
        let source = frozen.training_source(&self.task, phase, view);
        let loader = Loader::new(
            batches(&order, phase.batch),
            self.machine.workers,
            batches_ahead(phase.batch),
            source.prepare(),
        );
        let steps = self.steps_per_epoch(phase);
        let one_step = Step {
            architecture: &self.architecture,
            task: &*self.task,
            phase,
            setup,
            seed: self.recipe.seed,
        };
        let mut sums = EpochSums::default();
        for (step, batch) in loader.enumerate() {
            let batch = batch?;
            let started = Instant::now();
            let (features, failure) =
                frozen.features(&batch, &source, &self.architecture, &self.device);
            sums.frozen_seconds += started.elapsed().as_secs_f64();
            if let Some(failure) = failure {
                observe(Event::Note(failure));
            }
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            let step_in_phase = epoch_in_phase * steps + step;
            sums.lr = learning_rate(phase, step_in_phase, phase.epochs * steps);
            let loss = one_step.run(learned, features, &targets, sums.lr);
            if !loss.is_finite() {
                return Ok(Err(format!("the loss of step {} is {loss}", step + 1)));
            }
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
        Ok(match not_finite(&learned.parameters) {
            None => Ok(sums),
            Some(name) => Err(format!("{name} is not finite")),
        })
    }

    /// Measures the network on a split.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn evaluate(
        &self,
        parameters: &Parameters,
        frozen: &Frozen,
        split: Split,
        observe: Observer,
    ) -> Result<Evaluation, Error> {
        let units = self.task.head_units();
        let rest = frozen.rest(&self.architecture, units, parameters, &self.device);
        let samples: Vec<usize> = (0..self.task.split(split).len()).collect();
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
            let batch = batch?;
            let (features, failure) =
                frozen.features(&batch, &source, &self.architecture, &self.device);
            if let Some(failure) = failure {
                observe(Event::Note(failure));
            }
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
        Ok(self.task.evaluation(&tally))
    }
}

/// A gradient that is no number shows in the parameters, and one step later in the loss. This finds
/// it after the last step, before anything is saved.
fn not_finite(parameters: &Parameters) -> Option<&str> {
    let finite = |name: &str| {
        parameters
            .values(name)
            .iter()
            .all(|value| value.is_finite())
    };
    parameters.names().find(|name| !finite(name))
}
