//! The frozen part of a phase, and its cached features.

mod compute;
mod feature_key;
mod joined;
mod kept_features;
mod source;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use warmstart_data::FeatureCacheFolder;
use warmstart_data::random::{Purpose, stream, unit};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_models::{Architecture, StageError, Tapped};
use warmstart_nn::burn::tensor::{DType, Device, Tensor, TensorData};
use warmstart_nn::devices::card_of;
use warmstart_nn::layers::{Layer, fold};
use warmstart_nn::ops::values;
use warmstart_nn::{Folded, Parameters};
use warmstart_recipe::{Phase, View};
use warmstart_tasks::network::{INFERENCE_BATCH, images};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::{EvaluationSplit, TaskData};

pub use feature_key::FeatureKey;
use feature_key::{CachedImages, CachedPart};
use joined::Joined;
use kept_features::KeptFeatures;
use source::Input;
pub use source::{Prepared, Source};

/// The frozen part of a network: the stages before the boundary.
pub struct Frozen {
    boundary: usize,
    trunk: Folded,
    /// The layers whose means are an image's features, where they are not the result of the last frozen stage.
    tapped: Option<Tapped>,
    image_size: usize,
    /// Images that go through at a time.
    images: usize,
    pool: fn(Vec<Tensor<4>>) -> Vec<Tensor<4>>,
    /// The format that it computes in.
    format: DType,
    /// `[height, width, channels]` of each of an image's maps that enter the trained part.
    shapes: Vec<[usize; 3]>,
    /// The format of each of these maps: means over the image are f32.
    formats: Vec<DType>,
    /// The features of each file: one, or one for each layer.
    parts: Vec<CachedPart>,
    training: Option<Arc<KeptFeatures>>,
    validation: Option<Arc<KeptFeatures>>,
}

impl Frozen {
    /// The stages before `boundary`, folded, without a cache. At most `images` go through at a time; on the processor,
    /// their features do not depend on this number. Images and features enter stages in the given format.
    pub fn new<T: Task>(
        architecture: &Architecture,
        boundary: usize,
        parameters: &Parameters,
        image_size: usize,
        images: usize,
        (device, format): (&Device, DType),
    ) -> Self {
        let whole = boundary == architecture.stages.len();
        let mut frozen = Self {
            boundary,
            trunk: architecture.fold(0..boundary, parameters, device),
            tapped: None,
            image_size,
            images: images.min(INFERENCE_BATCH),
            pool: if whole {
                T::pool_features
            } else {
                |features| features
            },
            format,
            shapes: vec![[image_size, image_size, 3]],
            formats: vec![format],
            parts: vec![CachedPart::Stages(boundary)],
            training: None,
            validation: None,
        };
        if boundary > 0 {
            let black = vec![0.0; image_size * image_size * 3];
            let maps = frozen.through(&[&black], architecture, device);
            let kind = |map: Tensor<4>| {
                let [_, height, width, channels] = map.dims();
                ([height, width, channels], map.dtype())
            };
            (frozen.shapes, frozen.formats) = maps.into_iter().map(kind).unzip();
        }
        frozen
    }

    /// The whole backbone, whose features are what is read of some layers ([`Tapped::mean_maps`]), each a map
    /// `[batch, 1, 1, values]` in f32, without a cache. At most `images` go through at a time, in the given format.
    ///
    /// # Errors
    /// If the architecture does not have a layer.
    pub fn of_layers(
        architecture: &Architecture,
        layers: &[String],
        parameters: &Parameters,
        image_size: usize,
        images: usize,
        (device, format): (&Device, DType),
    ) -> Result<Self, StageError> {
        let names: Vec<&str> = layers.iter().map(String::as_str).collect();
        let tapped = Tapped::new(architecture, &names)?;
        let part = |(tap, name): (usize, &String)| {
            CachedPart::Layer(name.clone(), tapped.stages_before(tap))
        };
        Ok(Self {
            boundary: architecture.stages.len(),
            trunk: fold(parameters, tapped.layers(), device),
            image_size,
            images: images.min(INFERENCE_BATCH),
            pool: |features| features,
            format,
            formats: vec![DType::F32; layers.len()],
            shapes: tapped
                .channels()
                .into_iter()
                .map(|channels| [1, 1, channels])
                .collect(),
            parts: layers.iter().enumerate().map(part).collect(),
            tapped: Some(tapped),
            training: None,
            validation: None,
        })
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
        let Some(images) = self.cached_images(key.phase) else {
            return Ok(None);
        };
        if self.boundary == 0 {
            return Ok(None);
        }
        let both = || -> io::Result<_> {
            let training = self.open(key, folder, images, None)?;
            let validation = self.open(key, folder, CachedImages::Validation, Some(&training))?;
            Ok((training, validation))
        };
        let (training, validation) = both().map_err(|error| {
            message!(
                "frozen features are not cached in {}: {error}; every epoch computes them again",
                shown(folder.path())
            )
        })?;
        let words = message!(
            "frozen features: {} of {} for training and {} of {} for validation are in {}",
            training.written(),
            training.entries(),
            validation.written(),
            validation.entries(),
            shown(folder.path())
        );
        self.training = Some(Arc::new(training));
        self.validation = Some(Arc::new(validation));
        Ok(Some(words))
    }

    /// The training images whose features are cached in a phase; `None` where none are.
    fn cached_images(&self, phase: &Phase) -> Option<CachedImages> {
        match self.tapped {
            Some(_) => Some(CachedImages::Training),
            None => phase.kept_views().map(CachedImages::Views),
        }
    }

