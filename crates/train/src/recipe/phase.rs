use std::fmt;
use std::path::Path;
use std::str::FromStr;

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use warmstart_data::{Augmentation as ImageAugmentation, SceneAugmentation, scenes};

use super::number_or_word::{self, number_or_word};

/// Share of a phase's steps over which a thaw's learning rate rises.
pub(crate) const THAW_WARMUP: f64 = 0.1;

/// One stretch of training with everything that sets it apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Shown in reports.
    pub name: String,
    /// Passes over the training images.
    pub epochs: usize,
    /// What learns; the rest is frozen.
    pub train: Train,
    /// Images a step.
    pub batch: usize,
    /// Images that go through the trained part at a time, where they are fewer than the batch; the
    /// gradients are averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// Highest learning rate of the phase.
    pub lr: f64,
    /// How the learning rate changes over the phase.
    pub schedule: ScheduleKind,
    /// Share of the phase's steps over which the learning rate rises from zero; 0..1.
    pub warmup: f64,
    /// Factor on the learning rate from one group of layers to the next one below; (0, 1].
    pub layer_decay: f64,
    /// Where batch norm in the trained part takes its statistics from.
    pub batch_norm: BatchNorm,
    /// How gradients become updates.
    pub optimizer: OptimizerKind,
    /// Pull of the weights towards zero; none on norms and biases.
    pub weight_decay: f64,
    /// Share of the target that is spread over all classes; 0..1.
    pub label_smoothing: f64,
    /// Largest global norm of the gradients; 0 for no limit.
    pub clip_norm: f64,
    /// Epochs without a better metric after which the phase ends before its time; 0 for all of its epochs.
    #[serde(default)]
    pub patience: usize,
    /// What of the parameters' exponential moving average (EMA) a step leaves, once many are done; the
    /// average is what is evaluated and kept. 0 for none; 0..1.
    #[serde(default)]
    pub ema_decay: f64,
    /// Probability that a feature is left out in front of the classifier; `None` for the architecture's
    /// own. 0..1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// What is done about classes of which there are more images than of others.
    #[serde(default)]
    pub balance: Balance,
    /// How training images are varied.
    pub augmentation: Augmentation,
    /// How many variants there are of each image.
    #[serde(default)]
    pub views: Views,
}

impl Phase {
    /// Images that go through the trained part at a time.
    pub fn micro_batch(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch).min(self.batch)
    }

    /// The view of an epoch, which is the phase's `epoch_in_phase`-th, from 0.
    pub fn view(&self, epoch: usize, epoch_in_phase: usize) -> View {
        View {
            number: match self.views {
                Views::Fresh => epoch,
                Views::Number(views) => epoch % views,
            },
            closing: epoch_in_phase >= self.epochs - self.closing_epochs(),
        }
    }

    /// Views of each image whose features are kept; `None` if they are not.
    pub fn kept_views(&self) -> Option<usize> {
        match self.views {
            Views::Fresh => None,
            Views::Number(views) if self.closing_epochs() > 0 => Some(2 * views),
            Views::Number(views) => Some(views),
        }
    }

    /// The place of a view among those that are kept.
    pub fn place_of(&self, view: View) -> usize {
        match self.views {
            Views::Number(views) if view.closing => views + view.number,
            _ => view.number,
        }
    }

    /// The places of the views that its epochs see, of which the first is the run's `first_epoch`, counted from 1.
    pub fn places(&self, first_epoch: usize) -> BTreeSet<usize> {
        let views = (0..self.epochs).map(|epoch| self.view(first_epoch + epoch, epoch));
        views.map(|view| self.place_of(view)).collect()
    }

    /// Lets the same share of a run be without mosaics, once it has another number of epochs and this
    /// phase, its last, as many as given.
    pub(crate) fn close_as_in(&mut self, run_before: usize, run_after: usize, own_after: usize) {
        if let Augmentation::Scenes(scenes) = &mut self.augmentation {
            let of_run = scenes.mosaic_closing * self.epochs as f64 / run_before as f64;
            scenes.mosaic_closing = (of_run * run_after as f64 / own_after as f64).min(1.0);
        }
    }

    /// Epochs at the phase's end whose augmentation is without mosaic.
    fn closing_epochs(&self) -> usize {
        match &self.augmentation {
            Augmentation::Images(_) => 0,
            Augmentation::Scenes(scenes) if scenes.mosaic == 0.0 => 0,
            Augmentation::Scenes(scenes) => {
                (scenes.mosaic_closing * self.epochs as f64).round() as usize
            }
        }
    }
}

/// A variant of each training image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Each is another one.
    pub number: usize,
    /// Whether it is one of the phase's end, without mosaic.
    pub closing: bool,
}

/// How training images are varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Augmentation {
    /// In classification.
    Images(ImageAugmentation),
    /// In detection.
    Scenes(SceneAugmentation),
}

impl Augmentation {
    /// Whether other pictures go into a picture.
    pub fn mixes(&self) -> bool {
        match self {
            Self::Images(images) => images.mixup > 0.0 || images.cutmix > 0.0,
            Self::Scenes(scenes) => scenes.mosaic > 0.0,
        }
    }

