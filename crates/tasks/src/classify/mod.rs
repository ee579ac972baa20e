//! Classification: an average over the features, dropout and a linear classifier.

use std::collections::BTreeMap;

use warmstart_data::random::{Purpose, stream, unit};
use warmstart_data::{
    DataError, Dataset, Fit, Mixing, Preprocessing, Sample, balanced_order, epoch_order,
};
use warmstart_metrics::{McNemar, wilson};
use warmstart_models::Architecture;
use warmstart_nn::block::{Forward, ParameterInfo, Unit};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{global_average_pool, linear};
use warmstart_nn::{Folded, Parameters};

use warmstart_recipe::Error;
use warmstart_run::event::Observer;
use warmstart_recipe::folds::Fold;
use warmstart_train::trainer::Trainer;
use crate::classify::loss::smoothed;
use crate::classify::loss::soft_cross_entropy;
use warmstart_recipe as recipe;
use warmstart_recipe::Balance;
use warmstart_recipe::Phase;
use warmstart_recipe::Recipe;
use warmstart_recipe::View;
use warmstart_train::linear_probe;
use crate::task::Evaluation;
use crate::task::Example;
use crate::task::Loss;
use crate::task::Opened;
use crate::task::Split;
use crate::task::StepKey;
use crate::task::Task;

/// Learning the class of an image.
pub struct Classification {
    data: Dataset,
    preprocessing: Preprocessing,
    /// Of the augmentation.
    seed: u64,
    head: Head,
    fold: Option<Fold>,
    /// What the loss of each class is multiplied by where classes are balanced: one on average.
    class_weights: Vec<f64>,
}

/// What is to be learned from an image: one class, or shares of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The image's own class.
    pub class: usize,
    /// The class of the image that was mixed into it.
    pub other: usize,
    /// Share of the own class, 0 to 1.
    pub share: f64,
}

impl From<usize> for Target {
    fn from(class: usize) -> Self {
        Self {
            class,
            other: class,
            share: 1.0,
        }
    }
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
    /// Whether each image's class was found.
    correct: Vec<bool>,
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
    /// which step the mask is for and its probability, if it is not the architecture's own, and is `None` in
    /// inference.
    pub fn logits(
        &self,
        features: Tensor<4>,
        parameters: &Parameters,
        dropout: Option<(StepKey, Option<f64>)>,
    ) -> Tensor<2> {
        let mut average = global_average_pool(features);
        let dropout = dropout.map(|(key, p)| (key, p.unwrap_or(self.dropout)));
        if let Some((key, p)) = dropout.filter(|(_, p)| *p > 0.0) {
            let [batch, channels] = average.dims();
            let mask = dropout_mask(key, batch, channels, p);
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
    type Target = Target;
    type Tally = Tally;

    const KIND: recipe::Task = recipe::Task::Classify;
    const COUNTED: &'static str = "images";

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
                "the class {} has no training image that can be read: repair its images, or remove its \
                 folder",
                data.classes[label]
            )))
        })
    }

    fn class_counts<'a>(classes: &'a [String], samples: &[Sample]) -> Vec<(&'a str, usize)> {
        let mut counts: Vec<_> = classes.iter().map(|class| (class.as_str(), 0)).collect();
        for sample in samples {
            counts[sample.label].1 += 1;
        }
        counts
    }

    fn label_counts(classes: &[String], samples: &[Sample]) -> Vec<usize> {
        let counts = Self::class_counts(classes, samples).into_iter();
        counts.map(|(_, images)| images).collect()
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
        let labels: Vec<usize> = data.train.iter().map(|sample| sample.label).collect();
        let fold = recipe
            .fold
            .map(|part| Fold::new(part, &labels, recipe.seed));
        Self {
            head: Head::new(backbone, data.classes.len()),
            class_weights: class_weights(&labels, fold.as_ref(), data.classes.len()),
            fold,
            data,
            preprocessing,
            seed: recipe.seed,
        }
    }

    fn data(&self) -> &Dataset {
        &self.data
    }

    fn fold(&self) -> Option<&Fold> {
        self.fold.as_ref()
    }

    fn draw(&self, seed: u64, epoch: u64, phase: &Phase, images: &[usize]) -> Vec<usize> {
        match phase.balance {
            Balance::None | Balance::Loss => epoch_order(seed, epoch, images.len()),
            Balance::Sampling => {
                let label = |&image: &usize| self.data.train[image].label;
                let labels: Vec<usize> = images.iter().map(label).collect();
                balanced_order(seed, epoch, &labels)
            }
        }
    }

    fn choose_fit(
        job: &Trainer<Self>,
        parameters: &Parameters,
        observe: Observer,
    ) -> Result<Option<(Fit, String)>, Error> {
        suitability::choose_fit(job, parameters, observe).map(Some)
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
    ) -> Result<Example<Target>, DataError> {
        let mut pixels = self.varied(sample, view, phase)?;
        let mixing = self.mixing(sample, view, phase);
        if let Some(mixing) = &mixing {
            mixing.apply(&mut pixels, &self.varied(mixing.partner, view, phase)?);
        }
        Ok(Example {
            pixels,
            target: self.target(sample, mixing.as_ref()),
        })
    }

    fn training_target(&self, sample: usize, view: View, phase: &Phase) -> Target {
        self.target(sample, self.mixing(sample, view, phase).as_ref())
    }

    fn evaluation_example(
        &self,
        split: Split,
        sample: usize,
    ) -> Result<Example<Target>, DataError> {
        let Sample { path, label } = &self.split(split)[sample];
        Ok(Example {
            pixels: warmstart_data::evaluation_pixels(path, &self.preprocessing)?,
            target: (*label).into(),
        })
    }

    fn evaluation_target(&self, split: Split, sample: usize) -> Target {
        self.split(split)[sample].label.into()
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
        targets: &[Target],
        phase: &Phase,
        key: StepKey,
    ) -> Loss {
        let dropout = Some((key, phase.dropout));
        let logits = self.head.logits(only(features), parameters, dropout);
        let rows = targets.iter().flat_map(|target| self.row(target, phase));
        let root = soft_cross_entropy(logits, rows.collect());
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
        targets: &[Target],
    ) {
        let logits = self.head.logits(only(features), parameters, None);
        let logits: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        for (row, label) in logits.chunks(self.data.classes.len()).zip(targets) {
            let label = label.class;
            let probabilities = warmstart_metrics::softmax(row);
            let best = warmstart_metrics::top_k(&probabilities, 1)[0].0;
            // Bounded, so that one hopeless image cannot make the mean infinite.
            tally.loss -= f64::from(probabilities[label].max(f32::MIN_POSITIVE)).ln();
            tally.correct.push(best == label);
        }
    }

    fn evaluation(&self, tally: &Tally) -> Evaluation {
        let images = tally.correct.len();
        let correct = tally.correct.iter().filter(|correct| **correct).count();
        Evaluation {
            loss: tally.loss / images.max(1) as f64,
            metric: correct as f64 / images.max(1) as f64,
            interval: Some(wilson(correct, images)),
            others: BTreeMap::new(),
        }
    }

    /// McNemar's exact test: of the images that only one of the two gets right.
    fn chance_of_gain(&self, before: &Tally, after: &Tally) -> f64 {
        McNemar::of(&before.correct, &after.correct).p_value()
    }
}

