//! Convolutions with one kernel a channel, vectorised over channels.
//!
//! All three passes run over lists of one pointer per pixel and tap, in which padding is a row of
//! zeros, so no border is a special case. Pixels go in blocks that share each load of a weight (or of
//! a sum, in the weight gradient), all channels of a block before the next, which reads and writes
//! memory in order.
#![allow(
    unsafe_code,
    reason = "pixels are read through pointers without bounds checks"
)]

use std::ops::Range;

use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::gather::{Gather, Source};
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten, with_scratch};
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Values of a tile of destination rows: with the source rows it stays in the L2 cache.
const TILE_VALUES: usize = 32 * 1024;
const MAX_CHUNKS: usize = 32;
/// Pixels of a block.
const BLOCK: usize = 4;

/// `y[b, oy, ox, c] = act(Σ x[b, iy, ix, c] · w[c, ky, kx] + bias[c] + residual)`.
pub(crate) fn forward(c: &Convolution, x: &[f32], w: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    let gathers = [Gather::forward(c)];
    let mut y = Unwritten::new(c.output_len());
    convolve(c, &gathers, x, w, epilogue, y.output());
    // SAFETY: the gather's pixels are the output's.
    unsafe { y.written(c.output_len()) }
}

/// `∂L/∂x[b, iy, ix, c] = Σ ∂L/∂y[b, oy, ox, c] · w[c, ky, kx]`.
pub(crate) fn input_gradient(c: &Convolution, grad_y: &[f32], w: &[f32]) -> Vec<f32> {
    let gathers = Gather::input_gradient(c);
    let mut grad_x = Unwritten::new(c.input_len());
    convolve(c, &gathers, grad_y, w, Epilogue::NONE, grad_x.output());
    // SAFETY: the phases cover the input's pixels.
    unsafe { grad_x.written(c.input_len()) }
}

fn rows_per_tile(gather: &Gather, channels: usize) -> usize {
    (TILE_VALUES / (gather.horizontal.positions * channels).max(1)).max(1)
}

fn rows(gather: &Gather) -> usize {
    gather.batch * gather.vertical.positions
}

/// Destination pixels of the image rows in `rows`.
fn pixels(gather: &Gather, rows: Range<usize>) -> Range<usize> {
    let width = gather.horizontal.positions;
    rows.start * width..rows.end * width
}

fn convolve(
    c: &Convolution,
    gathers: &[Gather],
    source: &[f32],
    w: &[f32],
    epilogue: Epilogue<'_>,
    output: Output,
) {
    let channels = c.in_channels;
    let packed: Vec<_> = gathers.iter().map(|gather| pack(c, gather, w)).collect();
    let padding = vec![0.0; channels];
    // Every task does its share of every phase, so that phases meet their source in the cache.
    let tile_tasks = |gather| rows(gather).div_ceil(rows_per_tile(gather, channels));
    let tasks = gathers.iter().map(tile_tasks).max().unwrap_or(0);
    let iterator = (0..tasks).into_par_iter().with_max_len(1);
    iterator.for_each_init(Default::default, |(pointers, destinations), task| {
        for (gather, weights) in gathers.iter().zip(&packed) {
            let rows = rows(gather);
            let range = pixels(gather, task * rows / tasks..(task + 1) * rows / tasks);
            let source = Source {
                start: source.as_ptr(),
                pixel: channels,
                padding: padding.as_ptr(),
            };
            gather.pointers(range.clone(), BLOCK, gather.tap_count(), source, pointers);
            gather.destinations(range, destinations);
            dispatch(Tile {
                pointers,
                destinations,
                taps: gather.tap_count(),
                weights,
                channels,
                epilogue,
                output,
            });
        }
    });
}

/// The weights as `[tap, channel]`.
fn pack(c: &Convolution, gather: &Gather, w: &[f32]) -> Vec<f32> {
    let taps = gather.tap_indices(c.kernel[1]).into_iter();
    taps.flat_map(|tap| w.iter().skip(tap).step_by(c.taps()).copied())
        .collect()
}

