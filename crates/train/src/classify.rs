//! Classification: an average over the features, dropout and a linear classifier.

use std::path::Path;

use warmstart_data::random::{Purpose, stream, unit};
use warmstart_data::{Augmentation, DataError, Dataset, Preprocessing, Sample};
use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::block::ParameterInfo;
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{global_average_pool, linear};

use crate::loss::cross_entropy;
use crate::task::{Evaluation, Example, Split, StepKey, Task};

/// Learning the class of an image.
pub struct Classification {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Images to learn from.
    pub train: Vec<Sample>,
    /// Images to evaluate on after every epoch.
    pub validation: Vec<Sample>,
    /// Images to evaluate on at the end; may be empty.
    pub test: Vec<Sample>,
    /// What is done to an image before it goes in.
    pub preprocessing: Preprocessing,
    /// Seed of the augmentation.
    pub seed: u64,
    head: Head,
}

/// The part of a classifier behind its backbone.
#[derive(Clone, Debug)]
pub struct Head {
    parameters: [ParameterInfo; 2],
    dropout: f64,
}

/// Collected over an evaluation.
#[derive(Default)]
pub struct Tally {
    /// Sum over the images.
    loss: f64,
    images: usize,
    correct: usize,
}

impl Head {
    /// The head of an architecture for that many classes.
    pub fn new(architecture: &Architecture, classes: usize) -> Self {
        Self {
            parameters: architecture.classifier_parameters(classes),
            dropout: architecture.dropout,
        }
    }

    /// Weight and bias.
    pub fn parameters(&self) -> &[ParameterInfo; 2] {
        &self.parameters
    }

    /// Logits `[batch, classes]` of features `[batch, height, width, channels]`; `dropout` says
    /// which step the mask is for, and is `None` in inference.
    pub fn logits(
        &self,
        features: Tensor<4>,
        parameters: &Parameters,
        dropout: Option<StepKey>,
    ) -> Tensor<2> {
        let mut average = global_average_pool(features);
        if let Some(key) = dropout.filter(|_| self.dropout > 0.0) {
            let [batch, channels] = average.dims();
            let mask = dropout_mask(key, batch, channels, self.dropout);
            let mask = TensorData::new(mask, [batch, channels]);
            average = average.clone() * Tensor::from_data(mask, &average.device());
        }
        let [weight, bias] = &self.parameters;
        linear(
            average,
            parameters.get(&weight.name),
            parameters.get(&bias.name),
        )
    }
}

/// 0 with probability `p`, else 1 / (1 − p): Srivastava and others, "Dropout" (JMLR 15, 2014),
/// section 10, scaled in training.
///
/// `[images, channels]` out of the mask of the step's whole batch.
fn dropout_mask(key: StepKey, images: usize, channels: usize, p: f64) -> Vec<f32> {
    let mut random = stream(key.seed, key.step, 0, Purpose::Dropout);
    let kept = (1.0 / (1.0 - p)) as f32;
    let whole = std::iter::repeat_with(|| match unit(&mut random) < p {
        true => 0.0,
        false => kept,
    });
    whole
        .skip(key.images_before * channels)
        .take(images * channels)
        .collect()
}

impl Classification {
    /// The task of telling the classes of a data set apart.
    pub fn new(
        architecture: &Architecture,
        data: Dataset,
        preprocessing: Preprocessing,
        seed: u64,
    ) -> Self {
        Self {
            head: Head::new(architecture, data.classes.len()),
            classes: data.classes,
            train: data.train,
            validation: data.validation,
            test: data.test.unwrap_or_default(),
            preprocessing,
            seed,
        }
    }

    fn split(&self, split: Split) -> &[Sample] {
        match split {
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}

fn files(samples: &[Sample]) -> Vec<&Path> {
    samples.iter().map(|sample| sample.path.as_path()).collect()
}

impl Task for Classification {
    /// Index of the class.
    type Target = usize;
    type Tally = Tally;

    fn metric_name(&self) -> &'static str {
        "top-1 accuracy"
    }

    fn head_parameters(&self) -> Vec<ParameterInfo> {
        self.head.parameters.to_vec()
    }

    fn training_images(&self) -> usize {
        self.train.len()
    }

    fn training_files(&self) -> Vec<&Path> {
        files(&self.train)
    }

    fn evaluation_files(&self, split: Split) -> Vec<&Path> {
        files(self.split(split))
    }

    fn training_example(
        &self,
        sample: usize,
        view: usize,
        augmentation: &Augmentation,
    ) -> Result<Example<usize>, DataError> {
        let Sample { path, label } = &self.train[sample];
        let mut random = stream(self.seed, view as u64, sample as u64, Purpose::Augmentation);
        let pixels =
            warmstart_data::training_pixels(path, &self.preprocessing, augmentation, &mut random)?;
        Ok(Example {
            pixels,
            target: *label,
        })
    }

    fn training_target(&self, sample: usize, _view: usize, _augmentation: &Augmentation) -> usize {
        self.train[sample].label
    }

    fn evaluation_example(&self, split: Split, sample: usize) -> Result<Example<usize>, DataError> {
        let Sample { path, label } = &self.split(split)[sample];
        Ok(Example {
            pixels: warmstart_data::evaluation_pixels(path, &self.preprocessing)?,
            target: *label,
        })
    }

    fn evaluation_target(&self, split: Split, sample: usize) -> usize {
        self.split(split)[sample].label
    }

    /// The head averages, and the average of a single pixel is that pixel.
    fn condense(features: Tensor<4>) -> Tensor<4> {
        let [batch, _, _, channels] = features.dims();
        global_average_pool(features).reshape([batch, 1, 1, channels])
    }

    fn loss(
        &self,
        features: Tensor<4>,
        parameters: &Parameters,
        labels: &[usize],
        label_smoothing: f64,
        key: StepKey,
    ) -> Tensor<1> {
        let logits = self.head.logits(features, parameters, Some(key));
        cross_entropy(logits, labels, label_smoothing)
    }

    fn tally(
        &self,
        tally: &mut Tally,
        features: Tensor<4>,
        parameters: &Parameters,
        labels: &[usize],
    ) {
        let logits = self.head.logits(features, parameters, None);
        let logits: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        for (row, &label) in logits.chunks(self.classes.len()).zip(labels) {
            let probabilities = warmstart_metrics::softmax(row);
            let best = warmstart_metrics::top_k(&probabilities, 1)[0].0;
            // Bounded, so that one hopeless image cannot make the mean infinite.
            tally.loss -= f64::from(probabilities[label].max(f32::MIN_POSITIVE)).ln();
            tally.images += 1;
            tally.correct += usize::from(best == label);
        }
    }

    fn evaluation(&self, tally: &Tally) -> Evaluation {
        let images = tally.images.max(1) as f64;
        Evaluation {
            loss: tally.loss / images,
            metric: tally.correct as f64 / images,
        }
    }
}
