//! What a task brings to the training loop: its samples, its head, its loss and its metric.
//!
//! The loop knows nothing else of it. Classification is the one task so far; detection is the
//! second, which is why this is a trait.

use std::path::Path;

use warmstart_data::{Augmentation, DataError};
use warmstart_nn::Parameters;
use warmstart_nn::block::ParameterInfo;
use warmstart_nn::burn::tensor::Tensor;

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

/// The result of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Mean loss per image, without label smoothing.
    pub loss: f64,
    /// The figure that picks the best epoch, a fraction of one; higher is better.
    pub metric: f64,
}

/// An image, decoded and augmented, with its target.
pub struct Example<T> {
    /// Normalised, `[height, width, 3]`.
    pub pixels: Vec<f32>,
    /// What is to be learned from it.
    pub target: T,
}

/// Learning something about images on top of a backbone's features.
pub trait Task: Send + Sync + 'static {
    /// What is to be learned from an image.
    type Target: Send + 'static;
    /// What is collected over the images of an evaluation.
    type Tally: Default;

    /// Name of [`Evaluation::metric`], e.g. `top-1 accuracy`.
    fn metric_name(&self) -> &'static str;

    /// Parameters that the task adds to the backbone.
    fn head_parameters(&self) -> Vec<ParameterInfo>;

    /// Number of images to train on.
    fn training_images(&self) -> usize;

    /// Files of the images to train on.
    fn training_files(&self) -> Vec<&Path>;

    /// Files of a split to evaluate on; none where there is no such split.
    fn evaluation_files(&self, split: Split) -> Vec<&Path>;

    /// An image of the training split under a view: the same for the same arguments.
    ///
    /// # Errors
    /// If it cannot be read.
    fn training_example(
        &self,
        sample: usize,
        view: usize,
        augmentation: &Augmentation,
    ) -> Result<Example<Self::Target>, DataError>;

    /// The target of a [`training_example`](Self::training_example), without the image.
    fn training_target(
        &self,
        sample: usize,
        view: usize,
        augmentation: &Augmentation,
    ) -> Self::Target;

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
    fn condense(features: Tensor<4>) -> Tensor<4>;

    /// Mean loss of a batch `[1]` from the backbone's features `[batch, height, width, channels]`.
    fn loss(
        &self,
        features: Tensor<4>,
        parameters: &Parameters,
        targets: &[Self::Target],
        label_smoothing: f64,
        key: StepKey,
    ) -> Tensor<1>;

    /// Adds a batch to an evaluation.
    fn tally(
        &self,
        tally: &mut Self::Tally,
        features: Tensor<4>,
        parameters: &Parameters,
        targets: &[Self::Target],
    );

    /// The evaluation of all that was added.
    fn evaluation(&self, tally: &Self::Tally) -> Evaluation;
}
