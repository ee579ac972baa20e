//! The indirect matrix product: rows are gathered pixels, columns are channels.
//!
//! `y[pixel, column] = Σ_tap Σ_depth source[pointer(pixel, tap) + depth] · weight[tap, depth, column]`
//!
//! Rows are given by one pointer per tap, so there is no im2col (Dukhan, "The Indirect Convolution
//! Algorithm", 2019). A register tile keeps its sums over the whole depth of all taps; nothing but
//! the finished value is ever stored, so a sum does not depend on how rows are spread over tasks.
#![allow(
    unsafe_code,
    reason = "the tile reads rows through pointers without bounds checks"
)]

use std::ops::Range;

use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::gather::{Gather, Source};
use crate::memory::Output;
use crate::pack::PANEL;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Rows that share a pointer list; every level's register tile divides it.
const TILE_ROWS: usize = 12;
/// Source values of one task: they stay in the L2 cache beside a panel of weights.
const TASK_VALUES: usize = 48 * 1024;
const TASK_ROWS: (usize, usize) = (8 * TILE_ROWS, 64 * TILE_ROWS);
/// Weights that leave room for the rows in the L2 cache.
const CACHED_WEIGHTS: usize = 64 * 1024;
/// With fewer row tasks than this the columns are split as well.
const MIN_TASKS: usize = 32;

/// One indirect matrix product.
pub(crate) struct Product<'a> {
    pub gather: &'a Gather,
    /// The source image, `[batch, height, width, source_channels]`.
    pub source: &'a [f32],
    pub source_channels: usize,
    /// The channels that are summed over: `depth` from `source_first` on.
    pub source_first: usize,
    pub depth: usize,
    /// Packed weights `[panel, tap, depth, PANEL]`.
    pub panels: &'a [f32],
    pub taps: usize,
    /// The channels that are written: `columns` from `column_first` on.
    pub column_first: usize,
    pub columns: usize,
    pub destination_channels: usize,
    pub epilogue: Epilogue<'a>,
}

impl Product<'_> {
    /// Writes `columns` channels of every destination pixel of the gather.
    pub(crate) fn run(&self, output: Output) {
        let pixels = self.gather.pixels();
        let panels = self.columns.div_ceil(PANEL);
        if pixels == 0 || panels == 0 {
            return;
        }
        assert_eq!(self.panels.len(), panels * self.panel_len());
        let rows = (TASK_VALUES / self.depth.max(1)).clamp(TASK_ROWS.0, TASK_ROWS.1);
        let rows = rows / TILE_ROWS * TILE_ROWS;
        let row_tasks = pixels.div_ceil(rows);
        let panels_per_task = panels.div_ceil(MIN_TASKS.div_ceil(row_tasks));
        let panel_tasks = panels.div_ceil(panels_per_task);
        let padding = vec![0.0; self.depth];
        let tasks = (0..row_tasks * panel_tasks).into_par_iter().with_max_len(1);
        tasks.for_each_init(Default::default, |(pointers, destinations), task| {
            let first_row = task % row_tasks * rows;
            let first_panel = task / row_tasks * panels_per_task;
            let range = first_row..pixels.min(first_row + rows);
            let source = Source {
                start: self.source[self.source_first..].as_ptr(),
                pixel: self.source_channels,
                padding: padding.as_ptr(),
            };
            let taps = self.taps;
            self.gather
                .pointers(range.clone(), TILE_ROWS, taps, source, pointers);
            self.gather.destinations(range, destinations);
            dispatch(Task {
                product: self,
                pointers,
                destinations,
                panels: first_panel..panels.min(first_panel + panels_per_task),
                output,
            });
        });
    }

    fn panel_len(&self) -> usize {
        self.taps * self.depth * PANEL
    }
}

