//! The types of each kind of task: the one place that matches it.

use std::path::Path;

use serde_json::Value;
use warmstart_data::{DataError, DecodedPicture, Preprocessing};
use warmstart_language::message;
use warmstart_metrics::top_k;
use warmstart_models::by_name;
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::{Error, TaskKind};

use crate::answer::{self, SHOWN_CLASSES};
use crate::classify::classifier::{Classified, Classifier};
use crate::detect::detector::Detector;
use crate::detect::found_object::FoundObject;
use crate::model_file::ModelInfo;
use crate::prepared::PreparedPicture;
use crate::published::{note_on_model, read_model};

/// Evaluates an expression with a name for the type of the task of a kind:
/// `with_task!(recipe.task, T => train_task::<T>(recipe))`.
#[macro_export]
macro_rules! with_task {
    ($kind:expr, $task:ident => $work:expr) => {
        match $kind {
            $crate::TaskKind::Classify => {
                type $task = $crate::classify::Classification;
                $work
            }
            $crate::TaskKind::Detect => {
                type $task = $crate::detect::Detection;
                $work
            }
        }
    };
}

/// A trained model of either task.
pub enum Trained {
    /// A classifier.
    Classifier(Box<Classifier>),
    /// A detector.
    Detector(Box<Detector>),
}

impl Trained {
    /// What the model is, in a line: the record whose constants it has, and the pictures that it takes.
    pub fn line(&self) -> String {
        let info = self.info();
        let Preprocessing { crop, fit, .. } = info.preprocessing;
        let network = by_name(&info.model);
        let constants = network.as_ref().map_or("", |network| &network.record.name);
        message!(
            "model: {} with the constants of {constants}, {} classes, {crop} × {crop} pixels ({fit})",
            info.model,
            info.classes.len()
        )
    }

    /// Loads a model file, the kept model of a run's folder, or a published detector by its file or its name, onto the
    /// device that it computes on.
    ///
    /// # Errors
    /// If it is neither a model that warmstart wrote nor such a detector, or its file is not on this machine.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        Self::load_noted(path, device).map(|(model, _)| model)
    }

    /// [`load`](Self::load), with what there is to say of the file's class names, if anything.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn load_noted(path: &Path, device: &Device) -> Result<(Self, Option<String>), Error> {
        let (mut file, info) = read_model(path)?;
        let note = note_on_model(&file, &info);
        let model = match info.task {
            TaskKind::Classify => {
                Self::Classifier(Box::new(Classifier::new(info, &mut file, device)?))
            }
            TaskKind::Detect => Self::Detector(Box::new(Detector::new(info, &mut file, device)?)),
        };
        Ok((model, note))
    }

    /// The metadata of its file.
    pub fn info(&self) -> &ModelInfo {
        match self {
            Self::Classifier(classifier) => &classifier.info,
            Self::Detector(detector) => &detector.info,
        }
    }

    /// The function that prepares a picture for it; it is for other threads than the model's.
    pub fn preparation(&self) -> Box<Preparation> {
        let preprocessing = self.info().preprocessing.clone();
        match self {
            Self::Classifier(_) => Box::new(move |path, bytes| {
                let picture = decoded(path, bytes, &preprocessing)?;
                PreparedPicture::for_classifier(&picture, &preprocessing)
            }),
            Self::Detector(_) => Box::new(move |path, bytes| {
                let picture = decoded(path, bytes, &preprocessing)?;
                Ok(PreparedPicture::for_detector(&picture, &preprocessing))
            }),
        }
    }

    /// What `predict --json` prints of pictures by default: an answer for each file's name and its picture, which went
    /// through this model's [`preparation`](Self::preparation).
    pub fn answers(&self, pictures: &[(&str, &PreparedPicture)]) -> Vec<Value> {
        let names = &self.info().classes;
        let files = pictures.iter().map(|(file, _)| *file);
        match self {
            Self::Classifier(classifier) => {
                let pixels: Vec<&[f32]> = pictures.iter().map(|(_, one)| one.pixels()).collect();
                let classified = classifier.classify(&pixels);
                let answer = |(file, classified): (&str, Classified)| {
                    let classes = top_k(&classified.probabilities, SHOWN_CLASSES);
                    answer::of_classes(file, &classes, names, classified.unknown)
                };
                files.zip(classified).map(answer).collect()
            }
            Self::Detector(detector) => {
                let prepared: Vec<&PreparedPicture> =
                    pictures.iter().map(|(_, one)| *one).collect();
                let found = detector.find(&prepared, detector.selection());
                let answer = |(file, objects): (&str, Vec<FoundObject>)| {
                    answer::of_objects(file, &objects, names)
                };
                files.zip(found).map(answer).collect()
            }
        }
    }
}

/// Prepares the bytes of a picture's file for a model; the path is the one that an error names.
pub type Preparation = dyn Fn(&Path, &[u8]) -> Result<PreparedPicture, DataError> + Send + Sync;

fn decoded(
    path: &Path,
    bytes: &[u8],
    preprocessing: &Preprocessing,
) -> Result<DecodedPicture, DataError> {
    let decoded = preprocessing.decoded_bytes(bytes);
    decoded.map_err(|reason| DataError::Decode {
        path: path.to_owned(),
        reason,
    })
}
