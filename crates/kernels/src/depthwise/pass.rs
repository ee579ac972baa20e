//! Forward pass and input gradient of depthwise convolutions.
#![allow(
    unsafe_code,
    reason = "pixels are read through pointers without bounds checks"
)]

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::tasks::{pixels, rows, rows_per_tile, share, source_rows, union};
use crate::channels::Channels;
use crate::epilogue::Epilogue;
use crate::gather::{Gather, Tap};
use crate::geometry::Convolution;
use crate::memory::Output;
use crate::operand::Operand;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Pixels of a block.
const BLOCK: usize = 4;

/// Forward pass or input gradient.
pub(super) struct Pass<'a> {
    channels: usize,
    /// One gather, or one for each phase of the stride.
    gathers: Vec<Gather>,
    /// Weights of each gather, `[tap, channel]`.
    weights: Vec<Cow<'a, [f32]>>,
    epilogue: Epilogue<'a>,
    pub output: Output,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        c: &Convolution,
        gathers: Vec<(Gather, Cow<'a, [f32]>)>,
        epilogue: Epilogue<'a>,
        output: Output,
    ) -> Self {
        let (gathers, weights) = gathers.into_iter().unzip();
        Self {
            channels: c.in_channels,
            gathers,
            weights,
            epilogue,
            output,
        }
    }

    /// Every task does its share of every phase, so that all phases find their source in the cache.
    pub(super) fn tasks(&self) -> usize {
        let tasks = |gather| rows(gather).div_ceil(rows_per_tile(gather, self.channels));
        self.gathers.iter().map(tasks).max().unwrap_or(0)
    }

    pub(super) fn run<P: Send>(
        &self,
        source: Operand<'_>,
        finish: impl Fn(Output, Range<usize>) -> P + Sync,
    ) -> Vec<P> {
        let tasks = self.tasks();
        let iterator = (0..tasks).into_par_iter().with_max_len(1);
        let finished = iterator.map_init(Vec::new, |values, task| {
            let span = self.span(task, tasks);
            let start = source.read(span.start * self.channels..span.end * self.channels, values);
            self.run_tile(task, tasks, start);
            self.completed(task, tasks)
                .map(|range| finish(self.output, range))
        });
        let finished = finished.flatten_iter().collect();
        self.finish_rest(finished, finish)
    }

    /// Source pixels of a task.
    pub(super) fn span(&self, task: usize, tasks: usize) -> Range<usize> {
        let spans = self
            .gathers
            .iter()
            .map(|gather| gather.source_span(pixels(gather, share(rows(gather), task, tasks))));
        spans.fold(0..0, union)
    }

    /// Computes a task. `start` is the address that source value 0 would have.
    pub(super) fn run_tile(&self, task: usize, tasks: usize, start: *const f32) {
        for (gather, weights) in self.gathers.iter().zip(&self.weights) {
            dispatch(Tile {
                gather,
                rows: share(rows(gather), task, tasks),
                start,
                weights,
                channels: self.channels,
                epilogue: self.epilogue,
                output: self.output,
            });
        }
    }

    /// The values that a task writes, if they are consecutive whole rows: if the phases have
    /// equally many rows.
    pub(super) fn completed(&self, task: usize, tasks: usize) -> Option<Range<usize>> {
        let [height, width] = self.gathers[0].destination_extent;
        let positions = self.gathers[0].vertical.positions;
        let is_even = |gather: &Gather| gather.vertical.positions == positions;
        let row = width * self.channels;
        (self.gathers.iter().all(is_even) && positions > 0 && height % positions == 0).then(|| {
            let step = height / positions;
            let rows = share(rows(&self.gathers[0]), task, tasks);
            rows.start * step * row..rows.end * step * row
        })
    }

    /// Finishes everything, unless the tasks did.
    pub(super) fn finish_rest<P: Send>(
        &self,
        finished: Vec<P>,
        finish: impl Fn(Output, Range<usize>) -> P + Sync,
    ) -> Vec<P> {
        let [height, width] = self.gathers[0].destination_extent;
        let len = self.gathers[0].batch * height * width * self.channels;
        Channels::new(len, self.channels).finish_rest(finished, self.output, finish)
    }
}

/// Some rows of the destination.
pub(super) struct Tile<'a> {
    pub gather: &'a Gather,
    pub rows: Range<usize>,
    /// The address that source value 0 would have.
    pub start: *const f32,
    /// `[tap, channels]`
    pub weights: &'a [f32],
    pub channels: usize,
    pub epilogue: Epilogue<'a>,
    pub output: Output,
}

