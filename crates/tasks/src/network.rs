//! A network out of a model file, and its inference on image files.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use warmstart_data::{Batches, DataError, Loader};
use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::{Device, Tensor, TensorData};
use warmstart_nn::layers::{Layer, fold};
use warmstart_nn::{Folded, Forward, ParameterInfo, ops};
use warmstart_recipe::Error;
use warmstart_weights::WeightFile;

use crate::model_file::{ModelInfo, complete_parameters, require_sound};

/// Largest batch of inference: a larger one is hardly faster, and needs more memory.
pub const INFERENCE_BATCH: usize = 16;
/// Batches that are prepared ahead of the one in the network.
const BATCHES_AHEAD: usize = 2;

/// The images of a batch, `[batch, size, size, 3]`.
pub fn images(pixels: &[&[f32]], size: usize, device: &Device) -> Tensor<4> {
    let data = TensorData::new(ops::stack(pixels), [pixels.len(), size, size, 3]);
    Tensor::from_data(data, device)
}

/// A network out of a model file.
pub(crate) struct Network {
    /// Every layer.
    pub folded: Folded,
    backbone: Architecture,
    image_size: usize,
    device: Device,
}

impl Network {
    /// Takes the parameters of a backbone and a head out of a file, onto the device that it computes on.
    pub fn new(
        backbone: Architecture,
        head: Vec<ParameterInfo>,
        layers: Vec<&Layer>,
        info: &ModelInfo,
        file: &mut WeightFile,
        device: &Device,
    ) -> Result<Self, Error> {
        require_sound_file(file)?;
        let mut expected = backbone.backbone_parameters();
        expected.extend(head);
        let parameters = complete_parameters(file, &expected, device)?;
        let stages = 0..backbone.stages.len();
        let layers = backbone.layers(stages).chain(layers);
        Ok(Self {
            folded: fold(&parameters, layers, device),
            backbone,
            image_size: info.preprocessing.crop,
            device: device.clone(),
        })
    }

    /// The backbone's features of normalised images, each `[height, width, 3]`.
    pub fn features(&self, pixels: &[&[f32]]) -> Vec<Tensor<4>> {
        let images = vec![images(pixels, self.image_size, &self.device)];
        let stages = 0..self.backbone.stages.len();
        let mut forward = Forward::Inference(&self.folded);
        self.backbone.forward_maps(stages, images, &mut forward)
    }
}

/// Refuses a file with values that turn every result into NaN.
///
/// # Errors
/// If a tensor of the file holds one.
pub(crate) fn require_sound_file(file: &WeightFile) -> Result<(), Error> {
    let tensors = file.tensors.iter();
    let tensors = tensors.map(|(name, tensor)| (name.as_str(), tensor.data.as_slice()));
    require_sound(&file.path, tensors)
}

/// The error of an evaluation without any image; `unreadable` has the reason for each.
pub(crate) fn none_readable(unreadable: &[String]) -> Error {
    Error::usage(match unreadable.first() {
        Some(first) => message!(
            "none of the {} images can be read; the first: {first}",
            unreadable.len()
        ),
        None => message!("there is no image to measure"),
    })
}

/// Reads files, sends those that can be read through `infer` in batches, and hands each result to `each`
/// in the order of `paths` until it breaks.
pub(crate) fn over_files<P: Send + 'static, R>(
    paths: &[PathBuf],
    workers: usize,
    read: impl Fn(&Path) -> Result<P, DataError> + Send + Sync + 'static,
    infer: impl Fn(Vec<P>) -> Vec<R>,
    each: impl FnMut(&Path, Result<R, DataError>) -> ControlFlow<()>,
) -> Result<(), Error> {
    over_batches(INFERENCE_BATCH, paths, workers, read, infer, each)
}

/// [`over_files`], so many files at a time.
pub(crate) fn over_batches<P: Send + 'static, R>(
    size: usize,
    paths: &[PathBuf],
    workers: usize,
    read: impl Fn(&Path) -> Result<P, DataError> + Send + Sync + 'static,
    infer: impl Fn(Vec<P>) -> Vec<R>,
    mut each: impl FnMut(&Path, Result<R, DataError>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let files = paths.to_vec();
    let prepare = move |index: usize| Ok(read(&files[index]));
    let batches = Batches::new(0..paths.len(), size, |place| place);
    let loader = Loader::new(batches, workers, BATCHES_AHEAD, Arc::new(prepare));
    let mut rest = paths.iter();
    for batch in loader {
        let mut readable = Vec::new();
        let mut failures = Vec::new();
        for image in batch? {
            failures.push(match image {
                Ok(image) => {
                    readable.push(image);
                    None
                }
                Err(error) => Some(error),
            });
        }
        let results = if readable.is_empty() {
            Vec::new()
        } else {
            infer(readable)
        };
        let mut results = results.into_iter();
        for (failure, path) in failures.into_iter().zip(&mut rest) {
            let result = match failure {
                Some(error) => Err(error),
                None => Ok(results.next().expect("a result for each readable image")),
            };
            if each(path, result).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}
