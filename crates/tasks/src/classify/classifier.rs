//! A trained classifier.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use warmstart_data::{DataError, Sample};
use warmstart_metrics::{softmax, top_k};
use warmstart_models::{Architecture, Tapped};
use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::layers::fold;
use warmstart_nn::ops::{global_average_pool, values};
use warmstart_nn::{Folded, Forward, Parameters};
use warmstart_recipe::Error;
use warmstart_weights::WeightFile;

use crate::classify::activation_map::{ActivationMap, WeightedLayer};
use crate::classify::class_tally::{ClassEvaluation, ClassTally};
use crate::classify::frozen_top::FrozenTwin;
use crate::classify::known::Unknown;
use crate::classify::{Head, Known, StoredModel, mean, multi_head, outputs};
use crate::model_file::ModelInfo;
use crate::network::{images, over_files, require_sound_file};

/// The k of the top-k accuracy that is measured beside the top-1 accuracy.
pub const TOP: usize = 5;

/// A classifier out of a model file.
pub struct Classifier {
    /// The file's metadata.
    pub info: ModelInfo,
    head: Head,
    backbone: Backbone,
    parameters: Parameters,
    /// Index of the last layer among those that the head reads.
    last: usize,
    known: Option<Known>,
    device: Device,
}

/// The part of a classifier before its head.
enum Backbone {
    /// The architecture's head reads the result of its last stage.
    Plain(Architecture, Folded),
    /// The means of the layers that a head on several layers reads.
    Layers(Tapped, Folded),
    /// The same of a model and its frozen twin, whose probabilities are averaged.
    Both {
        tapped: Tapped,
        folded: [Folded; 2],
        twin: FrozenTwin,
    },
}

impl Backbone {
    fn new(
        architecture: Architecture,
        layers: Vec<String>,
        parameters: &Parameters,
        twin: Option<FrozenTwin>,
        device: &Device,
    ) -> Self {
        let names: Vec<&str> = if layers.is_empty() {
            vec![architecture.last_layer()]
        } else {
            layers.iter().map(String::as_str).collect()
        };
        let tapped = || Tapped::new(&architecture, &names).expect("the file's layers were checked");
        match twin {
            Some(twin) => {
                let tapped = tapped();
                let folded = [parameters, &twin.parameters]
                    .map(|parameters| fold(parameters, tapped.layers(), device));
                Self::Both {
                    tapped,
                    folded,
                    twin,
                }
            }
            None if layers.is_empty() => {
                let folded = architecture.fold(0..architecture.stages.len(), parameters, device);
                Self::Plain(architecture, folded)
            }
            None => {
                let tapped = tapped();
                let folded = fold(parameters, tapped.layers(), device);
                Self::Layers(tapped, folded)
            }
        }
    }
}

/// The activations `[1, height, width, channels]` of an image, with the weights of a class in the parameter of that
/// name, `[classes, channels]`.
fn weighted(map: Tensor<4>, weight: &str, parameters: &Parameters, class: usize) -> WeightedLayer {
    let [_, height, width, channels] = map.dims();
    let weights = parameters.values(weight);
    WeightedLayer {
        shape: [height, width, channels],
        activations: values(map),
        weights: weights[class * channels..(class + 1) * channels].to_vec(),
    }
}

/// Logarithms of the mean of the probabilities of two models.
fn logits_of_mean(one: &[f32], other: &[f32]) -> Vec<f32> {
    let mean = mean(&softmax(one), &softmax(other));
    mean.iter()
        .map(|share| share.max(f32::MIN_POSITIVE).ln())
        .collect()
}

/// A classified image.
pub struct Prediction {
    /// The file.
    pub path: PathBuf,
    /// Probability of each class, in the order of the model's classes; or why the file could not be read.
    pub probabilities: Result<Vec<f32>, DataError>,
    /// How unlike all training images it is; `None` where it could not be read, and of a model that has no record of
    /// them.
    pub unknown: Option<Unknown>,
}

/// A labelled image and what the model says of it.
pub struct JudgedImage {
    /// The file.
    pub path: PathBuf,
    /// Index of its class.
    pub label: usize,
    /// Probability of each class, in the order of the model's classes.
    pub probabilities: Vec<f32>,
}

impl JudgedImage {
    /// Index of the likeliest class, with its probability.
    pub fn prediction(&self) -> (usize, f32) {
        top_k(&self.probabilities, 1)[0]
    }

    /// Indices of the [`TOP`] likeliest classes, the likeliest first.
    pub fn likeliest(&self) -> Vec<usize> {
        let best = top_k(&self.probabilities, TOP).into_iter();
        best.map(|(class, _)| class).collect()
    }
}

