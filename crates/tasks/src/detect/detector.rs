//! A trained detector.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;
use warmstart_data::scenes::{self, OpenedScenes};
use warmstart_data::{DataError, Letterbox, RgbImage, Sample, Scene, SplitKind, decode};
use warmstart_language::message;
use warmstart_nn::Forward;
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::{Error, Problem, Recipe, SEED, VAL_SPLIT};
use warmstart_weights::WeightFile;

use crate::class_names::places_in;
use crate::detect::found_object::{FoundObject, FoundObjects, JudgedScene};
use crate::detect::views::{Seen, merged};
use crate::detect::{
    BoxEvaluation, Detection, Found, Head, ImageOutputs, JudgedScenes, Search, Selection,
    in_picture,
};
use crate::model_file::ModelInfo;
use crate::network::{INFERENCE_BATCH, Network, over_batches, over_files};
use crate::prepared::PreparedPicture;
use crate::task::Task;

/// A detector out of a model file.
pub struct Detector {
    /// The file's metadata.
    pub info: ModelInfo,
    head: Head,
    network: Network,
    /// Whether its file lacks warmstart's metadata, as a publisher's does: it has no run.
    is_published: bool,
}

/// The predictions of every point for an image.
pub struct PointPredictions {
    /// `[points, classes]`, 0..1: the class's score, times that of being an object where the network has it.
    pub scores: Vec<f32>,
    /// `[left, top, right, bottom]` in pixels of the network's input, by point.
    pub boxes: Vec<[f32; 4]>,
}

/// Images to measure a detector on.
pub struct LabelledScenes {
    /// The images whose header can be read; their objects have indices of the model's classes.
    pub samples: Vec<Sample<Scene>>,
    /// A message for each of the other images.
    pub unreadable: Vec<String>,
}

impl Detector {
    pub(crate) fn new(
        info: ModelInfo,
        file: &mut WeightFile,
        device: &Device,
    ) -> Result<Self, Error> {
        let backbone = Detection::backbone(warmstart_recipe::architecture(&info.model)?)?;
        let head = Head::new(&backbone, info.classes.len(), info.preprocessing.crop);
        let is_published = file.metadata.as_ref().is_none_or(Value::is_null);
        let (parameters, layers) = (head.parameters(), head.layers());
        let network = Network::new(backbone, parameters, layers, &info, file, device)?;
        Ok(Self {
            network,
            head,
            info,
            is_published,
        })
    }

    /// What each point of the network predicts for normalised images, each `[size, size, 3]`, before any is selected: a
    /// value for each image.
    pub fn points(&self, pixels: &[&[f32]]) -> Vec<PointPredictions> {
        let mut forward = Forward::Inference(&self.network.folded);
        let features = self.network.features(pixels);
        let outputs = self
            .head
            .outputs(self.head.predictions(features, &mut forward));
        let image = |image: ImageOutputs| PointPredictions {
            scores: image.scores(),
            boxes: image.decoded(),
        };
        outputs.images().map(image).collect()
    }

    /// The objects of each of some pictures that were [prepared](PreparedPicture::for_detector), the highest score
    /// first.
    pub fn find(
        &self,
        pictures: &[&PreparedPicture],
        selection: Selection,
    ) -> Vec<Vec<FoundObject>> {
        let pixels: Vec<&[f32]> = pictures.iter().map(|picture| picture.pixels()).collect();
        let features = self.network.features(&pixels);
        let found = self.head.find(features, &self.network.folded, selection);
        let placed = found.into_iter().zip(pictures).map(|(found, picture)| {
            let [width, height] = picture.size();
            let letterbox = Letterbox::new(width, height, self.info.preprocessing.crop);
            let object = |found: &Found| {
                Some(FoundObject {
                    class: found.class,
                    score: found.score,
                    bounds: in_picture(&letterbox, found)?,
                })
            };
            found.iter().filter_map(object).collect()
        });
        placed.collect()
    }

    /// The objects that are shown unless others are asked for: those with a score of at least the confidence at which
    /// F1 was highest on the validation images, where that is known.
    pub fn selection(&self) -> Selection {
        let usual = Selection::PREDICTION;
        Selection {
            confidence: self.info.confidence.unwrap_or(usual.confidence),
            ..usual
        }
    }

    /// Finds the objects of pictures, handing each result to `each` in the order of `paths` until it breaks.
    ///
    /// # Errors
    /// If the tiles are too small for the network, or a thread that reads images panics. A file that cannot be read is a
    /// result, not an error.
    pub fn predict(
        &self,
        paths: &[PathBuf],
        workers: usize,
        search: impl Into<Search>,
        each: &mut dyn FnMut(FoundObjects) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let search: Search = search.into();
        search.require_tile(self.info.preprocessing.crop)?;
        let each = |path: &Path, objects: Result<Vec<FoundObject>, DataError>| {
            each(FoundObjects {
                path: path.to_owned(),
                objects,
            })
        };
        if !search.has_one_view() {
            let read = move |path: &Path| -> Result<RgbImage, DataError> {
                let picture = decode(path)?;
                search.require_few(path, &picture)?;
                Ok(picture)
            };
            let look = |pictures: Vec<RgbImage>| {
                let found = pictures.iter().map(|picture| self.look(picture, search));
                found.collect::<Vec<_>>()
            };
            // A picture at its own size is large, and its views fill the batches: one at a time is enough.
            return over_batches(1, paths, workers, read, look, each);
        }
        let preprocessing = self.info.preprocessing.clone();
        over_files(
            paths,
            workers,
            move |path| {
                Ok(PreparedPicture::for_detector(
                    &preprocessing.decoded(path)?,
                    &preprocessing,
                ))
            },
            |pictures| self.find(&pictures.iter().collect::<Vec<_>>(), search.selection),
            each,
        )
    }

