//! The way of images through the frozen part.

use rayon::prelude::*;
use warmstart_models::Architecture;
use warmstart_nn::Forward;
use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::devices::card_of;
use warmstart_tasks::network::images;

use super::Frozen;

/// Fewest images of a thread: with fewer, fetching a layer's weights costs more than computing with them.
const SMALLEST_PART: usize = 4;

impl Frozen {
    /// The features of each image from its pixels. On the processor, threads compute parts of the images through all
    /// layers, so that none waits for another between layers. A card takes all of them at once, and from this thread,
    /// because it has a queue and memory for each.
    pub(super) fn compute_beside(
        &self,
        pixels: &[&[f32]],
        architecture: &Architecture,
        device: &Device,
    ) -> Vec<Vec<f32>> {
        if card_of(device).is_some() {
            return self.by_image(self.compute(pixels, architecture, device));
        }
        let threads = rayon::current_num_threads();
        // With several parts for each, no thread waits long for one whose processor does something else meanwhile.
        let part = if pixels.len() >= 2 * SMALLEST_PART * threads {
            SMALLEST_PART
        } else {
            pixels.len().div_ceil(threads).max(SMALLEST_PART)
        };
        let parts = pixels.par_chunks(part);
        parts
            .flat_map_iter(|pixels| self.by_image(self.compute(pixels, architecture, device)))
            .collect()
    }

    /// The maps `[batch, height, width, channels]` of images from their pixels, at most as many as go through at a time.
    ///
    /// On a card as many go through every time, black ones among them where there are fewer: shapes decide which kernels
    /// run, so an image would else have other bits among fewer images.
    pub(super) fn compute(
        &self,
        pixels: &[&[f32]],
        architecture: &Architecture,
        device: &Device,
    ) -> Vec<Tensor<4>> {
        let count = pixels.len();
        if card_of(device).is_none() || count >= self.images {
            return self.through(pixels, architecture, device);
        }
        let black = vec![0.0; self.image_size * self.image_size * 3];
        let mut whole = pixels.to_vec();
        whole.resize(self.images, &black);
        let maps = self.through(&whole, architecture, device).into_iter();
        maps.map(|map| map.narrow(0, 0, count)).collect()
    }

    /// The maps of images from their pixels.
    pub(super) fn through(
        &self,
        pixels: &[&[f32]],
        architecture: &Architecture,
        device: &Device,
    ) -> Vec<Tensor<4>> {
        let images = images(pixels, self.image_size, device).cast(self.format);
        if let Some(tapped) = &self.tapped {
            return tapped.mean_maps(images, &self.trunk);
        }
        let stages = 0..self.boundary;
        let mut forward = Forward::Inference(&self.trunk);
        (self.pool)(architecture.forward_maps(stages, vec![images], &mut forward))
    }
}