/// Taps that some pixels of a row have in common: where they read for position 0 of the row, and
/// their weights.
type RowTaps = Vec<(*const f32, *const f32)>;

impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let horizontal = &self.gather.horizontal;
        let inner = horizontal.inner_positions();
        let (mut sources, mut taps) = (Vec::new(), RowTaps::new());
        for row in self.rows.clone() {
            source_rows(self.gather, row, self.channels, self.start, &mut sources);
            for x in (0..inner.start).chain(inner.end..horizontal.positions) {
                self.list_taps(
                    &sources,
                    |tap| horizontal.source(x, tap).is_some(),
                    &mut taps,
                );
                self.pixels::<V, 1>(row, x, &taps);
            }
            self.list_taps(&sources, |_| true, &mut taps);
            let mut x = inner.start;
            while x < inner.end {
                x += match inner.end - x {
                    BLOCK.. => self.pixels::<V, BLOCK>(row, x, &taps),
                    _ => self.pixels::<V, 1>(row, x, &taps),
                };
            }
        }
    }
}

impl Tile<'_> {
    fn list_taps(
        &self,
        sources: &[(*const f32, usize)],
        has: impl Fn(Tap) -> bool,
        list: &mut RowTaps,
    ) {
        list.clear();
        for (source, first_weight) in sources {
            for (index, &tap) in self.gather.horizontal.taps.iter().enumerate() {
                if has(tap) {
                    let offset = tap.offset * self.channels as isize;
                    let weight = (first_weight + index) * self.channels;
                    let weight = self.weights[weight..].as_ptr();
                    list.push((source.wrapping_offset(offset), weight));
                }
            }
        }
    }

    /// All channels of `PIXELS` pixels of a row. Returns `PIXELS`.
    #[inline(always)]
    fn pixels<V: Vector, const PIXELS: usize>(
        &self,
        row: usize,
        x: usize,
        taps: &RowTaps,
    ) -> usize {
        let (vertical, horizontal) = (&self.gather.vertical, &self.gather.horizontal);
        let [height, width] = self.gather.destination_extent;
        let (image, y) = (row / vertical.positions, row % vertical.positions);
        let line = image * height + vertical.destination_first + y * vertical.destination_step;
        let first = line * width + horizontal.destination_first;
        let pixel = first + x * horizontal.destination_step;
        let mut channel = 0;
        while channel < self.channels {
            let left = self.channels - channel;
            // SAFETY: the channels are in bounds of pixels and weights.
            unsafe {
                if left >= 2 * V::LANES {
                    self.block::<V, PIXELS, 2>(pixel, x, taps, channel, V::LANES);
                    channel += 2 * V::LANES;
                } else if left >= V::LANES {
                    self.block::<V, PIXELS, 1>(pixel, x, taps, channel, V::LANES);
                    channel += V::LANES;
                } else {
                    self.block::<V, PIXELS, 1>(pixel, x, taps, channel, left);
                    channel += left;
                }
            }
        }
        PIXELS
    }

    /// # Safety
    /// There must be `VECTORS` registers of channels from `channel` on, of which the last has
    /// `lanes`, and a source for every tap of the `PIXELS` pixels from `x` on.
    #[inline(always)]
    unsafe fn block<V: Vector, const PIXELS: usize, const VECTORS: usize>(
        &self,
        pixel: usize,
        x: usize,
        taps: &RowTaps,
        channel: usize,
        lanes: usize,
    ) {
        let horizontal = &self.gather.horizontal;
        let step = horizontal.step as usize * self.channels;
        let first = x * step + channel;
        let mut sums = [[V::splat(0.0); VECTORS]; PIXELS];
        for (source, weights) in taps {
            let source = source.wrapping_add(first);
            // SAFETY: as the caller guarantees.
            unsafe {
                let mut weight = [V::splat(0.0); VECTORS];
                for (vector, weight) in weight.iter_mut().enumerate() {
                    *weight = V::load(weights.add(channel + vector * V::LANES), lanes);
                }
                for (pixel, sums) in sums.iter_mut().enumerate() {
                    let source = source.add(pixel * step);
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let value = V::load(source.add(vector * V::LANES), lanes);
                        *sum = value.mul_add(weight[vector], *sum);
                    }
                }
            }
        }
        for (index, sums) in sums.iter().enumerate() {
            let pixel = pixel + index * horizontal.destination_step;
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
