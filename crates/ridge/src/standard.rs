//! Standardised features: every value with mean 0 and one deviation, every layer with the same weight.

use std::ops::Range;

use ndarray::{Array2, ArrayViewMut1, Axis};
use rayon::prelude::*;

use crate::product::BAND;
use crate::rows::Rows;

/// Deviation, as a share of the mean, up to which a value is taken for constant: what rounding to f32 makes of one.
const CONSTANT: f64 = 1e-5;

/// Deviation up to which a value is taken for constant whatever its mean: its weight would be beyond f32.
const TINY: f64 = 1e-30;

/// Mean and factor of each value of the chosen layers. A standardised value is (value − mean) · factor.
pub(crate) struct Standard {
    /// Where each value stands in a row of all layers.
    pub(crate) source: Vec<usize>,
    pub(crate) mean: Vec<f64>,
    /// 1 ÷ deviation ÷ √(values of the layer that are not constant), or 0 for a value that is constant.
    pub(crate) factor: Vec<f64>,
}

/// Where the values of the chosen layers stand in a row of all `layers`, layer by layer.
pub(crate) fn sources(layers: &[usize], chosen: &[usize]) -> Vec<Range<usize>> {
    let range = |&layer: &usize| {
        let start = layers[..layer].iter().sum();
        start..start + layers[layer]
    };
    chosen.iter().map(range).collect()
}

impl Standard {
    /// The standard of values at `sources`, one range for each layer, of which `moments` gives mean and variance.
    fn new(sources: &[Range<usize>], moments: &[(f64, f64)]) -> Self {
        let source: Vec<usize> = sources.iter().cloned().flatten().collect();
        let mean = moments.iter().map(|moments| moments.0).collect();
        let mut factor = Vec::with_capacity(source.len());
        for range in sources {
            let moments = &moments[factor.len()..factor.len() + range.len()];
            let varies = |&&(mean, variance): &&(f64, f64)| {
                variance > (CONSTANT * mean).powi(2).max(TINY * TINY)
            };
            let live = moments.iter().filter(varies).count() as f64;
            factor.extend(moments.iter().map(|moments| {
                if varies(&moments) {
                    1.0 / (moments.1 * live).sqrt()
                } else {
                    0.0
                }
            }));
        }
        Self {
            source,
            mean,
            factor,
        }
    }

    /// The standard of values whose deviations from `shift` have these means and mean squares over all images.
    pub(crate) fn of_moments(
        sources: &[Range<usize>],
        moments: impl Fn(usize) -> ShiftedMoments,
    ) -> Self {
        let of_value = |value: usize| {
            let moments = moments(value);
            let variance = (moments.square - moments.mean * moments.mean).max(0.0);
            (moments.shift + moments.mean, variance)
        };
        let values = sources.iter().cloned().flatten();
        Self::new(sources, &values.map(of_value).collect::<Vec<_>>())
    }

    /// The standard of rows that are all kept.
    pub(crate) fn of_rows(sources: &[Range<usize>], rows: &Rows) -> Self {
        let source: Vec<usize> = sources.iter().cloned().flatten().collect();
        let of_chunk = |chunk: &[usize]| {
            let means = means(rows, chunk);
            let mut squares = vec![0.0; chunk.len()];
            for row in (0..rows.len()).map(|row| rows.row(row)) {
                for ((square, mean), &value) in squares.iter_mut().zip(&means).zip(chunk) {
                    *square += (f64::from(row[value]) - mean).powi(2);
                }
            }
            let count = rows.len() as f64;
            let variances = squares.into_iter().map(|square| square / count);
            means.iter().copied().zip(variances).collect()
        };
        let moments: Vec<Vec<(f64, f64)>> = source.par_chunks(BAND).map(of_chunk).collect();
        Self::new(sources, &moments.concat())
    }

    /// Values of the chosen layers.
    pub(crate) fn values(&self) -> usize {
        self.source.len()
    }

    /// Standardised `values` of the rows at `indices`: [indices, values].
    pub(crate) fn standardised(
        &self,
        rows: &Rows,
        indices: impl ExactSizeIterator<Item = usize>,
        values: Range<usize>,
    ) -> Array2<f64> {
        let mut standardised = Array2::zeros((indices.len(), values.len()));
        for (index, target) in indices.zip(standardised.axis_iter_mut(Axis(0))) {
            self.fill(target, rows.row(index), values.clone());
        }
        standardised
    }

    fn fill(&self, mut target: ArrayViewMut1<'_, f64>, row: &[f32], values: Range<usize>) {
        for (target, value) in target.iter_mut().zip(values) {
            let centred = f64::from(row[self.source[value]]) - self.mean[value];
            *target = centred * self.factor[value];
        }
    }
}

/// Mean, and mean square, of a value's deviations from a shift.
pub(crate) struct ShiftedMoments {
    pub(crate) shift: f64,
    pub(crate) mean: f64,
    pub(crate) square: f64,
}

/// Means of the values that stand at `source`, over all rows.
pub(crate) fn means(rows: &Rows, source: &[usize]) -> Vec<f64> {
    let mut sums = vec![0.0; source.len()];
    for row in (0..rows.len()).map(|row| rows.row(row)) {
        for (sum, &value) in sums.iter_mut().zip(source) {
            *sum += f64::from(row[value]);
        }
    }
    let count = rows.len() as f64;
    sums.into_iter().map(|sum| sum / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_mean_0_and_layers_a_mean_square_of_1() {
        let mut rows = Rows::new(5);
        for image in 0..9 {
            let value = image as f32;
            // The second layer's last value is constant but for rounding.
            rows.push(
                &[
                    value,
                    value * value,
                    1000.0 + value.sin(),
                    value,
                    1e6 + value * 0.1,
                ],
                0,
            );
        }
        let standard = Standard::of_rows(&sources(&[2, 3], &[1, 0]), &rows);
        assert_eq!(standard.source, [2, 3, 4, 0, 1]);
        let standardised = standard.standardised(&rows, 0..9, 0..5);
        for column in standardised.columns() {
            assert!(column.sum().abs() < 1e-9);
        }
        assert!(standardised.column(2).iter().all(|&value| value == 0.0));
        for layer in [0..3, 3..5] {
            let values = standard.standardised(&rows, 0..9, layer);
            let square = values.iter().map(|value| value * value).sum::<f64>();
            assert!((square - 9.0).abs() < 1e-9, "{square}");
        }
    }
}
