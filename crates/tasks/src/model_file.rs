//! The model as a file: parameters under native names, and metadata with everything that its use needs.

use std::path::Path;

use serde::{Deserialize, Serialize};
use warmstart_data::Preprocessing;
use warmstart_language::message;
use warmstart_models::{Architecture, full_name};
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::{ParameterInfo, Parameters};
use warmstart_recipe::{Error, TaskKind};
use warmstart_weights::{SavedData, SavedTensor, WeightError, WeightFile};

use crate::model_metadata;

/// Version of the metadata that this program writes.
const FORMAT: u32 = 1;

/// The metadata of a model file, under its one key `warmstart`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Version of this metadata.
    pub format: u32,
    /// The task that the model was trained for.
    pub task: TaskKind,
    /// Name of the architecture.
    pub model: String,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// The preprocessing of an image.
    pub preprocessing: Preprocessing,
    /// Lowest score of an object that is shown unless another is asked for, 0 to 1: where F1 was highest on the
    /// validation images. `None` for a classifier, and where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
}

impl ModelInfo {
    /// The metadata of a model that was trained here.
    pub fn new(
        task: TaskKind,
        architecture: &Architecture,
        classes: &[String],
        preprocessing: Preprocessing,
    ) -> Self {
        Self {
            format: FORMAT,
            task,
            model: full_name(architecture).to_owned(),
            classes: classes.to_owned(),
            preprocessing,
            confidence: None,
        }
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("metadata are plain data")
    }

    /// Difference between a checkpoint's metadata and these, in words; `None` if they are the same.
    pub fn difference(&self, found: Option<&Self>) -> Option<String> {
        let Some(found) = found else {
            return Some(message!("it has no metadata"));
        };
        if found.model != self.model {
            return Some(message!(
                "it is a {}, the recipe asks for {}",
                found.model,
                self.model
            ));
        }
        if found.classes != self.classes {
            return Some(message!(
                "its classes are {}, the data's are {}",
                found.classes.join(", "),
                self.classes.join(", ")
            ));
        }
        if found.preprocessing.crop != self.preprocessing.crop {
            return Some(message!(
                "its images are {0} x {0}, the recipe's {1} x {1}",
                found.preprocessing.crop,
                self.preprocessing.crop
            ));
        }
        // A checkpoint has the confidence of its own epoch.
        let rest = |info: &Self| Self {
            confidence: None,
            ..info.clone()
        };
        (rest(found) != rest(self))
            .then(|| message!("its task or preprocessing is not the recipe's"))
    }

    /// The metadata of a weight file, or `None` if warmstart did not write it.
    ///
    /// # Errors
    /// If it was written by a newer version, or has an invalid value.
    pub fn of(file: &WeightFile) -> Result<Option<Self>, Error> {
        // Tensors that are written without metadata have a null in their place.
        let Some(value) = file.metadata.as_ref().filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let problem = |what: String| Error::model(&file.path, what);
        if value["format"].as_u64() > Some(FORMAT.into()) {
            let what = message!("it was written by a newer version of warmstart");
            return Err(problem(what).fix(message!("update this one")));
        }
        model_metadata::check(value, FORMAT)
            .map_err(|problem| Error::Model(Box::new(problem.of_file(&file.path))))?;
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|error| problem(message!("its warmstart metadata cannot be read ({error})")))
    }
}

/// Writes a model file into a folder that no other process reads yet; the same parameters give the same bytes.
///
/// # Errors
/// If the disk refuses.
pub fn write_model(path: &Path, parameters: &Parameters, info: &ModelInfo) -> Result<(), Error> {
    with_tensors(parameters, |tensors| {
        warmstart_weights::write(path, tensors, &info.to_json())
    })
}

/// [`write_model`], but without metadata.
///
/// # Errors
/// If the disk refuses.
pub fn write_tensors(path: &Path, parameters: &Parameters) -> Result<(), Error> {
    with_tensors(parameters, |tensors| {
        warmstart_weights::write(path, tensors, &serde_json::Value::Null)
    })
}

/// Replaces a model file atomically.
///
/// # Errors
/// If the disk refuses.
pub fn replace_model(path: &Path, parameters: &Parameters, info: &ModelInfo) -> Result<(), Error> {
    with_tensors(parameters, |tensors| {
        warmstart_weights::save(path, tensors, &info.to_json())
    })
}

/// Hands the parameters to `write`; their values are fetched one tensor at a time.
fn with_tensors(
    parameters: &Parameters,
    write: impl FnOnce(Vec<SavedTensor>) -> Result<(), WeightError>,
) -> Result<(), Error> {
    let names = parameters.names();
    let shapes: Vec<_> = names.map(|name| (name, parameters.shape(name))).collect();
    let fetch = |name: &str| parameters.values(name);
    let saved = shapes.iter().map(|(name, shape)| SavedTensor {
        name,
        shape,
        data: SavedData::Fetched(shape.iter().product(), &fetch),
    });
    Ok(write(saved.collect())?)
}

/// Reads a file of tensors that warmstart wrote.
///
/// # Errors
/// If it cannot be read.
pub fn read_tensors(path: &Path, device: &Device) -> Result<Parameters, Error> {
    let file = warmstart_weights::read(path)?;
    let mut parameters = Parameters::new();
    for (name, tensor) in file.tensors {
        parameters.insert_values(&name, &tensor.shape, tensor.data, device);
    }
    Ok(parameters)
}

/// A model's parameters out of a file that must hold all of them.
///
/// # Errors
/// If one is missing or has another shape.
pub fn complete_parameters(
    file: &mut WeightFile,
    expected: &[ParameterInfo],
    device: &Device,
) -> Result<Parameters, Error> {
    let mut parameters = Parameters::new();
    for info in expected {
        let problem = |what: String| Error::model(&file.path, what);
        let tensor = file
            .tensors
            .remove(&info.name)
            .ok_or_else(|| problem(message!("it has no tensor {}", info.name)))?;
        if tensor.shape != info.shape {
            return Err(problem(message!(
                "{} is {:?}, and the model needs {:?}",
                info.name,
                tensor.shape,
                info.shape
            )));
        }
        parameters.insert_values(&info.name, &tensor.shape, tensor.data, device);
    }
    Ok(parameters)
}

/// Refuses values that turn every result into NaN, such as those of a training that diverged or of a damaged copy: a
/// NaN or an infinity, or a negative variance of a batch norm.
///
/// # Errors
/// If a tensor of the file holds one; the error names the first by name.
pub fn require_sound<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, &'a [f32])>,
) -> Result<(), Error> {
    for (name, values) in tensors {
        let is_variance = name.rsplit('.').next() == Some("running_var");
        let what = if values.iter().any(|value| !value.is_finite()) {
            message!("{name} holds values that are not finite")
        } else if is_variance && values.iter().any(|value| *value < 0.0) {
            message!("{name} holds negative variances")
        } else {
            continue;
        };
        return Err(Error::model(path, what).fix(message!("take another copy")));
    }
    Ok(())
}
