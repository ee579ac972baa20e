//! `warmstart export`: a trained model as files of other libraries.

use std::path::{Path, PathBuf};

use serde::Serialize;
use warmstart_data::{DecodedPicture, RgbImage, SplitKind, decode};
use warmstart_export::{
    Agreement, Exported, OnnxRequest, Reference, export_onnx, export_torch, export_web, noise,
};
use warmstart_recipe::Error;
use warmstart_recipe::run_files::resolve_path;
use warmstart_tasks::classify::Classification;
use warmstart_tasks::detect::Detection;
use warmstart_tasks::kinds::Trained;

use crate::run_data::RunData;

/// Most images that engines are compared on.
const COMPARED: usize = 16;

/// A request for files of other libraries.
pub struct Request {
    /// A model file, or the folder of a run.
    pub model: PathBuf,
    /// The ONNX file.
    pub onnx: Option<OnnxRequest>,
    /// The folder for PyTorch.
    pub torch: Option<PathBuf>,
    /// The folder with a page for a browser.
    pub web: Option<PathBuf>,
    /// The folder with the page's runtime; the npm client fetches it where there is none.
    pub runtime: Option<PathBuf>,
}

/// The files that were written.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The ONNX file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onnx: Option<Exported>,
    /// What engines were compared on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_on: Option<ComparedOn>,
    /// The trainer's own answers for the validation images with every pixel decoded, as the files take them, beside
    /// those for the images as they were decoded in training; `None` where that is the same, or they are not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fully_decoded: Option<Agreement>,
    /// Whether the model was trained on JPEGs that were decoded at a fraction of their size.
    #[serde(skip)]
    pub is_of_fractions: bool,
    /// The page for a browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<Exported>,
    /// The files for PyTorch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub torch: Vec<PathBuf>,
    /// What there is to say of the file's class names, which is no part of what was written.
    #[serde(skip)]
    pub note: Option<String>,
}

/// The images that engines are compared on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparedOn {
    /// Validation images of the run that made the model.
    ValidationImages,
    /// Noise, because no such images are there.
    Noise,
}

/// Writes the files.
///
/// # Errors
/// If the model cannot be read, an engine disagrees, or a file cannot be written.
pub fn export(request: &Request) -> Result<Outcome, Error> {
    let mut outcome = Outcome {
        onnx: None,
        compared_on: None,
        fully_decoded: None,
        is_of_fractions: false,
        web: None,
        torch: Vec::new(),
        note: None,
    };
    let source = resolve_path(&request.model)?;
    let (trained, note) = Trained::load_noted(&source, &warmstart_nn::device())?;
    outcome.note = note;
    outcome.is_of_fractions = !trained.info().preprocessing.decode.is_full();
    if request.onnx.is_some() || request.web.is_some() {
        let paths = validation_images(&request.model, &trained);
        let (validation, as_trained) = if outcome.is_of_fractions {
            decoded_twice(&trained, &paths)
        } else {
            let whole = paths.iter().filter_map(|path| decode(path).ok());
            (whole.collect(), Vec::new())
        };
        if !as_trained.is_empty() {
            outcome.fully_decoded = Some(fully_decoded(&trained, &as_trained, &validation)?);
        }
        let (pictures, compared_on) = if validation.is_empty() {
            (noise(), ComparedOn::Noise)
        } else {
            (validation, ComparedOn::ValidationImages)
        };
        if let Some(onnx) = &request.onnx {
            outcome.onnx = Some(export_onnx(&source, &trained, &pictures, onnx)?);
        }
        if let Some(folder) = &request.web {
            let runtime = request.runtime.as_deref();
            outcome.web = Some(export_web(&source, &trained, &pictures, folder, runtime)?);
        }
        outcome.compared_on = Some(compared_on);
    }
    if let Some(folder) = &request.torch {
        outcome.torch = export_torch(&source, folder)?.into();
    }
    Ok(outcome)
}

/// Images with every pixel decoded and the same images as in training, without those that cannot be read both ways.
fn decoded_twice(trained: &Trained, paths: &[PathBuf]) -> (Vec<RgbImage>, Vec<DecodedPicture>) {
    let preprocessing = &trained.info().preprocessing;
    let pairs = paths.iter().filter_map(|path| {
        let whole = decode(path).ok()?;
        Some((whole, preprocessing.decoded(path).ok()?))
    });
    pairs.unzip()
}

/// The trainer's answers for images with every pixel decoded, beside those for the images as in training.
fn fully_decoded(
    trained: &Trained,
    decoded: &[DecodedPicture],
    images: &[RgbImage],
) -> Result<Agreement, Error> {
    let as_trained = Reference::as_trained(trained, decoded)?;
    Ok(as_trained.compare(&Reference::new(trained, images)?.results))
}

/// Some validation images of the run that made a model, evenly spread; none if it is not in the folder of a run.
fn validation_images(model: &Path, trained: &Trained) -> Vec<PathBuf> {
    let info = trained.info();
    let Ok(Some(run)) = RunData::beside(model, Some(info.classes.len())) else {
        return Vec::new();
    };
    let split = SplitKind::Validation;
    let paths: Vec<PathBuf> = match trained {
        Trained::Classifier(_) => {
            let images = run.images::<Classification>(split, &info.classes);
            let samples = images.map(|images| images.samples).unwrap_or_default();
            samples.into_iter().map(|sample| sample.path).collect()
        }
        Trained::Detector(_) => {
            let images = run.images::<Detection>(split, &info.classes);
            let samples = images.map(|images| images.samples).unwrap_or_default();
            samples.into_iter().map(|sample| sample.path).collect()
        }
    };
    let step = paths.len().div_ceil(COMPARED).max(1);
    paths.into_iter().step_by(step).collect()
}
