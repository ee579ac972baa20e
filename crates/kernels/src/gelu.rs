//! The Gaussian error linear unit and its derivative.
//!
//! With `t = |x|`, everything comes from the tail `Φ(-t) = exp(-t²/2) · R(t)`, so that small
//! results keep their relative accuracy: `x · Φ(x)` is `max(x, 0) - t · Φ(-t)`.

use crate::exponential::exp_of_sum;
use crate::vector::Vector;

/// Beyond it, `t · Φ(-t)` is smaller than every normal number, and counts as zero.
const LIMIT: f32 = 13.15;

/// `x · Φ(x)`, with a relative error of at most 4e-7 from -13.15 up. From there down it is zero; NaN
/// stays NaN.
#[inline(always)]
pub(crate) fn gelu<V: Vector>(value: V) -> V {
    let tail = Tail::of(value);
    let below = tail.distance.mul(tail.ratio).mul(tail.exponential);
    value
        .clamp(V::splat(0.0), V::splat(f32::INFINITY))
        .sub(below)
}

/// `Φ(x) + x · Φ'(x)`, the derivative, with an error of at most 2e-7.
#[inline(always)]
pub(crate) fn gelu_derivative<V: Vector>(value: V) -> V {
    // 1 / √(2π), the density at zero.
    const DENSITY: f32 = 0.398_942_3;
    let tail = Tail::of(value);
    // Left of zero the derivative is Φ(-t) - t Φ'(t), right of it one less that.
    let inner = tail.distance.mul(V::splat(-DENSITY)).add(tail.ratio);
    let left = inner.mul(tail.exponential);
    let right = V::splat(1.0).sub(left);
    let step = right.sub(left);
    left.add(step.keep_where_between(value, V::splat(0.0), V::splat(f32::INFINITY)))
}

/// `Φ(-t) = exponential · ratio`, for `t = distance`.
struct Tail<V> {
    /// `|x|`, at most [`LIMIT`].
    distance: V,
    /// `exp(-t²/2)`, zero from [`LIMIT`] on.
    exponential: V,
    /// `R(t)`
    ratio: V,
}

impl<V: Vector> Tail<V> {
    #[inline(always)]
    fn of(value: V) -> Self {
        let [zero, limit] = [0.0, LIMIT].map(V::splat);
        let above = value.clamp(zero, limit);
        let distance = above.sub(value.clamp(V::splat(-LIMIT), zero));
        let exponential = bell(distance);
        Self {
            distance,
            exponential: exponential.keep_where_between(value, V::splat(-LIMIT), limit),
            ratio: ratio(distance),
        }
    }
}

/// `exp(-t²/2)` for `t` up to [`LIMIT`]. A rounding of `t²` would weigh up to 86 times as much in
/// the result, so `t` is split into a multiple of 1/64, whose square is exact, and the rest (as
/// Moshier's Cephes does, in `expx2f`).
#[inline(always)]
fn bell<V: Vector>(t: V) -> V {
    // Near this number, f32 holds only multiples of 1/64.
    const ROUNDER: f32 = 1.5 * (1 << 17) as f32;
    let near = t.add(V::splat(ROUNDER)).sub(V::splat(ROUNDER));
    let rest = t.sub(near).mul(t.add(near));
    let half = V::splat(-0.5);
    exp_of_sum(near.mul(near).mul(half), rest.mul(half))
}

