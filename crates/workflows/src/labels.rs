//! `warmstart data labels`: the images of a data set whose labels the others speak against.

use std::path::{Path, PathBuf};

use warmstart_data::{DataError, Dataset, Sample, scenes};
use warmstart_language::message;
use warmstart_metrics::label_doubts;
use warmstart_recipe::{Draft, Error, Problem, resolve};
use warmstart_run::doubts::Doubt;
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::classify::Classification;
use warmstart_tasks::task::Task;
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::linear_probe::{choose_fit, left_out};
use warmstart_train::open_data::open_data;
use warmstart_train::resources::Resources;
use warmstart_train::trainer::Trainer;

use crate::recognise::settle_model;
use crate::settle_data::local_data;

/// Ends of the names of files of weights.
const WEIGHT_FILES: [&str; 4] = ["safetensors", "pth", "pt", "onnx"];

/// A request to judge the labels of a data set without a run.
pub struct Request {
    /// Folder of class folders, or a list.
    pub data: PathBuf,
    /// Pretrained file, or name of published weights; `None` for the default.
    pub weights: Option<String>,
    /// The architecture, where the weights do not tell.
    pub model: Option<String>,
    /// Edge of the image in pixels, if it is not the architecture's own.
    pub image_size: Option<usize>,
}

/// The doubt in the label of each image of a data set, the most doubtful first: what a head says that is solved on the
/// frozen features of all other images, of whichever split. Of a large data set, an even sample is judged.
///
/// # Errors
/// If the weights or the data cannot be read, or the data have no classes.
pub fn labels(
    request: &Request,
    resources: Resources,
    observe: Observer,
) -> Result<Vec<Doubt>, Error> {
    let data = local_data(
        &request.data,
        resources.cache.as_ref(),
        &resources.stop,
        observe,
    )?;
    require_classes(&data)?;
    let mut draft = Draft {
        data: Some(data),
        weights: request.weights.clone(),
        model: request.model.clone(),
        image_size: request.image_size,
        // No image is held out.
        val_split: Some(0.0),
        ..Draft::default()
    };
    settle_model(&mut draft, observe)?;
    let (recipe, undecided) = resolve(draft)?;
    let data = open_data::<Classification>(&recipe, resources.cache.as_ref(), observe)?;
    let samples = all_images(&data);
    let images = Classification::images(data, &recipe)?;
    let mut trainer = Trainer::<Classification>::new(recipe, images, resources)?;
    let parameters = initial_weights(&trainer, observe)?.parameters;
    choose_fit(&mut trainer, &undecided, &parameters, observe)?;
    let fit = trainer.recipe.fit;
    let judged = left_out(&trainer, fit, samples.clone(), &parameters, observe)?;
    let judged = judged.ok_or_else(|| {
        Error::non_finite(message!("a feature of the frozen backbone is not finite")).fix(message!(
            "take other weights: these give no finite results on the images"
        ))
    })?;
    if judged.images.len() < samples.len() {
        observe(Event::Note(message!(
            "{} of {} labels are judged, evenly spread; all images speak",
            judged.images.len(),
            samples.len()
        )));
    }
    let doubts = label_doubts(&judged.probabilities, &judged.labels, judged.classes);
    let named = doubts.iter().map(|doubt| {
        let path = &samples[judged.images[doubt.image]].path;
        Doubt::new(doubt, path, &trainer.recipe.data, &trainer.data.classes)
    });
    Ok(named.collect())
}

/// Refuses what is no data set of classes, before any weights are downloaded.
fn require_classes(data: &Path) -> Result<(), Error> {
    std::fs::metadata(data).map_err(|source| DataError::Read {
        path: data.to_owned(),
        source,
    })?;
    let end = data.extension().unwrap_or_default();
    let is_weights = data.is_file() && WEIGHT_FILES.iter().any(|known| end == *known);
    let what = if is_weights {
        message!("it is a file of weights, and labels are judged in a data set or by a run")
    } else if scenes::is_detection(data) {
        message!("it holds boxes, which only a detector that was trained on them judges")
    } else {
        return Ok(());
    };
    Err(Problem::new(what)
        .of_file(data)
        .fix(message!(
            "give the run of a detector, or a folder of class folders"
        ))
        .into())
}

/// The images of all splits.
fn all_images(data: &Dataset) -> Vec<Sample> {
    let test = data.test.as_deref().unwrap_or_default();
    [&data.train[..], &data.validation, test].concat()
}
