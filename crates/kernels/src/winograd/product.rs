//! Forward pass and input gradient: transform inputs, multiply at each point, transform back.
//!
//! A task is some tiles by some panels of columns. Its transformed inputs and the products of one
//! panel stay in the L2 cache.
#![allow(unsafe_code, reason = "tiles are read and written through pointers")]

use std::ops::Range;

use rayon::prelude::*;

use super::tiles::{Patch, Tile, Tiles};
use super::transform::{self, POINTS, Transform};
use super::weights::TransformedWeights;
use crate::epilogue::Epilogue;
use crate::memory::{Output, with_scratch};
use crate::pack::PANEL;
use crate::product::add_products;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

const POINT_COUNT: usize = POINTS * POINTS;
/// Every level's register tile divides it.
const TILE_ROWS: usize = 12;
/// Transformed inputs of one task.
const TASK_VALUES: usize = 128 * 1024;
const TASK_TILES: (usize, usize) = (2 * TILE_ROWS, 8 * TILE_ROWS);
/// With fewer tasks than this the columns are split as well.
const MIN_TASKS: usize = 16;

/// One convolution.
pub(super) struct Product<'a> {
    pub tiles: Tiles,
    /// `[batch, height, width, depth]`
    pub source: &'a [f32],
    pub weights: TransformedWeights<'a>,
    pub epilogue: Epilogue<'a>,
}

impl Product<'_> {
    /// Writes all columns of every output pixel.
    pub(super) fn run(&self, output: Output) {
        let tiles = self.tiles.count();
        let panels = self.weights.panels();
        if tiles == 0 || panels == 0 {
            return;
        }
        let task_tiles = self.task_tiles();
        let tile_tasks = tiles.div_ceil(task_tiles);
        let panels_per_task = panels.div_ceil(MIN_TASKS.div_ceil(tile_tasks));
        let panel_tasks = panels.div_ceil(panels_per_task);
        let tasks = (0..tile_tasks * panel_tasks)
            .into_par_iter()
            .with_max_len(1);
        tasks.for_each(|task| {
            let first_tile = task % tile_tasks * task_tiles;
            let first_panel = task / tile_tasks * panels_per_task;
            let range = first_tile..tiles.min(first_tile + task_tiles);
            let inputs_pitch = pitch(range.len(), self.weights.depth);
            let products_pitch = pitch(range.len(), PANEL);
            with_scratch(POINT_COUNT * (inputs_pitch + products_pitch), |scratch| {
                let (inputs, products) = scratch.split_at_mut(POINT_COUNT * inputs_pitch);
                dispatch(Task {
                    product: self,
                    range,
                    panels: first_panel..panels.min(first_panel + panels_per_task),
                    inputs,
                    inputs_pitch,
                    products,
                    products_pitch,
                    output,
                });
            });
        });
    }

    /// Tiles of a task: whole rows of tiles where that fits.
    fn task_tiles(&self) -> usize {
        let tiles = TASK_VALUES / (POINT_COUNT * self.weights.depth.max(1));
        let tiles = tiles.clamp(TASK_TILES.0, TASK_TILES.1);
        match tiles / self.tiles.columns() {
            0 => tiles,
            rows => rows * self.tiles.columns(),
        }
    }
}

/// Values from one point to the next: an odd number of cache lines, so that the points of a tile do
/// not compete for the same few places in the cache.
fn pitch(tiles: usize, channels: usize) -> usize {
    const LINE: usize = 16;
    let lines = (tiles.next_multiple_of(TILE_ROWS) * channels).div_ceil(LINE);
    (lines | 1) * LINE
}

