//! The evaluation of a classifier on labelled images, image by image.

use warmstart_metrics::{ConfusionMatrix, Interval, wilson};
use warmstart_recipe::Error;

use crate::network::none_readable;

/// Evaluation of a classifier on labelled images.
pub struct ClassEvaluation {
    /// The confusion matrix.
    pub confusion: ConfusionMatrix,
    /// Share of images whose class is among the first five.
    pub top_5: f64,
    /// Its 95% interval.
    pub top_5_interval: Interval,
    /// A message for each image that could not be read and was left out.
    pub unreadable: Vec<String>,
}

/// What an evaluation counts of the images so far.
pub struct ClassTally {
    confusion: ConfusionMatrix,
    among_top: usize,
    unreadable: Vec<String>,
}

impl ClassTally {
    /// Of no image yet.
    pub fn new(classes: Vec<String>) -> Self {
        Self {
            confusion: ConfusionMatrix::new(classes),
            among_top: 0,
            unreadable: Vec::new(),
        }
    }

    /// Adds an image with its class and the classes that are likeliest, the likeliest first.
    ///
    /// # Panics
    /// If there is no such class, or none is likeliest.
    pub fn add(&mut self, label: usize, best: &[usize]) {
        self.confusion.add(label, best[0]);
        self.among_top += usize::from(best.contains(&label));
    }

    /// Adds an image that could not be read, with the reason.
    pub fn add_unreadable(&mut self, why: String) {
        self.unreadable.push(why);
    }

    /// The evaluation on all of them.
    ///
    /// # Errors
    /// If none of them could be read.
    pub fn evaluation(self) -> Result<ClassEvaluation, Error> {
        let Self {
            confusion,
            among_top,
            unreadable,
        } = self;
        let images = confusion.total();
        if images == 0 {
            return Err(none_readable(&unreadable));
        }
        Ok(ClassEvaluation {
            top_5: among_top as f64 / images as f64,
            top_5_interval: wilson(among_top, images),
            confusion,
            unreadable,
        })
    }
}