impl Classification {
    /// A view of a training image by itself.
    fn varied(&self, sample: usize, view: View, phase: &Phase) -> Result<Vec<f32>, DataError> {
        let path = &self.data.train[sample].path;
        let view = view.number as u64;
        let mut random = stream(self.seed, view, sample as u64, Purpose::Augmentation);
        let augmentation = phase.augmentation.of_images();
        warmstart_data::training_pixels(path, &self.preprocessing, augmentation, &mut random)
    }

    /// What of another training image goes into a view.
    fn mixing(&self, sample: usize, view: View, phase: &Phase) -> Option<Mixing> {
        let augmentation = phase.augmentation.of_images();
        let mut random = stream(
            self.seed,
            view.number as u64,
            sample as u64,
            Purpose::Mixing,
        );
        let mut mixing =
            augmentation.mixing(self.training_images(), self.preprocessing.crop, &mut random)?;
        if let Some(fold) = &self.fold {
            mixing.partner = fold.training[mixing.partner];
        }
        Some(mixing)
    }

    /// What is to be learned from a training image with what was mixed into it.
    fn target(&self, sample: usize, mixing: Option<&Mixing>) -> Target {
        let class = self.data.train[sample].label;
        match mixing {
            None => class.into(),
            Some(mixing) => Target {
                class,
                other: self.data.train[mixing.partner].label,
                share: mixing.share,
            },
        }
    }

    /// The target of the loss, a value a class.
    fn row(&self, target: &Target, phase: &Phase) -> Vec<f32> {
        let weight = |class: usize| match phase.balance {
            Balance::Loss => self.class_weights[class],
            Balance::None | Balance::Sampling => 1.0,
        };
        let Target {
            class,
            other,
            share,
        } = *target;
        let shares = [
            (class, share * weight(class)),
            (other, (1.0 - share) * weight(other)),
        ];
        smoothed(&shares, self.data.classes.len(), phase.label_smoothing)
    }
}

/// The inverse of each class's share of the training images, so that their mean over the images is one: King
/// and Zeng, "Logistic Regression in Rare Events Data" (2001), section 4.2, towards equal shares.
fn class_weights(labels: &[usize], fold: Option<&Fold>, classes: usize) -> Vec<f64> {
    let mut counts = vec![0; classes];
    match fold {
        None => labels.iter().for_each(|&label| counts[label] += 1),
        Some(fold) => fold
            .training
            .iter()
            .for_each(|&image| counts[labels[image]] += 1),
    }
    let images: usize = counts.iter().sum();
    let present = counts.iter().filter(|count| **count > 0).count();
    let weight = |&count: &usize| images as f64 / (present * count.max(1)) as f64;
    counts.iter().map(weight).collect()
}

/// The features of a backbone with one output.
fn only(mut features: Vec<Tensor<4>>) -> Tensor<4> {
    features.pop().expect("a backbone has a result")
}
