//! Weights in the order the matrix product reads them: panels of [`PANEL`] columns,
//! `[panel, tap, depth, PANEL]`, the last panel filled up with zeros.
#![allow(
    unsafe_code,
    reason = "panels are written without a first pass of zeros"
)]

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Columns of a panel, at every SIMD level.
pub(crate) const PANEL: usize = 32;
/// Depths that are packed together: a cache line of each column, where depths lie beside each other.
const BLOCK: usize = 16;

/// A view of native weights as matrices `[tap][depth, columns]`.
#[derive(Clone, Copy)]
pub(crate) struct WeightView<'a> {
    pub weights: &'a [f32],
    /// The place of a weight is the sum of those of its tap, its depth and its column.
    pub tap_places: &'a [usize],
    pub depth_places: &'a [usize],
    pub columns: usize,
    pub column_stride: usize,
}

impl WeightView<'_> {
    pub(crate) fn packed_len(&self) -> usize {
        self.columns.div_ceil(PANEL) * self.panel_len()
    }

    fn panel_len(&self) -> usize {
        self.tap_places.len() * self.depth_places.len() * PANEL
    }

    /// The panels.
    pub(crate) fn packed(&self) -> Vec<f32> {
        let mut packed = Vec::with_capacity(self.packed_len());
        self.pack_onto(&mut packed);
        packed
    }

    /// Appends the panels to `packed`.
    pub(crate) fn pack_onto(&self, packed: &mut Vec<f32>) {
        let (first, len) = (packed.len(), self.packed_len());
        if len == 0 {
            return;
        }
        packed.reserve(len);
        let room = &mut packed.spare_capacity_mut()[..len];
        let panels = room.par_chunks_exact_mut(self.panel_len()).enumerate();
        panels.for_each(|(panel, room)| self.pack_panel(panel, room));
        // SAFETY: every panel was written.
        unsafe { packed.set_len(first + len) };
    }

    fn pack_panel(&self, panel: usize, room: &mut [MaybeUninit<f32>]) {
        let first_column = panel * PANEL;
        let columns = PANEL.min(self.columns - first_column);
        let weights = &self.weights[first_column * self.column_stride..];
        let depths = self.depth_places.len();
        for (block, depth_places) in self.depth_places.chunks(BLOCK).enumerate() {
            for (tap, tap_place) in self.tap_places.iter().enumerate() {
                let first = (tap * depths + block * BLOCK) * PANEL;
                let (rows, _) =
                    room[first..first + depth_places.len() * PANEL].as_chunks_mut::<PANEL>();
                for column in 0..columns {
                    let weights = &weights[column * self.column_stride + tap_place..];
                    for (row, depth_place) in rows.iter_mut().zip(depth_places) {
                        row[column].write(weights[*depth_place]);
                    }
                }
                for row in rows {
                    for value in &mut row[columns..] {
                        value.write(0.0);
                    }
                }
            }
        }
    }
}
