//! Events that a command reports while it works.

use std::path::{Path, PathBuf};

use warmstart_data::{Finding, Skipped};

use warmstart_recipe::{Phase, Recipe};

use crate::plan::Plan;
use crate::record::EpochRecord;
use crate::summary::Summary;

/// Progress of a command.
pub enum Event<'a> {
    /// Every image is about to be read once.
    Checking {
        /// Number of images.
        images: usize,
    },
    /// More images have been read, or found unchanged since they were.
    Checked {
        /// Images so far.
        images: usize,
        /// Images in all.
        of: usize,
    },
    /// The data set is known.
    Data {
        /// Names of the classes.
        classes: &'a [String],
        /// Images of each class in training, validation and test, or objects where an image has several
        /// classes.
        class_counts: &'a [[usize; 3]],
        /// `images` or `objects`, in English: what is counted there.
        counted: &'static str,
        /// Training images; in a cross-validation, the images to split into folds.
        train: usize,
        /// Validation images; 0 in a cross-validation, and where none are held out.
        validation: usize,
        /// Whether the images are split into folds.
        in_folds: bool,
        /// Images of the test split.
        test: usize,
        /// A message that names the file, for each image that cannot be read and is left out.
        unreadable: &'a [(PathBuf, String)],
        /// Files and folders that are not used, by reason.
        ignored: &'a Skipped,
        /// Sentences on how the folder was read, where it is ambiguous.
        notes: &'a [String],
        /// Classes without a validation image.
        without_validation: &'a [String],
        /// Properties of the data that make learning harder or metrics too optimistic.
        findings: &'a [Finding],
    },
    /// The cost of steps is about to be measured, in another process.
    Measuring,
    /// The plan of the phases.
    Plan(&'a Plan),
    /// The parameters are loaded; the text of the load report.
    Loaded(&'a str),
    /// The folder of a run exists: what is said from here on belongs to this run, and so does what was said since the
    /// last run ended.
    Run {
        /// The folder.
        path: &'a Path,
    },
    /// A phase begins or continues.
    Phase {
        /// The phase.
        phase: &'a Phase,
        /// Its number, from 1.
        number: usize,
        /// Number of phases.
        phases: usize,
        /// Number of trained values.
        trained: usize,
        /// Number of frozen values.
        frozen: usize,
        /// Steps of each of its epochs.
        steps: usize,
    },
    /// A training step is done.
    Step(Progress),
    /// A batch of the evaluation is done.
    Evaluated {
        /// Images so far.
        images: usize,
        /// Images in all.
        of: usize,
    },
    /// An epoch is done and its checkpoint committed.
    Epoch {
        /// Its metrics.
        record: &'a EpochRecord,
        /// Epochs of the run.
        epochs: usize,
        /// English name of its metric.
        metric: &'static str,
        /// True if its metric is the highest so far.
        is_highest: bool,
    },
    /// A file of weights is being downloaded.
    Downloading {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, where the server states them.
        of: Option<u64>,
    },
    /// Something a user should know.
    Note(String),
    /// All epochs are done.
    Finished {
        /// The result.
        summary: &'a Summary,
        /// Folder of the run.
        run: &'a Path,
        /// Its recipe.
        recipe: &'a Recipe,
        /// Whether it has validation images of its own.
        is_validated: bool,
    },
}

/// Progress of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epoch, from 1 over all phases.
    pub epoch: usize,
    /// Epochs of the run.
    pub epochs: usize,
    /// Epoch of its phase, from 1.
    pub epoch_in_phase: usize,
    /// Epochs of the phase.
    pub epochs_in_phase: usize,
    /// Steps done in the epoch.
    pub step: usize,
    /// Steps of the epoch.
    pub steps: usize,
    /// Loss of the step.
    pub loss: f64,
    /// Training images per second since the epoch began.
    pub images_per_second: f64,
}

/// A receiver of events.
pub type Observer<'a> = &'a mut dyn FnMut(Event);
