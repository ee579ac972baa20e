//! A detector's answers on labelled images, beside the labels.

use std::path::PathBuf;

use warmstart_data::Scene;
use warmstart_metrics::{DetectionEvaluation, MATCHING_IOU, matched};

use super::found_object::{FoundObject, JudgedObject, JudgedScene};
use super::{JudgedObjects, detected, truth};

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
    /// Of no image yet.
    pub(super) fn new(classes: Vec<String>) -> Self {
        Self {
            figures: DetectionEvaluation::new(classes),
            paths: Vec::new(),
            objects: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Adds an image, and returns its objects with whether each is matched.
    pub(super) fn add(
        &mut self,
        path: PathBuf,
        scene: &Scene,
        objects: Vec<FoundObject>,
    ) -> JudgedScene {
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

    /// The confidence of the best F1; the detector's `usual` one where nothing is found.
    pub fn confidence(&self, usual: f32) -> f64 {
        let best = self.figures.best_f1();
        best.map_or(usual.into(), |best| best.confidence)
    }
}
