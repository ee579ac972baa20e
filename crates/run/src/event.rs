//! Events that a command reports while it works.

use std::path::{Path, PathBuf};

use warmstart_data::{Finding, Skipped};

use warmstart_recipe::Phase;

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
    /// The data set is known.
    Data {
        /// Names of the classes.
        classes: &'a [String],
        /// Images of each class in training, validation and test, or objects where an image has several
        /// classes.
        class_counts: &'a [[usize; 3]],
        /// `images` or `objects`: what is counted there.
        counted: &'static str,
        /// Images to train on, or that a cross-validation deals out.
        train: usize,
        /// Images that validate; 0 in a cross-validation.
        validation: usize,
        /// Images of the test split.
        test: usize,
        /// A message that names the file, for each image that cannot be read and is left out.
        unreadable: &'a [(PathBuf, String)],
        /// Files and folders that are not used, by reason.
        ignored: &'a Skipped,
        /// Sentences on how the folder was read, where another way is thinkable.
        notes: &'a [String],
        /// Classes without a validation image.
        without_validation: &'a [String],
        /// What makes them harder to learn from, or their figures flatter.
        findings: &'a [Finding],
    },
    /// Steps are about to be taken in another process, for the plan.
    Measuring,
    /// What the phases are going to need.
    Plan(&'a Plan),
    /// The parameters are there; the text of the load report.
    Loaded(&'a str),
    /// A phase begins, or goes on.
    Phase {
        /// The phase.
        phase: &'a Phase,
        /// Its place among the phases, from 1.
        number: usize,
        /// Number of phases.
        phases: usize,
        /// Values that learn.
        trained: usize,
        /// Values that do not.
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
        /// Its figures.
        record: &'a EpochRecord,
        /// Epochs of the run.
        epochs: usize,
        /// Name of its metric.
        metric: &'static str,
        /// True if its metric is the highest so far.
        is_highest: bool,
    },
    /// Something a user should know.
    Note(String),
    /// All epochs are done.
    Finished {
        /// The result.
        summary: &'a Summary,
        /// Folder of the run.
        run: &'a Path,
    },
}

/// Where an epoch stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epoch, from 1 over all phases.
    pub epoch: usize,
    /// Epochs of the run.
    pub epochs: usize,
    /// Steps done in the epoch.
    pub step: usize,
    /// Steps of the epoch.
    pub steps: usize,
    /// Loss of the step.
    pub loss: f64,
    /// Training images a second since the epoch began.
    pub images_per_second: f64,
}

/// Where events go.
pub type Observer<'a> = &'a mut dyn FnMut(Event);
