//! The trainer: everything that a run needs, its phases and its evaluations. It does not know which task it trains.

use std::sync::Arc;

use warmstart_data::Fit;
use warmstart_models::{Architecture, StageError, Tapped};
use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::{ParameterInfo, Parameters, release_free_memory};
use warmstart_recipe::{Error, Key, Phase, Problem, Recipe, architecture};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::TaskData;

use crate::device;
use crate::frozen::{FeatureKey, Frozen, Prepared, Source};
use crate::head_layers::layers_of;
use crate::memory;
use crate::phase_setup::{PhaseSetup, boundary};
use crate::resources::Resources;
use crate::step::Step;
use crate::virtual_shards::VirtualShards;

/// Images that are prepared ahead of the batch that trains, rounded up to whole batches.
const IMAGES_AHEAD: usize = 8;

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
    /// The parts of every batch, and those that this process computes.
    pub shards: VirtualShards,
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

/// Batches that are prepared ahead.
pub fn batches_ahead(batch: usize) -> usize {
    IMAGES_AHEAD.div_ceil(batch)
}

impl<T: Task> Trainer<T> {
    /// A trainer for the images of a recipe.
    ///
    /// # Errors
    /// If there is no such model, no such stage or layer in it, or no such device, or the recipe cannot be trained by so
    /// many processes.
    pub fn new(
        recipe: Recipe,
        data: TaskData<T::Label>,
        resources: Resources,
    ) -> Result<Self, Error> {
        let architecture = T::backbone(architecture(&recipe.model)?)?;
        let boundaries = recipe
            .phases
            .iter()
            .map(|phase| boundary(&architecture, &phase.train))
            .collect::<Result<_, _>>()?;
        let shards = VirtualShards::of(&recipe, &resources.ranks)?;
        let device = device::open(&recipe)?;
        let data = Arc::new(data);
        let preprocessing = T::preprocessing(architecture.pretrained(), &recipe);
        let trainer = Self {
            info: ModelInfo::new(T::KIND, &architecture, &data.classes, preprocessing.clone()),
            task: Arc::new(T::new(&recipe, &architecture, &data, preprocessing)),
            recipe,
            boundaries,
            architecture,
            data,
            resources,
            shards,
            device,
        };
        let phases = trainer.recipe.phases.iter();
        for phase in phases.filter(|phase| phase.is_solved()) {
            trainer.values_of_layers(&layers_of(&trainer.architecture, &phase.head_layers))?;
        }
        Ok(trainer)
    }

    /// Changes `fit`, and the preprocessing with it.
    pub fn set_fit(&mut self, fit: Fit) {
        self.recipe.fit = fit;
        let preprocessing = T::preprocessing(self.architecture.pretrained(), &self.recipe);
        self.info.preprocessing = preprocessing.clone();
        let task = T::new(&self.recipe, &self.architecture, &self.data, preprocessing);
        self.task = Arc::new(task);
    }

    /// Takes a recipe with which another rank has gone on from the same one.
    pub fn take_recipe(&mut self, recipe: Recipe) {
        let fit = recipe.fit;
        self.recipe = recipe;
        self.set_fit(fit);
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
            (&self.device, device::format(self.recipe.precision)),
        )
    }

    /// The whole backbone, frozen, with the means of some layers as features, for `images` images at a time, without a
    /// cache.
    ///
    /// # Errors
    /// If the architecture does not have a layer.
    pub fn frozen_layers(
        &self,
        layers: &[String],
        parameters: &Parameters,
        images: usize,
    ) -> Result<Frozen, Error> {
        let size = self.info.preprocessing.crop;
        Frozen::of_layers(
            &self.architecture,
            layers,
            parameters,
            size,
            images,
            (&self.device, device::format(self.recipe.precision)),
        )
        .map_err(no_layer)
    }

    /// Number of values that are read of each of some layers ([`Tapped::channels`]).
    ///
    /// # Errors
    /// If the architecture does not have a layer.
    pub fn values_of_layers(&self, layers: &[String]) -> Result<Vec<usize>, Error> {
        let names: Vec<&str> = layers.iter().map(String::as_str).collect();
        let tapped = Tapped::new(&self.architecture, &names).map_err(no_layer)?;
        Ok(tapped.channels())
    }

    /// The frozen part of a phase.
    fn frozen_part(
        &self,
        phase: &Phase,
        boundary: usize,
        parameters: &Parameters,
    ) -> Result<Frozen, Error> {
        let images = phase.micro_batch();
        if phase.is_solved() {
            let layers = layers_of(&self.architecture, &phase.head_layers);
            self.frozen_layers(&layers, parameters, images)
        } else {
            Ok(self.frozen(boundary, parameters, images))
        }
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
            precision: self.recipe.precision,
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
            let kept = |folder| {
                let frozen = self.frozen_part(phase, boundary, parameters).ok()?;
                frozen.shares_kept(&self.feature_key(phase, parameters), &places, folder)
            };
            match &self.resources.cache {
                Some(folder) if boundary > 0 && is_unchanged => kept(folder).unwrap_or_default(),
                Some(_) | None => [0.0; 2],
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
        let mut frozen = self.frozen_part(phase, setup.boundary, parameters)?;
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
            ranks: &self.resources.ranks,
            shards: self.shards,
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
}

/// The error for a layer that an architecture does not have.
fn no_layer(error: StageError) -> Error {
    Problem::new(error.to_string())
        .of_key(Key::HEAD_LAYERS)
        .into()
}
