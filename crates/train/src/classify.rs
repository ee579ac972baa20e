//! Classification: an average over the features, dropout and a linear classifier.

use warmstart_data::random::{Purpose, stream, unit};
use warmstart_data::{Augmentation, DataError, Dataset, Preprocessing, Sample};
use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::block::ParameterInfo;
use warmstart_nn::burn::tensor::{Device, Tensor, TensorData};
use warmstart_nn::ops::{global_average_pool, linear};

use crate::loss::cross_entropy;
use crate::task::{Evaluation, Split, StepKey, Task};

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

/// An image and its class.
pub struct Item {
    /// Normalised, `[height, width, 3]`.
    pub pixels: Vec<f32>,
    /// Index of the class.
    pub label: usize,
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
            let mask = dropout_mask(key, batch * channels, self.dropout);
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
fn dropout_mask(key: StepKey, length: usize, p: f64) -> Vec<f32> {
    let mut random = stream(key.seed, key.step, 0, Purpose::Dropout);
    let kept = (1.0 / (1.0 - p)) as f32;
    (0..length)
        .map(|_| match unit(&mut random) < p {
            true => 0.0,
            false => kept,
        })
        .collect()
}

/// The images of a batch, `[batch, size, size, 3]`.
pub fn images(items: &[Item], size: usize, device: &Device) -> Tensor<4> {
    let pixels: Vec<&[f32]> = items.iter().map(|item| item.pixels.as_slice()).collect();
    let pixels = pixels.concat();
    let shape = [items.len(), size, size, 3];
    Tensor::from_data(TensorData::new(pixels, shape), device)
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

impl Task for Classification {
    type Item = Item;
    type Tally = Tally;

    fn metric_name(&self) -> &'static str {
        "top-1 accuracy"
    }

    fn head_parameters(&self) -> Vec<ParameterInfo> {
        self.head.parameters.to_vec()
    }

    fn training_samples(&self) -> usize {
        self.train.len()
    }

    fn evaluation_samples(&self, split: Split) -> usize {
        self.split(split).len()
    }

    fn training_item(
        &self,
        sample: usize,
        epoch: usize,
        augmentation: &Augmentation,
    ) -> Result<Item, DataError> {
        let Sample { path, label } = &self.train[sample];
        let mut random = stream(
            self.seed,
            epoch as u64,
            sample as u64,
            Purpose::Augmentation,
        );
        let pixels =
            warmstart_data::training_pixels(path, &self.preprocessing, augmentation, &mut random)?;
        Ok(Item {
            pixels,
            label: *label,
        })
    }

    fn evaluation_item(&self, split: Split, sample: usize) -> Result<Item, DataError> {
        let Sample { path, label } = &self.split(split)[sample];
        Ok(Item {
            pixels: warmstart_data::evaluation_pixels(path, &self.preprocessing)?,
            label: *label,
        })
    }

    fn images(&self, items: &[Item], device: &Device) -> Tensor<4> {
        images(items, self.preprocessing.crop, device)
    }

    fn loss(
        &self,
        features: Tensor<4>,
        parameters: &Parameters,
        items: &[Item],
        label_smoothing: f64,
        key: StepKey,
    ) -> Tensor<1> {
        let logits = self.head.logits(features, parameters, Some(key));
        let labels: Vec<usize> = items.iter().map(|item| item.label).collect();
        cross_entropy(logits, &labels, label_smoothing)
    }

    fn tally(
        &self,
        tally: &mut Tally,
        features: Tensor<4>,
        parameters: &Parameters,
        items: &[Item],
    ) {
        let logits = self.head.logits(features, parameters, None);
        let logits: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        for (row, item) in logits.chunks(self.classes.len()).zip(items) {
            let probabilities = warmstart_metrics::softmax(row);
            let best = warmstart_metrics::top_k(&probabilities, 1)[0].0;
            // Bounded, so that one hopeless image cannot make the mean infinite.
            tally.loss -= f64::from(probabilities[item.label].max(f32::MIN_POSITIVE)).ln();
            tally.images += 1;
            tally.correct += usize::from(best == item.label);
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
