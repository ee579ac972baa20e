//! A trained classifier.

use std::path::{Path, PathBuf};

use warmstart_data::{DataError, Sample};
use warmstart_metrics::{ConfusionMatrix, Interval, top_k, wilson};
use warmstart_recipe::Error;
use warmstart_weights::WeightFile;

use crate::classify::Head;
use crate::model_file::ModelInfo;
use crate::network::{Network, none_readable, over_files};

/// The k of the top-k accuracy that is measured beside the top-1 accuracy.
pub const TOP: usize = 5;

/// A classifier out of a model file.
pub struct Classifier {
    /// The file's metadata.
    pub info: ModelInfo,
    head: Head,
    network: Network,
}

/// Evaluation of a classifier on labelled images.
pub struct ClassEvaluation {
    /// The confusion matrix.
    pub confusion: ConfusionMatrix,
    /// Share of images whose class is among the first five.
    pub top_5: f64,
    /// Its 95% interval.
    pub top_5_interval: Interval,
    /// A message for each image that could not be read and was left out.
    pub unreadable: Vec<String>,
}

/// A classified image.
pub struct Prediction {
    /// The file.
    pub path: PathBuf,
    /// Probability of each class, in the order of the model's classes; or why the file could not be read.
    pub probabilities: Result<Vec<f32>, DataError>,
}

impl Classifier {
    pub(crate) fn new(info: ModelInfo, file: &mut WeightFile) -> Result<Self, Error> {
        let backbone = warmstart_recipe::architecture(&info.model)?;
        let head = Head::new(&backbone, info.classes.len());
        let parameters = head.parameters().to_vec();
        Ok(Self {
            network: Network::new(backbone, parameters, Vec::new(), &info, file)?,
            head,
            info,
        })
    }

    /// Logits of normalised images, each `[height, width, 3]`: one row per image, in the order of the model's classes.
    pub fn logits(&self, pixels: &[&[f32]]) -> Vec<Vec<f32>> {
        let features = self.network.features(pixels).swap_remove(0);
        let logits = self.head.logits(features, &self.network.parameters, None);
        let values: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        values
            .chunks(self.info.classes.len())
            .map(<[f32]>::to_vec)
            .collect()
    }

    /// Classifies files, handing each result to `each` in the order of `paths`.
    ///
    /// # Errors
    /// If a thread that reads images panics. A file that cannot be read is a result, not an error.
    pub fn predict(
        &self,
        paths: &[PathBuf],
        workers: usize,
        each: &mut dyn FnMut(Prediction),
    ) -> Result<(), Error> {
        let preprocessing = self.info.preprocessing.clone();
        over_files(
            paths,
            workers,
            move |path| warmstart_data::evaluation_pixels(path, &preprocessing),
            |pixels| {
                let pixels: Vec<&[f32]> = pixels.iter().map(Vec::as_slice).collect();
                self.logits(&pixels)
            },
            |path, logits| {
                each(Prediction {
                    path: path.to_owned(),
                    probabilities: logits.map(|logits| warmstart_metrics::softmax(&logits)),
                });
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

    /// Evaluates the model on images whose labels are indices of its classes.
    ///
    /// # Errors
    /// If none of them can be read.
    pub fn evaluate(&self, samples: &[Sample], workers: usize) -> Result<ClassEvaluation, Error> {
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
            return Err(none_readable(&unreadable));
        }
        Ok(ClassEvaluation {
            top_5: among_top as f64 / confusion.total() as f64,
            top_5_interval: wilson(among_top, confusion.total()),
            confusion,
            unreadable,
        })
    }
}