/// Some tiles by some panels.
struct Task<'a> {
    product: &'a Product<'a>,
    range: Range<usize>,
    panels: Range<usize>,
    /// Transformed inputs `[point, tile, depth]`.
    inputs: &'a mut [f32],
    inputs_pitch: usize,
    /// `[point, tile, PANEL]`, the sums over the depth for one panel.
    products: &'a mut [f32],
    products_pitch: usize,
    output: Output,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        self.transform_inputs::<V>();
        for panel in self.panels.clone() {
            self.multiply::<V>(panel);
            self.transform_products::<V>(panel);
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn transform_inputs<V: Vector>(&mut self) {
        let product = self.product;
        let depth = product.weights.depth;
        for (number, tile) in product.tiles.range(self.range.clone()).enumerate() {
            let patch = product.tiles.input(tile, product.source, depth);
            let points = self.inputs[number * depth..].as_mut_ptr();
            let is_inside = patch.is_inside(POINTS);
            for channel in (0..depth).step_by(V::LANES) {
                let lanes = V::LANES.min(depth - channel);
                // SAFETY: the channels exist, and the tile has a row for each point.
                unsafe {
                    let points = points.add(channel);
                    // Inside the image and with whole registers, there is nothing to check.
                    match (is_inside, lanes == V::LANES) {
                        (true, true) => {
                            self.transform_input::<V, true>(&patch, channel, V::LANES, points);
                        }
                        (true, false) => {
                            self.transform_input::<V, true>(&patch, channel, lanes, points);
                        }
                        _ => self.transform_input::<V, false>(&patch, channel, lanes, points),
                    }
                }
            }
        }
    }

    /// # Safety
    /// As for [`Patch::load`]; `points` has a row of `lanes` values for each point.
    #[inline(always)]
    unsafe fn transform_input<V: Vector, const INSIDE: bool>(
        &self,
        patch: &Patch<'_>,
        channel: usize,
        lanes: usize,
        points: *mut f32,
    ) {
        // SAFETY: as the caller guarantees.
        unsafe {
            let pixels = patch.load::<V, POINTS, INSIDE>(channel, lanes);
            let values = transform::Input::square(&pixels);
            for (point, value) in values.iter().flatten().enumerate() {
                value.store(points.add(point * self.inputs_pitch), lanes);
            }
        }
    }

    #[inline(always)]
    fn multiply<V: Vector>(&mut self, panel: usize) {
        let rows = self.range.len();
        for point in 0..POINT_COUNT {
            let mut row = 0;
            while row < rows {
                row += match (V::LANES, rows - row) {
                    (16, 9..) => self.multiply_rows::<V, 12>(panel, point, row),
                    (16, 5..) => self.multiply_rows::<V, 8>(panel, point, row),
                    (8, 5..) => self.multiply_rows::<V, 6>(panel, point, row),
                    _ => self.multiply_rows::<V, 4>(panel, point, row),
                };
            }
        }
    }

    /// `ROWS` tiles by the columns of a panel. Returns `ROWS`.
    #[inline(always)]
    fn multiply_rows<V: Vector, const ROWS: usize>(
        &mut self,
        panel: usize,
        point: usize,
        row: usize,
    ) -> usize {
        let weights = &self.product.weights;
        let columns = PANEL.min(weights.columns - panel * PANEL);
        let depth = weights.depth;
        let inputs = self.inputs[point * self.inputs_pitch + row * depth..].as_ptr();
        let rows = std::array::from_fn(|row| inputs.wrapping_add(row * depth));
        let matrix = weights.matrix(panel, point);
        let products = &mut self.products[point * self.products_pitch + row * PANEL..];
        let mut column = 0;
        while column < columns {
            // SAFETY: there is room for a multiple of every register tile's rows, and a matrix has
            // whole panels of columns.
            unsafe {
                let weights = matrix.as_ptr().add(column);
                let products = products.as_mut_ptr().add(column);
                if columns - column > V::LANES {
                    multiply_tile::<V, ROWS, 2>(rows, depth, weights, products);
                    column += 2 * V::LANES;
                } else {
                    multiply_tile::<V, ROWS, 1>(rows, depth, weights, products);
                    column += V::LANES;
                }
            }
        }
        ROWS
    }

    #[inline(always)]
    fn transform_products<V: Vector>(&self, panel: usize) {
        let product = self.product;
        let columns = PANEL.min(product.weights.columns - panel * PANEL);
        for (number, tile) in product.tiles.range(self.range.clone()).enumerate() {
            let points = self.products[number * PANEL..].as_ptr();
            for column in (0..columns).step_by(V::LANES) {
                let channel = panel * PANEL + column;
                let lanes = V::LANES.min(columns - column);
                // SAFETY: the tile has a row of whole registers for each point, and the channels
                // belong to this task.
                unsafe {
                    let points = points.add(column);
                    if lanes == V::LANES {
                        self.transform_product::<V>(points, tile, channel, V::LANES)
                    } else {
                        self.transform_product::<V>(points, tile, channel, lanes)
                    }
                }
            }
        }
    }

    /// # Safety
    /// `points` has a row of a register for each point; the tile belongs to this task, and `lanes`
    /// channels from `channel` on exist.
    #[inline(always)]
    unsafe fn transform_product<V: Vector>(
        &self,
        points: *const f32,
        tile: Tile,
        channel: usize,
        lanes: usize,
    ) {
        let product = self.product;
        let mut sums = [[V::splat(0.0); POINTS]; POINTS];
        for (point, sum) in sums.iter_mut().flatten().enumerate() {
            // SAFETY: as the caller guarantees.
            *sum = unsafe { V::load(points.add(point * self.products_pitch), V::LANES) };
        }
        let sums = transform::Output::square(&sums);
        let pixels = product.tiles.destinations(tile);
        for (sum, pixel) in sums.iter().flatten().zip(pixels.iter().flatten()) {
            let Some(pixel) = pixel else {
                continue;
            };
            let offset = pixel * product.weights.columns + channel;
            // SAFETY: an output pixel of this task. Bias and residual have the output's shape.
            unsafe {
                let value = product.epilogue.apply(*sum, channel, offset, lanes);
                value.store(self.output.at(offset), lanes);
            }
        }
    }
}

/// # Safety
/// As for [`add_products`]; `products` has `ROWS` rows, `PANEL` apart, of `VECTORS` registers.
#[inline(always)]
unsafe fn multiply_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
    rows: [*const f32; ROWS],
    depth: usize,
    weights: *const f32,
    products: *mut f32,
) {
    let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
    // SAFETY: as the caller guarantees.
    unsafe {
        add_products(&mut sums, rows, depth, weights);
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                sum.store(products.add(row * PANEL + vector * V::LANES), V::LANES);
            }
        }
    }
}
