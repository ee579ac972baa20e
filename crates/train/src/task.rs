//! What a task brings to the training loop: its samples, its head, its loss and its metric.
//!
//! The loop knows nothing else of it. Classification is the one task so far; detection is the
//! second, which is why this is a trait.

use warmstart_data::{Augmentation, DataError};
use warmstart_nn::Parameters;
use warmstart_nn::block::ParameterInfo;
use warmstart_nn::burn::tensor::{Device, Tensor};

/// Which step a dropout mask is for.
#[derive(Clone, Copy, Debug)]
pub struct StepKey {
    /// Seed of the run.
    pub seed: u64,
    /// Step of the run, from 0 over all phases.
    pub step: u64,
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

/// Learning something about images on top of a backbone's features.
pub trait Task: Send + Sync + 'static {
    /// An image, decoded and augmented, with its target.
    type Item: Send + 'static;
    /// What is collected over the images of an evaluation.
    type Tally: Default;

    /// Name of [`Evaluation::metric`], e.g. `top-1 accuracy`.
    fn metric_name(&self) -> &'static str;

    /// Parameters that the task adds to the backbone.
    fn head_parameters(&self) -> Vec<ParameterInfo>;

    /// Number of images to train on.
    fn training_samples(&self) -> usize;

    /// Number of images of a split to evaluate on; 0 where there is no such split.
    fn evaluation_samples(&self, split: Split) -> usize;

    /// An image of the training split as an epoch sees it: the same for the same arguments.
    ///
    /// # Errors
    /// If it cannot be read.
    fn training_item(
        &self,
        sample: usize,
        epoch: usize,
        augmentation: &Augmentation,
    ) -> Result<Self::Item, DataError>;

    /// An image of a split to evaluate on.
    ///
    /// # Errors
    /// If it cannot be read.
    fn evaluation_item(&self, split: Split, sample: usize) -> Result<Self::Item, DataError>;

    /// The images of a batch, `[batch, height, width, 3]`.
    fn images(&self, items: &[Self::Item], device: &Device) -> Tensor<4>;

    /// Mean loss of a batch `[1]` from the backbone's features `[batch, height, width, channels]`.
    fn loss(
        &self,
        features: Tensor<4>,
        parameters: &Parameters,
        items: &[Self::Item],
        label_smoothing: f64,
        key: StepKey,
    ) -> Tensor<1>;

    /// Adds a batch to an evaluation.
    fn tally(
        &self,
        tally: &mut Self::Tally,
        features: Tensor<4>,
        parameters: &Parameters,
        items: &[Self::Item],
    );

    /// The evaluation of all that was added.
    fn evaluation(&self, tally: &Self::Tally) -> Evaluation;
}
