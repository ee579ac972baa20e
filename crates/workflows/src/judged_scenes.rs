//! A detector's answers on labelled images, for a metric.

use warmstart_data::{Sample, Scene};
use warmstart_recipe::Error;
use warmstart_tasks::detect::detector::Detector;
use warmstart_tasks::detect::{JudgedScenes, Selection};

/// The labelled and detected objects of some images, also the objects of low scores.
///
/// # Errors
/// If a thread that reads images panics.
pub(crate) fn judged_scenes(
    detector: &Detector,
    samples: &[Sample<Scene>],
    workers: usize,
) -> Result<JudgedScenes, Error> {
    detector.judge(samples, workers, Selection::EVALUATION, &mut |_| ())
}
