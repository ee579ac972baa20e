//! The gradient of a dense convolution's weights: a sum of outer products over all output pixels.
//!
//! `∂L/∂w[o, i, tap] = Σ_pixel x[pointer(pixel, tap) + i] · ∂L/∂y[pixel, o]`
//!
//! The pixels are cut into chunks whose number depends on the shape alone; each chunk has sums of
//! its own, added in the order of the chunks, so the bits don't depend on the number of threads.
#![allow(
    unsafe_code,
    reason = "the tile reads pixels through pointers without bounds checks"
)]

use std::ops::Range;

use rayon::prelude::*;

use crate::gather::Source;
use crate::geometry::Convolution;
use crate::memory::with_scratch;
use crate::operand::Operand;
use crate::pack::PANEL;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;
use crate::view::{InputView, with_input_view};
use crate::winograd;

/// Input channels of a register tile.
pub(crate) const TILE: usize = 8;
/// Pixels summed in registers: their gradients stay in the L1 cache while every tap uses them.
const BLOCK: usize = 128;
const MIN_CHUNK_PIXELS: usize = 1024;
const MAX_CHUNKS: usize = 32;
/// Limit on the sums of all chunks together.
const MAX_SUMS: usize = 4 << 20;
const MIN_TASKS: usize = 32;

/// The gradient of the weights in their native order.
pub(crate) fn weight_gradient(c: &Convolution, x: &[f32], grad_y: &[f32]) -> Vec<f32> {
    if winograd::suits(c) {
        return winograd::weight_gradient(c, x, grad_y);
    }
    let mut gradient = vec![0.0; c.weight_len()];
    if gradient.is_empty() {
        return gradient;
    }
    with_input_view(c, Operand::Values(x), true, |view, x| {
        let x = x.whole();
        let group_len = gradient.len() / c.groups;
        let operands = Operands {
            x: x.as_ptr(),
            grad_y: grad_y.as_ptr(),
        };
        for (group, gradient) in gradient.chunks_exact_mut(group_len).enumerate() {
            let sums = GroupSums::new(c, view, group);
            with_scratch(sums.chunks * sums.chunk_len(), |scratch| {
                sums.sum_chunks(operands, scratch);
                sums.add_chunks(scratch, gradient);
            });
        }
    });
    gradient
}

/// The addresses that pixel 0 of input and gradient would have; only the pixels that are summed
/// must exist.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    pub x: *const f32,
    pub grad_y: *const f32,
}

// SAFETY: the operands are only read.
unsafe impl Send for Operands {}
// SAFETY: as above.
unsafe impl Sync for Operands {}

/// Number of chunks of this many pixels, whose sums take `chunk_len` values each.
pub(crate) fn chunks(pixels: usize, chunk_len: usize) -> usize {
    let most = (MAX_SUMS / chunk_len).clamp(1, MAX_CHUNKS);
    (pixels / MIN_CHUNK_PIXELS).clamp(1, most)
}

/// The sums of one group, `[chunk, tile, panel, tap, TILE, PANEL]`.
pub(crate) struct GroupSums<'a> {
    view: &'a InputView,
    x_channels: usize,
    x_first: usize,
    y_channels: usize,
    y_first: usize,
    columns: usize,
    pub chunks: usize,
    tiles_per_task: usize,
}

impl<'a> GroupSums<'a> {
    pub(crate) fn new(c: &Convolution, view: &'a InputView, group: usize) -> Self {
        let columns = c.group_out_channels();
        let mut sums = Self {
            view,
            x_channels: c.in_channels,
            x_first: group * c.group_in_channels(),
            y_channels: c.out_channels,
            y_first: group * columns,
            columns,
            chunks: 1,
            tiles_per_task: 1,
        };
        sums.chunks = chunks(view.gather.pixels(), sums.chunk_len());
        sums.tiles_per_task = sums.tiles().div_ceil(MIN_TASKS.div_ceil(sums.chunks));
        sums
    }

    fn depth(&self) -> usize {
        self.view.places.depths.len()
    }

