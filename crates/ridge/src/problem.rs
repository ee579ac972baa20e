//! One ridge regression: its linear system in the smaller of two forms, and each image's prediction by the others.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, Axis, s};
use rayon::prelude::*;

use crate::cholesky::Factor;
use crate::moments::{Moments, NormalEquations};
use crate::product::{BAND, add_gram};
use crate::rows::{BLOCK, Rows, Sample};
use crate::standard::Standard;

/// Share of an image's own target in its prediction from which nothing is left to predict it by.
const ALONE: f64 = 1.0 - 1e-12;

/// A regression from standardised features Z, [images, values], to one-hot targets Y, [images, classes].
pub(crate) struct Problem<'a> {
    pub(crate) standard: Standard,
    rows: &'a Rows,
    /// Rows that are judged, in the order of their images.
    order: Vec<usize>,
    /// Shares of the classes: the intercepts, since Z has mean 0.
    pub(crate) shares: Array1<f64>,
    images: f64,
    form: Form,
}

enum Form {
    /// The lower triangle of ZZᵀ, [images, images].
    Images(Array2<f64>),
    /// ZᵀZ and YᵀZ.
    Values(NormalEquations),
}

/// A regression with one penalty.
pub(crate) struct Candidate {
    pub(crate) penalty: f64,
    /// Coefficients of the images' rows, or of the values: [classes, images or values].
    coefficients: Array2<f64>,
    /// Scores of the judged images by the regression on all others: [judged, classes].
    pub(crate) scores: Array2<f64>,
    /// Mean over judged images of the squared distance between scores and targets.
    pub(crate) error: f64,
}

impl<'a> Problem<'a> {
    /// The regression on all `rows`, whose labels occur `counts` times, in the smaller form.
    pub(crate) fn of_rows(sources: &[Range<usize>], rows: &'a Rows, counts: &[usize]) -> Self {
        let values = sources.iter().map(ExactSizeIterator::len).sum::<usize>();
        Self::in_form(sources, rows, counts, rows.len() <= values)
    }

    /// The regression on all `rows` as a system of images × images, or of values × values.
    pub(crate) fn in_form(
        sources: &[Range<usize>],
        rows: &'a Rows,
        counts: &[usize],
        by_images: bool,
    ) -> Self {
        let standard = Standard::of_rows(sources, rows);
        let form = if by_images {
            Form::Images(gram_of_images(&standard, rows))
        } else {
            Form::Values(equations_of_rows(&standard, rows, counts.len()))
        };
        Self::new(standard, rows, (0..rows.len()).collect(), counts, form)
    }

    /// The regression on all images of `moments`, judged by those of `sample`.
    pub(crate) fn of_moments(
        sources: &[Range<usize>],
        moments: &Moments,
        sample: &'a Sample,
        counts: &[usize],
    ) -> Self {
        let standard = moments.standard(sources, counts.iter().sum());
        let form = Form::Values(moments.normal_equations(&standard, counts));
        Self::new(standard, &sample.rows, sample.order(), counts, form)
    }

    fn new(
        standard: Standard,
        rows: &'a Rows,
        order: Vec<usize>,
        counts: &[usize],
        form: Form,
    ) -> Self {
        let images = counts.iter().sum::<usize>() as f64;
        let shares = counts.iter().map(|&count| count as f64 / images).collect();
        Self {
            standard,
            rows,
            order,
            shares,
            images,
            form,
        }
    }

    /// Labels of the judged images.
    pub(crate) fn labels(&self) -> Vec<usize> {
        let labels = self.rows.labels();
        self.order.iter().map(|&row| labels[row]).collect()
    }

    /// The regression with the penalty λ; `None` if its system is not positive definite in f64.
    ///
    /// With the matrix H that makes fitted values of targets, the regression on the others predicts
    /// yᵢ − (yᵢ − ŷᵢ) ÷ (1 − Hᵢᵢ) for image i (Allen, "The Relationship between Variable Selection and Data
    /// Augmentation", 1974; Rifkin and Lippert, "Notes on Regularized Least Squares", 2007, section 3). The intercept
    /// adds 1 ÷ images to Hᵢᵢ. The standard is not computed anew without image i.
    pub(crate) fn judge(&self, penalty: f64) -> Option<Candidate> {
        let (coefficients, scores) = match &self.form {
            Form::Images(gram) => self.judge_by_images(gram, penalty)?,
            Form::Values(equations) => self.judge_by_values(equations, penalty)?,
        };
        let mut error = 0.0;
        for (scores, label) in scores.rows().into_iter().zip(self.labels()) {
            error += scores.dot(&scores) - 2.0 * scores[label] + 1.0;
        }
        error /= scores.nrows() as f64;
        Some(Candidate {
            penalty,
            coefficients,
            scores,
            error,
        })
    }

