//! What a task brings to the training loop: its samples, its head, its loss and its metric. The loop
//! knows nothing else of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use warmstart_data::{DataError, Dataset, Fit, Preprocessing, Sample, epoch_order};
use warmstart_metrics::Interval;
use warmstart_models::Architecture;
use warmstart_nn::block::{Forward, ParameterInfo, Unit};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::{Folded, Parameters};

use warmstart_recipe::Error;
use warmstart_run::event::Observer;
use warmstart_recipe::folds::Fold;
use warmstart_train::trainer::Trainer;
use warmstart_recipe as recipe;
use warmstart_recipe::Phase;
use warmstart_recipe::Recipe;
use warmstart_recipe::TrainingImages;
use warmstart_recipe::View;

/// Which step a dropout mask is for.
#[derive(Clone, Copy, Debug)]
pub struct StepKey {
    /// Seed of the run.
    pub seed: u64,
    /// Step of the run, from 0 over all phases.
    pub step: u64,
    /// Images of the step's batch that come before those at hand.
    pub images_before: usize,
}

/// Images that the model is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// After every epoch; picks the best one.
    Validation,
    /// Once, at the end.
    Test,
}

/// A data set just opened.
pub struct Opened<L> {
    /// The data set.
    pub data: Dataset<L>,
    /// Images that are known to be unreadable already, each with a message.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// The result of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Mean loss per image, without label smoothing.
    pub loss: f64,
    /// The figure that picks the epoch, a fraction of one; higher is better.
    pub metric: f64,
    /// What the metric may be with 95% confidence, where it is a share of the images.
    pub interval: Option<Interval>,
    /// Further figures, by name.
    pub others: BTreeMap<String, f64>,
}

/// An image, decoded and augmented, with its target.
pub struct Example<T> {
    /// Normalised, `[height, width, 3]`.
    pub pixels: Vec<f32>,
    /// What is to be learned from it.
    pub target: T,
}

/// The loss of a micro-batch.
pub struct Loss {
    /// Mean over its images.
    pub value: f64,
    /// `[1]`, whose gradients are those of the loss; its own value may be another one.
    pub root: Tensor<1>,
}

