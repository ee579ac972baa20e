//! The batches of an epoch, as a function of their number: no list of the data set's size.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Gives the sample at a place of an order.
type SampleAt = dyn Fn(usize) -> usize + Send + Sync;

/// Places of an order, cut into batches. The last one may be smaller.
///
/// A copy shares the order, so it costs nothing.
#[derive(Clone)]
pub struct Batches {
    places: Range<usize>,
    /// Images of every batch but the last; at least one.
    size: usize,
    sample_at: Arc<SampleAt>,
    /// The places within a whole batch, and within the last one, that are prepared.
    parts: [Range<usize>; 2],
}

impl Batches {
    /// Cuts `places` of an order into batches of `size` images; `sample_at` gives the sample at each place. A size of 0
    /// counts as 1.
    pub fn new(
        places: Range<usize>,
        size: usize,
        sample_at: impl Fn(usize) -> usize + Send + Sync + 'static,
    ) -> Self {
        let size = size.max(1);
        let parts = [size, last_images(&places, size)].map(|images| 0..images);
        Self {
            places,
            size,
            sample_at: Arc::new(sample_at),
            parts,
        }
    }

    /// Cuts a list of samples into batches of `size`. A size of 0 counts as 1.
    pub fn of(order: Vec<usize>, size: usize) -> Self {
        Self::new(0..order.len(), size, move |place| order[place])
    }

    /// Of each batch of n images only those at the places `part(n)` are prepared; the batch still counts n images. A
    /// part beyond the batch ends with it, and an empty one makes an empty batch. It replaces an earlier cut.
    pub fn cut(self, part: impl Fn(usize) -> Range<usize> + Send + Sync + 'static) -> Self {
        let parts = [self.size, last_images(&self.places, self.size)].map(|images| {
            let part = part(images);
            let end = part.end.min(images);
            part.start.min(end)..end
        });
        Self { parts, ..self }
    }

    /// The first so many of the batches.
    pub fn first(self, batches: usize) -> Self {
        if batches >= self.len() {
            return self;
        }
        let [whole, _] = self.parts;
        Self {
            places: self.places.start..self.places.start + batches * self.size,
            parts: [whole.clone(), whole],
            ..self
        }
    }

    /// Number of batches.
    pub fn len(&self) -> usize {
        self.places.len().div_ceil(self.size)
    }

    /// Whether there is no batch.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Number of images of the whole batch, prepared or not; 0 where there is no such batch.
    pub fn images(&self, batch: usize) -> usize {
        let before = batch.saturating_mul(self.size);
        self.places.len().saturating_sub(before).min(self.size)
    }

    /// The samples of the batch that are prepared, in their order; none where there is no such batch.
    pub fn get(&self, batch: usize) -> Vec<usize> {
        let prepared = 0..self.prepared(batch);
        prepared
            .map(|position| self.sample(batch, position))
            .collect()
    }

    /// The samples of all batches that are prepared, in their order.
    pub fn samples(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).flat_map(|batch| self.get(batch))
    }

    /// Number of images of a batch that are prepared.
    pub(crate) fn prepared(&self, batch: usize) -> usize {
        self.part(batch).len()
    }

    /// The sample at a position among those of a batch that are prepared.
    pub(crate) fn sample(&self, batch: usize, position: usize) -> usize {
        let place = self.places.start + batch * self.size + self.part(batch).start + position;
        (self.sample_at)(place)
    }

    /// Number of images of all batches that are prepared.
    pub(crate) fn all_prepared(&self) -> usize {
        let [whole, last] = &self.parts;
        match self.len() {
            0 => 0,
            batches => (batches - 1) * whole.len() + last.len(),
        }
    }

    fn part(&self, batch: usize) -> Range<usize> {
        let [whole, last] = &self.parts;
        match self.len().checked_sub(batch) {
            None | Some(0) => 0..0,
            Some(1) => last.clone(),
            Some(_) => whole.clone(),
        }
    }
}

/// Number of images of the last batch.
fn last_images(places: &Range<usize>, size: usize) -> usize {
    match places.len() % size {
        0 => places.len().min(size),
        rest => rest,
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter
            .debug_struct("Batches")
            .field("places", &self.places)
            .field("size", &self.size)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(batches: &Batches) -> Vec<Vec<usize>> {
        (0..batches.len()).map(|batch| batches.get(batch)).collect()
    }

    #[test]
    fn the_last_batch_may_be_smaller() {
        let batches = Batches::of(vec![4, 2, 0, 1, 3], 2);
        assert_eq!(all(&batches), [vec![4, 2], vec![0, 1], vec![3]]);
        assert_eq!(
            [0, 1, 2, 3].map(|batch| batches.images(batch)),
            [2, 2, 1, 0]
        );
        assert_eq!(batches.samples().collect::<Vec<_>>(), [4, 2, 0, 1, 3]);
        assert_eq!(all(&Batches::of(vec![1, 0], 32)), [vec![1, 0]]);
        assert!(Batches::of(vec![], 32).is_empty());
        assert_eq!(all(&Batches::of(vec![1, 0], 0)), [vec![1], vec![0]]);
    }

    #[test]
    fn batches_begin_at_any_place_of_an_order() {
        let batches = Batches::new(3..8, 2, |place| place * 10);
        assert_eq!(all(&batches), [vec![30, 40], vec![50, 60], vec![70]]);
        assert_eq!(all(&batches.clone().first(2)), [vec![30, 40], vec![50, 60]]);
        assert_eq!(all(&batches.clone().first(9)), all(&batches));
        assert!(batches.first(0).is_empty());
    }

    #[test]
    fn a_cut_prepares_a_part_of_each_batch() {
        let batches = Batches::of((0..10).collect(), 4);
        let half = batches.clone().cut(|images| images / 2..images);
        assert_eq!(all(&half), [vec![2, 3], vec![6, 7], vec![9]]);
        assert_eq!([0, 1, 2].map(|batch| half.images(batch)), [4, 4, 2]);
        assert_eq!(half.all_prepared(), 5);
        let beyond = batches.cut(|_| 3..9);
        assert_eq!(all(&beyond), [vec![3], vec![7], vec![]]);
    }
}