/// What a classifier says of an image.
pub struct Classified {
    /// Probability of each class, in the order of the model's classes.
    pub probabilities: Vec<f32>,
    /// As in [`Prediction`].
    pub unknown: Option<Unknown>,
}

impl Classifier {
    pub(crate) fn new(
        info: ModelInfo,
        file: &mut WeightFile,
        device: &Device,
    ) -> Result<Self, Error> {
        let architecture = warmstart_recipe::architecture(&info.model)?;
        let classes = info.classes.len();
        let head = Head::new(&architecture, classes);
        let mut ordinary = architecture.backbone_parameters();
        ordinary.extend(head.parameters().iter().cloned());
        require_sound_file(file)?;
        let StoredModel { parameters, twin } =
            StoredModel::take(file, ordinary, &architecture, classes, device)?;
        let layers = multi_head::layers(&parameters);
        let last = architecture.last_layer();
        let last = layers.iter().position(|layer| layer == last);
        // The frozen network has not learned from the images in its record.
        let of_twin = twin.as_ref().map(|twin| &twin.parameters);
        Ok(Self {
            last: last.unwrap_or_default(),
            known: Known::of(of_twin.unwrap_or(&parameters)),
            backbone: Backbone::new(architecture, layers, &parameters, twin, device),
            info,
            head,
            parameters,
            device: device.clone(),
        })
    }

    /// Logits of normalised images, each `[height, width, 3]`: one row per image, in the order of the model's classes.
    /// Those of two models are the logarithms of the mean of their probabilities.
    pub fn logits(&self, pixels: &[&[f32]]) -> Vec<Vec<f32>> {
        self.infer(pixels).0
    }

    /// The probabilities of normalised images, each `[height, width, 3]`, and how unlike all training images each is.
    pub fn classify(&self, pixels: &[&[f32]]) -> Vec<Classified> {
        let (logits, means) = self.infer(pixels);
        let means = values(means);
        let channels = means.len() / pixels.len().max(1);
        let means = means.chunks(channels.max(1));
        let classified = |(logits, means): (Vec<f32>, &[f32])| {
            let probabilities = softmax(&logits);
            let largest = probabilities.iter().copied().fold(0.0, f32::max);
            Classified {
                unknown: self.known.as_ref().map(|known| known.judge(means, largest)),
                probabilities,
            }
        };
        logits.into_iter().zip(means).map(classified).collect()
    }

    /// Whether the model has a record of its training images.
    pub fn has_record(&self) -> bool {
        self.known.is_some()
    }

    /// The logits, and the means of the last layer, one row per image; of two networks, those of the frozen one.
    fn infer(&self, pixels: &[&[f32]]) -> (Vec<Vec<f32>>, Tensor<2>) {
        let images = images(pixels, self.info.preprocessing.crop, &self.device);
        let rows = |features: Vec<Tensor<4>>, parameters: &Parameters| -> Vec<Vec<f32>> {
            let logits = values(outputs(&self.head, features, parameters));
            let rows = logits.chunks(self.info.classes.len());
            rows.map(<[f32]>::to_vec).collect()
        };
        match &self.backbone {
            Backbone::Plain(architecture, folded) => {
                let stages = 0..architecture.stages.len();
                let mut forward = Forward::Inference(folded);
                let features = architecture.forward(stages, images, &mut forward);
                let means = global_average_pool(features.clone());
                (rows(vec![features], &self.parameters), means)
            }
            Backbone::Layers(tapped, folded) => {
                let maps = tapped.mean_maps(images, folded);
                let means = global_average_pool(maps[self.last].clone());
                (rows(maps, &self.parameters), means)
            }
            Backbone::Both {
                tapped,
                folded: [own, frozen],
                twin,
            } => {
                let maps = tapped.mean_maps_of_both(images, [own, frozen], twin.shared);
                let [own, frozen] = maps;
                let means = global_average_pool(frozen[self.last].clone());
                let own = rows(own, &self.parameters);
                let frozen = rows(frozen, &twin.parameters);
                let pairs = own.iter().zip(&frozen);
                let logits = pairs.map(|(own, frozen)| logits_of_mean(own, frozen));
                (logits.collect(), means)
            }
        }
    }

