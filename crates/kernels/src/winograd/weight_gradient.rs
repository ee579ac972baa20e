//! The weight gradient: transform inputs and output gradients, sum outer products over the tiles at
//! each point, transform back.
//!
//! The points are independent until the end, so a task does one row of them, for a chunk of the
//! tiles and some panels of columns. The number of chunks depends on the shape alone, and they are
//! added in their order.
#![allow(unsafe_code, reason = "tiles are read and written through pointers")]

use std::ops::Range;

use rayon::prelude::*;

use super::tiles::{Patch, Tiles};
use super::transform::{self, OUTPUTS, POINTS, TAPS, Transform};
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten, with_scratch};
use crate::pack::PANEL;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Input channels of a register tile.
const ROWS: usize = 8;
/// Transformed values of a task that stay in the L2 cache.
const BLOCK_VALUES: usize = 128 * 1024;
/// Tiles summed in registers.
const BLOCK_TILES: (usize, usize) = (48, 128);
const MIN_CHUNK_TILES: usize = 256;
const MAX_CHUNKS: usize = 8;
/// Limit on the sums of all chunks together.
const MAX_SUMS: usize = 4 << 20;
/// With fewer tasks than this the columns are split as well.
const MIN_TASKS: usize = 16;
/// Rows that are transformed back at a time: their taps lie side by side in memory.
const BACK_ROWS: usize = 8;
const TAP_COUNT: usize = TAPS * TAPS;

/// The gradient of the weights, `[out_channels, in_channels, 3, 3]`.
pub(crate) fn weight_gradient(c: &Convolution, x: &[f32], grad_y: &[f32]) -> Vec<f32> {
    if c.weight_len() == 0 {
        return Vec::new();
    }
    let sums = Sums::new(c, x, grad_y);
    with_scratch(sums.len(), |scratch| {
        sums.sum_chunks(scratch);
        sums.transform_back(scratch)
    })
}

/// The sums `[chunk, panel task, point row, panel, point column, input channel, PANEL]`.
struct Sums<'a> {
    tiles: Tiles,
    x: &'a [f32],
    in_channels: usize,
    grad_y: &'a [f32],
    out_channels: usize,
    chunks: usize,
    panels_per_task: usize,
}

impl<'a> Sums<'a> {
    fn new(c: &Convolution, x: &'a [f32], grad_y: &'a [f32]) -> Self {
        let mut sums = Self {
            tiles: Tiles::new(c),
            x,
            in_channels: c.in_channels,
            grad_y,
            out_channels: c.out_channels,
            chunks: 1,
            panels_per_task: 1,
        };
        let most = (MAX_SUMS / sums.len()).clamp(1, MAX_CHUNKS);
        sums.chunks = (sums.tiles.count() / MIN_CHUNK_TILES).clamp(1, most);
        let tasks = sums.chunks * POINTS;
        sums.panels_per_task = sums.panels().div_ceil(MIN_TASKS.div_ceil(tasks));
        sums
    }

    fn panels(&self) -> usize {
        self.out_channels.div_ceil(PANEL)
    }

    fn panel_tasks(&self) -> usize {
        self.panels().div_ceil(self.panels_per_task)
    }

    /// Sums of one point and one panel.
    fn matrix_len(&self) -> usize {
        self.in_channels.next_multiple_of(ROWS) * PANEL
    }

    /// Sums of one task.
    fn task_len(&self) -> usize {
        self.panels_per_task * POINTS * self.matrix_len()
    }

    /// Number of sums, with room for panels that the last task of a chunk does not have.
    fn len(&self) -> usize {
        self.chunks * self.panel_tasks() * POINTS * self.task_len()
    }

    /// Index of the first sum of a point.
    fn matrix(&self, chunk: usize, panel: usize, point: usize) -> usize {
        let (panel_task, panel) = (panel / self.panels_per_task, panel % self.panels_per_task);
        let task = (chunk * self.panel_tasks() + panel_task) * POINTS + point / POINTS;
        task * self.task_len() + (panel * POINTS + point % POINTS) * self.matrix_len()
    }

