//! Rows of features that are kept: all of a few images, or an even sample of many.

use std::collections::BinaryHeap;

/// Rows in one block of memory, and rows that are folded into moments at a time.
pub(crate) const BLOCK: usize = 256;

/// Rows of a sample, unless there are fewer images.
pub(crate) const SAMPLE: usize = 4096;

/// Rows of features and their labels, in blocks that are allocated as rows come.
pub(crate) struct Rows {
    values: usize,
    blocks: Vec<Vec<f32>>,
    labels: Vec<usize>,
}

impl Rows {
    /// No rows, of `values` values each.
    pub(crate) fn new(values: usize) -> Self {
        let (blocks, labels) = (Vec::new(), Vec::new());
        Self {
            values,
            blocks,
            labels,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn push(&mut self, row: &[f32], label: usize) {
        if self.labels.len() == self.blocks.len() * BLOCK {
            self.blocks.push(Vec::with_capacity(BLOCK * self.values));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.extend_from_slice(row);
        }
        self.labels.push(label);
    }

    pub(crate) fn row(&self, index: usize) -> &[f32] {
        let start = index % BLOCK * self.values;
        &self.blocks[index / BLOCK][start..start + self.values]
    }

    pub(crate) fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Takes the first block of rows with their labels out; `None` if no block is full.
    pub(crate) fn take_block(&mut self) -> Option<Self> {
        if self.labels.len() < BLOCK {
            return None;
        }
        let rest = self.labels.split_off(BLOCK);
        let labels = std::mem::replace(&mut self.labels, rest);
        let blocks = vec![self.blocks.remove(0)];
        let values = self.values;
        Some(Self {
            values,
            blocks,
            labels,
        })
    }

    fn replace(&mut self, index: usize, row: &[f32], label: usize) {
        let start = index % BLOCK * self.values;
        self.blocks[index / BLOCK][start..start + self.values].copy_from_slice(row);
        self.labels[index] = label;
    }

    /// Bytes that are allocated.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        let blocks: usize = self.blocks.iter().map(|block| block.capacity() * 4).sum();
        (blocks + self.labels.capacity() * size_of::<usize>()) as u64
    }
}

/// The `SAMPLE` images whose numbers have the least hashes: a sample that depends on neither the order of classes nor
/// a period in it, and is the same each time.
pub(crate) struct Sample {
    pub(crate) rows: Rows,
    /// Images by row.
    pub(crate) images: Vec<usize>,
    /// Hashes and rows, the largest hash first.
    largest: BinaryHeap<(u64, usize)>,
}

impl Sample {
    /// A sample of rows of `values` values.
    pub(crate) fn new(values: usize) -> Self {
        let (rows, images) = (Rows::new(values), Vec::with_capacity(SAMPLE));
        let largest = BinaryHeap::with_capacity(SAMPLE);
        Self {
            rows,
            images,
            largest,
        }
    }

    /// Takes the image into the sample if its hash is small enough.
    pub(crate) fn offer(&mut self, image: usize, row: &[f32], label: usize) {
        let hash = hash(image as u64);
        if self.images.len() < SAMPLE {
            self.largest.push((hash, self.images.len()));
            self.rows.push(row, label);
            self.images.push(image);
        } else if let Some(mut largest) = self.largest.peek_mut()
            && hash < largest.0
        {
            let index = largest.1;
            *largest = (hash, index);
            self.rows.replace(index, row, label);
            self.images[index] = image;
        }
    }

    /// Rows of the sample in the order of their images.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        order.sort_by_key(|&row| self.images[row]);
        order
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub(crate) fn hash(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_even_and_keeps_rows_with_their_images() {
        let images = 20_000;
        let mut sample = Sample::new(1);
        for image in 0..images {
            sample.offer(image, &[image as f32], image % 7);
        }
        let order = sample.order();
        assert_eq!(order.len(), SAMPLE);
        let taken: Vec<usize> = order.iter().map(|&row| sample.images[row]).collect();
        assert!(taken.windows(2).all(|pair| pair[0] < pair[1]));
        for &row in &order {
            assert_eq!(sample.rows.row(row)[0], sample.images[row] as f32);
            assert_eq!(sample.rows.labels()[row], sample.images[row] % 7);
        }
        for part in 0..4 {
            let range = part * images / 4..(part + 1) * images / 4;
            let share = taken.iter().filter(|image| range.contains(image)).count();
            assert!((900..1150).contains(&share), "{share}");
        }
    }

    #[test]
    fn blocks_are_taken_in_order() {
        let mut rows = Rows::new(2);
        for image in 0..BLOCK + 3 {
            rows.push(&[image as f32, 0.0], image);
        }
        assert_eq!(rows.row(BLOCK + 1), [(BLOCK + 1) as f32, 0.0]);
        let block = rows.take_block().unwrap();
        assert_eq!((block.len(), rows.len()), (BLOCK, 3));
        assert_eq!(rows.row(0), [BLOCK as f32, 0.0]);
        assert!(rows.take_block().is_none());
    }
}
