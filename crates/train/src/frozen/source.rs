//! The images of an epoch or an evaluation: their cached features, or the pixels that these are computed from.

use std::sync::Arc;

use warmstart_data::{DataError, Prepare};
use warmstart_tasks::task::Example;

use super::kept_features::KeptFeatures;

/// An image's input to the trained part, or the pixels that it is computed from.
pub(super) enum Input {
    /// Normalised, `[height, width, 3]`.
    Pixels(Vec<f32>),
    /// Its features from the frozen part.
    Features(Vec<f32>),
}

/// The source of the images of an epoch or an evaluation.
pub struct Source<T> {
    pub(super) kept: Option<Arc<KeptFeatures>>,
    prepare: Arc<Prepare<Prepared<T>>>,
}

/// An image in the order of its batch.
pub struct Prepared<T> {
    /// Its index in the cache.
    pub(super) entry: usize,
    pub(super) input: Input,
    /// The target of its loss.
    pub target: T,
}

impl<T> Prepared<T> {
    /// Whether its features were in the cache.
    pub fn is_cached(&self) -> bool {
        match self.input {
            Input::Features(_) => true,
            Input::Pixels(_) => false,
        }
    }
}

impl<T: 'static> Source<T> {
    /// `first` is the entry of sample 0.
    pub(super) fn new(
        kept: Option<Arc<KeptFeatures>>,
        first: usize,
        example: impl Fn(usize) -> Result<Example<T>, DataError> + Send + Sync + 'static,
        target: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Self {
        let found = kept.clone();
        let prepare = move |sample| {
            let entry = first + sample;
            let features = found.as_ref().and_then(|kept| kept.read(entry));
            let (input, target) = match features {
                Some(features) => (Input::Features(features), target(sample)),
                None => {
                    let example = example(sample)?;
                    (Input::Pixels(example.pixels), example.target)
                }
            };
            Ok(Prepared {
                entry,
                input,
                target,
            })
        };
        Self {
            kept,
            prepare: Arc::new(prepare),
        }
    }

    /// The function that prepares one image, from the cache or from its file.
    pub fn prepare(&self) -> Arc<Prepare<Prepared<T>>> {
        Arc::clone(&self.prepare)
    }
}
