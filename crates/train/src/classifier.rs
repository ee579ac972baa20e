//! A trained classifier as it is used: all it needs is in its one file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use warmstart_data::{DataError, Loader, batches};
use warmstart_metrics::{ConfusionMatrix, top_k};
use warmstart_models::Architecture;
use warmstart_nn::block::Forward;
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::{Folded, Parameters};

use crate::Error;
use crate::classify::Head;
use crate::frozen::INFERENCE_BATCH;
use crate::frozen::images;
use crate::model_file::{ModelInfo, complete_parameters, resolve_path};

/// Predictions among which the right class is looked for, besides the first.
pub const TOP: usize = 5;
/// Batches that are prepared ahead of the one in the network.
const BATCHES_AHEAD: usize = 2;

/// A classifier out of a model file.
pub struct Classifier {
    /// The file's metadata.
    pub info: ModelInfo,
    architecture: Architecture,
    head: Head,
    parameters: Parameters,
    folded: Folded,
    device: Device,
}

/// How good a classifier is on labelled images.
pub struct ClassEvaluation {
    /// What was taken for what.
    pub confusion: ConfusionMatrix,
    /// Share of images whose class is among the first five.
    pub top_5: f64,
    /// A message for each image that could not be read and was left out.
    pub unreadable: Vec<String>,
}

/// A classified image.
pub struct Prediction {
    /// The file.
    pub path: PathBuf,
    /// Probability of each class, in the order of the model's classes; or why there is none.
    pub probabilities: Result<Vec<f32>, DataError>,
}

impl Classifier {
    /// Loads a model file, or the kept model of a run's folder.
    ///
    /// # Errors
    /// If it isn't a classifier that warmstart wrote.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let path = resolve_path(path);
        let mut file = warmstart_weights::read(&path)?;
        let Some(info) = ModelInfo::of(&file)? else {
            return Err(Error::Model {
                path,
                problem: "it carries no class names and preprocessing: give a model that \
                          warmstart trained (best.safetensors), or train one from these weights"
                    .into(),
            });
        };
        let architecture = crate::architecture(&info.model)?;
        let head = Head::new(&architecture, info.classes.len());
        let mut expected = architecture.backbone_parameters();
        expected.extend(head.parameters().clone());
        let device = warmstart_nn::device();
        let parameters = complete_parameters(&mut file, &expected, &device)?;
        let folded = architecture.fold(0..architecture.stages.len(), &parameters, &device);
        Ok(Self {
            info,
            architecture,
            head,
            parameters,
            folded,
            device,
        })
    }

    /// Logits of normalised images, each `[height, width, 3]`: a row an image in the order of the
    /// model's classes.
    pub fn logits(&self, pixels: &[&[f32]]) -> Vec<Vec<f32>> {
        let images = images(pixels, self.info.preprocessing.crop, &self.device);
        let stages = 0..self.architecture.stages.len();
        let mut forward = Forward::Inference(&self.folded);
        let features = self.architecture.forward(stages, images, &mut forward);
        let logits = self.head.logits(features, &self.parameters, None);
        let values: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        values
            .chunks(self.info.classes.len())
            .map(<[f32]>::to_vec)
            .collect()
    }

    /// Classifies files, handing each result to `each` in the order of `paths`.
    ///
    /// # Errors
    /// If a thread that reads images dies. A file that cannot be read is a result, not an error.
    pub fn predict(
        &self,
        paths: &[PathBuf],
        workers: usize,
        each: &mut dyn FnMut(Prediction),
    ) -> Result<(), Error> {
        let preprocessing = self.info.preprocessing.clone();
        let files = paths.to_vec();
        let prepare = move |index: usize| {
            Ok(warmstart_data::evaluation_pixels(
                &files[index],
                &preprocessing,
            ))
        };
        let order: Vec<usize> = (0..paths.len()).collect();
        let batches = batches(&order, INFERENCE_BATCH);
        let loader = Loader::new(batches, workers, BATCHES_AHEAD, Arc::new(prepare));
        let mut rest = paths.iter();
        for batch in loader {
            let mut readable = Vec::new();
            let mut failures = Vec::new();
            for pixels in batch? {
                failures.push(match pixels {
                    Ok(pixels) => {
                        readable.push(pixels);
                        None
                    }
                    Err(error) => Some(error),
                });
            }
            let pixels: Vec<&[f32]> = readable.iter().map(Vec::as_slice).collect();
            let logits = if pixels.is_empty() {
                Vec::new()
            } else {
                self.logits(&pixels)
            };
            let mut logits = logits.into_iter();
            for (failure, path) in failures.into_iter().zip(&mut rest) {
                let probabilities = match failure {
                    Some(error) => Err(error),
                    None => Ok(warmstart_metrics::softmax(
                        &logits.next().expect("a row for each readable image"),
                    )),
                };
                each(Prediction {
                    path: path.clone(),
                    probabilities,
                });
            }
        }
        Ok(())
    }

    /// Measures the model on a folder of class folders.
    ///
    /// # Errors
    /// If the folder has a class that the model doesn't know, or no image that can be read.
    pub fn evaluate(&self, folder: &Path, workers: usize) -> Result<ClassEvaluation, Error> {
        let samples = warmstart_data::open_split(folder, &self.info.classes)?.samples;
        let paths: Vec<_> = samples.iter().map(|sample| sample.path.clone()).collect();
        let mut labels = samples.iter().map(|sample| sample.label);
        let mut confusion = ConfusionMatrix::new(self.info.classes.clone());
        let mut among_top = 0;
        let mut unreadable = Vec::new();
        self.predict(&paths, workers, &mut |prediction| {
            let label = labels.next().expect("a label for each file");
            match prediction.probabilities {
                Ok(probabilities) => {
                    let best = top_k(&probabilities, TOP);
                    confusion.add(label, best[0].0);
                    among_top += usize::from(best.iter().any(|(class, _)| *class == label));
                }
                Err(error) => unreadable.push(error.to_string()),
            }
        })?;
        if confusion.total() == 0 {
            return Err(Error::usage(format!(
                "{}: none of its {} images can be read; the first: {}",
                folder.display(),
                unreadable.len(),
                unreadable[0]
            )));
        }
        Ok(ClassEvaluation {
            top_5: among_top as f64 / confusion.total() as f64,
            confusion,
            unreadable,
        })
    }
}
