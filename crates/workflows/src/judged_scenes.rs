//! A detector's answers on labelled images.

use std::ops::ControlFlow;
use std::path::PathBuf;

use warmstart_data::{Sample, Scene};
use warmstart_metrics::DetectionEvaluation;
use warmstart_recipe::Error;
use warmstart_tasks::detect::detector::Detector;
use warmstart_tasks::detect::{JudgedObjects, Selection, detected, truth};

/// The labelled and detected objects of some images.
pub(crate) struct JudgedScenes {
    /// The metrics.
    pub figures: DetectionEvaluation,
    /// The images that could be read.
    pub paths: Vec<PathBuf>,
    /// The objects of each, also those of low scores.
    pub objects: Vec<JudgedObjects>,
    /// Number of images that could not be read.
    pub unreadable: usize,
}

impl JudgedScenes {
    /// Asks a detector.
    ///
    /// # Errors
    /// If a thread that reads images panics.
    pub fn of(
        detector: &Detector,
        samples: &[Sample<Scene>],
        workers: usize,
    ) -> Result<Self, Error> {
        let paths: Vec<PathBuf> = samples.iter().map(|sample| sample.path.clone()).collect();
        let mut labels = samples.iter().map(|sample| &sample.label);
        let mut judged = Self {
            figures: DetectionEvaluation::new(detector.info.classes.clone()),
            paths: Vec::new(),
            objects: Vec::new(),
            unreadable: 0,
        };
        detector.predict(&paths, workers, Selection::EVALUATION, &mut |answer| {
            let scene = labels.next().expect("a label for each file");
            match answer.objects {
                Ok(objects) => {
                    let truths: Vec<_> = scene.objects.iter().map(truth).collect();
                    let found: Vec<_> = objects
                        .iter()
                        .map(|object| detected(object.class, object.score, object.bounds))
                        .collect();
                    judged.figures.add_image(&truths, &found);
                    judged.objects.push((truths, found));
                    judged.paths.push(answer.path);
                }
                Err(_) => judged.unreadable += 1,
            }
            ControlFlow::Continue(())
        })?;
        Ok(judged)
    }
}

/// The confidence of a detector's best F1; that of its file where nothing is found.
pub(crate) fn confidence(figures: &DetectionEvaluation, detector: &Detector) -> f64 {
    let usual = f64::from(detector.selection().confidence);
    figures.best_f1().map_or(usual, |best| best.confidence)
}
