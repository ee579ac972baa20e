//! Matrix products in tiles whose sizes do not depend on the number of threads, so that no bit does. A product itself
//! may run on threads of its own (`matrixmultiply`, below `ndarray`), which share out rows and columns and never the
//! sum of one element.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// Rows of a matrix that one task computes, and columns that a triangular solve takes at a time.
pub(crate) const BAND: usize = 128;

/// Bands of `BAND` rows of `matrix` with the number of their first row, one task each.
pub(crate) fn bands<'a>(
    matrix: &'a mut ArrayViewMut2<'_, f64>,
) -> impl ParallelIterator<Item = (usize, ArrayViewMut2<'a, f64>)> {
    let bands: Vec<_> = matrix.axis_chunks_iter_mut(Axis(0), BAND).collect();
    let numbered = bands.into_par_iter().enumerate();
    numbered.map(|(band, rows)| (band * BAND, rows))
}

/// Adds `panel` · `panel`ᵀ to the lower triangle of `target`, [rows of the panel, rows of the panel]. What lies above
/// the diagonal is left undefined.
pub(crate) fn add_gram(target: &mut Array2<f64>, panel: ArrayView2<'_, f64>) {
    bands(&mut target.view_mut()).for_each(|(start, mut rows)| {
        let end = start + rows.nrows();
        let mut rows = rows.slice_mut(s![.., ..end]);
        let own = panel.slice(s![start..end, ..]);
        general_mat_mul(1.0, &own, &panel.slice(s![..end, ..]).t(), 1.0, &mut rows);
    });
}
