//! The transforms of one tile (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
//! 2016, section 4.1), a register for each value and a lane for each channel.
//!
//! In one dimension an output tile is `Aᵀ((G w) ⊙ (Bᵀ x))`: four points, the interpolation at 0, 1, -1
//! and infinity. The same four points and the same `Bᵀ` serve both problems:
//!
//! - F(2, 3), two outputs of a filter of three taps, and
//! - F(3, 2), three weight gradients of a filter of two output gradients. The halves of its `G` are
//!   moved to its `Aᵀ`, where there are fewer values; powers of two are exact in either place.
//!
//! In two dimensions columns are transformed first, then rows.

use crate::vector::Vector;

/// Points of a tile along an axis, which is also the input pixels it covers.
pub(super) const POINTS: usize = 4;
/// Output pixels of a tile along an axis.
pub(super) const OUTPUTS: usize = 2;
/// Kernel taps along an axis.
pub(super) const TAPS: usize = 3;

/// A linear map along one axis. (Closures would not be compiled with the instructions of the level.)
pub(super) trait Transform<const FROM: usize, const TO: usize> {
    fn line<V: Vector>(values: [V; FROM]) -> [V; TO];

    /// Transforms the columns of a square, then its rows.
    #[inline(always)]
    fn square<V: Vector>(values: &[[V; FROM]; FROM]) -> [[V; TO]; TO] {
        let mut rows = [[V::splat(0.0); FROM]; TO];
        for x in 0..FROM {
            let mut column = [V::splat(0.0); FROM];
            for (value, row) in column.iter_mut().zip(values) {
                *value = row[x];
            }
            for (row, value) in rows.iter_mut().zip(Self::line(column)) {
                row[x] = value;
            }
        }
        let mut result = [[V::splat(0.0); TO]; TO];
        for (result, row) in result.iter_mut().zip(rows) {
            *result = Self::line(row);
        }
        result
    }

    /// One row of the result of [`Transform::square`].
    #[inline(always)]
    fn row<V: Vector, const ROW: usize>(values: &[[V; FROM]; FROM]) -> [V; TO] {
        let mut row = [V::splat(0.0); FROM];
        for (x, value) in row.iter_mut().enumerate() {
            let mut column = [V::splat(0.0); FROM];
            for (value, row) in column.iter_mut().zip(values) {
                *value = row[x];
            }
            *value = Self::line(column)[ROW];
        }
        Self::line(row)
    }
}

/// `Bᵀ x`: input pixels to points.
pub(super) struct Input;

impl Transform<POINTS, POINTS> for Input {
    #[inline(always)]
    fn line<V: Vector>(x: [V; POINTS]) -> [V; POINTS] {
        [
            x[0].sub(x[2]),
            x[1].add(x[2]),
            x[2].sub(x[1]),
            x[1].sub(x[3]),
        ]
    }
}

/// `G w` of F(2, 3): taps to points.
pub(super) struct Weight;

impl Transform<TAPS, POINTS> for Weight {
    #[inline(always)]
    fn line<V: Vector>(w: [V; TAPS]) -> [V; POINTS] {
        let half = V::splat(0.5);
        let (outer, inner) = (w[0].add(w[2]).mul(half), w[1].mul(half));
        [w[0], outer.add(inner), outer.sub(inner), w[2]]
    }
}

/// `Aᵀ m` of F(2, 3): points to output pixels.
pub(super) struct Output;

impl Transform<POINTS, OUTPUTS> for Output {
    #[inline(always)]
    fn line<V: Vector>(m: [V; POINTS]) -> [V; OUTPUTS] {
        [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3])]
    }
}

/// `G g` of F(3, 2), points 1 and 2 doubled: output gradients to points.
pub(super) struct OutputGradient;

impl Transform<OUTPUTS, POINTS> for OutputGradient {
    #[inline(always)]
    fn line<V: Vector>(g: [V; OUTPUTS]) -> [V; POINTS] {
        [g[0], g[0].add(g[1]), g[0].sub(g[1]), g[1]]
    }
}

/// `Aᵀ m` of F(3, 2), points 1 and 2 halved: points to weight gradients.
pub(super) struct WeightGradient;

impl Transform<POINTS, TAPS> for WeightGradient {
    #[inline(always)]
    fn line<V: Vector>(m: [V; POINTS]) -> [V; TAPS] {
        let half = V::splat(0.5);
        let (sum, difference) = (m[1].add(m[2]).mul(half), m[1].sub(m[2]).mul(half));
        [m[0].add(sum), difference, sum.sub(m[3])]
    }
}
