//! Convolutions with one kernel a channel, vectorised over channels.
//!
//! All three passes go row by row. The taps of a row's pixels lie at the same distances, but for the
//! few pixels at the border that lack some. Pixels go in blocks that share each load of a weight, all
//! channels of a block before the next, which reads and writes memory in order.
#![allow(
    unsafe_code,
    reason = "pixels are read through pointers without bounds checks"
)]

use std::ops::Range;

use rayon::prelude::*;

use crate::channels::Channels;
use crate::epilogue::Epilogue;
use crate::gather::{Gather, Tap};
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten, with_scratch};
use crate::operand::Operand;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Source or destination values of a tile of rows: both stay in the L2 cache.
const TILE_VALUES: usize = 48 * 1024;
const MAX_CHUNKS: usize = 32;
/// Pixels of a block.
const BLOCK: usize = 4;

/// `y[b, oy, ox, c] = act(Σ x[b, iy, ix, c] · w[c, ky, kx] + bias[c] + residual)`, and what `finish`
/// makes of ranges of its rows, in order, while they are in the cache.
pub(crate) fn forward<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    w: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    let mut y = Unwritten::new(c.output_len());
    let pass = Pass::new(c, vec![Gather::forward(c)], w, epilogue, y.output());
    let finished = pass.run(x, finish);
    // SAFETY: the gather's pixels are the output's.
    (unsafe { y.written(c.output_len()) }, finished)
}

/// `∂L/∂x[b, iy, ix, c] = Σ ∂L/∂y[b, oy, ox, c] · w[c, ky, kx] [+ residual]`, finished as in
/// [`forward`].
pub(crate) fn input_gradient<P: Send>(
    c: &Convolution,
    grad_y: Operand<'_>,
    w: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    let mut grad_x = Unwritten::new(c.input_len());
    let pass = Pass::new(c, Gather::input_gradient(c), w, epilogue, grad_x.output());
    let finished = pass.run(grad_y, finish);
    // SAFETY: the phases cover the input's pixels.
    (unsafe { grad_x.written(c.input_len()) }, finished)
}

/// Both gradients, each tile of the operands read once.
pub(crate) fn backward<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    w: &[f32],
    grad_y: Operand<'_>,
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> ((Vec<f32>, Vec<P>), Vec<f32>) {
    let mut grad_x = Unwritten::new(c.input_len());
    let pass = Pass::new(c, Gather::input_gradient(c), w, epilogue, grad_x.output());
    let weights = WeightPass::new(c);
    let tasks = pass.tasks().max(1);
    let (grad_w, finished) = weights.run(tasks, |task, tile, sums| {
        let rows = weights.rows(task, tasks);
        let range = pixels(&weights.gather, rows.clone());
        let span = union(pass.span(task, tasks), range);
        let channels = c.in_channels;
        let grad_y = grad_y.read(span.start * channels..span.end * channels, &mut tile.grad_y);
        weights.add(rows, x, grad_y, &mut tile.x, sums);
        pass.run_tile(task, tasks, grad_y);
        pass.completed(task, tasks)
            .map(|range| finish(pass.output, range))
    });
    let finished = finished.into_iter().flatten().collect();
    let finished = pass.finish_rest(finished, finish);
    // SAFETY: the phases cover the input's pixels.
    ((unsafe { grad_x.written(c.input_len()) }, finished), grad_w)
}

/// `∂L/∂w[c, ky, kx] = Σ x[b, iy, ix, c] · ∂L/∂y[b, oy, ox, c]`.
pub(crate) fn weight_gradient(c: &Convolution, x: &[f32], grad_y: &[f32]) -> Vec<f32> {
    let weights = WeightPass::new(c);
    let rows = rows(&weights.gather);
    let tasks = rows
        .div_ceil(rows_per_tile(&weights.gather, c.in_channels))
        .max(1);
    let (gradient, _) = weights.run(tasks, |task, tile, sums| {
        let rows = weights.rows(task, tasks);
        weights.add(rows, Operand::Values(x), grad_y.as_ptr(), &mut tile.x, sums);
    });
    gradient
}

fn rows_per_tile(gather: &Gather, channels: usize) -> usize {
    (TILE_VALUES / (gather.row_pixels() * channels).max(1)).max(1)
}

fn rows(gather: &Gather) -> usize {
    gather.batch * gather.vertical.positions
}

/// Destination pixels of the image rows in `rows`.
fn pixels(gather: &Gather, rows: Range<usize>) -> Range<usize> {
    let width = gather.horizontal.positions;
    rows.start * width..rows.end * width
}

fn share(rows: usize, task: usize, tasks: usize) -> Range<usize> {
    task * rows / tasks..(task + 1) * rows / tasks
}

fn union(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// Forward pass or input gradient.
struct Pass<'a> {
    channels: usize,
    /// One, or one for each phase of the stride.
    gathers: Vec<Gather>,
    /// Of each gather, `[tap, channel]`.
    weights: Vec<Vec<f32>>,
    epilogue: Epilogue<'a>,
    output: Output,
}