struct Tile<'a> {
    /// `[pixel / BLOCK, tap, BLOCK]`
    pointers: &'a [*const f32],
    destinations: &'a [usize],
    taps: usize,
    /// `[tap, channels]`
    weights: &'a [f32],
    channels: usize,
    epilogue: Epilogue<'a>,
    output: Output,
}

impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for (block, pixels) in self.destinations.chunks(BLOCK).enumerate() {
            let pointers = &self.pointers[block * self.taps * BLOCK..][..self.taps * BLOCK];
            let mut channel = 0;
            while channel < self.channels {
                let left = self.channels - channel;
                // SAFETY: the channels are in bounds of pixels and weights.
                unsafe {
                    if left >= 2 * V::LANES {
                        self.block::<V, 2>(pointers, pixels, channel, V::LANES);
                        channel += 2 * V::LANES;
                    } else {
                        self.block::<V, 1>(pointers, pixels, channel, left.min(V::LANES));
                        channel += V::LANES;
                    }
                }
            }
        }
    }
}

impl Tile<'_> {
    /// # Safety
    /// There must be `VECTORS` registers of channels from `channel` on, of which the last has
    /// `lanes`.
    #[inline(always)]
    unsafe fn block<V: Vector, const VECTORS: usize>(
        &self,
        pointers: &[*const f32],
        pixels: &[usize],
        channel: usize,
        lanes: usize,
    ) {
        let lanes = if VECTORS > 1 { V::LANES } else { lanes };
        let mut sums = [[V::splat(0.0); VECTORS]; BLOCK];
        let mut weights = self.weights.as_ptr().wrapping_add(channel);
        let (taps, _) = pointers.as_chunks::<BLOCK>();
        for pointers in taps {
            // SAFETY: weights and pointers are valid for all channels.
            unsafe {
                let mut weight = [V::splat(0.0); VECTORS];
                for (vector, weight) in weight.iter_mut().enumerate() {
                    *weight = V::load(weights.wrapping_add(vector * V::LANES), lanes);
                }
                for (pointer, sums) in pointers.iter().zip(sums.iter_mut()) {
                    let pointer = pointer.add(channel);
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let value = V::load(pointer.add(vector * V::LANES), lanes);
                        *sum = value.mul_add(weight[vector], *sum);
                    }
                }
            }
            weights = weights.wrapping_add(self.channels);
        }
        // A fixed count keeps the sums in registers.
        for (index, sums) in sums.iter().enumerate() {
            let Some(pixel) = pixels.get(index) else {
                break;
            };
            for (vector, sum) in sums.iter().enumerate() {
                let channel = channel + vector * V::LANES;
                let offset = pixel * self.channels + channel;
                // SAFETY: a destination pixel, which belongs to this tile alone.
                unsafe {
                    let value = self.epilogue.apply(*sum, channel, offset, lanes);
                    value.store(self.output.at(offset), lanes);
                }
            }
        }
    }
}