    /// The objects in a picture, out of all views of it, the highest score first.
    fn look(&self, picture: &RgbImage, search: Search) -> Vec<FoundObject> {
        let preprocessing = &self.info.preprocessing;
        let views = search.views(picture.width, picture.height);
        let mut seen: Vec<Seen> = Vec::new();
        // However many views there are, the pixels of few of them are in memory at a time.
        for (batch, views) in views.chunks(INFERENCE_BATCH).enumerate() {
            let prepared: Vec<Vec<f32>> = views
                .par_iter()
                .map(|view| view.pixels(picture, preprocessing))
                .collect();
            let pixels: Vec<&[f32]> = prepared.iter().map(Vec::as_slice).collect();
            let features = self.network.features(&pixels);
            let folded = &self.network.folded;
            let found = self.head.find(features, folded, search.selection);
            let numbers = batch * INFERENCE_BATCH..;
            for ((number, view), found) in numbers.zip(views).zip(found) {
                let size = preprocessing.crop;
                let found = found.iter();
                seen.extend(found.filter_map(|found| view.seen(number, found, size)));
            }
        }
        merged(seen, search.selection)
    }

    /// The images of a split of a data set, with the model's classes. `recipe` is the one that the model was trained
    /// with: it determines the validation images where the data set does not.
    ///
    /// # Errors
    /// If the data set cannot be opened, or has no such split or a class that the model doesn't know.
    pub fn images(
        &self,
        folder: &Path,
        split: SplitKind,
        recipe: Option<&Recipe>,
    ) -> Result<LabelledScenes, Error> {
        let (val_split, seed) = recipe.map_or((VAL_SPLIT, SEED), |r| (r.val_split, r.seed));
        let OpenedScenes {
            dataset,
            unreadable,
            validates_by_share,
            ..
        } = scenes::open_split(folder, split, val_split, seed)?;
        let is_unknown = recipe.is_none() && !self.is_published;
        if validates_by_share && is_unknown && split != SplitKind::Test {
            let what = message!(
                "it has no validation split of its own, and without its run it is unknown which images the model was \
                 trained on"
            );
            return Err(Problem::new(what)
                .of_file(folder)
                .fix(message!(
                    "give the folder of the run, or make a split (warmstart data convert)"
                ))
                .into());
        }
        let classes = self.classes_of(&dataset.classes, folder)?;
        let mut samples = match split {
            SplitKind::Train => dataset.train,
            SplitKind::Validation => dataset.validation,
            SplitKind::Test => dataset
                .test
                .ok_or_else(|| Problem::new(message!("it has no test split")).of_file(folder))?,
        };
        let objects = samples
            .iter_mut()
            .flat_map(|sample| &mut sample.label.objects);
        objects.for_each(|object| object.class = classes[object.class]);
        let unreadable = unreadable.into_iter().map(|(_, why)| why).collect();
        Ok(LabelledScenes {
            samples,
            unreadable,
        })
    }

    /// Looks for objects in labelled images, and hands each that can be read to `each`, in their order.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn judge(
        &self,
        samples: &[Sample<Scene>],
        workers: usize,
        search: impl Into<Search>,
        each: &mut dyn FnMut(JudgedScene),
    ) -> Result<JudgedScenes, Error> {
        let paths: Vec<PathBuf> = samples.iter().map(|sample| sample.path.clone()).collect();
        let mut labels = samples.iter().map(|sample| &sample.label);
        let mut judged = JudgedScenes::new(self.info.classes.clone());
        self.predict(&paths, workers, search, &mut |found| {
            let scene = labels.next().expect("a label for each file");
            match found.objects {
                Ok(objects) => each(judged.add(found.path, scene, objects)),
                Err(error) => judged.unreadable.push(error.to_string()),
            }
            ControlFlow::Continue(())
        })?;
        Ok(judged)
    }

    /// Evaluates the model on images whose objects have indices of its classes, and hands each that can be read to
    /// `each`, in their order.
    ///
    /// # Errors
    /// If none of them can be read.
    pub fn evaluate(
        &self,
        images: &LabelledScenes,
        workers: usize,
        search: impl Into<Search>,
        each: &mut dyn FnMut(JudgedScene),
    ) -> Result<BoxEvaluation, Error> {
        let LabelledScenes {
            samples,
            unreadable,
        } = images;
        let judged = self.judge(samples, workers, search, each)?;
        let classes = self.info.classes.clone();
        judged.evaluation(classes, unreadable.clone(), self.selection().confidence)
    }

    /// Index of the model's class for each class of a data set, however it is spelled.
    fn classes_of(&self, classes: &[String], folder: &Path) -> Result<Vec<usize>, Error> {
        let places = places_in(&self.info.classes, classes);
        let known = |(name, place): (&String, Option<usize>)| {
            place.ok_or_else(|| {
                let what = message!(
                    "the class {name} is not one of the model's {}: {}",
                    self.info.classes.len(),
                    self.info.classes.join(", ")
                );
                Error::from(Problem::new(what).of_file(folder))
            })
        };
        classes.iter().zip(places).map(known).collect()
    }
}
