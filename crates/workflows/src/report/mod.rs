//! What there is to report of a run: its files, the kept model's answers on the images that chose it, and pictures.

mod boxes;
mod classes;
mod doubts;
mod pictures;
mod samples;

use std::path::Path;

use warmstart_data::{SplitKind, data_folder};
use warmstart_language::message;
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::Error;
use warmstart_recipe::run_files::BEST;
use warmstart_run::files::RunFiles;
use warmstart_tasks::classify::Classification;
use warmstart_tasks::detect::Detection;
use warmstart_tasks::kinds::Trained;
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::task::Task;

use crate::run_data::RunData;

pub use boxes::{DoubtfulBoxes, JudgedScene, Scenes};
pub use classes::{Classes, JudgedImage, Overlay};
pub use doubts::Doubts;
pub use pictures::{Picture, PictureId, Pictures};

/// Most classes of which every pair is counted.
const MOST_CLASSES: usize = 2000;

/// What there is to report of a run.
pub struct RunReport {
    /// What its files say.
    pub files: RunFiles,
    /// The kept model on the images that chose it; `None` where there are none, and while the run has no model.
    pub judged: Option<Judged>,
    /// Why there are no answers of the kept model; `None` where there are.
    pub why_not_judged: Option<String>,
    /// Whether no image was held out: the metric is of training images, each by a head that was solved without it.
    pub is_left_out: bool,
    /// Validation images of the run that are gone or changed, or cannot be read.
    pub lost: usize,
    /// The training images with the most doubtful labels.
    pub doubts: Doubts,
    /// Training images of each class, or objects where an image has several; empty if they are unknown.
    pub training_counts: Vec<usize>,
    /// Training images as the network sees them: the picture and its classes.
    pub samples: Vec<(PictureId, String)>,
    /// The pictures that the report shows.
    pub pictures: Pictures,
}

/// The kept model's answers.
pub enum Judged {
    /// Of a classifier.
    Classes(Classes),
    /// Of a detector.
    Scenes(Box<Scenes>),
}

/// Gathers what there is to report of a run, with the kept model's answers on the run's validation images, which
/// `device` computes.
///
/// # Errors
/// If it is not a run. What else is missing is left out: a report of a damaged run shows what is left.
pub fn report(run: &Path, workers: usize, device: &Device) -> Result<RunReport, Error> {
    let mut report = report_of_files(run)?;
    match judge(&mut report, workers, device) {
        Ok(()) => {}
        Err(error) => report.why_not_judged = Some(error.to_string()),
    }
    Ok(report)
}

/// The part of a report that needs no model: for a run in progress.
///
/// # Errors
/// If it is not a run.
pub fn report_of_files(run: &Path) -> Result<RunReport, Error> {
    Ok(RunReport {
        files: RunFiles::read(run)?,
        judged: None,
        why_not_judged: None,
        is_left_out: false,
        lost: 0,
        doubts: Doubts::default(),
        training_counts: Vec::new(),
        samples: Vec::new(),
        pictures: Pictures::default(),
    })
}

fn judge(report: &mut RunReport, workers: usize, device: &Device) -> Result<(), Error> {
    let run = report.files.run.clone();
    let trained = Trained::load(&run.join(BEST), device)?;
    let names = &trained.info().classes;
    if names.len() > MOST_CLASSES {
        let what = message!(
            "it has {} classes, and the page shows the answers on at most {MOST_CLASSES}",
            names.len()
        );
        return Err(Error::usage(what).fix(message!("`warmstart eval` has a line for each")));
    }
    let Some(data) = RunData::beside(&run, Some(names.len()))? else {
        return Ok(());
    };
    let folder = data_folder(&data.recipe.data);
    let pictures = &mut report.pictures;
    report.doubts = Doubts::of(&run, &data.recipe.data, pictures);
    match &trained {
        Trained::Classifier(classifier) => {
            see::<Classification>(
                &data,
                &classifier.info,
                (&mut report.samples, &mut report.training_counts),
                pictures,
            );
            report.is_left_out = data.has(SplitKind::Train) && !data.has(SplitKind::Validation);
            if report.is_left_out {
                return Ok(());
            }
            let own = data.images::<Classification>(SplitKind::Validation, names)?;
            let lost = own.lost.len();
            let classes = classes::judge(classifier, own.samples, workers, folder, pictures)?;
            report.lost = lost + classes.unreadable;
            report.judged = Some(Judged::Classes(classes));
        }
        Trained::Detector(detector) => {
            see::<Detection>(
                &data,
                &detector.info,
                (&mut report.samples, &mut report.training_counts),
                pictures,
            );
            let own = data.images::<Detection>(SplitKind::Validation, names)?;
            let lost = own.lost.len();
            let scenes = boxes::judge(detector, own.samples, workers, folder, pictures)?;
            report.lost = lost + scenes.unreadable;
            report.judged = Some(Judged::Scenes(Box::new(scenes)));
        }
    }
    Ok(())
}

/// Adds the training images, as far as they are still on the disk.
fn see<T: Task>(
    data: &RunData,
    info: &ModelInfo,
    (samples, counts): (&mut Vec<(PictureId, String)>, &mut Vec<usize>),
    pictures: &mut Pictures,
) {
    let Ok(training) = data.images::<T>(SplitKind::Train, &info.classes) else {
        return;
    };
    *counts = vec![0; info.classes.len()];
    let labels = training.samples.iter();
    for class in labels.flat_map(|sample| T::classes_of(&sample.label)) {
        counts[class] += 1;
    }
    let preprocessing = info.preprocessing.clone();
    let classes = &info.classes;
    *samples = samples::of::<T>(
        &data.recipe,
        preprocessing,
        classes,
        training.samples,
        pictures,
    );
}
