//! The indirect matrix product: rows are gathered pixels, columns are channels.
//!
//! `y[pixel, column] = Σ_tap Σ_depth source[pointer(pixel, tap) + depth] · weight[tap, depth,
//! column]`
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
use crate::operand::Operand;
use crate::pack::PANEL;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Rows that share a pointer list; every level's register tile divides it.
pub(crate) const TILE_ROWS: usize = 12;
/// Source or destination values of one task: they stay in the L2 cache beside a panel of weights.
const TASK_VALUES: usize = 48 * 1024;
const TASK_ROWS: (usize, usize) = (8 * TILE_ROWS, 64 * TILE_ROWS);
/// Weights that leave room for the rows in the L2 cache.
pub(crate) const CACHED_WEIGHTS: usize = 64 * 1024;
/// With fewer row tasks than this the columns are split as well.
const MIN_TASKS: usize = 32;

/// The source pixels of each destination pixel.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// One pixel for each tap.
    Gathered(&'a Gather),
    /// The pixel at the same place, out of this many.
    Same(usize),
}

/// One indirect matrix product.
pub(crate) struct Product<'a> {
    pub rows: Rows<'a>,
    /// The source image, `[batch, height, width, source_channels]`.
    pub source: Operand<'a>,
    pub source_channels: usize,
    /// The channels that are summed over: `depth` from `source_first` on.
    pub source_first: usize,
    pub depth: usize,
    /// Packed weights `[panel, tap, depth, PANEL]`.
    pub weights: &'a [f32],
    pub taps: usize,
    /// The channels that are written: `columns` from `column_first` on.
    pub column_first: usize,
    pub columns: usize,
    pub destination_channels: usize,
    pub epilogue: Epilogue<'a>,
}

impl Product<'_> {
    /// Writes `columns` channels of every destination pixel. `finish` is called on every complete
    /// range of values while it is in the cache, but not if tasks write parts of pixels. Its
    /// results are in the order of the ranges.
    pub(crate) fn run<P: Send>(
        &self,
        output: Output,
        finish: &(impl Fn(Output, Range<usize>) -> P + Sync),
    ) -> Vec<P> {
        let pixels = self.pixels();
        let panels = self.panels();
        if pixels == 0 || panels == 0 {
            return Vec::new();
        }
        assert_eq!(self.weights.len(), panels * self.panel_len());
        let rows = rows_per_task(self.depth.max(self.columns));
        let row_tasks = pixels.div_ceil(rows);
        let panels_per_task = panels.div_ceil(MIN_TASKS.div_ceil(row_tasks));
        let panel_tasks = panels.div_ceil(panels_per_task);
        let whole = (panel_tasks > 1).then(|| self.source.whole());
        let source = whole.as_deref().map_or(self.source, Operand::Values);
        let padding = vec![0.0; self.depth];
        let tasks = (0..row_tasks * panel_tasks).into_par_iter().with_max_len(1);
        let tasks = tasks.map_init(Default::default, |buffers, task| {
            let first_row = task % row_tasks * rows;
            let first_panel = task / row_tasks * panels_per_task;
            let range = first_row..pixels.min(first_row + rows);
            let panels = first_panel..panels.min(first_panel + panels_per_task);
            let span = match self.rows {
                Rows::Gathered(gather) => gather.source_span(range.clone()),
                Rows::Same(_) => range.clone(),
            };
            let span = span.start * self.source_channels..span.end * self.source_channels;
            let (buffers, values) = buffers;
            let start = source.read(span, values);
            self.run_task(range.clone(), panels, start, &padding, buffers, output);
            let is_complete = panel_tasks == 1
                && self.columns == self.destination_channels
                && match self.rows {
                    Rows::Gathered(gather) => gather.is_contiguous,
                    Rows::Same(_) => true,
                };
            let channels = self.destination_channels;
            is_complete.then(|| finish(output, range.start * channels..range.end * channels))
        });
        tasks.flatten_iter().collect()
    }

    /// Multiplies the rows in `range` by `panels`. `start` is where source value 0 would be; only
    /// the values that the rows read have to be there.
    pub(crate) fn run_task(
        &self,
        range: Range<usize>,
        panels: Range<usize>,
        start: *const f32,
        padding: &[f32],
        buffers: &mut Buffers,
        output: Output,
    ) {
        let start = start.wrapping_add(self.source_first);
        if let Rows::Gathered(gather) = self.rows {
            let source = Source {
                start,
                pixel: self.source_channels,
                padding: padding.as_ptr(),
            };
            let pointers = &mut buffers.pointers;
            gather.pointers(range.clone(), TILE_ROWS, self.taps, source, pointers);
            gather.destinations(range.clone(), &mut buffers.destinations);
        }
        dispatch(Task {
            product: self,
            start,
            buffers,
            range,
            panels,
            output,
        });
    }

    pub(crate) fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    fn pixels(&self) -> usize {
        match self.rows {
            Rows::Gathered(gather) => gather.pixels(),
            Rows::Same(pixels) => pixels,
        }
    }

    fn panel_len(&self) -> usize {
        self.taps * self.depth * PANEL
    }
}

