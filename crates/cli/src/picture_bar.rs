//! The progress over many pictures, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use warmstart_language::{english, translated};

/// What is shown of pictures.
const PICTURES: &str = english!("{bar:30} {pos}/{len} images, {per_sec}, {eta} left");

/// A bar on standard error that counts pictures; hidden for a single one, and where standard error is no terminal.
pub struct PictureBar(ProgressBar);

impl PictureBar {
    pub fn new(pictures: usize) -> Self {
        if pictures < 2 {
            return Self(ProgressBar::hidden());
        }
        let style =
            ProgressStyle::with_template(translated(PICTURES)).expect("the template is valid");
        Self(ProgressBar::new(pictures as u64).with_style(style))
    }

    /// Counts a picture.
    pub fn advance(&self) {
        self.0.inc(1);
    }

    /// Prints something while the bar is out of the way.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.0.suspend(print)
    }
}

impl Drop for PictureBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
