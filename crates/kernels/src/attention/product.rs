//! The matrix products of attention, whose operands are in the CPU cache.
#![allow(unsafe_code, reason = "register tiles read and write through pointers")]

use crate::pack::PANEL;
use crate::product::{TILE_ROWS, add_products};
use crate::simd::Kernel;
use crate::vector::Vector;

/// `destination[row, column] = factor[row] · Σ_step rows[row, step] · packed[step, column]`. Each sum
/// stays in one register over all steps, so it does not depend on its place in a register tile.
pub(super) struct Multiply<'a> {
    /// `[count, row_pitch]`, of which `depth` values are multiplied.
    pub rows: &'a [f32],
    pub row_pitch: usize,
    pub count: usize,
    pub depth: usize,
    /// `[panel, depth, PANEL]`
    pub packed: &'a [f32],
    pub columns: usize,
    pub factors: Option<&'a [f32]>,
    /// `[count, destination_pitch]`, of which `columns` values are written. Nothing else uses them
    /// in the meantime.
    pub destination: *mut f32,
    pub destination_pitch: usize,
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        // A panel stays in the cache while all rows go past it.
        for panel in 0..self.columns.div_ceil(PANEL) {
            let mut row = 0;
            while row < self.count {
                row += match (V::LANES, self.count - row) {
                    (16, 9..) => self.multiply_rows::<V, 12>(panel, row),
                    (16, 5..) => self.multiply_rows::<V, 8>(panel, row),
                    (8, 5..) => self.multiply_rows::<V, 6>(panel, row),
                    _ => self.multiply_rows::<V, 4>(panel, row),
                };
            }
        }
    }
}

impl Multiply<'_> {
    /// `ROWS` rows by the columns of a panel. Returns `ROWS`.
    #[inline(always)]
    fn multiply_rows<V: Vector, const ROWS: usize>(&self, panel: usize, first: usize) -> usize {
        let panel_len = self.depth * PANEL;
        let packed = &self.packed[panel * panel_len..][..panel_len];
        let columns = PANEL.min(self.columns - panel * PANEL);
        let rows: [*const f32; ROWS] = std::array::from_fn(|index| {
            // Rows beyond the last repeat it.
            let row = (first + index).min(self.count - 1);
            self.rows[row * self.row_pitch..][..self.depth].as_ptr()
        });
        let mut column = 0;
        while column < columns {
            // SAFETY: the rows have `depth` values, a panel as many rows of whole registers, and the
            // columns exist.
            unsafe {
                let packed = packed.as_ptr().wrapping_add(column);
                let first_column = panel * PANEL + column;
                if columns - column > V::LANES {
                    self.tile::<V, ROWS, 2>(rows, packed, first, first_column);
                    column += 2 * V::LANES;
                } else {
                    self.tile::<V, ROWS, 1>(rows, packed, first, first_column);
                    column += V::LANES;
                }
            }
        }
        ROWS
    }

    /// # Safety
    /// As for [`add_products`], and the destination has `count` rows of `columns` values.
    #[inline(always)]
    unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
        &self,
        rows: [*const f32; ROWS],
        packed: *const f32,
        first_row: usize,
        first_column: usize,
    ) {
        // SAFETY: as the caller guarantees.
        let sums = unsafe { products::<V, ROWS, VECTORS>(rows, self.depth, packed) };
        // A fixed count keeps the sums in registers.
        for (index, sums) in sums.iter().enumerate() {
            let row = first_row + index;
            if row < self.count {
                let factor = self.factors.map(|factors| V::splat(factors[row]));
                for (vector, sum) in sums.iter().enumerate() {
                    let column = first_column + vector * V::LANES;
                    let lanes = V::LANES.min(self.columns - column);
                    let value = match factor {
                        Some(factor) => sum.mul(factor),
                        None => *sum,
                    };
                    // SAFETY: `lanes` columns of a row of the destination.
                    unsafe {
                        let place = self.destination.add(row * self.destination_pitch + column);
                        value.store(place, lanes);
                    }
                }
            }
        }
    }
}

