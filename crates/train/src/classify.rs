//! Classification: an average over the features, dropout and a linear classifier.

use std::collections::BTreeMap;

use warmstart_data::random::{Purpose, stream, unit};
use warmstart_data::{DataError, Dataset, Preprocessing, Sample};
use warmstart_models::Architecture;
use warmstart_nn::block::{Forward, ParameterInfo, Unit};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{global_average_pool, linear};
use warmstart_nn::{Folded, Parameters};

use crate::Error;
use crate::event::Observer;
use crate::loss::cross_entropy;
use crate::recipe::{self, Phase, Recipe, View};
use crate::task::{Evaluation, Example, Loss, Opened, Split, StepKey, Task};

/// Learning the class of an image.
pub struct Classification {
    data: Dataset,
    preprocessing: Preprocessing,
    /// Of the augmentation.
    seed: u64,
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

impl Task for Classification {
    /// Index of the class.
    type Label = usize;
    type Target = usize;
    type Tally = Tally;

    const KIND: recipe::Task = recipe::Task::Classify;
    fn open(recipe: &Recipe, _observe: Observer) -> Result<Opened<usize>, Error> {
        Ok(Opened {
            data: warmstart_data::open(&recipe.data, recipe.val_split, recipe.seed)?,
            unreadable: Vec::new(),
        })
    }

    fn require_learnable(data: &Dataset) -> Result<(), Error> {
        let learned = |label| data.train.iter().any(|sample| sample.label == label);
        let missing = (0..data.classes.len()).find(|&label| !learned(label));
        missing.map_or(Ok(()), |label| {
            Err(Error::usage(format!(
                "the class {} has no training image that can be read: mend its images, or remove its \
                 folder",
                data.classes[label]
            )))
        })
    }

    fn backbone(architecture: Architecture) -> Architecture {
        architecture
    }

    fn class_head(backbone: &Architecture) -> &'static str {
        backbone.classifier
    }

    fn new(
        recipe: &Recipe,
        backbone: &Architecture,
        data: Dataset,
        preprocessing: Preprocessing,
    ) -> Self {
        Self {
            head: Head::new(backbone, data.classes.len()),
            data,
            preprocessing,
            seed: recipe.seed,
        }
    }

    fn data(&self) -> &Dataset {
        &self.data
    }

    fn validate_on(&mut self, samples: Vec<Sample>) {
        self.data.validation = samples;
    }

    fn head_parameters(&self) -> Vec<ParameterInfo> {
        self.head.parameters.to_vec()
    }

    fn head_units(&self) -> Vec<&Unit> {
        Vec::new()
    }

    fn training_example(
        &self,
        sample: usize,
        view: View,
        phase: &Phase,
    ) -> Result<Example<usize>, DataError> {
        let Sample { path, label } = &self.data.train[sample];
        let view = view.number as u64;
        let mut random = stream(self.seed, view, sample as u64, Purpose::Augmentation);
        let augmentation = phase.augmentation.of_images();
        let pixels =
            warmstart_data::training_pixels(path, &self.preprocessing, augmentation, &mut random)?;
        Ok(Example {
            pixels,
            target: *label,
        })
    }

    fn training_target(&self, sample: usize, _view: View, _phase: &Phase) -> usize {
        self.data.train[sample].label
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
    fn condense(features: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        let average = |features: Tensor<4>| {
            let [batch, _, _, channels] = features.dims();
            global_average_pool(features).reshape([batch, 1, 1, channels])
        };
        features.into_iter().map(average).collect()
    }

    fn loss(
        &self,
        features: Vec<Tensor<4>>,
        _forward: &mut Forward,
        parameters: &Parameters,
        labels: &[usize],
        phase: &Phase,
        key: StepKey,
    ) -> Loss {
        let logits = self.head.logits(only(features), parameters, Some(key));
        let root = cross_entropy(logits, labels, phase.label_smoothing);
        let value: f32 = root.clone().inner().into_scalar();
        Loss {
            value: value.into(),
            root,
        }
    }

    fn tally(
        &self,
        tally: &mut Tally,
        features: Vec<Tensor<4>>,
        _folded: &Folded,
        parameters: &Parameters,
        labels: &[usize],
    ) {
        let logits = self.head.logits(only(features), parameters, None);
        let logits: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        for (row, &label) in logits.chunks(self.data.classes.len()).zip(labels) {
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
            others: BTreeMap::new(),
        }
    }
}

/// The features of a backbone with one output.
fn only(mut features: Vec<Tensor<4>>) -> Tensor<4> {
    features.pop().expect("a backbone has a result")
}