    /// With G = ZZᵀ + λI and α = G⁻¹(Y − Ȳ), y − ŷ is λα and 1 − Hᵢᵢ is λ(G⁻¹)ᵢᵢ − 1 ÷ images.
    fn judge_by_images(
        &self,
        gram: &Array2<f64>,
        penalty: f64,
    ) -> Option<(Array2<f64>, Array2<f64>)> {
        let labels = self.labels();
        let factor = penalised(gram, penalty)?;
        let mut coefficients =
            Array2::from_shape_fn((self.shares.len(), labels.len()), |(class, image)| {
                target(labels[image], class) - self.shares[class]
            });
        factor.solve(&mut coefficients);
        let mut scores = Array2::zeros((labels.len(), self.shares.len()));
        for (image, diagonal) in factor.inverse_diagonal().into_iter().enumerate() {
            let own = 1.0 - penalty * diagonal + 1.0 / self.images;
            for class in 0..self.shares.len() {
                let residual = penalty * coefficients[[class, image]];
                scores[[image, class]] = left_out(target(labels[image], class), residual, own);
            }
        }
        Some((coefficients, scores))
    }

    /// With A = ZᵀZ + λI and LLᵀ = A, Hᵢᵢ is |L⁻¹zᵢ|² + 1 ÷ images.
    fn judge_by_values(
        &self,
        equations: &NormalEquations,
        penalty: f64,
    ) -> Option<(Array2<f64>, Array2<f64>)> {
        let labels = self.labels();
        let factor = penalised(&equations.products, penalty)?;
        let mut coefficients = equations.targets.clone();
        factor.solve(&mut coefficients);
        let mut scores = Array2::zeros((labels.len(), self.shares.len()));
        let bands: Vec<_> = scores.axis_chunks_iter_mut(Axis(0), BAND).collect();
        bands
            .into_par_iter()
            .enumerate()
            .for_each(|(band, mut scores)| {
                let images = band * BAND..band * BAND + scores.nrows();
                let rows = self.order[images.clone()].iter().copied();
                let mut rows =
                    self.standard
                        .standardised(self.rows, rows, 0..self.standard.values());
                scores.assign(&self.shares);
                general_mat_mul(1.0, &rows, &coefficients.t(), 1.0, &mut scores);
                factor.forward(&mut rows.view_mut(), 0);
                for ((mut scores, row), image) in
                    scores.rows_mut().into_iter().zip(rows.rows()).zip(images)
                {
                    let own = row.dot(&row) + 1.0 / self.images;
                    for (class, score) in scores.iter_mut().enumerate() {
                        let target = target(labels[image], class);
                        *score = left_out(target, target - *score, own);
                    }
                }
            });
        Some((coefficients, scores))
    }

    /// Weights on standardised values: [classes, values].
    pub(crate) fn weights(&self, candidate: Candidate) -> Array2<f64> {
        if matches!(self.form, Form::Values(_)) {
            return candidate.coefficients;
        }
        let values = self.standard.values();
        let mut weights = Array2::zeros((self.shares.len(), values));
        let panels: Vec<_> = weights.axis_chunks_iter_mut(Axis(1), BAND).collect();
        panels
            .into_par_iter()
            .enumerate()
            .for_each(|(panel, mut weights)| {
                let range = panel * BAND..panel * BAND + weights.ncols();
                let rows = self.order.iter().copied();
                let rows = self.standard.standardised(self.rows, rows, range);
                general_mat_mul(1.0, &candidate.coefficients, &rows, 0.0, &mut weights);
            });
        weights
    }
}

fn gram_of_images(standard: &Standard, rows: &Rows) -> Array2<f64> {
    let mut gram = Array2::zeros((rows.len(), rows.len()));
    for start in (0..standard.values()).step_by(BLOCK) {
        let values = start..standard.values().min(start + BLOCK);
        add_gram(
            &mut gram,
            standard.standardised(rows, 0..rows.len(), values).view(),
        );
    }
    gram
}

fn equations_of_rows(standard: &Standard, rows: &Rows, classes: usize) -> NormalEquations {
    let values = standard.values();
    let mut products = Array2::zeros((values, values));
    let mut targets = Array2::zeros((classes, values));
    for start in (0..rows.len()).step_by(BLOCK) {
        let block = standard.standardised(rows, start..rows.len().min(start + BLOCK), 0..values);
        add_gram(&mut products, block.t());
        for (row, &label) in block.rows().into_iter().zip(&rows.labels()[start..]) {
            targets.row_mut(label).scaled_add(1.0, &row);
        }
    }
    NormalEquations { products, targets }
}

fn penalised(matrix: &Array2<f64>, penalty: f64) -> Option<Factor> {
    let mut matrix = matrix.clone();
    matrix
        .slice_mut(s![.., ..])
        .diag_mut()
        .mapv_inplace(|value| value + penalty);
    Factor::new(matrix)
}

fn target(label: usize, class: usize) -> f64 {
    if label == class { 1.0 } else { 0.0 }
}

/// The score by the other images, 0 where there are none; `own` is Hᵢᵢ.
fn left_out(target: f64, residual: f64, own: f64) -> f64 {
    if own < ALONE {
        target - residual / (1.0 - own)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests;
