//! The logistic function.

use std::f32::consts::LOG2_E;

use crate::vector::Vector;

/// `σ(x) = 1 / (1 + exp(-x))`, with a relative error of at most 4e-7 from -80 up. From -89 down it
/// is zero; NaN stays NaN.
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(value: V) -> V {
    let one = V::splat(1.0);
    one.div(one.add(exp(V::splat(0.0).sub(value))))
}

/// `exp(x)` with `x` of at least -87, infinity from 89 on: `2^n · exp(r)` with `n` the whole number
/// nearest to `x / ln 2` and the Taylor polynomial of degree 7 for `|r| ≤ ln 2 / 2`, which is off
/// by 8e-9.
#[inline(always)]
fn exp<V: Vector>(value: V) -> V {
    // Near this number, f32 holds only whole numbers.
    const ROUNDER: f32 = 1.5 * (1 << 23) as f32;
    // Cody and Waite, "Software Manual for the Elementary Functions", 1980, chapter 6: ln 2 in two
    // parts, of which the first is so short that its product with `n` is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;

    let value = value.clamp(V::splat(-87.0), V::splat(89.0));
    let rounder = V::splat(ROUNDER);
    let n = value.mul_add(V::splat(LOG2_E), rounder).sub(rounder);
    let r = n.mul_add(V::splat(-LN_2_HIGH), value);
    let r = n.mul_add(V::splat(-LN_2_LOW), r);
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

#[cfg(test)]
#[allow(unsafe_code, reason = "vector loads and stores take pointers")]
mod tests {
    use super::*;
    use crate::simd::{Kernel, SimdLevel, run_at};

    #[derive(Clone, Copy)]
    struct Sigmoids<'a>(&'a [f32]);

    impl Kernel for Sigmoids<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<V: Vector>(self) -> Vec<f32> {
            let mut found = vec![0.0; self.0.len()];
            for first in (0..found.len()).step_by(V::LANES) {
                let lanes = V::LANES.min(found.len() - first);
                // SAFETY: there are `lanes` values from `first` on in both.
                unsafe {
                    let value = V::load(self.0.as_ptr().add(first), lanes);
                    sigmoid(value).store(found.as_mut_ptr().add(first), lanes);
                }
            }
            found
        }
    }

    fn at_every_level(values: &[f32], check: impl Fn(SimdLevel, Vec<f32>)) {
        for level in SimdLevel::available() {
            // SAFETY: the level is available.
            check(level, unsafe { run_at(level, Sigmoids(values)) });
        }
    }

    #[test]
    fn relative_errors_are_a_few_roundings() {
        let steps = 4_000_000;
        let grid = (0..=steps).map(|step| -80.0 + 160.0 * step as f32 / steps as f32);
        let small = (0..149).flat_map(|power| [0.5f32.powi(power), -(0.5f32.powi(power))]);
        let values: Vec<_> = grid.chain(small).collect();
        at_every_level(&values, |level, found| {
            for (value, found) in values.iter().zip(found) {
                let expected = 1.0 / (1.0 + (-f64::from(*value)).exp());
                let error = (f64::from(found) / expected - 1.0).abs();
                assert!(
                    error <= 4e-7,
                    "{level:?}, {value}: expected {expected}, found {found}, off by {error}"
                );
            }
        });
    }

    #[test]
    fn far_values_end_at_zero_and_one_and_not_a_number_stays() {
        let values = [
            -1000.0,
            f32::MIN,
            f32::NEG_INFINITY,
            1000.0,
            f32::MAX,
            f32::INFINITY,
        ];
        at_every_level(&values, |level, found| {
            assert_eq!(found, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], "{level:?}");
        });
        at_every_level(&[f32::NAN, -f32::NAN], |level, found| {
            assert!(
                found.iter().all(|value| value.is_nan()),
                "{level:?}: {found:?}"
            );
        });
        // Between -80 and where it is zero, it falls.
        let falling: Vec<_> = (0..=1000).map(|step| -80.0 - 0.01 * step as f32).collect();
        at_every_level(&falling, |level, found| {
            assert!(found.is_sorted_by(|a, b| a >= b), "{level:?}");
            assert_eq!(found.last(), Some(&0.0), "{level:?}");
        });
    }
}
