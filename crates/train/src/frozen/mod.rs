//! The frozen part of a phase, and its cached features.

mod feature_key;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use warmstart_data::random::{Purpose, stream, unit};
use warmstart_data::{DataError, FeatureCache, FeatureCacheFolder, Prepare};
use warmstart_files::shown;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::{Device, Tensor, TensorData};
use warmstart_nn::layers::{Layer, fold};
use warmstart_nn::{Folded, Forward, Parameters};
use warmstart_recipe::{Phase, View};
use warmstart_tasks::network::{INFERENCE_BATCH, images};
use warmstart_tasks::task::{Example, Task};
use warmstart_tasks::task_data::{EvaluationSplit, TaskData};

pub use feature_key::FeatureKey;

/// Fewest images of a thread: with fewer, fetching a layer's weights costs more than computing with them.
const SMALLEST_PART: usize = 4;

/// An image's input to the trained part, or the pixels that it is computed from.
enum Input {
    /// Normalised, `[height, width, 3]`.
    Pixels(Vec<f32>),
    /// Its features from the frozen part.
    Features(Vec<f32>),
}

/// The source of the images of an epoch or an evaluation.
pub struct Source<T> {
    kept: Option<Arc<KeptFeatures>>,
    prepare: Arc<Prepare<Prepared<T>>>,
}

/// An image in the order of its batch.
pub struct Prepared<T> {
    /// Its index in the cache.
    entry: usize,
    input: Input,
    /// The target of its loss.
    pub target: T,
}

/// The frozen part of a network: the stages before the boundary.
pub struct Frozen {
    boundary: usize,
    trunk: Folded,
    image_size: usize,
    /// Images that go through at a time.
    images: usize,
    pool: fn(Vec<Tensor<4>>) -> Vec<Tensor<4>>,
    /// `[height, width, channels]` of each of an image's maps that enter the trained part.
    shapes: Vec<[usize; 3]>,
    training: Option<Arc<KeptFeatures>>,
    validation: Option<Arc<KeptFeatures>>,
}

/// Cached features of a split.
struct KeptFeatures {
    cache: FeatureCache,
    /// False after a failure to write: the run continues without writing.
    writes: AtomicBool,
}

impl Frozen {
    /// The stages before `boundary`, folded, without a cache. At most `images` go through at a time; their features do
    /// not depend on this number.
    pub fn new<T: Task>(
        architecture: &Architecture,
        boundary: usize,
        parameters: &Parameters,
        image_size: usize,
        images: usize,
        device: &Device,
    ) -> Self {
        let whole = boundary == architecture.stages.len();
        let mut frozen = Self {
            boundary,
            trunk: architecture.fold(0..boundary, parameters, device),
            image_size,
            images: images.min(INFERENCE_BATCH),
            pool: if whole {
                T::pool_features
            } else {
                |features| features
            },
            shapes: vec![[image_size, image_size, 3]],
            training: None,
            validation: None,
        };
        if boundary > 0 {
            let black = vec![0.0; image_size * image_size * 3];
            let maps = frozen.compute(&[&black], architecture, device);
            let shape = |map: Tensor<4>| {
                let [_, height, width, channels] = map.dims();
                [height, width, channels]
            };
            frozen.shapes = maps.into_iter().map(shape).collect();
        }
        frozen
    }

    /// Opens the files of the phase's features in `folder`, where there is a frozen part and a number
    /// of views, and returns a note on them.
    ///
    /// # Errors
    /// A note; the run continues without a cache.
    pub fn open_cache<L: Clone>(
        &mut self,
        key: &FeatureKey<'_, L>,
        folder: &FeatureCacheFolder,
    ) -> Result<Option<String>, String> {
        let Some(views) = key.phase.kept_views() else {
            return Ok(None);
        };
        if self.boundary == 0 {
            return Ok(None);
        }
        let both = || -> io::Result<_> {
            let training = self.open(key, folder, Some(views), None)?;
            let validation = self.open(key, folder, None, Some(&training.cache))?;
            Ok((training, validation))
        };
        let (training, validation) = both().map_err(|error| {
            format!(
                "frozen features are not cached in {}: {error}; every epoch computes them again",
                shown(folder.path())
            )
        })?;
        let words = format!(
            "frozen features: {} of {} for training and {} of {} for validation are in {}",
            training.cache.present(),
            training.cache.entries(),
            validation.cache.present(),
            validation.cache.entries(),
            shown(folder.path())
        );
        self.training = Some(training);
        self.validation = Some(validation);
        Ok(Some(words))
    }

