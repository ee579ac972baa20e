//! Sums of squares and products of many rows, from which the normal equations are built.

use std::ops::Range;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use crate::product::{BAND, add_gram};
use crate::rows::Rows;
use crate::standard::{ShiftedMoments, Standard, means};

/// Sums over images of products of two values, and of values by class. Values are taken as deviations from a shift near
/// their means, so that large means cancel before they are squared (Chan, Golub and LeVeque, "Algorithms for Computing
/// the Sample Variance", 1983, section 2).
#[derive(Clone)]
pub(crate) struct Moments {
    shift: Vec<f64>,
    /// The lower triangle of [values, values].
    products: Array2<f64>,
    /// [classes, values].
    sums: Array2<f64>,
}

/// The normal equations of standardised features.
pub(crate) struct NormalEquations {
    /// ZᵀZ, of which the lower triangle is defined: [values, values].
    pub(crate) products: Array2<f64>,
    /// YᵀZ with one-hot targets Y: [classes, values].
    pub(crate) targets: Array2<f64>,
}

impl Moments {
    /// No images yet; the shift is the mean of `rows`.
    pub(crate) fn new(rows: &Rows, values: usize, classes: usize) -> Self {
        let source: Vec<usize> = (0..values).collect();
        let shifts: Vec<_> = source
            .par_chunks(BAND)
            .map(|chunk| means(rows, chunk))
            .collect();
        let products = Array2::zeros((values, values));
        let sums = Array2::zeros((classes, values));
        Self {
            shift: shifts.concat(),
            products,
            sums,
        }
    }

    /// Adds one block of rows.
    pub(crate) fn fold(&mut self, block: &Rows) {
        let shifted = Array2::from_shape_fn((block.len(), self.shift.len()), |(row, value)| {
            f64::from(block.row(row)[value]) - self.shift[value]
        });
        for (row, &label) in shifted.axis_iter(Axis(0)).zip(block.labels()) {
            self.sums.row_mut(label).scaled_add(1.0, &row);
        }
        add_gram(&mut self.products, shifted.t());
    }

    /// The standard of values at `sources`, one range for each layer, over `images` images.
    pub(crate) fn standard(&self, sources: &[Range<usize>], images: usize) -> Standard {
        let images = images as f64;
        let sums = self.sums.sum_axis(Axis(0));
        Standard::of_moments(sources, |value| ShiftedMoments {
            shift: self.shift[value],
            mean: sums[value] / images,
            square: self.products[[value, value]] / images,
        })
    }

    /// The normal equations of values standardised by `standard`, over images of these `counts` by class.
    pub(crate) fn normal_equations(
        &self,
        standard: &Standard,
        counts: &[usize],
    ) -> NormalEquations {
        let Standard {
            source,
            mean,
            factor,
        } = standard;
        let (values, images) = (standard.values(), counts.iter().sum::<usize>() as f64);
        let offset: Vec<f64> = source
            .iter()
            .zip(mean)
            .map(|(&at, mean)| mean - self.shift[at])
            .collect();
        let mut products = Array2::zeros((values, values));
        for i in 0..values {
            for j in 0..=i {
                // Layers may be chosen in any order, and only one triangle is defined.
                let (row, column) = (source[i].max(source[j]), source[i].min(source[j]));
                let centred = self.products[[row, column]] - images * offset[i] * offset[j];
                products[[i, j]] = centred * factor[i] * factor[j];
            }
        }
        let targets = Array2::from_shape_fn((counts.len(), values), |(class, value)| {
            let sum = self.sums[[class, source[value]]];
            (sum - counts[class] as f64 * offset[value]) * factor[value]
        });
        NormalEquations { products, targets }
    }

    /// Bytes that are allocated.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        8 * (self.shift.len() + self.products.len() + self.sums.len()) as u64
    }
}
