//! Classification: the class of an image.

pub mod activation_map;
pub mod class_tally;
pub mod classifier;
pub mod frozen_top;
mod head;
pub mod known;
pub mod loss;
pub mod multi_head;
mod stored_model;
mod tally;

use std::sync::Arc;

use warmstart_data::random::{Purpose, stream};
use warmstart_data::{DataError, Dataset, Mixing, Preprocessing, Sample};
use warmstart_language::{english, message};
use warmstart_metrics::softmax;
use warmstart_models::{Architecture, Pretrained};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{global_average_pool, values};
use warmstart_nn::{Folded, Forward, Parameters, StepKey};
use warmstart_recipe::{Balance, Error, Phase, Recipe, TaskKind, View};

pub use head::Head;
pub use known::Known;
pub use stored_model::StoredModel;
pub use tally::Tally;

use crate::preprocessing;
use crate::task::{Evaluation, Example, HeadParts, Loss, Opened, Task};
use crate::task_data::{ClassOf, TaskData};
use loss::{smoothed, soft_cross_entropy};
use tally::mean;

/// The task of learning the class of an image.
pub struct Classification {
    data: Arc<TaskData<usize>>,
    preprocessing: Preprocessing,
    /// Seed of the augmentation.
    seed: u64,
    head: Head,
    /// Factor on the loss of each class where classes are balanced; its mean over the images is one.
    class_weights: Vec<f64>,
    /// What is added to the logits in training where probabilities are divided by the root of a class's share.
    half_priors: Vec<f32>,
}

/// The target of an image: one class, or shares of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The image's own class.
    pub class: usize,
    /// The class of the image that was mixed into it.
    pub other: usize,
    /// Share of the image's own class, 0 to 1.
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

impl Task for Classification {
    /// Index of the class.
    type Label = usize;
    type Target = Target;
    /// The probabilities of each image.
    type Outputs = Vec<Vec<f32>>;
    type Tally = Tally;

    const KIND: TaskKind = TaskKind::Classify;
    const CLASS_OF: ClassOf<usize> = Some(|class| *class);

