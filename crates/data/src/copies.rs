//! Search for copies of a picture among many.

use crate::sketch::{BRIGHTNESSES, Sketch};
use rayon::prelude::*;

/// Sketches in the order of their brightness: a copy has about the same, so that most need no look.
pub(crate) struct Album<'a> {
    sketches: &'a [Sketch],
    /// Brightness, hash and index of each. The hash lies here because it alone rules
    /// out nearly all.
    order: Vec<(u32, u128, usize)>,
}

/// The index of each of `pictures` that has a near-duplicate among `others`, and the index of one such.
pub fn copies(pictures: &[Sketch], others: &[Sketch]) -> Vec<(usize, usize)> {
    Album::new(others).copies_of(pictures)
}

impl<'a> Album<'a> {
    pub fn new(sketches: &'a [Sketch]) -> Self {
        let mut order: Vec<_> = (0..)
            .zip(sketches)
            .map(|(index, sketch)| (sketch.brightness(), sketch.hash, index))
            .collect();
        order.sort_unstable();
        Self { sketches, order }
    }

    /// A near-duplicate of `sketch` other than number `except`.
    fn copy_of(&self, sketch: &Sketch, except: Option<usize>) -> Option<usize> {
        let brightness = sketch.brightness();
        let darkest = brightness.saturating_sub(BRIGHTNESSES);
        let start = self.order.partition_point(|entry| entry.0 < darkest);
        self.order[start..]
            .iter()
            .take_while(|entry| entry.0 <= brightness + BRIGHTNESSES)
            .filter(|entry| sketch.hash_agrees_with(entry.1) && Some(entry.2) != except)
            .map(|entry| entry.2)
            .find(|index| sketch.is_near_duplicate_of(&self.sketches[*index]))
    }

    /// The index of each of `others` that has a near-duplicate here, and the index of one such.
    pub fn copies_of(&self, others: &[Sketch]) -> Vec<(usize, usize)> {
        let copy = |(index, other)| Some((index, self.copy_of(other, None)?));
        others.par_iter().enumerate().filter_map(copy).collect()
    }

    /// Of the sketches at `indices`, the index of each that has another near-duplicate here, and that
    /// of one.
    pub fn copies_inside(&self, indices: &[usize]) -> Vec<(usize, usize)> {
        let copy = |index: &usize| {
            let found = self.copy_of(&self.sketches[*index], Some(*index))?;
            Some((*index, found))
        };
        indices.par_iter().filter_map(copy).collect()
    }
}