    fn sum_chunks(&self, scratch: &mut [f32]) {
        let tiles = self.tiles.count();
        let chunk_tiles = tiles.div_ceil(self.chunks);
        let tasks = scratch
            .par_chunks_exact_mut(self.task_len())
            .with_max_len(1);
        tasks.enumerate().for_each(|(task, sums)| {
            let point_row = task % POINTS;
            let first_panel = task / POINTS % self.panel_tasks() * self.panels_per_task;
            let first_tile = (task / POINTS / self.panel_tasks() * chunk_tiles).min(tiles);
            let panels = first_panel..self.panels().min(first_panel + self.panels_per_task);
            let range = first_tile..tiles.min(first_tile + chunk_tiles);
            sums.fill(0.0);
            self.sum_task(point_row, panels, range, sums);
        });
    }

    /// Adds the outer products of the tiles in `range` to the sums of a task.
    fn sum_task(
        &self,
        point_row: usize,
        panels: Range<usize>,
        range: Range<usize>,
        sums: &mut [f32],
    ) {
        // A register tile may read a few channels more than there are.
        let inputs_pitch = self.in_channels.next_multiple_of(ROWS);
        let tile_len = POINTS * (inputs_pitch + panels.len() * PANEL);
        let tiles = (BLOCK_VALUES / tile_len).clamp(BLOCK_TILES.0, BLOCK_TILES.1);
        with_scratch(tiles * tile_len, |scratch| {
            let (inputs, gradients) = scratch.split_at_mut(tiles * POINTS * inputs_pitch);
            for first in range.clone().step_by(tiles) {
                dispatch(Block {
                    sums: self,
                    point_row,
                    panels: panels.clone(),
                    range: first..range.end.min(first + tiles),
                    pitch: tiles,
                    inputs,
                    inputs_pitch,
                    gradients,
                    output: sums,
                });
            }
        });
    }

    /// Adds the chunks in their order and transforms the points to the gradient.
    fn transform_back(&self, scratch: &[f32]) -> Vec<f32> {
        let len = self.out_channels * self.in_channels * TAP_COUNT;
        let mut gradient = Unwritten::new(len);
        let output = gradient.output();
        let blocks = self.in_channels.div_ceil(BACK_ROWS);
        let tasks = (0..self.panels() * blocks).into_par_iter();
        tasks.for_each(|task| {
            dispatch(Back {
                sums: self,
                scratch,
                panel: task / blocks,
                first_row: task % blocks * BACK_ROWS,
                output,
            });
        });
        // SAFETY: the tasks have written all taps of all input channels by all columns.
        unsafe { gradient.written(len) }
    }
}

/// Some tiles of one task.
struct Block<'a> {
    sums: &'a Sums<'a>,
    point_row: usize,
    panels: Range<usize>,
    range: Range<usize>,
    /// Tiles from one point to the next.
    pitch: usize,
    /// Transformed inputs `[point column, tile, inputs_pitch]`.
    inputs: &'a mut [f32],
    inputs_pitch: usize,
    /// Transformed output gradients `[point column, panel, tile, PANEL]`.
    gradients: &'a mut [f32],
    output: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        // A constant row leaves out the work for the others.
        match self.point_row {
            0 => self.transform_tiles::<V, 0>(),
            1 => self.transform_tiles::<V, 1>(),
            2 => self.transform_tiles::<V, 2>(),
            _ => self.transform_tiles::<V, 3>(),
        }
        self.multiply::<V>();
    }
}

