//! Transformed weights in the order in which the products read them.
#![allow(unsafe_code, reason = "the panels are written register by register")]

use rayon::prelude::*;

use super::transform::{POINTS, TAPS, Transform, Weight};
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten};
use crate::pack::PANEL;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Rows of a panel that are transformed at a time: their taps lie side by side in memory.
const ROWS: usize = 8;
const TAP_COUNT: usize = TAPS * TAPS;
const POINT_COUNT: usize = POINTS * POINTS;

/// Transformed weights `[panel, point, depth, PANEL]`, columns beyond the last being zero.
pub(super) struct TransformedWeights<'a> {
    pub values: &'a [f32],
    /// Channels that are summed over.
    pub depth: usize,
    /// Channels that are written.
    pub columns: usize,
}

/// Values of transformed weights.
pub(super) fn transformed_len(depth: usize, columns: usize) -> usize {
    columns.div_ceil(PANEL) * POINT_COUNT * depth * PANEL
}

/// The weights of a forward pass, from `[out_channels, in_channels, 3, 3]`.
pub(super) fn transform_forward(c: &Convolution, w: &[f32]) -> Vec<f32> {
    transform(Native {
        weights: w,
        depth: c.in_channels,
        depth_stride: TAP_COUNT,
        columns: c.out_channels,
        column_stride: c.in_channels * TAP_COUNT,
        is_rotated: false,
    })
}

/// The weights of an input gradient: input and output channels change places, and the kernel is
/// rotated by 180°.
pub(super) fn transform_input_gradient(c: &Convolution, w: &[f32]) -> Vec<f32> {
    transform(Native {
        weights: w,
        depth: c.out_channels,
        depth_stride: c.in_channels * TAP_COUNT,
        columns: c.in_channels,
        column_stride: TAP_COUNT,
        is_rotated: true,
    })
}

fn transform(native: Native<'_>) -> Vec<f32> {
    let len = transformed_len(native.depth, native.columns);
    let mut values = Unwritten::new(len);
    let blocks = native.depth.div_ceil(ROWS);
    let output = values.output();
    (0..native.columns.div_ceil(PANEL) * blocks)
        .into_par_iter()
        .for_each(|task| {
            dispatch(Block {
                native: &native,
                panel: task / blocks,
                first_row: task % blocks * ROWS,
                output,
            });
        });
    // SAFETY: the tasks have written all rows of all panels.
    unsafe { values.written(len) }
}

impl TransformedWeights<'_> {
    pub(super) fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// `[depth, PANEL]`
    pub(super) fn matrix(&self, panel: usize, point: usize) -> &[f32] {
        let len = self.depth * PANEL;
        &self.values[(panel * POINT_COUNT + point) * len..][..len]
    }
}

/// Weights in their native order.
struct Native<'a> {
    weights: &'a [f32],
    depth: usize,
    depth_stride: usize,
    columns: usize,
    column_stride: usize,
    is_rotated: bool,
}

/// Some rows of a panel.
struct Block<'a> {
    native: &'a Native<'a>,
    panel: usize,
    first_row: usize,
    output: Output,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let rows = ROWS.min(self.native.depth - self.first_row);
        let taps = self.gather(rows);
        for (row, taps) in taps.iter().enumerate().take(rows) {
            for first in (0..PANEL).step_by(V::LANES) {
                let mut kernel = [[V::splat(0.0); TAPS]; TAPS];
                for (tap, values) in taps.iter().enumerate() {
                    // SAFETY: `PANEL` is a multiple of `LANES`.
                    kernel[tap / TAPS][tap % TAPS] =
                        unsafe { V::load(values[first..].as_ptr(), V::LANES) };
                }
                let points = Weight::square(&kernel);
                for (point, value) in points.iter().flatten().enumerate() {
                    let matrix = self.panel * POINT_COUNT + point;
                    let line = matrix * self.native.depth + self.first_row + row;
                    // SAFETY: a row of this task, of the panel's matrix for the point.
                    unsafe { value.store(self.output.at(line * PANEL + first), V::LANES) };
                }
            }
        }
    }
}

impl Block<'_> {
    /// Moves the taps of the columns side by side.
    #[inline(always)]
    fn gather(&self, rows: usize) -> [[[f32; PANEL]; TAP_COUNT]; ROWS] {
        let native = self.native;
        let mut taps = [[[0.0; PANEL]; TAP_COUNT]; ROWS];
        let first_column = self.panel * PANEL;
        for column in 0..PANEL.min(native.columns - first_column) {
            for (row, taps) in taps.iter_mut().enumerate().take(rows) {
                let place = (self.first_row + row) * native.depth_stride
                    + (first_column + column) * native.column_stride;
                let kernel = &native.weights[place..][..TAP_COUNT];
                for (tap, values) in taps.iter_mut().enumerate() {
                    values[column] = if native.is_rotated {
                        kernel[TAP_COUNT - 1 - tap]
                    } else {
                        kernel[tap]
                    };
                }
            }
        }
        taps
    }
}
