//! The logistic function.

use crate::exponential::exp;
use crate::vector::Vector;

/// `σ(x) = 1 / (1 + exp(-x))`, with a relative error of at most 4e-7 from -80 up. From -89 down it
/// is zero; NaN stays NaN.
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(value: V) -> V {
    let one = V::splat(1.0);
    one.div(one.add(exp(V::splat(0.0).sub(value))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanewise::{Lanewise, at_every_level};

    #[derive(Clone, Copy)]
    struct Sigmoid;

    impl Lanewise for Sigmoid {
        #[inline(always)]
        fn apply<V: Vector>(self, value: V) -> V {
            sigmoid(value)
        }
    }

    #[test]
    fn relative_errors_are_a_few_roundings() {
        let steps = 4_000_000;
        let grid = (0..=steps).map(|step| -80.0 + 160.0 * step as f32 / steps as f32);
        let small = (0..149).flat_map(|power| [0.5f32.powi(power), -(0.5f32.powi(power))]);
        let values: Vec<_> = grid.chain(small).collect();
        at_every_level(Sigmoid, &values, |level, found| {
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
        at_every_level(Sigmoid, &values, |level, found| {
            assert_eq!(found, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], "{level:?}");
        });
        at_every_level(Sigmoid, &[f32::NAN, -f32::NAN], |level, found| {
            assert!(
                found.iter().all(|value| value.is_nan()),
                "{level:?}: {found:?}"
            );
        });
        // Between -80 and where it is zero, it falls.
        let falling: Vec<_> = (0..=1000).map(|step| -80.0 - 0.01 * step as f32).collect();
        at_every_level(Sigmoid, &falling, |level, found| {
            assert!(found.is_sorted_by(|a, b| a >= b), "{level:?}");
            assert_eq!(found.last(), Some(&0.0), "{level:?}");
        });
    }
}
