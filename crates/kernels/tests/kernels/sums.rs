//! Sums by channel against the formula.

use proptest::prelude::*;
use warmstart_kernels::channel_sums;

use crate::reference::values;

/// The sums in f64, and those of the values without their signs.
fn expected(x: &[f32], channels: usize) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; channels];
    for (index, value) in x.iter().map(|value| f64::from(*value)).enumerate() {
        let [sum, size] = &mut sums[index % channels];
        *sum += value;
        *size += value.abs();
    }
    sums
}

fn check(rows: usize, channels: usize) {
    let x = values(rows * channels, 1);
    let found = channel_sums(&x, channels);
    assert_eq!(found.len(), channels);
    for (found, [sum, size]) in found.iter().zip(expected(&x, channels)) {
        // Up to 512 rows are summed one after the other in f32.
        let tolerance = 512.0 * f64::from(f32::EPSILON) * size;
        assert!(
            (f64::from(*found) - sum).abs() <= tolerance,
            "{rows} rows of {channels}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_channel_is_summed(rows in 0..1200usize, channels in 1..70usize) {
        check(rows, channels);
    }
}

#[test]
fn one_row_is_its_own_sum_and_no_rows_are_zeros() {
    assert_eq!(channel_sums(&[1.0, -2.0, 3.0], 3), [1.0, -2.0, 3.0]);
    assert_eq!(channel_sums(&[], 2), [0.0, 0.0]);
    assert_eq!(channel_sums(&[1.0, 2.0, 4.0], 1), [7.0]);
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let x = values(5000 * 33, 1);
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| channel_sums(&x, 33))
    };
    assert_eq!(on_threads(1), on_threads(3));
}

#[test]
#[should_panic(expected = "expected whole rows of 4 channels, found 6 values")]
fn a_part_of_a_row_is_refused() {
    channel_sums(&[0.0; 6], 4);
}
