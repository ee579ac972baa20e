//! A trained detector.

use std::path::{Path, PathBuf};

use warmstart_data::scenes::{self, OpenedScenes};
use warmstart_data::{BoundingBox, DataError, Letterbox, Object, decode};
use warmstart_metrics::DetectionEvaluation;
use warmstart_weights::WeightFile;

use crate::Error;
use crate::detect::{self, Detection, Selection};
use crate::model_file::ModelInfo;
use crate::recipe::{Recipe, SEED, VAL_SPLIT};
use crate::task::Task;
use crate::trained::{Network, over_files};

/// A detector out of a model file.
pub struct Detector {
    /// The file's metadata.
    pub info: ModelInfo,
    head: detect::Head,
    network: Network,
}

/// An object that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundObject {
    /// Index of its class.
    pub class: usize,
    /// How sure the detector is, 0..1.
    pub score: f32,
    /// Where it is, in pixels of the picture.
    pub bounds: BoundingBox,
}

/// A picture and what was found in it.
pub struct FoundObjects {
    /// The file.
    pub path: PathBuf,
    /// The objects, the surest first; or why there are none.
    pub objects: Result<Vec<FoundObject>, DataError>,
}

/// How good a detector is on labelled images.
pub struct BoxEvaluation {
    /// Images that were measured.
    pub images: usize,
    /// The figures.
    pub figures: DetectionEvaluation,
    /// A message for each image that could not be read and was left out.
    pub unreadable: Vec<String>,
}

/// A split of a detection data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSplit {
    /// What a model learns from.
    Train,
    /// What picks the best epoch.
    Validation,
    /// What neither of them saw.
    Test,
}

impl Detector {
    pub(crate) fn new(info: ModelInfo, file: &mut WeightFile) -> Result<Self, Error> {
        let backbone = Detection::backbone(crate::architecture(&info.model)?);
        let head = detect::Head::new(&backbone, info.classes.len(), info.preprocessing.crop);
        let network = Network::new(backbone, head.parameters(), head.units(), &info, file)?;
        Ok(Self {
            network,
            head,
            info,
        })
    }

    /// Finds the objects of pictures, handing each result to `each` in the order of `paths`.
    ///
    /// # Errors
    /// If a thread that reads images dies. A file that cannot be read is a result, not an error.
    pub fn predict(
        &self,
        paths: &[PathBuf],
        workers: usize,
        selection: Selection,
        each: &mut dyn FnMut(FoundObjects),
    ) -> Result<(), Error> {
        let preprocessing = self.info.preprocessing.clone();
        over_files(
            paths,
            workers,
            move |path| {
                let image = decode(path)?;
                let letterbox = Letterbox::new(image.width, image.height, preprocessing.crop);
                Ok((letterbox, detect::evaluation_pixels(&image, &preprocessing)))
            },
            |images| {
                let pixels: Vec<&[f32]> = images.iter().map(|(_, pixels)| &**pixels).collect();
                let Network {
                    folded, parameters, ..
                } = &self.network;
                let features = self.network.features(&pixels);
                let found = self.head.find(features, folded, parameters, selection);
                let placed = found
                    .into_iter()
                    .zip(&images)
                    .map(|(found, (letterbox, _))| {
                        let object = |found: &detect::Found| FoundObject {
                            class: found.class,
                            score: found.score,
                            bounds: detect::in_picture(letterbox, found),
                        };
                        found.iter().map(object).collect()
                    });
                placed.collect()
            },
            |path, objects| {
                each(FoundObjects {
                    path: path.to_owned(),
                    objects,
                });
            },
        )
    }

    /// Measures the model on a split of a data set. `recipe` is the one that it was trained with: it
    /// says which images validated where the data set does not.
    ///
    /// # Errors
    /// If the data set cannot be opened, has no such split or a class that the model doesn't know, or
    /// if none of its images can be read.
    pub fn evaluate(
        &self,
        folder: &Path,
        split: DataSplit,
        recipe: Option<&Recipe>,
        workers: usize,
    ) -> Result<BoxEvaluation, Error> {
        let (val_split, seed) = recipe.map_or((VAL_SPLIT, SEED), |r| (r.val_split, r.seed));
        let OpenedScenes {
            dataset,
            unreadable,
            validates_by_share,
            ..
        } = scenes::open(folder, val_split, seed)?;
        if validates_by_share && recipe.is_none() && split != DataSplit::Test {
            return Err(Error::usage(format!(
                "{} has no validation split of its own, and without its run the model does not say which \
                 images it learned from: give the folder of the run, or make a split (warmstart data \
                 convert)",
                folder.display()
            )));
        }
        let samples = match split {
            DataSplit::Train => dataset.train,
            DataSplit::Validation => dataset.validation,
            DataSplit::Test => dataset
                .test
                .ok_or_else(|| Error::usage(format!("{} has no test split", folder.display())))?,
        };
        let classes = self.classes_of(&dataset.classes, folder)?;
        let paths: Vec<_> = samples.iter().map(|sample| sample.path.clone()).collect();
        let mut labels = samples.iter().map(|sample| &sample.label);
        let mut figures = DetectionEvaluation::new(self.info.classes.clone());
        let mut unreadable: Vec<String> = unreadable.into_iter().map(|(_, why)| why).collect();
        let mut images = 0;
        let selection = Selection::EVALUATION;
        self.predict(&paths, workers, selection, &mut |found| {
            let scene = labels.next().expect("a label for each file");
            match found.objects {
                Ok(objects) => {
                    let truths = scene.objects.iter().map(|object| {
                        let class = classes[object.class];
                        detect::truth(&Object { class, ..*object })
                    });
                    let truths: Vec<_> = truths.collect();
                    let detected: Vec<_> = objects
                        .iter()
                        .map(|o| detect::detected(o.class, o.score, o.bounds))
                        .collect();
                    figures.add_image(&truths, &detected);
                    images += 1;
                }
                Err(error) => unreadable.push(error.to_string()),
            }
        })?;
        if images == 0 {
            return Err(Error::usage(format!(
                "{}: none of its {} images can be read; the first: {}",
                folder.display(),
                unreadable.len(),
                unreadable.first().map_or("there is none", String::as_str)
            )));
        }
        Ok(BoxEvaluation {
            images,
            figures,
            unreadable,
        })
    }

    /// The model's class for each of a data set.
    fn classes_of(&self, classes: &[String], folder: &Path) -> Result<Vec<usize>, Error> {
        let known = |name: &String| {
            let known = self.info.classes.iter().position(|class| class == name);
            known.ok_or_else(|| {
                Error::usage(format!(
                    "{}: the class {name} is not one of the model's {}: {}",
                    folder.display(),
                    self.info.classes.len(),
                    self.info.classes.join(", ")
                ))
            })
        };
        classes.iter().map(known).collect()
    }
}