impl Block<'_> {
    #[inline(always)]
    fn transform_tiles<V: Vector, const ROW: usize>(&mut self) {
        let sums = self.sums;
        let columns = sums.out_channels.min(self.panels.end * PANEL);
        for (number, tile) in sums.tiles.range(self.range.clone()).enumerate() {
            let patch = sums.tiles.input(tile, sums.x, sums.in_channels);
            let points = self.inputs[number * self.inputs_pitch..].as_mut_ptr();
            let pitch = self.pitch * self.inputs_pitch;
            for channel in (0..sums.in_channels).step_by(V::LANES) {
                let lanes = V::LANES.min(sums.in_channels - channel);
                // SAFETY: the channels exist, and the tile has a row for each point.
                unsafe {
                    transform_row::<V, transform::Input, POINTS, ROW>(
                        &patch,
                        channel,
                        lanes,
                        points.add(channel),
                        pitch,
                    );
                }
            }
            let patch = sums.tiles.output(tile, sums.grad_y, sums.out_channels);
            let pitch = self.panels.len() * self.pitch * PANEL;
            for channel in (self.panels.start * PANEL..columns).step_by(V::LANES) {
                let lanes = V::LANES.min(columns - channel);
                let panel = channel / PANEL - self.panels.start;
                let place = (panel * self.pitch + number) * PANEL + channel % PANEL;
                // SAFETY: as above.
                unsafe {
                    transform_row::<V, transform::OutputGradient, OUTPUTS, ROW>(
                        &patch,
                        channel,
                        lanes,
                        self.gradients[place..].as_mut_ptr(),
                        pitch,
                    );
                }
            }
        }
    }

    #[inline(always)]
    fn multiply<V: Vector>(&mut self) {
        let matrix_len = self.sums.matrix_len();
        for point in 0..POINTS {
            for panel in 0..self.panels.len() {
                let first_column = (self.panels.start + panel) * PANEL;
                let columns = PANEL.min(self.sums.out_channels - first_column);
                let inputs = &self.inputs[point * self.pitch * self.inputs_pitch..];
                let gradients =
                    &self.gradients[(point * self.panels.len() + panel) * self.pitch * PANEL..];
                let output =
                    &mut self.output[(panel * POINTS + point) * matrix_len..][..matrix_len];
                let outer = Outer {
                    inputs: inputs.as_ptr(),
                    inputs_pitch: self.inputs_pitch,
                    gradients: gradients.as_ptr(),
                    tiles: self.range.len(),
                };
                let mut row = 0;
                while row < self.sums.in_channels {
                    let output = &mut output[row * PANEL..];
                    // Narrow levels have too few registers for 8 rows.
                    row += match V::LANES {
                        16 => outer.add_rows::<V, 8>(row, columns, output),
                        _ => outer.add_rows::<V, 4>(row, columns, output),
                    };
                }
            }
        }
    }
}

/// Transforms a square of pixels to one row of points.
///
/// # Safety
/// `lanes` channels from `channel` on exist, and `points` has as many for each point of the row,
/// `pitch` apart.
#[inline(always)]
unsafe fn transform_row<V, T, const SIZE: usize, const ROW: usize>(
    patch: &Patch<'_>,
    channel: usize,
    lanes: usize,
    points: *mut f32,
    pitch: usize,
) where
    V: Vector,
    T: Transform<SIZE, POINTS>,
{
    // Inside the image and with whole registers, there is nothing to check.
    // SAFETY: as the caller guarantees.
    unsafe {
        if patch.is_inside(SIZE) && lanes == V::LANES {
            let pixels = patch.load::<V, SIZE, true>(channel, V::LANES);
            store_row(T::row::<V, ROW>(&pixels), V::LANES, points, pitch);
        } else {
            let pixels = patch.load::<V, SIZE, false>(channel, lanes);
            store_row(T::row::<V, ROW>(&pixels), lanes, points, pitch);
        }
    }
}

/// # Safety
/// `points` has `lanes` values for each point of the row, `pitch` apart.
#[inline(always)]
unsafe fn store_row<V: Vector>(values: [V; POINTS], lanes: usize, points: *mut f32, pitch: usize) {
    for (point, value) in values.iter().enumerate() {
        // SAFETY: as the caller guarantees.
        unsafe { value.store(points.add(point * pitch), lanes) };
    }
}