/// `R(t) = exp(t²/2) · Φ(-t)` for `t` up to [`LIMIT`]: `P(s) / (t + K)` with `s = (t - K) / (t +
/// K)`, the form of Shepherd and Laframboise, "Chebyshev Approximation of (1 + 2x) exp(x²) erfc x in
/// 0 ≤ x < ∞", 1981. `P` has the smallest relative error of all polynomials of degree 9 on this
/// range, found with Remez's exchange: 8e-9 with its coefficients in f32.
#[inline(always)]
fn ratio<V: Vector>(t: V) -> V {
    const K: f32 = 4.2;
    let inverse = V::splat(1.0).div(t.add(V::splat(K)));
    let s = t.sub(V::splat(K)).mul(inverse);
    let mut polynomial = V::splat(-2.190_912e-4);
    for coefficient in [
        -2.376_37e-4,
        2.123_690_6e-3,
        -1.484_626_3e-3,
        -0.016_770_42,
        0.080_178_96,
        -0.213_816_93,
        0.412_246_58,
        -0.621_862_5,
        0.758_751_5,
    ] {
        polynomial = polynomial.mul_add(s, V::splat(coefficient));
    }
    polynomial.mul(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;
    use crate::lanewise::{Lanewise, at_every_level};
    use crate::reference::{activate, derivative};

    #[derive(Clone, Copy)]
    struct Gelu;

    impl Lanewise for Gelu {
        #[inline(always)]
        fn apply<V: Vector>(self, value: V) -> V {
            gelu(value)
        }
    }

    #[derive(Clone, Copy)]
    struct Derivative;

    impl Lanewise for Derivative {
        #[inline(always)]
        fn apply<V: Vector>(self, value: V) -> V {
            gelu_derivative(value)
        }
    }

    /// A grid over all values that are neither zero nor hand `x` through, and small ones.
    fn values() -> Vec<f32> {
        let steps = 1_000_000;
        let grid = (0..=steps).map(|step| -LIMIT + 2.0 * LIMIT * step as f32 / steps as f32);
        let small = (0..120).flat_map(|power| [0.5f32.powi(power), -(0.5f32.powi(power))]);
        grid.chain(small).collect()
    }

    #[test]
    fn relative_errors_are_a_few_roundings() {
        let values = values();
        at_every_level(Gelu, &values, |level, found| {
            let mut worst = (0.0f64, 0.0);
            for (value, found) in values.iter().zip(found) {
                if *value == -LIMIT {
                    continue;
                }
                let expected = activate(Activation::Gelu, f64::from(*value));
                let error = (f64::from(found) - expected).abs();
                let error = if expected == 0.0 {
                    error
                } else {
                    error / expected.abs()
                };
                worst = if error > worst.0 {
                    (error, *value)
                } else {
                    worst
                };
            }
            assert!(
                worst.0 <= 4e-7,
                "{level:?}: off by {} at {}",
                worst.0,
                worst.1
            );
        });
    }

    #[test]
    fn the_derivative_is_off_by_a_few_roundings() {
        let values = values();
        at_every_level(Derivative, &values, |level, found| {
            let mut worst = (0.0f64, 0.0);
            for (value, found) in values.iter().zip(found) {
                let expected = derivative(Activation::Gelu, f64::from(*value));
                let error = (f64::from(found) - expected).abs();
                worst = if error > worst.0 {
                    (error, *value)
                } else {
                    worst
                };
            }
            assert!(
                worst.0 <= 2e-7,
                "{level:?}: off by {} at {}",
                worst.0,
                worst.1
            );
        });
    }

    #[test]
    fn far_values_are_zero_or_handed_through_and_not_a_number_stays() {
        let values = [
            f32::NEG_INFINITY,
            f32::MIN,
            -1000.0,
            -LIMIT,
            1000.0,
            f32::MAX,
        ];
        at_every_level(Gelu, &values, |level, found| {
            assert_eq!(found, [0.0, 0.0, 0.0, 0.0, 1000.0, f32::MAX], "{level:?}");
        });
        at_every_level(Gelu, &[f32::INFINITY], |level, found| {
            assert_eq!(found, [f32::INFINITY], "{level:?}");
        });
        at_every_level(Derivative, &values, |level, found| {
            assert_eq!(found, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0], "{level:?}");
        });
        for function in [false, true] {
            let check = |level, found: Vec<f32>| assert!(found[0].is_nan(), "{level:?}");
            if function {
                at_every_level(Gelu, &[f32::NAN], check);
            } else {
                at_every_level(Derivative, &[f32::NAN], check);
            }
        }
    }
}