    /// Those of classification.
    ///
    /// # Panics
    /// If they are not: a recipe's task and its augmentations agree.
    pub fn of_images(&self) -> &ImageAugmentation {
        match self {
            Self::Images(augmentation) => augmentation,
            Self::Scenes(_) => panic!("these are detection's"),
        }
    }

    /// Those of detection.
    ///
    /// # Panics
    /// If they are not.
    pub fn of_scenes(&self) -> &SceneAugmentation {
        match self {
            Self::Scenes(augmentation) => augmentation,
            Self::Images(_) => panic!("these are classification's"),
        }
    }
}

/// Variants of each training image. An epoch sees the one of its number, counted round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Views {
    /// A new one in every epoch.
    #[default]
    Fresh,
    /// So many. What the frozen part makes of them is computed once, and kept.
    Number(usize),
}

const FRESH: &str = "fresh";

impl FromStr for Views {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            (FRESH, _) => Ok(Self::Fresh),
            (_, Ok(views)) => Ok(Self::Number(views)),
            _ => Err(format!("views is a number or \"{FRESH}\", not \"{text}\"")),
        }
    }
}

impl Serialize for Views {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let views = match self {
            Self::Number(views) => Some(*views),
            Self::Fresh => None,
        };
        number_or_word::serialize(views, FRESH, serializer)
    }
}

impl<'de> Deserialize<'de> for Views {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let views = number_or_word(deserializer, FRESH)?;
        Ok(views.map_or(Self::Fresh, Self::Number))
    }
}

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The class of an image.
    Classify,
    /// The objects of an image, each with its class and its box.
    Detect,
}

impl Task {
    /// Name of the figure that picks the epoch.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Classify => "top-1 accuracy",
            Self::Detect => "mAP@[.5:.95]",
        }
    }

    /// The task that the data in a folder are for, by what is there: detection data of a layout that is
    /// not read are refused by name when they are opened.
    pub fn of_data(dir: &Path) -> Self {
        if scenes::is_detection(dir) {
            Self::Detect
        } else {
            Self::Classify
        }
    }
}

/// What is done about classes of which there are more images than of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Balance {
    /// Nothing: an epoch sees every image once.
    #[default]
    None,
    /// An epoch sees every class as often: of the small ones images come again, of the large ones some wait
    /// for another epoch.
    Sampling,
    /// The loss of an image is weighted by how rare its class is.
    Loss,
}

/// What to do about a step whose loss or gradient is not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNonFinite {
    /// Stop before it changes anything.
    #[default]
    Stop,
    /// Leave it out, at most ten in a row.
    Skip,
}

/// The part of the network that learns in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Train {
    /// The head: the whole backbone is frozen.
    Head,
    /// The stage of that name, what follows it, and the head.
    From(String),
    /// Everything.
    All,
}

impl FromStr for Train {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("from:")) {
            ("head", _) => Ok(Self::Head),
            ("all", _) => Ok(Self::All),
            (_, Some(stage)) if !stage.is_empty() => Ok(Self::From(stage.to_owned())),
            _ => Err(format!(
                "train is \"head\", \"all\" or \"from:<stage>\", not \"{text}\""
            )),
        }
    }
}

impl TryFrom<String> for Train {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Train> for String {
    fn from(train: Train) -> Self {
        train.to_string()
    }
}

impl fmt::Display for Train {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::From(stage) => write!(f, "from:{stage}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// How the learning rate changes over a phase, after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Falls along half a cosine to 1% of its highest value.
    Cosine,
    /// A tenth after each third of the phase.
    Step,
    /// Stays.
    Constant,
}

/// Where batch norm takes its statistics from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNorm {
    /// From the batch; the running statistics follow.
    Batch,
    /// The running statistics, unchanged; scale and shift still learn.
    Frozen,
}

/// How gradients become updates, with PyTorch's defaults for what isn't said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with Nesterov momentum 0.9.
    Sgd,
    /// Kingma and Ba (arXiv 1412.6980); weight decay is added to the gradient.
    Adam,
    /// Loshchilov and Hutter (arXiv 1711.05101); weight decay is apart from the gradient.
    AdamW,
}

impl OptimizerKind {
    /// Default learning rates of a frozen and of a thawed phase.
    pub(crate) fn learning_rates(self, task: Task) -> [f64; 2] {
        match (self, task) {
            (Self::Sgd, Task::Classify) => [3e-2, 3e-3],
            (Self::Adam | Self::AdamW, Task::Classify) => [3e-3, 3e-4],
            (Self::Sgd, Task::Detect) => [1e-2, 1e-2],
            (Self::Adam | Self::AdamW, Task::Detect) => [1e-3, 1e-3],
        }
    }

    /// Default weight decay.
    pub(crate) fn weight_decay(self, task: Task) -> f64 {
        match (self, task) {
            (Self::Sgd, _) => 5e-4,
            (Self::Adam, _) => 0.0,
            (Self::AdamW, Task::Classify) => 0.01,
            (Self::AdamW, Task::Detect) => 0.05,
        }
    }
}