    fn open(recipe: &Recipe) -> Result<Opened<usize>, Error> {
        Ok(Opened {
            data: warmstart_data::open(&recipe.data, recipe.val_split, recipe.seed)?,
            unreadable: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn require_learnable(data: &Dataset) -> Result<(), Error> {
        let is_learned = |label| data.train.iter().any(|sample| sample.label == label);
        let missing = (0..data.classes.len()).find(|&label| !is_learned(label));
        missing.map_or(Ok(()), |label| {
            let what = message!(
                "the class {} has no training image that can be read",
                data.classes[label]
            );
            Err(Error::usage(what).fix(message!("repair its images, or remove its folder")))
        })
    }

    fn classes_of(label: &usize) -> Vec<usize> {
        vec![*label]
    }

    fn backbone(architecture: Architecture) -> Result<Architecture, Error> {
        Ok(architecture)
    }

    fn preprocessing(pretrained: &Pretrained, recipe: &Recipe) -> Preprocessing {
        Preprocessing {
            decode: recipe.decode,
            ..preprocessing::for_size(pretrained, recipe.image_size, recipe.fit)
        }
    }

    fn new(
        recipe: &Recipe,
        backbone: &Architecture,
        data: &Arc<TaskData<usize>>,
        preprocessing: Preprocessing,
    ) -> Self {
        Self {
            head: Head::new(backbone, data.classes.len()),
            class_weights: class_weights(&data.class_counts().unwrap_or_default()),
            half_priors: half_priors(&data.class_counts().unwrap_or_default()),
            data: Arc::clone(data),
            preprocessing,
            seed: recipe.seed,
        }
    }

    fn head(&self) -> HeadParts<'_> {
        HeadParts {
            parameters: self.head.parameters().to_vec(),
            layers: Vec::new(),
            class_layers: vec![self.head.layer().to_owned()],
        }
    }

    fn training_example(
        &self,
        image: usize,
        view: View,
        phase: &Phase,
    ) -> Result<Example<Target>, DataError> {
        let mut pixels = self.varied(image, view, phase)?;
        let mixing = self.mixing(image, view, phase);
        if let Some(mixing) = &mixing {
            mixing.apply(&mut pixels, &self.varied(mixing.partner, view, phase)?);
        }
        Ok(Example {
            pixels,
            target: self.target(image, mixing.as_ref()),
        })
    }

    fn training_target(&self, image: usize, view: View, phase: &Phase) -> Target {
        self.target(image, self.mixing(image, view, phase).as_ref())
    }

    fn evaluation_example(&self, sample: &Sample) -> Result<Example<Target>, DataError> {
        Ok(Example {
            pixels: warmstart_data::evaluation_pixels(&sample.path, &self.preprocessing)?,
            target: sample.label.into(),
        })
    }

    fn evaluation_target(&self, label: &usize) -> Target {
        (*label).into()
    }

    /// The averages of the features: the head averages them, and the average of a single pixel is that pixel.
    fn pool_features(features: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
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
        let mut logits = self.head.logits(only(features), parameters, dropout);
        if phase.balance == Balance::Prior {
            let priors = TensorData::new(self.half_priors.clone(), [1, self.half_priors.len()]);
            logits = logits.clone() + Tensor::from_data(priors, &logits.device());
        }
        let rows = targets.iter().flat_map(|target| self.row(target, phase));
        let root = soft_cross_entropy(logits, rows.collect());
        let value: f32 = root.clone().inner().into_scalar();
        Loss {
            value: value.into(),
            root,
        }
    }

    fn outputs(
        &self,
        features: Vec<Tensor<4>>,
        _folded: &Folded,
        parameters: &Parameters,
    ) -> Vec<Vec<f32>> {
        let logits = values(outputs(&self.head, features, parameters));
        let rows = logits.chunks(self.data.classes.len());
        rows.map(softmax).collect()
    }

    /// The mean of the probabilities.
    fn mean_of(&self, [one, other]: [&Vec<Vec<f32>>; 2]) -> Option<Vec<Vec<f32>>> {
        let rows = one.iter().zip(other);
        Some(rows.map(|(one, other)| mean(one, other)).collect())
    }

    fn add(&self, tally: &mut Tally, probabilities: Vec<Vec<f32>>, targets: &[Target]) {
        for (row, target) in probabilities.iter().zip(targets) {
            tally.add(row, target.class);
        }
    }

    fn append(tally: &mut Tally, more: Tally) {
        tally.append(more);
    }

    fn evaluation(&self, tally: &Tally) -> Evaluation {
        tally.evaluation()
    }

    fn gain_p_value(&self, before: &Tally, after: &Tally) -> f64 {
        before.gain_p_value(after)
    }
}

impl Classification {
    /// A view of a training image, without another one mixed in.
    fn varied(&self, sample: usize, view: View, phase: &Phase) -> Result<Vec<f32>, DataError> {
        let path = &self.data.train[sample].path;
        let view = view.number as u64;
        let mut random = stream(self.seed, view, sample as u64, Purpose::Augmentation);
        let augmentation = phase.augmentation.of_images();
        warmstart_data::training_pixels(path, &self.preprocessing, augmentation, &mut random)
    }

    /// The training image that is mixed into a view, and its share.
    fn mixing(&self, sample: usize, view: View, phase: &Phase) -> Option<Mixing> {
        let augmentation = phase.augmentation.of_images();
        let mut random = stream(
            self.seed,
            view.number as u64,
            sample as u64,
            Purpose::Mixing,
        );
        let images = self.data.training_images();
        let mut mixing = augmentation.mixing(images, self.preprocessing.crop, &mut random)?;
        if let Some(partners) = self.data.partners() {
            mixing.partner = partners[mixing.partner];
        }
        Some(mixing)
    }

    /// The target of a training image with the image that was mixed into it.
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

    /// The target of the loss, a value per class.
    fn row(&self, target: &Target, phase: &Phase) -> Vec<f32> {
        let weight = |class: usize| match phase.balance {
            Balance::Loss => self.class_weights[class],
            Balance::None | Balance::Sampling | Balance::Prior => 1.0,
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

/// Weight of each class by the numbers of training images: the inverse of its share, with a mean of one over the
/// images. King and Zeng, "Logistic Regression in Rare Events Data" (2001), section 4.2, towards equal shares.
fn class_weights(counts: &[usize]) -> Vec<f64> {
    let images: usize = counts.iter().sum();
    let present = counts.iter().filter(|count| **count > 0).count();
    let weight = |&count: &usize| images as f64 / (present * count.max(1)) as f64;
    counts.iter().map(weight).collect()
}

/// Half of the logarithm of each class's share of some images, from the number of its images. Without them, the logits
/// of a classifier that knows the shares make probabilities divided by their square roots. Menon and others, "Long-tail
/// learning via logit adjustment" (arXiv 2007.07314), sections 4.1 and 4.2, with τ = ½.
pub fn half_priors(counts: &[usize]) -> Vec<f32> {
    let images: usize = counts.iter().sum::<usize>().max(1);
    // A class without images has the share of one.
    let share = |&count: &usize| count.max(1) as f64 / images as f64;
    counts
        .iter()
        .map(|count| (share(count).ln() / 2.0) as f32)
        .collect()
}

/// Starts of the names of tensors that lie beside the ordinary model of an architecture, and what they are.
pub const BESIDE: [(&str, &str); 3] = [
    (multi_head::PREFIX, english!("a head on several layers")),
    (
        frozen_top::PREFIX,
        english!("the upper stages and heads of the frozen model, in a mean of two"),
    ),
    (known::PREFIX, english!("the record of training images")),
];

/// Whether a tensor of a model file lies beside the ordinary model of its architecture, which the file without such
/// tensors is.
pub fn is_beside(tensor: &str) -> bool {
    BESIDE.iter().any(|(prefix, _)| tensor.starts_with(prefix))
}

/// Logits `[batch, classes]` in inference: of the architecture's own head on the result of the backbone, or of the head
/// on several layers on the mean of each.
fn outputs(head: &Head, features: Vec<Tensor<4>>, parameters: &Parameters) -> Tensor<2> {
    if features.len() == 1 {
        head.logits(only(features), parameters, None)
    } else {
        multi_head::logits(&features, &multi_head::layers(parameters), parameters)
    }
}

/// The features of a backbone with one output.
fn only(mut features: Vec<Tensor<4>>) -> Tensor<4> {
    features.pop().expect("a backbone has a result")
}
