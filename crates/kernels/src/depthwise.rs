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

use crate::channels::Channels;
use crate::epilogue::Epilogue;
use crate::gather::{Gather, Source};
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
        let range = pixels(&weights.gather, rows);
        let span = union(pass.span(task, tasks), range.clone());
        let channels = c.in_channels;
        let grad_y = grad_y.read(span.start * channels..span.end * channels, &mut tile.grad_y);
        weights.add(range, x, grad_y, tile, sums);
        pass.run_tile(task, tasks, grad_y, &mut tile.buffers);
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
        let range = pixels(&weights.gather, weights.rows(task, tasks));
        weights.add(range, Operand::Values(x), grad_y.as_ptr(), tile, sums);
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

/// What a thread keeps from tile to tile.
#[derive(Default)]
struct Buffers {
    pointers: Vec<*const f32>,
    destinations: Vec<usize>,
}

/// Forward pass or input gradient.
struct Pass<'a> {
    channels: usize,
    /// One, or one for each phase of the stride.
    gathers: Vec<Gather>,
    /// Of each gather, `[tap, channel]`.
    weights: Vec<Vec<f32>>,
    padding: Vec<f32>,
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
            padding: vec![0.0; c.in_channels],
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
        let finished = iterator.map_init(Default::default, |(buffers, values), task| {
            let span = self.span(task, tasks);
            let start = source.read(span.start * self.channels..span.end * self.channels, values);
            self.run_tile(task, tasks, start, buffers);
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
    fn run_tile(&self, task: usize, tasks: usize, start: *const f32, buffers: &mut Buffers) {
        for (gather, weights) in self.gathers.iter().zip(&self.weights) {
            let range = pixels(gather, share(rows(gather), task, tasks));
            let source = Source {
                start,
                pixel: self.channels,
                padding: self.padding.as_ptr(),
            };
            let (pointers, destinations) = (&mut buffers.pointers, &mut buffers.destinations);
            gather.pointers(range.clone(), BLOCK, gather.tap_count(), source, pointers);
            gather.destinations(range, destinations);
            dispatch(Tile {
                pointers,
                destinations,
                taps: gather.tap_count(),
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

/// The gradient of the weights, summed over a number of chunks that depends on the shape alone, in
/// their order.
struct WeightPass {
    channels: usize,
    taps: usize,
    gather: Gather,
    padding: Vec<f32>,
}

/// What a thread keeps from tile to tile.
#[derive(Default)]
struct WeightTileBuffers {
    x: Vec<f32>,
    grad_y: Vec<f32>,
    pointers: Vec<*const f32>,
    buffers: Buffers,
}

impl WeightPass {
    fn new(c: &Convolution) -> Self {
        Self {
            channels: c.in_channels,
            taps: c.taps(),
            gather: Gather::forward(c),
            padding: vec![0.0; c.in_channels],
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

    /// Adds the products of the output pixels in `range`, whose gradients are at their places from
    /// `grad_y`.
    fn add(
        &self,
        range: Range<usize>,
        x: Operand<'_>,
        grad_y: *const f32,
        tile: &mut WeightTileBuffers,
        sums: &mut [f32],
    ) {
        let span = self.gather.source_span(range.clone());
        let source = Source {
            start: x.read(
                span.start * self.channels..span.end * self.channels,
                &mut tile.x,
            ),
            pixel: self.channels,
            padding: self.padding.as_ptr(),
        };
        let pointers = &mut tile.pointers;
        self.gather
            .pointers(range.clone(), BLOCK, self.taps, source, pointers);
        let values = range.start * self.channels..range.end * self.channels;
        dispatch(WeightTile {
            pointers,
            taps: self.taps,
            // SAFETY: the caller read the range to there.
            grad_y: unsafe {
                std::slice::from_raw_parts(grad_y.wrapping_add(values.start), values.len())
            },
            channels: self.channels,
            sums,
        });
    }
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