    /// Opens the files of the validation images' features in `folder`.
    ///
    /// # Errors
    /// If the disk refuses; everything works without a cache, too.
    pub fn open_validation_cache<L: Clone>(
        &mut self,
        key: &FeatureKey<'_, L>,
        folder: &FeatureCacheFolder,
    ) -> io::Result<()> {
        let files = self.open(key, folder, CachedImages::Validation, None)?;
        self.validation = Some(Arc::new(files));
        Ok(())
    }

    /// The files of some images' features.
    fn open<L: Clone>(
        &self,
        key: &FeatureKey<'_, L>,
        folder: &FeatureCacheFolder,
        images: CachedImages,
        beside: Option<&KeptFeatures>,
    ) -> io::Result<KeptFeatures> {
        let values = match self.tapped {
            Some(_) => self.values_of_layers(),
            None => vec![self.values()],
        };
        KeptFeatures::open(key, self.parts.iter().zip(values), images, folder, beside)
    }

    /// Shares of the features that are cached already, each from 0 to 1: of the training images, under the views with
    /// the indices `places`, and of the validation images. `None` where the phase caches none.
    pub fn shares_kept<L: Clone>(
        &self,
        key: &FeatureKey<'_, L>,
        places: &BTreeSet<usize>,
        folder: &FeatureCacheFolder,
    ) -> Option<[f64; 2]> {
        let images = self.cached_images(key.phase)?;
        let mut open = Vec::new();
        let first = BTreeSet::from([0]);
        let places = match images {
            CachedImages::Views(_) => places,
            CachedImages::Training | CachedImages::Validation => &first,
        };
        let training = key.share_kept(&self.parts, images, places, (folder, &mut open));
        let validation = CachedImages::Validation;
        let validation = key.share_kept(&self.parts, validation, &first, (folder, &mut open));
        Some([training, validation])
    }

    /// Keys of the phase's cached features; empty without a cache.
    pub fn cache_keys(&self) -> Vec<String> {
        let kept = [&self.training, &self.validation].into_iter().flatten();
        kept.flat_map(|kept| kept.keys()).collect()
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

    /// The training images as images to evaluate on.
    pub fn clean_source<T: Task>(
        &self,
        task: &Arc<T>,
        data: &TaskData<T::Label>,
    ) -> Source<T::Target> {
        let (files, targets) = (Arc::clone(task), Arc::clone(task));
        let samples = Arc::clone(&data.train);
        let labels = Arc::clone(&samples);
        Source::new(
            self.training.clone(),
            0,
            move |sample| files.evaluation_example(&samples[sample]),
            move |sample| targets.evaluation_target(&labels[sample].label),
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

    /// Input of the trained part for a batch out of `source`: maps `[batch, height, width, channels]`, in the formats in
    /// which they are computed. Computed features are cached; a failure to do so is returned as a note.
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
            let images = images(&pixels, self.image_size, device);
            return (vec![images.cast(self.format)], None);
        }
        if source.kept.is_none() && card_of(device).is_some() {
            // Nobody needs them here, and to fetch them would be to wait for the card.
            let mut joined = Joined::new(batch.len(), &self.shapes, &self.formats, device);
            for pixels in pixels.chunks(self.images) {
                joined.add(self.compute(pixels, architecture, device));
            }
            return (joined.into_maps(), None);
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
        let tensor = |((map, &[height, width, channels]), &format): ((_, &[usize; 3]), &DType)| {
            let data = TensorData::new::<f32, _>(map, [batch.len(), height, width, channels]);
            Tensor::<4>::from_data(data, device).cast(format)
        };
        let kinds = maps.into_iter().zip(&self.shapes).zip(&self.formats);
        (kinds.map(tensor).collect(), failure)
    }

    /// Noise in place of the features of `images` images, uniform from 0 to 1.
    pub fn noise(&self, images: usize, seed: u64, device: &Device) -> Vec<Tensor<4>> {
        let mut random = stream(seed, 0, 0, Purpose::Noise);
        let kinds = self.shapes.iter().zip(&self.formats);
        let maps = kinds.map(|(&[height, width, channels], &format)| {
            let values = std::iter::repeat_with(|| unit(&mut random) as f32);
            let values = values.take(images * height * width * channels).collect();
            let data = TensorData::new::<f32, _>(values, [images, height, width, channels]);
            Tensor::<4>::from_data(data, device).cast(format)
        });
        maps.collect()
    }

    /// Number of values of each map of an image's features.
    pub fn values_of_layers(&self) -> Vec<usize> {
        let shapes = self.shapes.iter();
        shapes.map(|shape| shape.iter().product()).collect()
    }

    /// Number of values of an image's features.
    pub fn values(&self) -> usize {
        let values = |shape: &[usize; 3]| shape.iter().product::<usize>();
        self.shapes.iter().map(values).sum()
    }

    /// Bytes of an image's features as they enter the trained part: on a graphics card they may be narrower than in
    /// the cache.
    pub fn entering_bytes(&self) -> usize {
        let maps = self.values_of_layers().into_iter().zip(&self.formats);
        maps.map(|(values, format)| values * format.size()).sum()
    }

    /// The features of each image of a batch, one map after the other.
    pub fn by_image(&self, maps: Vec<Tensor<4>>) -> Vec<Vec<f32>> {
        let mut images = Vec::new();
        for map in maps {
            let [batch, height, width, channels] = map.dims();
            let values = values(map);
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
}