    fn taps(&self) -> usize {
        self.view.places.taps.len()
    }

    pub(crate) fn tiles(&self) -> usize {
        self.depth().div_ceil(TILE)
    }

    fn tile_len(&self) -> usize {
        self.columns.div_ceil(PANEL) * self.taps() * TILE * PANEL
    }

    fn task_len(&self) -> usize {
        self.tiles_per_task * self.tile_len()
    }

    /// Number of sums of a chunk, with room for tiles that the last task does not have.
    pub(crate) fn chunk_len(&self) -> usize {
        self.tiles().div_ceil(self.tiles_per_task) * self.task_len()
    }

    fn sum_chunks(&self, operands: Operands, scratch: &mut [f32]) {
        let tasks_per_chunk = self.tiles().div_ceil(self.tiles_per_task);
        let pixels = self.view.gather.pixels();
        let chunk_pixels = pixels.div_ceil(self.chunks);
        let padding = vec![0.0; self.depth().next_multiple_of(2)];
        let tasks = scratch
            .par_chunks_exact_mut(self.task_len())
            .with_max_len(1);
        tasks.enumerate().for_each(|(task, sums)| {
            let first_pixel = (task / tasks_per_chunk * chunk_pixels).min(pixels);
            let first_tile = task % tasks_per_chunk * self.tiles_per_task;
            let tiles = first_tile..self.tiles().min(first_tile + self.tiles_per_task);
            sums.fill(0.0);
            let pixels = first_pixel..pixels.min(first_pixel + chunk_pixels);
            let mut pointers = Vec::new();
            self.add(operands, pixels, tiles, &padding, &mut pointers, sums);
        });
    }

    /// Adds the outer products of `pixels` to the sums of `tiles`.
    pub(crate) fn add(
        &self,
        operands: Operands,
        pixels: Range<usize>,
        tiles: Range<usize>,
        padding: &[f32],
        pointers: &mut Vec<*const f32>,
        sums: &mut [f32],
    ) {
        let source = Source {
            start: operands.x.wrapping_add(self.x_first),
            pixel: self.x_channels,
            padding: padding.as_ptr(),
        };
        for first in pixels.clone().step_by(BLOCK) {
            let range = first..pixels.end.min(first + BLOCK);
            let gather = &self.view.gather;
            gather.pointers(range.clone(), BLOCK, self.taps(), source, pointers);
            let grad_y = first * self.y_channels + self.y_first;
            dispatch(Block {
                sums: self,
                pointers,
                grad_y: operands.grad_y.wrapping_add(grad_y),
                pixels: range.len(),
                tiles: tiles.clone(),
                output: sums,
            });
        }
    }

    /// Adds the chunks in their order and writes the gradient `[columns, depth, taps]`.
    pub(crate) fn add_chunks(&self, scratch: &[f32], gradient: &mut [f32]) {
        let column_len = self.depth() * self.taps();
        let panels = gradient.par_chunks_mut(PANEL * column_len);
        panels.enumerate().for_each(|(panel, gradient)| {
            for (depth, depth_place) in self.view.places.depths.iter().enumerate() {
                for (tap, tap_place) in self.view.places.taps.iter().enumerate() {
                    let first = depth / TILE * self.tile_len()
                        + ((panel * self.taps() + tap) * TILE + depth % TILE) * PANEL;
                    let mut totals = [0.0; PANEL];
                    for chunk in scratch.chunks_exact(self.chunk_len()) {
                        for (total, sum) in totals.iter_mut().zip(&chunk[first..][..PANEL]) {
                            *total += sum;
                        }
                    }
                    let values = gradient[depth_place + tap_place..].iter_mut();
                    for (value, total) in values.step_by(column_len).zip(totals) {
                        *value = total;
                    }
                }
            }
        });
    }
}