/// The outer products of some tiles at one point.
struct Outer {
    inputs: *const f32,
    inputs_pitch: usize,
    gradients: *const f32,
    tiles: usize,
}

impl Outer {
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
            // SAFETY: rows and columns are padded to whole register tiles.
            unsafe {
                if columns - column > V::LANES {
                    self.add::<V, ROWS, 2>(row, column, output);
                    column += 2 * V::LANES;
                } else {
                    self.add::<V, ROWS, 1>(row, column, output);
                    column += V::LANES;
                }
            }
        }
        ROWS
    }

    /// # Safety
    /// `ROWS` rows from `row` on and `VECTORS` registers from `column` on exist.
    #[inline(always)]
    unsafe fn add<V: Vector, const ROWS: usize, const VECTORS: usize>(
        &self,
        row: usize,
        column: usize,
        output: *mut f32,
    ) {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        let mut inputs = self.inputs.wrapping_add(row);
        let mut gradients = self.gradients.wrapping_add(column);
        // SAFETY: as the caller guarantees.
        unsafe {
            for _ in 0..self.tiles {
                let mut gradient = [V::splat(0.0); VECTORS];
                for (vector, gradient) in gradient.iter_mut().enumerate() {
                    *gradient = V::load(gradients.add(vector * V::LANES), V::LANES);
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*inputs.add(row));
                    for (gradient, sum) in gradient.iter().zip(sums.iter_mut()) {
                        *sum = value.mul_add(*gradient, *sum);
                    }
                }
                inputs = inputs.wrapping_add(self.inputs_pitch);
                gradients = gradients.wrapping_add(PANEL);
            }
            for (row, sums) in sums.iter().enumerate() {
                for (vector, sum) in sums.iter().enumerate() {
                    let place = output.add(row * PANEL + vector * V::LANES);
                    V::load(place, V::LANES).add(*sum).store(place, V::LANES);
                }
            }
        }
    }
}

/// Some input channels of a panel on their way back to the native order.
struct Back<'a> {
    sums: &'a Sums<'a>,
    scratch: &'a [f32],
    panel: usize,
    first_row: usize,
    output: Output,
}

impl Kernel for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let rows = BACK_ROWS.min(self.sums.in_channels - self.first_row);
        let mut taps = [[[0.0; PANEL]; TAP_COUNT]; BACK_ROWS];
        for (row, taps) in taps.iter_mut().enumerate().take(rows) {
            for first in (0..PANEL).step_by(V::LANES) {
                let points = self.add_chunks::<V>(self.first_row + row, first);
                let kernel = transform::WeightGradient::square(&points);
                for (value, values) in kernel.iter().flatten().zip(taps.iter_mut()) {
                    // SAFETY: `PANEL` is a multiple of `LANES`.
                    unsafe { value.store(values[first..].as_mut_ptr(), V::LANES) };
                }
            }
        }
        let first_column = self.panel * PANEL;
        for column in 0..PANEL.min(self.sums.out_channels - first_column) {
            let line = (first_column + column) * self.sums.in_channels + self.first_row;
            for (index, values) in taps.iter().take(rows).flatten().enumerate() {
                // SAFETY: taps of this task's input channels and columns.
                unsafe { *self.output.at(line * TAP_COUNT + index) = values[column] };
            }
        }
    }
}

impl Back<'_> {
    /// The sums over all chunks of a register of columns.
    #[inline(always)]
    fn add_chunks<V: Vector>(&self, row: usize, column: usize) -> [[V; POINTS]; POINTS] {
        let mut totals = [[V::splat(0.0); POINTS]; POINTS];
        for chunk in 0..self.sums.chunks {
            for (point, total) in totals.iter_mut().flatten().enumerate() {
                let matrix = self.sums.matrix(chunk, self.panel, point);
                let sums = &self.scratch[matrix + row * PANEL + column..][..V::LANES];
                // SAFETY: the slice is a register long.
                *total = total.add(unsafe { V::load(sums.as_ptr(), V::LANES) });
            }
        }
        totals
    }
}
