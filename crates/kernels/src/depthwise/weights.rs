//! Weight gradient of depthwise convolutions.
#![allow(
    unsafe_code,
    reason = "pixels are read through pointers without bounds checks"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::tasks::{pixels, rows, share, source_rows};
use crate::gather::Gather;
use crate::geometry::Convolution;
use crate::memory::with_scratch;
use crate::operand::Operand;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

const MAX_CHUNKS: usize = 32;

/// The gradient of the weights: sums over chunks, added in order. The number of chunks depends on
/// the shape alone.
pub(super) struct WeightPass {
    channels: usize,
    taps: usize,
    pub gather: Gather,
}

/// Buffers that a thread reuses from tile to tile.
#[derive(Default)]
pub(super) struct WeightTileBuffers {
    pub x: Vec<f32>,
    pub grad_y: Vec<f32>,
}

impl WeightPass {
    pub(super) fn new(c: &Convolution) -> Self {
        Self {
            channels: c.in_channels,
            taps: c.taps(),
            gather: Gather::forward(c),
        }
    }

    pub(super) fn rows(&self, task: usize, tasks: usize) -> Range<usize> {
        share(rows(&self.gather), task, tasks)
    }

    /// Runs all tasks, which add to the sums `[tap, channels]` of their chunk. Returns the gradient
    /// `[channels, taps]` and the results of the tasks, in order.
    pub(super) fn run<P: Send>(
        &self,
        tasks: usize,
        work: impl Fn(usize, &mut WeightTileBuffers, &mut [f32]) -> P + Sync,
    ) -> (Vec<f32>, Vec<P>) {
        let chunks = tasks.min(MAX_CHUNKS);
        let chunk_len = self.taps * self.channels;
        with_scratch(chunks * chunk_len, |scratch| {
            let iterator = scratch.par_chunks_exact_mut(chunk_len).with_max_len(1);
            let done = iterator.enumerate().map(|(chunk, sums)| {
                sums.fill(0.0);
                let mut buffers = WeightTileBuffers::default();
                let tasks = share(tasks, chunk, chunks);
                tasks
                    .map(|task| work(task, &mut buffers, sums))
                    .collect::<Vec<_>>()
            });
            let done: Vec<Vec<P>> = done.collect();
            let mut gradient = vec![0.0; chunk_len];
            for sums in scratch.chunks_exact(chunk_len) {
                for (tap, row) in sums.chunks_exact(self.channels).enumerate() {
                    let column = gradient[tap..].iter_mut().step_by(self.taps);
                    for (value, sum) in column.zip(row) {
                        *value += sum;
                    }
                }
            }
            (gradient, done.into_iter().flatten().collect())
        })
    }

    /// Adds the products of the output rows in `rows`. `grad_y` is the address that the
    /// gradient's value 0 would have.
    pub(super) fn add(
        &self,
        rows: Range<usize>,
        x: Operand<'_>,
        grad_y: *const f32,
        scratch: &mut Vec<f32>,
        sums: &mut [f32],
    ) {
        let span = self.gather.source_span(pixels(&self.gather, rows.clone()));
        let span = span.start * self.channels..span.end * self.channels;
        dispatch(WeightTile {
            gather: &self.gather,
            rows,
            x: x.read(span, scratch),
            grad_y,
            channels: self.channels,
            sums,
        });
    }
}

/// Some rows of the output.
struct WeightTile<'a> {
    gather: &'a Gather,
    rows: Range<usize>,
    /// The addresses that value 0 of input and gradient would have.
    x: *const f32,
    grad_y: *const f32,
    channels: usize,
    /// `[tap, channels]`
    sums: &'a mut [f32],
}

impl Kernel for WeightTile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let horizontal = &self.gather.horizontal;
        let inner = horizontal.inner_positions();
        let mut sources = Vec::new();
        for row in self.rows.clone() {
            source_rows(self.gather, row, self.channels, self.x, &mut sources);
            for &(source, first_tap) in &sources {
                // From left to right as far as the order of the sums allows: memory is prefetched.
                if inner.start == 0 {
                    self.inner::<V>(row, inner.clone(), source, first_tap);
                    self.border::<V>(row, &inner, source, first_tap);
                } else {
                    self.border::<V>(row, &inner, source, first_tap);
                    self.inner::<V>(row, inner.clone(), source, first_tap);
                }
            }
        }
    }
}