/// The sums of a register tile. They are a value of their own, because sums that are written row by row while they
/// grow would not stay in registers.
///
/// # Safety
/// As for [`add_products`].
#[inline(always)]
unsafe fn products<V: Vector, const ROWS: usize, const VECTORS: usize>(
    rows: [*const f32; ROWS],
    depth: usize,
    packed: *const f32,
) -> [[V; VECTORS]; ROWS] {
    let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
    // SAFETY: as the caller guarantees.
    unsafe { add_products(&mut sums, rows, depth, packed) };
    sums
}

/// `sums[row, column] += Σ_step left[step, row] · right[step, column]`
pub(super) struct AddOuterProducts<'a> {
    /// `[steps, left_pitch]`, with `rows` values in use and room for whole register tiles.
    pub left: &'a [f32],
    pub left_pitch: usize,
    /// `[steps, width]`, of which `columns` values are in use.
    pub right: &'a [f32],
    pub steps: usize,
    pub rows: usize,
    pub columns: usize,
    /// Columns in whole panels.
    pub width: usize,
    /// `[rows, width]`, with rows in whole register tiles. Those beyond `rows` get any values.
    pub sums: &'a mut [f32],
}

impl Kernel for AddOuterProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let rows = self.rows.next_multiple_of(TILE_ROWS);
        assert!(self.left_pitch >= rows && self.left.len() >= self.steps * self.left_pitch);
        assert!(self.width.is_multiple_of(PANEL) && self.columns <= self.width);
        assert!(self.right.len() >= self.steps * self.width);
        assert!(self.sums.len() >= rows * self.width);
        let mut column = 0;
        while column < self.columns {
            // SAFETY: the width has whole pairs of registers.
            unsafe {
                if self.columns - column > V::LANES {
                    self.add_columns::<V, 2>(column);
                    column += 2 * V::LANES;
                } else {
                    self.add_columns::<V, 1>(column);
                    column += V::LANES;
                }
            }
        }
    }
}

impl AddOuterProducts<'_> {
    /// # Safety
    /// `VECTORS` registers of columns from `column` on lie in the width, and the lengths are those
    /// that `run` asserts.
    #[inline(always)]
    unsafe fn add_columns<V: Vector, const VECTORS: usize>(&mut self, column: usize) {
        let mut row = 0;
        while row < self.rows {
            // SAFETY: every tile ends where a tile of `TILE_ROWS` does, or before.
            unsafe {
                row += match (V::LANES, self.rows - row) {
                    (16, 9..) => self.add_tile::<V, 12, VECTORS>(row, column),
                    (16, 5..) => self.add_tile::<V, 8, VECTORS>(row, column),
                    (8, 5..) => self.add_tile::<V, 6, VECTORS>(row, column),
                    _ => self.add_tile::<V, 4, VECTORS>(row, column),
                };
            }
        }
    }

    /// Returns `ROWS`.
    ///
    /// # Safety
    /// `ROWS` rows from `row` on, and `VECTORS` registers of columns from `column` on, exist.
    #[inline(always)]
    unsafe fn add_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        column: usize,
    ) -> usize {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        let mut left = self.left.as_ptr().wrapping_add(row);
        let mut right = self.right.as_ptr().wrapping_add(column);
        // SAFETY: as the caller guarantees.
        unsafe {
            for _ in 0..self.steps {
                let mut columns = [V::splat(0.0); VECTORS];
                for (vector, column) in columns.iter_mut().enumerate() {
                    *column = V::load(right.add(vector * V::LANES), V::LANES);
                }
                for (index, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*left.add(index));
                    for (column, sum) in columns.iter().zip(sums.iter_mut()) {
                        *sum = value.mul_add(*column, *sum);
                    }
                }
                left = left.wrapping_add(self.left_pitch);
                right = right.wrapping_add(self.width);
            }
            for (index, sums) in sums.iter().enumerate() {
                let place = (row + index) * self.width + column;
                let place = self.sums.as_mut_ptr().add(place);
                for (vector, sum) in sums.iter().enumerate() {
                    let place = place.add(vector * V::LANES);
                    V::load(place, V::LANES).add(*sum).store(place, V::LANES);
                }
            }
        }
        ROWS
    }
}
