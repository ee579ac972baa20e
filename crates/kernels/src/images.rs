//! The tiles of kernels that have sums of their own for each image.
//!
//! Tiles are those of [`Channels`], but each is part of one image. How an image is cut depends on
//! its size alone, and the sums of its tiles are added in order, so an image has the same bits in
//! any batch and on any number of threads.
#![allow(
    unsafe_code,
    reason = "the tiles of an image cover a buffer that is not set to zero first"
)]

use std::ops::Range;

use rayon::prelude::*;

use crate::channels::Channels;
use crate::memory::{Output, Unwritten};

/// `[images, pixels, channels]` as tiles of one image each.
pub(crate) struct Images {
    images: usize,
    channels: usize,
    image_len: usize,
    /// The rows of all images.
    pub all: Channels,
}

impl Images {
    /// # Panics
    /// If `len` is not a whole number of pixels for each image.
    pub(crate) fn new(len: usize, images: usize, channels: usize) -> Self {
        let all = Channels::new(len, channels);
        assert!(
            if images == 0 {
                len == 0
            } else {
                all.rows().is_multiple_of(images)
            },
            "expected {images} images of as many pixels, found {} pixels",
            all.rows()
        );
        Self {
            images,
            channels,
            image_len: len / images.max(1),
            all,
        }
    }

    pub(crate) fn pixels(&self) -> usize {
        self.image_len / self.channels
    }

    fn tiles_per_image(&self) -> usize {
        self.image_len.div_ceil(self.all.tile_len())
    }

    /// Results of `work(image, range of values)` for all tiles, in order.
    pub(crate) fn map<R: Send>(&self, work: impl Fn(usize, Range<usize>) -> R + Sync) -> Vec<R> {
        let tiles = self.tiles_per_image();
        let tasks = (0..self.images * tiles).into_par_iter();
        let results = tasks.map(|task| {
            let image = task / tiles;
            let end = (image + 1) * self.image_len;
            let first = image * self.image_len + task % tiles * self.all.tile_len();
            work(image, first..end.min(first + self.all.tile_len()))
        });
        results.collect()
    }

    /// Values that `work(image, range, output)` writes tile by tile.
    pub(crate) fn write(&self, work: impl Fn(usize, Range<usize>, Output) + Sync) -> Vec<f32> {
        let len = self.images * self.image_len;
        let mut values = Unwritten::new(len);
        let output = values.output();
        self.map(|image, range| work(image, range, output));
        // SAFETY: the tiles cover all values.
        unsafe { values.written(len) }
    }

    /// One image's parameters, repeated over a wide row.
    pub(crate) fn widen(&self, per_image: &[f32], image: usize) -> Vec<f32> {
        let first = image * self.channels;
        self.all.widen(&per_image[first..first + self.channels])
    }

    /// The gradient of each pixel, given that of the mean.
    pub(crate) fn shares(&self, grad_means: &[f32]) -> Vec<f32> {
        let expected = self.images * self.channels;
        assert_eq!(grad_means.len(), expected, "one mean a channel and image");
        let share = 1.0 / self.pixels() as f64;
        let shares = grad_means
            .iter()
            .map(|mean| (f64::from(*mean) * share) as f32);
        shares.collect()
    }

    /// The sums by channel of each image's tiles, added in order: `[images, channels]`.
    pub(crate) fn sums<'t>(&self, tiles: impl IntoIterator<Item = &'t Vec<f64>>) -> Vec<f64> {
        let mut totals = vec![0.0; self.images * self.channels];
        for (tile, sums) in tiles.into_iter().enumerate() {
            let image = tile / self.tiles_per_image();
            let totals = &mut totals[image * self.channels..];
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum;
            }
        }
        totals
    }

    /// The same times `factor`.
    pub(crate) fn totals(&self, tiles: &[Vec<f64>], factor: f64) -> Vec<f32> {
        let sums = self.sums(tiles).into_iter();
        sums.map(|sum| (sum * factor) as f32).collect()
    }
}