    /// Opens the file of the validation images' features in `folder`.
    ///
    /// # Errors
    /// If the disk refuses; everything works without a cache, too.
    pub fn open_validation_cache<L: Clone>(
        &mut self,
        key: &FeatureKey<'_, L>,
        folder: &FeatureCacheFolder,
    ) -> io::Result<()> {
        self.validation = Some(self.open(key, folder, None, None)?);
        Ok(())
    }

    /// The file of `views` views of the training images; without `views`, of the validation images.
    fn open<L: Clone>(
        &self,
        key: &FeatureKey<'_, L>,
        folder: &FeatureCacheFolder,
        views: Option<usize>,
        beside: Option<&FeatureCache>,
    ) -> io::Result<Arc<KeptFeatures>> {
        let files = key.files(views);
        let entries = files.len() * views.unwrap_or(1);
        let name = key.name(self.boundary, &files, views)?;
        let description = key.description(files.len(), views);
        let cache = folder.open(&name, &description, entries, self.values(), beside)?;
        Ok(Arc::new(KeptFeatures {
            cache,
            writes: AtomicBool::new(true),
        }))
    }

    /// Keys of the phase's cached features; empty without a cache.
    pub fn cache_keys(&self) -> Vec<String> {
        let kept = [&self.training, &self.validation].into_iter().flatten();
        kept.map(|kept| kept.cache.key()).collect()
    }

    /// Images that go through at a time in inference.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Index of the first stage that is not frozen.
    pub fn boundary(&self) -> usize {
        self.boundary
    }

    /// The training images under a view.
    pub fn training_source<T: Task>(
        &self,
        task: &Arc<T>,
        data: &TaskData<T::Label>,
        phase: &Phase,
        view: View,
    ) -> Source<T::Target> {
        let first = phase.place_of(view) * data.train.len();
        let phase = Arc::new(phase.clone());
        let (files, targets) = (Arc::clone(task), Arc::clone(task));
        let varied = Arc::clone(&phase);
        Source::new(
            self.training.clone(),
            first,
            move |sample| files.training_example(sample, view, &phase),
            move |sample| targets.training_target(sample, view, &varied),
        )
    }

    /// The images of a split to evaluate on.
    pub fn evaluation_source<T: Task>(
        &self,
        task: &Arc<T>,
        data: &TaskData<T::Label>,
        split: EvaluationSplit,
    ) -> Source<T::Target> {
        let kept = match split {
            EvaluationSplit::Validation => self.validation.clone(),
            EvaluationSplit::Test => None,
        };
        let (files, targets) = (Arc::clone(task), Arc::clone(task));
        let samples = Arc::clone(data.split(split));
        let labels = Arc::clone(&samples);
        Source::new(
            kept,
            0,
            move |sample| files.evaluation_example(&samples[sample]),
            move |sample| targets.evaluation_target(&labels[sample].label),
        )
    }

    /// Input of the trained part for a batch out of `source`: maps `[batch, height, width, channels]`.
    /// Computed features are cached; a failure to do so is returned as a note.
    pub fn features<T>(
        &self,
        batch: &[Prepared<T>],
        source: &Source<T>,
        architecture: &Architecture,
        device: &Device,
    ) -> (Vec<Tensor<4>>, Option<String>) {
        let pixels = batch.iter().filter_map(|image| match &image.input {
            Input::Pixels(pixels) => Some(pixels.as_slice()),
            Input::Features(_) => None,
        });
        let pixels: Vec<_> = pixels.collect();
        if self.boundary == 0 {
            return (vec![images(&pixels, self.image_size, device)], None);
        }
        let mut computed = pixels
            .chunks(self.images)
            .flat_map(|pixels| self.compute_beside(pixels, architecture, device));
        let lens: Vec<usize> = self
            .shapes
            .iter()
            .map(|shape| shape.iter().product())
            .collect();
        let mut maps: Vec<Vec<f32>> = lens
            .iter()
            .map(|len| Vec::with_capacity(batch.len() * len))
            .collect();
        let mut failure = None;
        for image in batch {
            let new;
            let features = match &image.input {
                Input::Features(features) => features,
                Input::Pixels(_) => {
                    new = computed.next().expect("one for each image in pixels");
                    if let Some(kept) = &source.kept {
                        failure = failure.or(kept.write(image.entry, &new));
                    }
                    &new
                }
            };
            let mut rest = features.as_slice();
            for (map, &len) in maps.iter_mut().zip(&lens) {
                let (part, others) = rest.split_at(len);
                map.extend_from_slice(part);
                rest = others;
            }
        }
        let tensor = |(map, &[height, width, channels]): (Vec<f32>, &[usize; 3])| {
            let data = TensorData::new(map, [batch.len(), height, width, channels]);
            Tensor::from_data(data, device)
        };
        let tensors = maps.into_iter().zip(&self.shapes).map(tensor);
        (tensors.collect(), failure)
    }