/// Some rows by some panels.
struct Task<'a> {
    product: &'a Product<'a>,
    pointers: &'a [*const f32],
    destinations: &'a [usize],
    panels: Range<usize>,
    output: Output,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        match V::LANES {
            16 => self.multiply::<V, 12>(),
            8 => self.multiply::<V, 6>(),
            _ => self.multiply::<V, 4>(),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn multiply<V: Vector, const ROWS: usize>(&self) {
        let rows = self.destinations.len();
        // Rows are best read and written once, as long as the weights stay in the cache meanwhile.
        let weights = self.panels.len() * self.product.panel_len();
        if weights <= CACHED_WEIGHTS {
            for row in (0..rows).step_by(ROWS) {
                for panel in self.panels.clone() {
                    self.tile::<V, ROWS>(row, panel);
                }
            }
        } else {
            for panel in self.panels.clone() {
                for row in (0..rows).step_by(ROWS) {
                    self.tile::<V, ROWS>(row, panel);
                }
            }
        }
    }

    /// `ROWS` rows by the columns of a panel.
    #[inline(always)]
    fn tile<V: Vector, const ROWS: usize>(&self, first_row: usize, panel: usize) {
        let product = self.product;
        let weights = &product.panels[panel * product.panel_len()..][..product.panel_len()];
        let columns = PANEL.min(product.columns - panel * PANEL);
        let (tile, row) = (first_row / TILE_ROWS, first_row % TILE_ROWS);
        let pointers = &self.pointers[tile * TILE_ROWS * product.taps..];
        let mut column = 0;
        while column < columns {
            // SAFETY: `column` lies in the panel, and the pointer list has a tile of rows for every
            // tap, each valid for `depth` values: the source or the padding.
            unsafe {
                let pointers = pointers.as_ptr().wrapping_add(row);
                let weights = weights.as_ptr().wrapping_add(column);
                let (taps, depth) = (product.taps, product.depth);
                let first_column = panel * PANEL + column;
                if columns - column > V::LANES {
                    let sums = sums::<V, ROWS, 2>(pointers, taps, depth, weights);
                    self.store(&sums, first_row, first_column);
                    column += 2 * V::LANES;
                } else {
                    let sums = sums::<V, ROWS, 1>(pointers, taps, depth, weights);
                    self.store(&sums, first_row, first_column);
                    column += V::LANES;
                }
            }
        }
    }

    /// # Safety
    /// The tile must lie in this task, and no other task may write it.
    #[inline(always)]
    unsafe fn store<V: Vector, const ROWS: usize, const VECTORS: usize>(
        &self,
        sums: &[[V; VECTORS]; ROWS],
        first_row: usize,
        first_column: usize,
    ) {
        let product = self.product;
        let destinations = &self.destinations[first_row..];
        // A fixed count keeps the sums in registers.
        for (index, sums) in sums.iter().enumerate() {
            let Some(pixel) = destinations.get(index) else {
                break;
            };
            for (vector, sum) in sums.iter().enumerate() {
                let column = first_column + vector * V::LANES;
                let lanes = (product.columns - column).min(V::LANES);
                let channel = product.column_first + column;
                let offset = pixel * product.destination_channels + channel;
                // SAFETY: a destination pixel of the gather and `lanes` of its channels, which
                // belong to this task alone. Bias and residual have the destination's shape.
                unsafe {
                    let value = product.epilogue.apply(*sum, channel, offset, lanes);
                    value.store(self.output.at(offset), lanes);
                }
            }
        }
    }
}

/// The sums of a register tile: `ROWS` pixels by `VECTORS` registers of columns.
///
/// # Safety
/// `pointers` holds `ROWS` pointers for each tap, `TILE_ROWS` apart, all valid for `depth` values;
/// `weights` holds `taps * depth` rows, `PANEL` apart.
#[inline(always)]
unsafe fn sums<V: Vector, const ROWS: usize, const VECTORS: usize>(
    pointers: *const *const f32,
    taps: usize,
    depth: usize,
    mut weights: *const f32,
) -> [[V; VECTORS]; ROWS] {
    let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
    for tap in 0..taps {
        // SAFETY: as the caller vouches.
        unsafe {
            let rows = pointers.add(tap * TILE_ROWS).cast::<[_; ROWS]>().read();
            add_products(&mut sums, rows, depth, weights);
        }
        weights = weights.wrapping_add(depth * PANEL);
    }
    sums
}

/// Adds the products of `rows` and weights to the sums of a register tile.
///
/// # Safety
/// All rows are valid for `depth` values; `weights` holds `depth` rows, `PANEL` apart, of `VECTORS`
/// registers.
#[inline(always)]
pub(crate) unsafe fn add_products<V: Vector, const ROWS: usize, const VECTORS: usize>(
    sums: &mut [[V; VECTORS]; ROWS],
    rows: [*const f32; ROWS],
    depth: usize,
    mut weights: *const f32,
) {
    for step in 0..depth {
        // SAFETY: as the caller vouches.
        unsafe {
            let mut columns = [V::splat(0.0); VECTORS];
            for (vector, column) in columns.iter_mut().enumerate() {
                *column = V::load(weights.add(vector * V::LANES), V::LANES);
            }
            for (row, sums) in rows.iter().zip(sums.iter_mut()) {
                let value = V::splat(*row.add(step));
                for (column, sum) in columns.iter().zip(sums.iter_mut()) {
                    *sum = value.mul_add(*column, *sum);
                }
            }
        }
        weights = weights.wrapping_add(PANEL);
    }
}
