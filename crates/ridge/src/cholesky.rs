//! Cholesky's factor of a positive definite matrix, block by block on products of matrices.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use crate::product::{BAND, bands};

/// The lower triangular L with LLᵀ = A.
pub(crate) struct Factor {
    /// L, with values above the diagonal that mean nothing outside the blocks on it.
    lower: Array2<f64>,
    /// The inverses of L's blocks on the diagonal, in order.
    inverses: Vec<Array2<f64>>,
}

impl Factor {
    /// The factor of the symmetric `matrix`, of which the lower triangle is read; `None` if it is not positive definite
    /// in f64. Left-looking by blocks of columns (Golub and Van Loan, "Matrix Computations", 4th edition, 4.2.9).
    pub(crate) fn new(mut matrix: Array2<f64>) -> Option<Self> {
        let size = matrix.nrows();
        let mut inverses = Vec::with_capacity(size.div_ceil(BAND));
        for start in (0..size).step_by(BAND) {
            let end = size.min(start + BAND);
            let known = matrix.slice(s![start..end, ..start]).to_owned();
            let mut own = matrix.slice_mut(s![start..end, start..end]);
            general_mat_mul(-1.0, &known, &known.t(), 1.0, &mut own);
            factor_in_place(&mut own)?;
            let inverse = inverse_of_triangle(&own);
            bands(&mut matrix.slice_mut(s![end.., ..end])).for_each(|(_, rows)| {
                let (left, mut own) = rows.split_at(Axis(1), start);
                general_mat_mul(-1.0, &left, &known.t(), 1.0, &mut own);
                let solved = own.dot(&inverse.t());
                own.assign(&solved);
            });
            inverses.push(inverse);
        }
        let lower = matrix;
        Some(Self { lower, inverses })
    }

    /// Replaces each row b of `rows` by L⁻¹b. The values of all rows before `first` are zero, and stay so.
    pub(crate) fn forward(&self, rows: &mut ArrayViewMut2<'_, f64>, first: usize) {
        let (size, first) = (self.lower.nrows(), first / BAND * BAND);
        for start in (first..size).step_by(BAND) {
            let end = size.min(start + BAND);
            let (left, mut own) = rows.slice_mut(s![.., ..end]).split_at(Axis(1), start);
            let known = self.lower.slice(s![start..end, first..start]);
            general_mat_mul(
                -1.0,
                &left.slice(s![.., first..]),
                &known.t(),
                1.0,
                &mut own,
            );
            let solved = own.dot(&self.inverses[start / BAND].t());
            own.assign(&solved);
        }
    }

    /// Replaces each row b of `rows` by L⁻ᵀb.
    fn backward(&self, rows: &mut ArrayViewMut2<'_, f64>) {
        let size = self.lower.nrows();
        for (block, start) in (0..size).step_by(BAND).enumerate().rev() {
            let end = size.min(start + BAND);
            let (mut own, right) = rows
                .slice_mut(s![.., start..])
                .split_at(Axis(1), end - start);
            let known = self.lower.slice(s![end.., start..end]);
            general_mat_mul(-1.0, &right, &known, 1.0, &mut own);
            let solved = own.dot(&self.inverses[block]);
            own.assign(&solved);
        }
    }

    /// Replaces each row b of `rows` by A⁻¹b.
    pub(crate) fn solve(&self, rows: &mut Array2<f64>) {
        bands(&mut rows.view_mut()).for_each(|(_, mut rows)| {
            self.forward(&mut rows, 0);
            self.backward(&mut rows);
        });
    }

    /// The diagonal of A⁻¹: the squared lengths of the columns of L⁻¹.
    pub(crate) fn inverse_diagonal(&self) -> Vec<f64> {
        let size = self.lower.nrows();
        let starts: Vec<usize> = (0..size).step_by(BAND).collect();
        let squares = |start: usize| {
            let mut rows = Array2::zeros((BAND.min(size - start), size));
            rows.slice_mut(s![.., start..]).diag_mut().fill(1.0);
            self.forward(&mut rows.view_mut(), start);
            let square = |row: ndarray::ArrayView1<'_, f64>| row.dot(&row);
            rows.rows().into_iter().map(square).collect()
        };
        let squares: Vec<Vec<f64>> = starts.into_par_iter().map(squares).collect();
        squares.concat()
    }
}

/// Replaces a block by its factor, with zeros above the diagonal; `None` if it is not positive definite.
fn factor_in_place(block: &mut ArrayViewMut2<'_, f64>) -> Option<()> {
    let size = block.nrows();
    for i in 0..size {
        for j in 0..=i {
            let known = block.slice(s![i, ..j]).dot(&block.slice(s![j, ..j]));
            let left = block[[i, j]] - known;
            if j < i {
                block[[i, j]] = left / block[[j, j]];
            } else if left > 0.0 && left.is_finite() {
                block[[i, i]] = left.sqrt();
            } else {
                return None;
            }
        }
        block.slice_mut(s![i, i + 1..]).fill(0.0);
    }
    Some(())
}

/// The inverse of a lower triangular block, row by row.
fn inverse_of_triangle(block: &ArrayViewMut2<'_, f64>) -> Array2<f64> {
    let size = block.nrows();
    let mut inverse = Array2::zeros((size, size));
    for i in 0..size {
        let (above, mut own) = inverse.view_mut().split_at(Axis(0), i);
        for j in 0..i {
            own.row_mut(0).scaled_add(-block[[i, j]], &above.row(j));
        }
        own.row_mut(0)
            .mapv_inplace(|value: f64| value / block[[i, i]]);
        own[[0, i]] = 1.0 / block[[i, i]];
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::add_gram;
    use crate::tests::normal;

    /// A positive definite matrix, whole.
    fn definite(size: usize) -> Array2<f64> {
        let panel = Array2::from_shape_vec((size, size + 3), normal(size * (size + 3), 3)).unwrap();
        let mut matrix = Array2::eye(size);
        add_gram(&mut matrix, panel.view());
        for i in 0..size {
            for j in i + 1..size {
                matrix[[i, j]] = matrix[[j, i]];
            }
        }
        matrix
    }

    #[test]
    fn solutions_and_the_inverses_diagonal_fit_the_matrix() {
        for size in [1, 5, BAND, BAND + 1, 2 * BAND + 40] {
            let matrix = definite(size);
            let factor = Factor::new(matrix.clone()).unwrap();
            let mut inverse = Array2::eye(size);
            factor.solve(&mut inverse);
            let error = matrix.dot(&inverse) - Array2::<f64>::eye(size);
            assert!(error.iter().all(|error| error.abs() < 1e-8), "{size}");
            for (known, value) in inverse.diag().iter().zip(factor.inverse_diagonal()) {
                assert!((known - value).abs() < 1e-10, "{size}: {known} {value}");
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_factor() {
        let mut matrix = definite(200);
        matrix[[150, 150]] = -1.0;
        assert!(Factor::new(matrix.clone()).is_none());
        matrix[[150, 150]] = f64::NAN;
        assert!(Factor::new(matrix).is_none());
    }
}