impl<'a> Pass<'a> {
    fn new(
        c: &Convolution,
        gathers: Vec<Gather>,
        w: &[f32],
        epilogue: Epilogue<'a>,
        output: Output,
    ) -> Self {
        Self {
            channels: c.in_channels,
            weights: gathers.iter().map(|gather| pack(c, gather, w)).collect(),
            gathers,
            epilogue,
            output,
        }
    }

    /// Every task does its share of every phase, so that phases meet their source in the cache.
    fn tasks(&self) -> usize {
        let tasks = |gather| rows(gather).div_ceil(rows_per_tile(gather, self.channels));
        self.gathers.iter().map(tasks).max().unwrap_or(0)
    }

    fn run<P: Send>(
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
    fn span(&self, task: usize, tasks: usize) -> Range<usize> {
        let spans = self
            .gathers
            .iter()
            .map(|gather| gather.source_span(pixels(gather, share(rows(gather), task, tasks))));
        spans.fold(0..0, union)
    }

    /// Computes a task from the source whose value 0 would be at `start`.
    fn run_tile(&self, task: usize, tasks: usize, start: *const f32) {
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

    /// The values that a task writes, where they are whole rows one after the other: where the
    /// phases have equally many rows.
    fn completed(&self, task: usize, tasks: usize) -> Option<Range<usize>> {
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
    fn finish_rest<P: Send>(
        &self,
        finished: Vec<P>,
        finish: impl Fn(Output, Range<usize>) -> P + Sync,
    ) -> Vec<P> {
        if !finished.is_empty() {
            return finished;
        }
        let [height, width] = self.gathers[0].destination_extent;
        let len = self.gathers[0].batch * height * width * self.channels;
        let tiles = Channels::new(len, self.channels).tiles();
        tiles.map(|range| finish(self.output, range)).collect()
    }
}

/// The weights as `[tap, channel]`.
fn pack(c: &Convolution, gather: &Gather, w: &[f32]) -> Vec<f32> {
    let taps = gather.tap_indices(c.kernel[1]).into_iter();
    taps.flat_map(|tap| w.iter().skip(tap).step_by(c.taps()).copied())
        .collect()
}

/// The source row of each vertical tap that has one, and the index of the tap's first weight. `start`
/// is where source value 0 would be.
fn source_rows(
    gather: &Gather,
    row: usize,
    channels: usize,
    start: *const f32,
    list: &mut Vec<(*const f32, usize)>,
) {
    let (vertical, horizontal) = (&gather.vertical, &gather.horizontal);
    let (image, y) = (row / vertical.positions, row % vertical.positions);
    list.clear();
    for (index, &tap) in vertical.taps.iter().enumerate() {
        if let Some(source) = vertical.source(y, tap) {
            let line = image * vertical.source_extent + source;
            let pointer = start.wrapping_add(line * horizontal.source_extent * channels);
            list.push((pointer, index * horizontal.taps.len()));
        }
    }
}

/// Some rows of the destination.
struct Tile<'a> {
    gather: &'a Gather,
    rows: Range<usize>,
    /// Where source value 0 would be.
    start: *const f32,
    /// `[tap, channels]`
    weights: &'a [f32],
    channels: usize,
    epilogue: Epilogue<'a>,
    output: Output,
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
            // SAFETY: as the caller vouches.
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

/// The gradient of the weights, summed over a number of chunks that depends on the shape alone, in
/// their order.
struct WeightPass {
    channels: usize,
    taps: usize,
    gather: Gather,
}

/// What a thread keeps from tile to tile.
#[derive(Default)]
struct WeightTileBuffers {
    x: Vec<f32>,
    grad_y: Vec<f32>,
}

impl WeightPass {
    fn new(c: &Convolution) -> Self {
        Self {
            channels: c.in_channels,
            taps: c.taps(),
            gather: Gather::forward(c),
        }
    }

    fn rows(&self, task: usize, tasks: usize) -> Range<usize> {
        share(rows(&self.gather), task, tasks)
    }

    /// Runs all tasks, which add to the sums `[tap, channels]` of their chunk. Returns the gradient
    /// `[channels, taps]` and what the tasks returned, in order.
    fn run<P: Send>(
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

    /// Adds the products of the output rows in `rows`. `grad_y` is where the gradient's value 0 would
    /// be.
    fn add(
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
    /// Where value 0 of input and gradient would be.
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
                for x in (0..inner.start).chain(inner.end..horizontal.positions) {
                    for (index, &tap) in horizontal.taps.iter().enumerate() {
                        if horizontal.source(x, tap).is_some() {
                            self.taps::<V, 1>(row, x..x + 1, source, first_tap, index);
                        }
                    }
                }
                let mut tap = 0;
                while tap < horizontal.taps.len() {
                    tap += match horizontal.taps.len() - tap {
                        3.. => self.taps::<V, 3>(row, inner.clone(), source, first_tap, tap),
                        _ => self.taps::<V, 1>(row, inner.clone(), source, first_tap, tap),
                    };
                }
            }
        }
    }
}

impl WeightTile<'_> {
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
    /// There must be `VECTORS` registers of channels, of which the last has `lanes`, and a source for
    /// the taps of all pixels. `place` is the first sum and the first channel.
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
            // SAFETY: as the caller vouches.
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