/// Rows of a task whose pixels have this many channels, in source or destination.
pub(crate) fn rows_per_task(channels: usize) -> usize {
    let rows = (TASK_VALUES / channels.max(1)).clamp(TASK_ROWS.0, TASK_ROWS.1);
    rows / TILE_ROWS * TILE_ROWS
}

/// Rows of the next tile, of so many that are left.
#[inline(always)]
fn tile_rows<const ROWS: usize, const FEW: usize>(left: usize) -> usize {
    if left > 2 * FEW { ROWS } else { FEW }
}

/// Buffers that a thread reuses from task to task.
#[derive(Default)]
pub(crate) struct Buffers {
    /// `[row / TILE_ROWS, tap, TILE_ROWS]`
    pointers: Vec<*const f32>,
    destinations: Vec<usize>,
}

/// Some rows by some panels.
struct Task<'a> {
    product: &'a Product<'a>,
    /// The address that pixel 0 would have.
    start: *const f32,
    buffers: &'a Buffers,
    range: Range<usize>,
    panels: Range<usize>,
    output: Output,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        match V::LANES {
            16 => self.multiply::<V, 12, 4>(),
            8 => self.multiply::<V, 6, 2>(),
            _ => self.multiply::<V, 4, 1>(),
        }
    }
}

impl Task<'_> {
    /// In tiles of `ROWS` rows, and of `FEW` where two of those are enough for the last ones.
    #[inline(always)]
    fn multiply<V: Vector, const ROWS: usize, const FEW: usize>(&self) {
        let rows = self.range.len();
        // Rows are best read and written once, as long as the weights stay in the cache meanwhile.
        let weights = self.panels.len() * self.product.panel_len();
        if weights <= CACHED_WEIGHTS {
            let mut row = 0;
            while row < rows {
                for panel in self.panels.clone() {
                    self.next_tile::<V, ROWS, FEW>(row, panel);
                }
                row += tile_rows::<ROWS, FEW>(rows - row);
            }
        } else {
            for panel in self.panels.clone() {
                let mut row = 0;
                while row < rows {
                    self.next_tile::<V, ROWS, FEW>(row, panel);
                    row += tile_rows::<ROWS, FEW>(rows - row);
                }
            }
        }
    }

    /// The tile that begins at a row, by the columns of a panel.
    #[inline(always)]
    fn next_tile<V: Vector, const ROWS: usize, const FEW: usize>(&self, row: usize, panel: usize) {
        if tile_rows::<ROWS, FEW>(self.range.len() - row) == FEW {
            self.tile::<V, FEW>(row, panel);
        } else {
            self.tile::<V, ROWS>(row, panel);
        }
    }

    /// `ROWS` rows by the columns of a panel.
    #[inline(always)]
    fn tile<V: Vector, const ROWS: usize>(&self, first_row: usize, panel: usize) {
        let product = self.product;
        let weights = &product.weights[panel * product.panel_len()..][..product.panel_len()];
        let columns = PANEL.min(product.columns - panel * PANEL);
        let mut same = [self.start; ROWS];
        let pointers = match product.rows {
            Rows::Gathered(_) => {
                let (tile, row) = (first_row / TILE_ROWS, first_row % TILE_ROWS);
                let first = tile * TILE_ROWS * product.taps + row;
                self.buffers.pointers.as_ptr().wrapping_add(first)
            }
            Rows::Same(_) => {
                for (index, pointer) in same.iter_mut().enumerate() {
                    // Rows beyond the last repeat it.
                    let row = (self.range.start + first_row + index).min(self.range.end - 1);
                    *pointer = self.start.wrapping_add(row * product.source_channels);
                }
                same.as_ptr()
            }
        };
        let mut column = 0;
        while column < columns {
            // SAFETY: `column` lies in the panel, and there are `ROWS` pointers for every tap, each
            // valid for `depth` values: the source or the padding.
            unsafe {
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
        // A fixed count keeps the sums in registers.
        for (index, sums) in sums.iter().enumerate() {
            let row = first_row + index;
            if row >= self.range.len() {
                break;
            }
            let pixel = match product.rows {
                Rows::Gathered(_) => self.buffers.destinations[row],
                Rows::Same(_) => self.range.start + row,
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
        // SAFETY: as the caller guarantees.
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
        // SAFETY: as the caller guarantees.
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