/// Learning something about images on top of a backbone's features.
///
/// Features are maps `[batch, height, width, channels]`, one for each output of the backbone.
pub trait Task: Send + Sync + Sized + 'static {
    /// What is known of an image.
    type Label: Clone + Serialize + DeserializeOwned + Send + Sync;
    /// What is to be learned from an image.
    type Target: Send + 'static;
    /// What is collected over the images of an evaluation.
    type Tally: Default;

    /// Which of a recipe's tasks it is.
    const KIND: recipe::Task;
    /// Things that have a class: `images` or `objects`.
    const COUNTED: &'static str;

    /// Opens the data set of a recipe, and says what there is to say of it besides the numbers of its
    /// images.
    ///
    /// # Errors
    /// If it isn't one.
    fn open(recipe: &Recipe, observe: Observer) -> Result<Opened<Self::Label>, Error>;

    /// Refuses images that can be read, but not learned from.
    ///
    /// # Errors
    /// If something is missing: that, and the fix.
    fn require_learnable(data: &Dataset<Self::Label>) -> Result<(), Error>;

    /// Images of each class, by name, where an image has one class; none where it has several.
    fn class_counts<'a>(
        classes: &'a [String],
        samples: &[Sample<Self::Label>],
    ) -> Vec<(&'a str, usize)>;

    /// Counts how often each class is in some images, in the order of the classes: as [`COUNTED`](Self::COUNTED)
    /// says.
    fn label_counts(classes: &[String], samples: &[Sample<Self::Label>]) -> Vec<usize>;

    /// The backbone as the task uses it.
    fn backbone(architecture: Architecture) -> Architecture;

    /// Name of the layer that belongs to the classes, and to no others.
    fn class_head(backbone: &Architecture) -> &'static str;

    /// The task of learning from a data set.
    fn new(
        recipe: &Recipe,
        backbone: &Architecture,
        data: Dataset<Self::Label>,
        preprocessing: Preprocessing,
    ) -> Self;

    /// The data set.
    fn data(&self) -> &Dataset<Self::Label>;

    /// Puts other images in the place of those that validate.
    fn validate_on(&mut self, samples: Vec<Sample<Self::Label>>);

    /// Parameters that the task adds to the backbone.
    fn head_parameters(&self) -> Vec<ParameterInfo>;

    /// The units among what the task adds.
    fn head_units(&self) -> Vec<&Unit>;

    /// Which of the images are the run's, where it is a part of a cross-validation.
    fn fold(&self) -> Option<&Fold>;

    /// Indices of the images to evaluate on, or to train on if no split is given.
    fn samples(&self, split: Option<Split>) -> Vec<usize> {
        match (split, self.fold()) {
            (None, Some(fold)) => fold.training.clone(),
            (Some(Split::Validation), Some(fold)) => fold.validation.clone(),
            (None, None) => (0..self.data().train.len()).collect(),
            (Some(split), _) => (0..self.split(split).len()).collect(),
        }
    }

    /// Number of images to train on.
    fn training_images(&self) -> usize {
        self.fold()
            .map_or(self.data().train.len(), |fold| fold.training.len())
    }

    /// What a recipe's defaults want to know of the data.
    fn scale(&self) -> TrainingImages {
        let data = self.data();
        // The parts of a cross-validation have both from the same images, so their classes are as unequal.
        let [training, validation] = [&data.train, &data.validation].map(|split| {
            let counts = Self::class_counts(&data.classes, split);
            counts
                .into_iter()
                .map(|(_, count)| count)
                .collect::<Vec<_>>()
        });
        TrainingImages::new(self.training_images(), &training, &validation)
    }

    /// The images of an epoch, counted from 1, in order.
    fn order(&self, seed: u64, epoch: usize, phase: &Phase) -> Vec<usize> {
        let images = self.samples(None);
        let order = self.draw(seed, epoch as u64, phase, &images);
        order.into_iter().map(|place| images[place]).collect()
    }

    /// Places in `images`, in the order of an epoch.
    fn draw(&self, seed: u64, epoch: u64, _phase: &Phase, images: &[usize]) -> Vec<usize> {
        epoch_order(seed, epoch, images.len())
    }

    /// How pictures best fill the network's square, with a sentence on it, where the recipe leaves that to the
    /// data; `None` where the task has one way.
    ///
    /// # Errors
    /// If an image cannot be read.
    fn choose_fit(
        _job: &Trainer<Self>,
        _parameters: &Parameters,
        _observe: Observer,
    ) -> Result<Option<(Fit, String)>, Error> {
        Ok(None)
    }

    /// The images of a split to evaluate on; none where there is no such split.
    fn split(&self, split: Split) -> &[Sample<Self::Label>] {
        match split {
            Split::Validation => &self.data().validation,
            Split::Test => self.data().test.as_deref().unwrap_or_default(),
        }
    }

    /// An image of the training split under a view: the same for the same arguments.
    ///
    /// # Errors
    /// If it cannot be read.
    fn training_example(
        &self,
        sample: usize,
        view: View,
        phase: &Phase,
    ) -> Result<Example<Self::Target>, DataError>;

    /// The target of a [`training_example`](Self::training_example), without the image.
    fn training_target(&self, sample: usize, view: View, phase: &Phase) -> Self::Target;

    /// An image of a split to evaluate on.
    ///
    /// # Errors
    /// If it cannot be read.
    fn evaluation_example(
        &self,
        split: Split,
        sample: usize,
    ) -> Result<Example<Self::Target>, DataError>;

    /// The target of an [`evaluation_example`](Self::evaluation_example), without the image.
    fn evaluation_target(&self, split: Split, sample: usize) -> Self::Target;

    /// What the head needs of the backbone's features, as features that give the same bits: less to
    /// keep where the whole backbone is frozen.
    fn condense(features: Vec<Tensor<4>>) -> Vec<Tensor<4>>;

    /// The loss of images. `forward` is for the head's units, and holds the same `parameters`.
    fn loss(
        &self,
        features: Vec<Tensor<4>>,
        forward: &mut Forward,
        parameters: &Parameters,
        targets: &[Self::Target],
        phase: &Phase,
        key: StepKey,
    ) -> Loss;

    /// Adds a batch to an evaluation. `folded` holds the head's units.
    fn tally(
        &self,
        tally: &mut Self::Tally,
        features: Vec<Tensor<4>>,
        folded: &Folded,
        parameters: &Parameters,
        targets: &[Self::Target],
    );

    /// The evaluation of all that was added.
    fn evaluation(&self, tally: &Self::Tally) -> Evaluation;

    /// Chance of a gain in the metric at least as large as that from `before` to `after`, which are of the
    /// same images in the same order, if neither were better.
    fn chance_of_gain(&self, before: &Self::Tally, after: &Self::Tally) -> f64;
}

/// The files of samples.
pub fn files<L>(samples: &[Sample<L>]) -> Vec<&Path> {
    samples.iter().map(|sample| sample.path.as_path()).collect()
}