impl WeightTile<'_> {
    /// Adds the products of the pixels that lack taps of a kernel row.
    #[inline(always)]
    fn border<V: Vector>(
        &mut self,
        row: usize,
        inner: &Range<usize>,
        source: *const f32,
        first_tap: usize,
    ) {
        let horizontal = &self.gather.horizontal;
        for x in (0..inner.start).chain(inner.end..horizontal.positions) {
            for (index, &tap) in horizontal.taps.iter().enumerate() {
                if horizontal.source(x, tap).is_some() {
                    self.taps::<V, 1>(row, x..x + 1, source, first_tap, index);
                }
            }
        }
    }

    /// Adds the products of the pixels that have all taps of a kernel row.
    #[inline(always)]
    fn inner<V: Vector>(
        &mut self,
        row: usize,
        inner: Range<usize>,
        source: *const f32,
        first_tap: usize,
    ) {
        let taps = self.gather.horizontal.taps.len();
        let mut tap = 0;
        while tap < taps {
            tap += match taps - tap {
                // Five sums at once: with few channels, one sum waits for itself.
                5 => self.taps::<V, 5>(row, inner.clone(), source, first_tap, tap),
                3.. => self.taps::<V, 3>(row, inner.clone(), source, first_tap, tap),
                _ => self.taps::<V, 1>(row, inner.clone(), source, first_tap, tap),
            };
        }
    }

    /// Adds to `TAPS` taps of one kernel row, from `tap` on. Returns `TAPS`.
    #[inline(always)]
    fn taps<V: Vector, const TAPS: usize>(
        &mut self,
        row: usize,
        xs: Range<usize>,
        source: *const f32,
        first_tap: usize,
        tap: usize,
    ) -> usize {
        let mut channel = 0;
        while channel < self.channels {
            let left = self.channels - channel;
            let place = ((first_tap + tap) * self.channels + channel, channel);
            // SAFETY: the channels are in bounds of pixels and sums.
            unsafe {
                if left >= 4 * V::LANES && V::LANES >= 16 {
                    self.block::<V, TAPS, 4>(row, xs.clone(), source, tap, place, V::LANES);
                    channel += 4 * V::LANES;
                } else if left >= 2 * V::LANES {
                    self.block::<V, TAPS, 2>(row, xs.clone(), source, tap, place, V::LANES);
                    channel += 2 * V::LANES;
                } else {
                    let lanes = left.min(V::LANES);
                    self.block::<V, TAPS, 1>(row, xs.clone(), source, tap, place, lanes);
                    channel += lanes;
                }
            }
        }
        TAPS
    }

    /// # Safety
    /// There must be `VECTORS` registers of channels, of which the last has `lanes`, and a source
    /// for the taps of all pixels. `place` is the first sum and the first channel.
    #[inline(always)]
    unsafe fn block<V: Vector, const TAPS: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        xs: Range<usize>,
        source: *const f32,
        tap: usize,
        (sum_place, channel): (usize, usize),
        lanes: usize,
    ) {
        let horizontal = &self.gather.horizontal;
        let step = horizontal.step as usize * self.channels;
        let offsets: [isize; TAPS] = std::array::from_fn(|index| {
            horizontal.taps[tap + index].offset * self.channels as isize + channel as isize
        });
        let mut sums = [[V::splat(0.0); VECTORS]; TAPS];
        for x in xs {
            let pixel = row * horizontal.positions + x;
            let gradients = self.grad_y.wrapping_add(pixel * self.channels + channel);
            let source = source.wrapping_add(x * step);
            // SAFETY: as the caller guarantees.
            unsafe {
                let mut gradient = [V::splat(0.0); VECTORS];
                for (vector, gradient) in gradient.iter_mut().enumerate() {
                    *gradient = V::load(gradients.add(vector * V::LANES), lanes);
                }
                for (offset, sums) in offsets.iter().zip(sums.iter_mut()) {
                    let source = source.offset(*offset);
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let value = V::load(source.add(vector * V::LANES), lanes);
                        *sum = value.mul_add(gradient[vector], *sum);
                    }
                }
            }
        }
        for (index, sums) in sums.iter().enumerate() {
            let place = self.sums[sum_place + index * self.channels..].as_mut_ptr();
            for (vector, sum) in sums.iter().enumerate() {
                // SAFETY: sums of the tap, which are this chunk's.
                unsafe {
                    let place = place.add(vector * V::LANES);
                    V::load(place, lanes).add(*sum).store(place, lanes);
                }
            }
        }
    }
}