/// Up to `BLOCK` pixels of one task.
struct Block<'a> {
    sums: &'a GroupSums<'a>,
    /// `[tap, BLOCK]`
    pointers: &'a [*const f32],
    grad_y: *const f32,
    pixels: usize,
    tiles: Range<usize>,
    output: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let sums = self.sums;
        let (taps, columns) = (sums.taps(), sums.columns);
        for panel in 0..columns.div_ceil(PANEL) {
            for (number, tile) in self.tiles.clone().enumerate() {
                for tap in 0..taps {
                    let pointers = &self.pointers[tap * BLOCK..][..self.pixels];
                    let place = number * sums.tile_len() + (panel * taps + tap) * TILE * PANEL;
                    let output = &mut self.output[place..][..TILE * PANEL];
                    let outer = Outer {
                        pointers,
                        first_depth: tile * TILE,
                        grad_y: self.grad_y.wrapping_add(panel * PANEL),
                        y_channels: sums.y_channels,
                    };
                    let columns = PANEL.min(columns - panel * PANEL);
                    let depth = TILE.min(sums.depth() - tile * TILE);
                    outer.add_tile::<V>(depth, columns, output);
                }
            }
        }
    }
}

/// The outer products of some pixels.
struct Outer<'a> {
    pointers: &'a [*const f32],
    first_depth: usize,
    grad_y: *const f32,
    y_channels: usize,
}

impl Outer<'_> {
    #[inline(always)]
    fn add_tile<V: Vector>(&self, depth: usize, columns: usize, output: &mut [f32]) {
        let mut row = 0;
        while row < depth {
            let rows = depth - row;
            let output = &mut output[row * PANEL..];
            // Narrow levels have too few registers for 8 rows.
            row += match rows {
                8.. if V::LANES >= 16 => self.add_rows::<V, 8>(row, columns, output),
                3.. => self.add_rows::<V, 4>(row, columns, output),
                _ => self.add_rows::<V, 2>(row, columns, output),
            };
        }
    }

    /// Returns `ROWS`.
    #[inline(always)]
    fn add_rows<V: Vector, const ROWS: usize>(
        &self,
        row: usize,
        columns: usize,
        output: &mut [f32],
    ) -> usize {
        let mut column = 0;
        while column < columns {
            let output = output[column..].as_mut_ptr();
            let left = columns - column;
            // SAFETY: `left` columns from `column` on are in the gradients and in the tile, `ROWS`
            // channels from `first_depth + row` on in the rows that the pointers name.
            unsafe {
                if left >= 2 * V::LANES {
                    self.add::<V, ROWS, 2>(row, column, V::LANES, output);
                    column += 2 * V::LANES;
                } else {
                    self.add::<V, ROWS, 1>(row, column, left.min(V::LANES), output);
                    column += V::LANES;
                }
            }
        }
        ROWS
    }

    /// # Safety
    /// The pixels and the output must hold `ROWS` channels and `VECTORS` registers of columns, of
    /// which the last has `lanes`.
    #[inline(always)]
    unsafe fn add<V: Vector, const ROWS: usize, const VECTORS: usize>(
        &self,
        row: usize,
        column: usize,
        lanes: usize,
        output: *mut f32,
    ) {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        let mut gradients = self.grad_y.wrapping_add(column);
        // SAFETY: as the caller guarantees; the output always has whole registers.
        unsafe {
            for pointer in self.pointers {
                let pointer = pointer.add(self.first_depth + row);
                let mut gradient = [V::splat(0.0); VECTORS];
                for (vector, gradient) in gradient.iter_mut().enumerate() {
                    let lanes = if VECTORS > 1 { V::LANES } else { lanes };
                    *gradient = V::load(gradients.add(vector * V::LANES), lanes);
                }
                for (depth, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*pointer.add(depth));
                    for (gradient, sum) in gradient.iter().zip(sums.iter_mut()) {
                        *sum = value.mul_add(*gradient, *sum);
                    }
                }
                gradients = gradients.wrapping_add(self.y_channels);
            }
            for (depth, sums) in sums.iter().enumerate() {
                for (vector, sum) in sums.iter().enumerate() {
                    let place = output.add(depth * PANEL + vector * V::LANES);
                    V::load(place, V::LANES).add(*sum).store(place, V::LANES);
                }
            }
        }
    }
}