    /// Where in a normalised image `[height, width, 3]` it sees a class; `None` of a network whose last layer before the
    /// head has one place. Of two networks, the mean of their maps.
    pub fn activation_map(&self, pixels: &[f32], class: usize) -> Option<ActivationMap> {
        let images = images(&[pixels], self.info.preprocessing.crop, &self.device);
        match &self.backbone {
            Backbone::Plain(architecture, folded) => {
                let stages = 0..architecture.stages.len();
                let mut forward = Forward::Inference(folded);
                let features = architecture.forward(stages, images, &mut forward);
                let weight = &self.head.parameters()[0].name;
                ActivationMap::of(&[weighted(features, weight, &self.parameters, class)])
            }
            Backbone::Layers(tapped, folded) => {
                self.map_of_layers(tapped.maps(images, folded), &self.parameters, class)
            }
            Backbone::Both {
                tapped,
                folded: [own, frozen],
                twin,
            } => {
                let own = tapped.maps(images.clone(), own);
                let frozen = tapped.maps(images, frozen);
                let own = self.map_of_layers(own, &self.parameters, class)?;
                let frozen = self.map_of_layers(frozen, &twin.parameters, class)?;
                Some(own.mean(&frozen))
            }
        }
    }

    /// The map of the layers that a head reads: several, or the backbone's last.
    fn map_of_layers(
        &self,
        maps: Vec<Tensor<4>>,
        parameters: &Parameters,
        class: usize,
    ) -> Option<ActivationMap> {
        let layers = multi_head::layers(parameters);
        let names: Vec<String> = if layers.is_empty() {
            vec![self.head.parameters()[0].name.clone()]
        } else {
            let layers = layers.iter();
            layers.map(|layer| multi_head::weight_name(layer)).collect()
        };
        let layers = maps.into_iter().zip(&names);
        let layers = layers.map(|(map, name)| weighted(map, name, parameters, class));
        ActivationMap::of(&layers.collect::<Vec<_>>())
    }

    /// Classifies files, handing each result to `each` in the order of `paths` until it breaks.
    ///
    /// # Errors
    /// If a thread that reads images panics. A file that cannot be read is a result, not an error.
    pub fn predict(
        &self,
        paths: &[PathBuf],
        workers: usize,
        each: &mut dyn FnMut(Prediction) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let preprocessing = self.info.preprocessing.clone();
        over_files(
            paths,
            workers,
            move |path| warmstart_data::evaluation_pixels(path, &preprocessing),
            |pixels| {
                let pixels: Vec<&[f32]> = pixels.iter().map(Vec::as_slice).collect();
                self.classify(&pixels)
            },
            |path, classified| {
                let unknown = classified.as_ref().ok();
                each(Prediction {
                    path: path.to_owned(),
                    unknown: unknown.and_then(|classified| classified.unknown),
                    probabilities: classified.map(|classified| classified.probabilities),
                })
            },
        )
    }

    /// The images of a folder of class folders.
    ///
    /// # Errors
    /// If the folder has a class that the model doesn't know, or no image.
    pub fn images(&self, folder: &Path) -> Result<Vec<Sample>, Error> {
        Ok(warmstart_data::open_split(folder, &self.info.classes)?.samples)
    }

    /// Evaluates the model on images whose labels are indices of its classes, and hands each that can be read to `each`,
    /// in their order. They are not kept: the probabilities of many images and classes fill a memory.
    ///
    /// # Errors
    /// If none of them can be read.
    pub fn evaluate(
        &self,
        samples: &[Sample],
        workers: usize,
        each: &mut dyn FnMut(JudgedImage),
    ) -> Result<ClassEvaluation, Error> {
        let mut tally = ClassTally::new(self.info.classes.clone());
        self.judge(samples, workers, &mut |judged| match judged {
            Ok(image) => {
                tally.add(image.label, &image.likeliest());
                each(image);
            }
            Err(error) => tally.add_unreadable(error.to_string()),
        })?;
        tally.evaluation()
    }

    /// Classifies images whose labels are indices of its classes, and hands each to `each`, in their order, or why it
    /// cannot be read.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn judge(
        &self,
        samples: &[Sample],
        workers: usize,
        each: &mut dyn FnMut(Result<JudgedImage, DataError>),
    ) -> Result<(), Error> {
        let paths: Vec<_> = samples.iter().map(|sample| sample.path.clone()).collect();
        let mut labels = samples.iter().map(|sample| sample.label);
        self.predict(&paths, workers, &mut |prediction| {
            let label = labels.next().expect("a label for each file");
            let path = prediction.path;
            each(prediction.probabilities.map(|probabilities| JudgedImage {
                path,
                label,
                probabilities,
            }));
            ControlFlow::Continue(())
        })
    }
}
