//! Weights in the order the matrix product reads them: panels of [`PANEL`] columns,
//! `[panel, tap, depth, PANEL]`, the last panel filled up with zeros.

use rayon::prelude::*;

/// Columns of a panel, at every SIMD level.
pub(crate) const PANEL: usize = 32;

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

    pub(crate) fn panel_len(&self) -> usize {
        self.tap_places.len() * self.depth_places.len() * PANEL
    }

    /// Writes the panels to `packed`.
    pub(crate) fn pack(&self, packed: &mut [f32]) {
        if packed.is_empty() {
            return;
        }
        let depths = self.depth_places.len();
        let panels = packed.par_chunks_exact_mut(self.panel_len());
        panels.enumerate().for_each(|(panel, packed)| {
            let first_column = panel * PANEL;
            let columns = PANEL.min(self.columns - first_column);
            for (depth, depth_place) in self.depth_places.iter().enumerate() {
                for (tap, tap_place) in self.tap_places.iter().enumerate() {
                    let first = tap_place + depth_place + first_column * self.column_stride;
                    let row = &mut packed[(tap * depths + depth) * PANEL..][..PANEL];
                    let source = self.weights[first..].iter().step_by(self.column_stride);
                    for (value, weight) in row[..columns].iter_mut().zip(source) {
                        *value = *weight;
                    }
                    row[columns..].fill(0.0);
                }
            }
        });
    }
}
