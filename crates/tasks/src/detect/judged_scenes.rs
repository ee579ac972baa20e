//! A detector's answers on labelled images, beside the labels.

use std::ops::ControlFlow;
use std::path::PathBuf;

use warmstart_data::{Sample, Scene};
use warmstart_metrics::{DetectionEvaluation, MATCHING_IOU, matched};
use warmstart_recipe::Error;

use super::detector::{Detector, FoundObject, JudgedObject, JudgedScene};
use super::{JudgedObjects, Search, detected, truth};

/// The labelled and detected objects of some images.
pub struct JudgedScenes {
    /// The metrics.
    pub figures: DetectionEvaluation,
    /// The images that could be read.
    pub paths: Vec<PathBuf>,
    /// The objects of each, in the order of `paths`.
    pub objects: Vec<JudgedObjects>,
    /// A message for each image that could not be read.
    pub unreadable: Vec<String>,
}

impl JudgedScenes {
    /// Asks a detector, and hands each image that can be read to `each`, in their order.
    ///
    /// # Errors
    /// As [`Detector::predict`].
    pub fn of(
        detector: &Detector,
        samples: &[Sample<Scene>],
        workers: usize,
        search: impl Into<Search>,
        each: &mut dyn FnMut(JudgedScene),
    ) -> Result<Self, Error> {
        let paths: Vec<PathBuf> = samples.iter().map(|sample| sample.path.clone()).collect();
        let mut labels = samples.iter().map(|sample| &sample.label);
        let mut judged = Self {
            figures: DetectionEvaluation::new(detector.info.classes.clone()),
            paths: Vec::new(),
            objects: Vec::new(),
            unreadable: Vec::new(),
        };
        detector.predict(&paths, workers, search, &mut |found| {
            let scene = labels.next().expect("a label for each file");
            match found.objects {
                Ok(objects) => each(judged.add(found.path, scene, objects)),
                Err(error) => judged.unreadable.push(error.to_string()),
            }
            ControlFlow::Continue(())
        })?;
        Ok(judged)
    }

    fn add(&mut self, path: PathBuf, scene: &Scene, objects: Vec<FoundObject>) -> JudgedScene {
        let truths: Vec<_> = scene.objects.iter().map(truth).collect();
        let found: Vec<_> = objects
            .iter()
            .map(|object| detected(object.class, object.score, object.bounds))
            .collect();
        self.figures.add_image(&truths, &found);
        let matched = matched(&truths, &found, MATCHING_IOU);
        self.paths.push(path.clone());
        self.objects.push((truths, found));
        let objects = objects.into_iter().zip(matched);
        JudgedScene {
            path,
            objects: objects
                .map(|(found, is_matched)| JudgedObject { found, is_matched })
                .collect(),
        }
    }

    /// The confidence of the detector's best F1; its own where nothing is found.
    pub fn confidence(&self, detector: &Detector) -> f64 {
        let usual = f64::from(detector.selection().confidence);
        self.figures.best_f1().map_or(usual, |best| best.confidence)
    }
}
