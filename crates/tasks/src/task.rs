//! A task: its samples, its head, its loss and its metric. The trainer knows nothing else of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use warmstart_data::{DataError, Dataset, Preprocessing, Sample};
use warmstart_metrics::Interval;
use warmstart_models::{Architecture, Pretrained};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::Layer;
use warmstart_nn::{Folded, Forward, ParameterInfo, Parameters, StepKey};
use warmstart_recipe::{Error, Phase, Recipe, TaskKind, View};

use crate::task_data::{ClassOf, TaskData};

/// A data set that was opened.
pub struct Opened<L> {
    /// The data set.
    pub data: Dataset<L>,
    /// Images that are already known to be unreadable, each with a message.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Notes for the user on the labels.
    pub notes: Vec<String>,
}

/// The result of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Loss without label smoothing, averaged over the images.
    pub loss: f64,
    /// That loss of each image; empty where a task measures it over all.
    pub losses: Vec<f64>,
    /// The metric that picks the epoch, a fraction of one; higher is better.
    pub metric: f64,
    /// 95% confidence interval of the metric, where it is a share of the images.
    pub interval: Option<Interval>,
    /// Further metrics, by name.
    pub others: BTreeMap<String, f64>,
}

/// An image, decoded and augmented, with its target.
pub struct Example<T> {
    /// Normalised pixels `[height, width, 3]`.
    pub pixels: Vec<f32>,
    /// The target of its loss.
    pub target: T,
}

/// Loss of a micro-batch.
pub struct Loss {
    /// Loss of a micro-batch, averaged over its images.
    pub value: f64,
    /// Scalar `[1]` whose gradients are those of the loss; its value may differ from the loss.
    pub root: Tensor<1>,
}

/// The part of a network that a task adds to the backbone.
pub struct HeadParts<'a> {
    /// Its parameters.
    pub parameters: Vec<ParameterInfo>,
    /// Its layers that run through [`Forward`].
    pub layers: Vec<&'a Layer>,
    /// Names of the layers that depend on the classes.
    pub class_layers: Vec<String>,
}

/// A task: something to learn about images from a backbone's features.
///
/// Features are maps `[batch, height, width, channels]`, one for each output of the backbone.
pub trait Task: Send + Sync + Sized + 'static {
    /// The annotation of an image.
    type Label: Clone + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The target of the loss of an image.
    type Target: Send + 'static;
    /// What a network says of the images of a batch. It ends with the batch.
    type Outputs;
    /// What an evaluation has found of its images, in their order: little for each, whatever the number of classes.
    type Tally: Default + Serialize + DeserializeOwned;

    /// The recipe's name for the task.
    const KIND: TaskKind;
    /// The class of an image; `None` where an image has several.
    const CLASS_OF: ClassOf<Self::Label>;

    /// Opens the data set of a recipe.
    ///
    /// # Errors
    /// If it isn't one.
    fn open(recipe: &Recipe) -> Result<Opened<Self::Label>, Error>;

    /// The images of a data set as a recipe uses them. In a cross-validation, training and validation images are the
    /// same.
    ///
    /// # Errors
    /// If a class of a cross-validation has one image or, where an image has several classes, fewer images than folds
    /// have any.
    fn images(data: Dataset<Self::Label>, recipe: &Recipe) -> Result<TaskData<Self::Label>, Error> {
        TaskData::new(data, recipe, Self::CLASS_OF, Self::classes_of)
    }

    /// Refuses images that can be read, but not learned from.
    ///
    /// # Errors
    /// If something is missing; the error names it and the fix.
    fn require_learnable(data: &Dataset<Self::Label>) -> Result<(), Error>;

    /// Indices of the classes in an image, in the order of its label.
    fn classes_of(label: &Self::Label) -> Vec<usize>;

    /// The backbone as the task uses it.
    ///
    /// # Errors
    /// If the task cannot use it.
    fn backbone(architecture: Architecture) -> Result<Architecture, Error>;

    /// The preprocessing of images for pretrained weights.
    fn preprocessing(pretrained: &Pretrained, recipe: &Recipe) -> Preprocessing;

    /// The task of learning from images.
    fn new(
        recipe: &Recipe,
        backbone: &Architecture,
        data: &Arc<TaskData<Self::Label>>,
        preprocessing: Preprocessing,
    ) -> Self;

    /// The part of the network that the task adds.
    fn head(&self) -> HeadParts<'_>;

    /// A training image under a view: the same for the same arguments.
    ///
    /// # Errors
    /// If it cannot be read.
    fn training_example(
        &self,
        image: usize,
        view: View,
        phase: &Phase,
    ) -> Result<Example<Self::Target>, DataError>;

    /// The target of a [`training_example`](Self::training_example), without the image.
    fn training_target(&self, image: usize, view: View, phase: &Phase) -> Self::Target;

    /// An image to evaluate on.
    ///
    /// # Errors
    /// If it cannot be read.
    fn evaluation_example(
        &self,
        sample: &Sample<Self::Label>,
    ) -> Result<Example<Self::Target>, DataError>;

    /// The target of an [`evaluation_example`](Self::evaluation_example), without the image.
    fn evaluation_target(&self, label: &Self::Label) -> Self::Target;

    /// The backbone's features reduced to what the head needs, with the same bits as a result, so that less is cached
    /// where the whole backbone is frozen.
    fn pool_features(features: Vec<Tensor<4>>) -> Vec<Tensor<4>>;

    /// The loss of a micro-batch. `forward` runs the head's layers, on the same `parameters`.
    fn loss(
        &self,
        features: Vec<Tensor<4>>,
        forward: &mut Forward,
        parameters: &Parameters,
        targets: &[Self::Target],
        phase: &Phase,
        key: StepKey,
    ) -> Loss;

    /// What a network says of a batch, in inference. `folded` holds the head's layers.
    fn outputs(
        &self,
        features: Vec<Tensor<4>>,
        folded: &Folded,
        parameters: &Parameters,
    ) -> Self::Outputs;

    /// The mean of two networks' outputs for the same batch; `None` where a task's outputs have no mean.
    fn mean_of(&self, outputs: [&Self::Outputs; 2]) -> Option<Self::Outputs>;

    /// Adds the outputs for a batch to an evaluation.
    fn add(&self, tally: &mut Self::Tally, outputs: Self::Outputs, targets: &[Self::Target]);

    /// Adds a batch to an evaluation. `folded` holds the head's layers.
    fn evaluate(
        &self,
        tally: &mut Self::Tally,
        features: Vec<Tensor<4>>,
        folded: &Folded,
        parameters: &Parameters,
        targets: &[Self::Target],
    ) {
        let outputs = self.outputs(features, folded, parameters);
        self.add(tally, outputs, targets);
    }

    /// Adds an evaluation of the images that follow, from the next batch on. The result is the same in every bit as that
    /// of an evaluation of all of them.
    fn append(tally: &mut Self::Tally, more: Self::Tally);

    /// The metrics of an evaluation.
    fn evaluation(&self, tally: &Self::Tally) -> Evaluation;

    /// p-value of the gain in the metric from `before` to `after`, which are of the same images in the same order: the
    /// chance of a gain at least as large if `after` were no better.
    fn gain_p_value(&self, before: &Self::Tally, after: &Self::Tally) -> f64;
}
