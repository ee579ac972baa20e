//! Every method against its definition, lane by lane, at every level of this processor.

use super::Vector;
use crate::simd::{Kernel, SimdLevel, run_at};

fn at_every_level<K: Kernel + Copy>(kernel: K) {
    for level in SimdLevel::available() {
        // SAFETY: the level is available.
        unsafe { run_at(level, kernel) };
    }
}

fn vector<V: Vector>(values: &[f32]) -> V {
    assert!(values.len() >= V::LANES);
    // SAFETY: there are enough values.
    unsafe { V::load(values.as_ptr(), V::LANES) }
}

fn values<V: Vector>(vector: V) -> Vec<f32> {
    let mut values = vec![0.0; V::LANES];
    // SAFETY: there is room for all lanes.
    unsafe { vector.store(values.as_mut_ptr(), V::LANES) };
    values
}

/// NaN equals itself.
#[track_caller]
fn assert_lanes<V: Vector>(found: V, expected: impl Fn(usize) -> f32) {
    for (lane, found) in values(found).into_iter().enumerate() {
        let expected = expected(lane);
        assert!(
            found == expected || (found.is_nan() && expected.is_nan()),
            "lane {lane} of {}: expected {expected}, found {found}",
            V::LANES
        );
    }
}

#[derive(Clone, Copy)]
struct Memory;

impl Kernel for Memory {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for lanes in 1..=V::LANES {
            // An allocation of its own, so that checkers see a read past its end.
            let source: Vec<_> = (1..=lanes).map(|value| value as f32).collect();
            // SAFETY: there are `lanes` values.
            let loaded = unsafe { V::load(source.as_ptr(), lanes) };
            assert_lanes(loaded, |lane| source.get(lane).copied().unwrap_or(0.0));

            let mut exact = vec![0.0; lanes];
            let mut longer = vec![-1.0; V::LANES];
            // SAFETY: there is room for `lanes` values.
            unsafe {
                vector::<V>(&[7.0; 16]).store(exact.as_mut_ptr(), lanes);
                vector::<V>(&[7.0; 16]).store(longer.as_mut_ptr(), lanes);
            }
            assert!(exact.iter().all(|value| *value == 7.0), "{exact:?}");
            let (written, kept) = longer.split_at(lanes);
            assert!(written.iter().all(|value| *value == 7.0), "{longer:?}");
            assert!(kept.iter().all(|value| *value == -1.0), "{longer:?}");
        }
    }
}

#[test]
fn loads_and_stores_touch_the_first_lanes_alone() {
    at_every_level(Memory);
}

#[derive(Clone, Copy)]
struct Arithmetic;

impl Kernel for Arithmetic {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        // Small whole numbers, so that no result is rounded; another one in every lane.
        let a: [f32; 16] = std::array::from_fn(|lane| lane as f32 - 5.0);
        let b: [f32; 16] = std::array::from_fn(|lane| 2.0 * lane as f32 + 3.0);
        let c: [f32; 16] = std::array::from_fn(|lane| 40.0 - 3.0 * lane as f32);
        let (x, y, z): (V, V, V) = (vector(&a), vector(&b), vector(&c));
        assert_lanes(V::splat(2.5), |_| 2.5);
        assert_lanes(x.add(y), |lane| a[lane] + b[lane]);
        assert_lanes(x.sub(y), |lane| a[lane] - b[lane]);
        assert_lanes(x.mul(y), |lane| a[lane] * b[lane]);
        assert_lanes(x.div(y), |lane| a[lane] / b[lane]);
        assert_lanes(x.mul_add(y, z), |lane| a[lane] * b[lane] + c[lane]);
    }
}

#[test]
fn arithmetic_goes_lane_by_lane() {
    at_every_level(Arithmetic);
}

#[derive(Clone, Copy)]
struct Powers;

impl Kernel for Powers {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for first in -126..=128 - 15 {
            let exponents: [f32; 16] = std::array::from_fn(|lane| (first + lane as i32) as f32);
            assert_lanes(vector::<V>(&exponents).power_of_two(), |lane| {
                2f64.powi(first + lane as i32) as f32
            });
        }
    }
}

#[test]
fn powers_of_two_are_exact_up_to_infinity() {
    at_every_level(Powers);
}

#[derive(Clone, Copy)]
struct Limits;

impl Kernel for Limits {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let cases = [-7.0, 0.0, 1.5, 6.0, 8.0, f32::INFINITY, f32::NAN];
        // Rotated, so that every lane meets every case.
        for shift in 0..cases.len() {
            let value: [f32; 16] = std::array::from_fn(|lane| cases[(lane + shift) % cases.len()]);
            let kept: [f32; 16] = std::array::from_fn(|lane| lane as f32 + 1.0);
            let (low, high) = (V::splat(0.0), V::splat(6.0));
            assert_lanes(vector::<V>(&value).clamp(low, high), |lane| {
                value[lane].clamp(0.0, 6.0)
            });
            let found = vector::<V>(&kept).keep_where_between(vector(&value), low, high);
            assert_lanes(found, |lane| {
                let inside = 0.0 < value[lane] && value[lane] < 6.0;
                if inside { kept[lane] } else { 0.0 }
            });
        }
    }
}

#[test]
fn limits_are_closed_for_clamp_and_open_for_keep_and_not_a_number_stays() {
    at_every_level(Limits);
}