    /// Noise in place of the features of `images` images, uniform from 0 to 1.
    pub fn noise(&self, images: usize, seed: u64, device: &Device) -> Vec<Tensor<4>> {
        let mut random = stream(seed, 0, 0, Purpose::Noise);
        let shapes = self.shapes.iter();
        let maps = shapes.map(|&[height, width, channels]| {
            let values = std::iter::repeat_with(|| unit(&mut random) as f32);
            let values = values.take(images * height * width * channels).collect();
            let data = TensorData::new::<f32, _>(values, [images, height, width, channels]);
            Tensor::from_data(data, device)
        });
        maps.collect()
    }

    /// Number of values of an image's features.
    pub fn values(&self) -> usize {
        let values = |shape: &[usize; 3]| shape.iter().product::<usize>();
        self.shapes.iter().map(values).sum()
    }

    /// The features of each image of a batch, one map after the other.
    fn by_image(&self, maps: Vec<Tensor<4>>) -> Vec<Vec<f32>> {
        let mut images = Vec::new();
        for map in maps {
            let [batch, height, width, channels] = map.dims();
            let values: Vec<f32> = map.into_data().try_into_vec().expect("features are f32");
            images.resize_with(batch, || Vec::with_capacity(self.values()));
            for (image, values) in images
                .iter_mut()
                .zip(values.chunks(height * width * channels))
            {
                image.extend_from_slice(values);
            }
        }
        images
    }

    /// Inference of the trained stages and the head's `layers`, on the result of [`features`](Self::features).
    pub fn rest<'a>(
        &self,
        architecture: &'a Architecture,
        layers: Vec<&'a Layer>,
        parameters: &Parameters,
        device: &Device,
    ) -> Folded {
        let stages = self.boundary..architecture.stages.len();
        fold(
            parameters,
            architecture.layers(stages).chain(layers),
            device,
        )
    }

    /// The features of each image from its pixels. Each thread computes a part of the images through all layers, so
    /// that no thread waits for another between layers.
    fn compute_beside(
        &self,
        pixels: &[&[f32]],
        architecture: &Architecture,
        device: &Device,
    ) -> Vec<Vec<f32>> {
        let part = pixels.len().div_ceil(rayon::current_num_threads());
        let parts = pixels.par_chunks(part.max(SMALLEST_PART));
        parts
            .flat_map_iter(|pixels| self.by_image(self.compute(pixels, architecture, device)))
            .collect()
    }

    /// The maps `[batch, height, width, channels]` of images from their pixels.
    fn compute(
        &self,
        pixels: &[&[f32]],
        architecture: &Architecture,
        device: &Device,
    ) -> Vec<Tensor<4>> {
        let images = vec![images(pixels, self.image_size, device)];
        let stages = 0..self.boundary;
        let mut forward = Forward::Inference(&self.trunk);
        (self.pool)(architecture.forward_maps(stages, images, &mut forward))
    }
}

impl KeptFeatures {
    /// Returns a note on the first failure.
    fn write(&self, entry: usize, features: &[f32]) -> Option<String> {
        if !self.writes.load(Ordering::Relaxed) {
            return None;
        }
        let error = self.cache.write(entry, features).err()?;
        self.writes.store(false, Ordering::Relaxed);
        Some(format!(
            "no more frozen features are cached in {}: {error}; missing ones are computed in \
             every epoch",
            shown(self.cache.path())
        ))
    }
}

impl<T: 'static> Source<T> {
    /// `first` is the entry of sample 0.
    fn new(
        kept: Option<Arc<KeptFeatures>>,
        first: usize,
        example: impl Fn(usize) -> Result<Example<T>, DataError> + Send + Sync + 'static,
        target: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Self {
        let found = kept.clone();
        let prepare = move |sample| {
            let entry = first + sample;
            let features = found.as_ref().and_then(|kept| kept.cache.read(entry));
            let (input, target) = match features {
                Some(features) => (Input::Features(features), target(sample)),
                None => {
                    let example = example(sample)?;
                    (Input::Pixels(example.pixels), example.target)
                }
            };
            Ok(Prepared {
                entry,
                input,
                target,
            })
        };
        Self {
            kept,
            prepare: Arc::new(prepare),
        }
    }

    /// The function that prepares one image, from the cache or from its file.
    pub fn prepare(&self) -> Arc<Prepare<Prepared<T>>> {
        Arc::clone(&self.prepare)
    }
}