/// `∂L/∂w[c, ky, kx] = Σ x[b, iy, ix, c] · ∂L/∂y[b, oy, ox, c]`, summed over a number of chunks that
/// depends on the shape alone, in their order.
pub(crate) fn weight_gradient(c: &Convolution, x: &[f32], grad_y: &[f32]) -> Vec<f32> {
    let gather = Gather::forward(c);
    let channels = c.in_channels;
    let rows = rows(&gather);
    let taps = c.taps();
    let chunks = rows.clamp(1, MAX_CHUNKS);
    let padding = vec![0.0; channels];
    let chunk_len = taps * channels;
    with_scratch(chunks * chunk_len, |scratch| {
        let tasks = scratch.par_chunks_exact_mut(chunk_len).with_max_len(1);
        tasks.enumerate().for_each(|(chunk, sums)| {
            sums.fill(0.0);
            let mut pointers = Vec::new();
            let source = Source {
                start: x.as_ptr(),
                pixel: channels,
                padding: padding.as_ptr(),
            };
            let (first, end) = (chunk * rows / chunks, (chunk + 1) * rows / chunks);
            let step = rows_per_tile(&gather, channels);
            for row in (first..end).step_by(step) {
                let range = pixels(&gather, row..end.min(row + step));
                gather.pointers(range.clone(), BLOCK, taps, source, &mut pointers);
                dispatch(WeightTile {
                    pointers: &pointers,
                    taps,
                    grad_y: &grad_y[range.start * channels..range.end * channels],
                    channels,
                    sums,
                });
            }
        });
        let mut gradient = vec![0.0; c.weight_len()];
        for sums in scratch.chunks_exact(chunk_len) {
            for (tap, row) in sums.chunks_exact(channels).enumerate() {
                let column = gradient[tap..].iter_mut().step_by(taps);
                for (value, sum) in column.zip(row) {
                    *value += sum;
                }
            }
        }
        gradient
    })
}

struct WeightTile<'a> {
    /// `[pixel / BLOCK, tap, BLOCK]`
    pointers: &'a [*const f32],
    taps: usize,
    /// `[pixel, channels]`
    grad_y: &'a [f32],
    channels: usize,
    /// `[tap, channels]`
    sums: &'a mut [f32],
}

impl Kernel for WeightTile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        for (block, gradients) in self.grad_y.chunks(BLOCK * self.channels).enumerate() {
            let pointers = &self.pointers[block * self.taps * BLOCK..][..self.taps * BLOCK];
            let mut channel = 0;
            while channel < self.channels {
                let left = self.channels - channel;
                // SAFETY: the channels are in bounds of pixels and sums.
                unsafe {
                    if left >= 2 * V::LANES {
                        self.block::<V, 2>(pointers, gradients, channel, V::LANES);
                        channel += 2 * V::LANES;
                    } else {
                        self.block::<V, 1>(pointers, gradients, channel, left.min(V::LANES));
                        channel += V::LANES;
                    }
                }
            }
        }
    }
}

impl WeightTile<'_> {
    /// # Safety
    /// There must be `VECTORS` registers of channels from `channel` on, of which the last has
    /// `lanes`.
    #[inline(always)]
    unsafe fn block<V: Vector, const VECTORS: usize>(
        &mut self,
        pointers: &[*const f32],
        gradients: &[f32],
        channel: usize,
        lanes: usize,
    ) {
        let lanes = if VECTORS > 1 { V::LANES } else { lanes };
        let mut values = [[V::splat(0.0); VECTORS]; BLOCK];
        let pixels = gradients.chunks_exact(self.channels);
        for (pixel, values) in pixels.zip(values.iter_mut()) {
            for (vector, value) in values.iter_mut().enumerate() {
                // SAFETY: gradients are valid for all channels.
                *value = unsafe { V::load(pixel.as_ptr().add(channel + vector * V::LANES), lanes) };
            }
        }
        let mut place = self.sums.as_mut_ptr().wrapping_add(channel);
        let (taps, _) = pointers.as_chunks::<BLOCK>();
        for pointers in taps {
            // SAFETY: sums and pointers are valid for all channels.
            unsafe {
                let mut sums = [V::splat(0.0); VECTORS];
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(place.wrapping_add(vector * V::LANES), lanes);
                }
                for (pointer, gradients) in pointers.iter().zip(&values) {
                    let pointer = pointer.add(channel);
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let value = V::load(pointer.add(vector * V::LANES), lanes);
                        *sum = value.mul_add(gradients[vector], *sum);
                    }
                }
                for (vector, sum) in sums.iter().enumerate() {
                    sum.store(place.wrapping_add(vector * V::LANES), lanes);
                }
            }
            place = place.wrapping_add(self.channels);
        }
    }
}
