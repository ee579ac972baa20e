//! The exponential function.

use std::f32::consts::LOG2_E;

use crate::vector::Vector;

/// `exp(x)` with `x` of at least -87, infinity from 89 on.
#[inline(always)]
pub(crate) fn exp<V: Vector>(value: V) -> V {
    let value = value.clamp(V::splat(-87.0), V::splat(89.0));
    let n = nearest_power(value);
    scaled(n, remainder(n, value))
}

/// `exp(high + low)` for a sum from -87 to 88 that f32 need not hold.
#[inline(always)]
pub(crate) fn exp_of_sum<V: Vector>(high: V, low: V) -> V {
    let n = nearest_power(high.add(low));
    scaled(n, remainder(n, high).add(low))
}

/// The whole number nearest to `x / ln 2`.
#[inline(always)]
fn nearest_power<V: Vector>(value: V) -> V {
    // Near this number, f32 holds only whole numbers.
    const ROUNDER: f32 = 1.5 * (1 << 23) as f32;
    let rounder = V::splat(ROUNDER);
    value.mul_add(V::splat(LOG2_E), rounder).sub(rounder)
}

/// `x - n · ln 2`.
#[inline(always)]
fn remainder<V: Vector>(n: V, value: V) -> V {
    // Cody and Waite, "Software Manual for the Elementary Functions", 1980, chapter 6: ln 2 in two
    // parts, of which the first is so short that its product with `n` is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let r = n.mul_add(V::splat(-LN_2_HIGH), value);
    n.mul_add(V::splat(-LN_2_LOW), r)
}

/// `2^n · exp(r)` with the Taylor polynomial of degree 7 for `|r| ≤ ln 2 / 2`, which is off by
/// 8e-9.
#[inline(always)]
fn scaled<V: Vector>(n: V, r: V) -> V {
    let mut polynomial = V::splat(1.0 / 5040.0);
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        polynomial = polynomial.mul_add(r, V::splat(coefficient));
    }
    polynomial.mul(n.power_of_two())
}
