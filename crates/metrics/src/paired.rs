//! Significance of the difference between two models on the same images.

use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// Numbers of images on which two models differ. Images that both or neither recognise say nothing about
/// which is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McNemar {
    /// Images that only the second model recognises.
    pub gained: usize,
    /// Images that only the first model recognises.
    pub lost: usize,
}

impl McNemar {
    /// Counts gains and losses from whether each image is recognised `before` and `after`, both in
    /// the same order.
    ///
    /// # Panics
    /// If their lengths differ.
    pub fn of(before: &[bool], after: &[bool]) -> Self {
        assert_eq!(before.len(), after.len(), "not the same images");
        let count = |from: bool, to: bool| {
            let pairs = before.iter().zip(after);
            pairs.filter(|&pair| pair == (&from, &to)).count()
        };
        Self {
            gained: count(false, true),
            lost: count(true, false),
        }
    }

    /// One-sided p-value: the probability, 0 to 1, of at least this many gains among this many differences if
    /// gains and losses were equally likely; 1 if there is no gain.
    ///
    /// McNemar's test ("Note on the sampling error of the difference between correlated proportions or
    /// percentages", 1947), with the exact binomial distribution in place of its normal approximation.
    pub fn p_value(&self) -> f64 {
        if self.gained == 0 {
            return 1.0;
        }
        // At least this many gains are at most this many losses. Logarithms, because powers of ½ underflow at
        // a thousand differences.
        let differences = self.gained + self.lost;
        let mut logarithm = -(differences as f64) * LN_2;
        let mut sum = logarithm.exp();
        for losses in 1..=self.lost {
            let ways = (differences - losses + 1) as f64 / losses as f64;
            logarithm += ways.ln();
            sum += logarithm.exp();
        }
        sum.min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_p_value(gained: usize, lost: usize, expected: f64) {
        let found = McNemar { gained, lost }.p_value();
        let error = (found / expected - 1.0).abs();
        assert!(error < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn only_images_that_differ_count() {
        let before = [true, true, false, false, false, true];
        let after = [true, false, true, false, true, true];
        let test = McNemar::of(&before, &after);
        assert_eq!(test, McNemar { gained: 2, lost: 1 });
        assert_eq!(McNemar::of(&after, &before), McNemar { gained: 1, lost: 2 });
    }

    #[test]
    fn few_differences_are_counted_by_hand() {
        assert_p_value(1, 0, 1.0 / 2.0);
        assert_p_value(1, 1, 3.0 / 4.0);
        // Of 6 differences, 6 or 5 are gains in 1 + 6 of 64 cases.
        assert_p_value(5, 1, 7.0 / 64.0);
        assert_p_value(10, 0, 1.0 / 1024.0);
        assert_p_value(2, 3, 26.0 / 32.0);
    }

    #[test]
    fn nothing_gained_is_no_evidence() {
        assert_eq!(McNemar::of(&[], &[]).p_value(), 1.0);
        assert_eq!(McNemar::of(&[true], &[true]).p_value(), 1.0);
        assert_eq!(McNemar { gained: 0, lost: 9 }.p_value(), 1.0);
    }

    /// From sums of whole numbers in Python.
    #[test]
    fn a_hundred_thousand_differences_neither_overflow_nor_vanish() {
        assert_p_value(50_200, 49_800, 0.103_519_485_882_112_42);
        assert_p_value(50_500, 49_500, 7.911_799_399_425_798e-4);
        assert_p_value(49_800, 50_200, 0.897_614_234_457_186);
        assert_p_value(50_000, 50_000, 0.501_261_563_107_098_4);
        assert_p_value(52_000, 48_000, 5.765_469_333_361_488e-37);
        assert_eq!(
            McNemar {
                gained: 100_000,
                lost: 0
            }
            .p_value(),
            0.0
        );
        assert_p_value(1, 100_000, 1.0);
    }

    #[test]
    #[should_panic(expected = "not the same images")]
    fn other_images_are_a_mistake() {
        McNemar::of(&[true], &[]);
    }
}
