//! Buckets: the gradients that processes exchange at a time.

use std::ops::Range;

/// Fewest bytes of a bucket, except for the last: a small one would take as many messages as a large one.
const LEAST: usize = 4_000_000;
/// Most buckets.
const MOST: usize = 8;

/// Cuts gradients of so many bytes each, in the order in which a backward pass completes them, into buckets of
/// neighbours. It depends on nothing else, so all processes have the same.
pub(crate) fn buckets(bytes: &[usize]) -> Vec<Range<usize>> {
    let all: usize = bytes.iter().sum();
    let least = LEAST.max(all.div_ceil(MOST));
    let mut buckets = Vec::new();
    let (mut start, mut filled) = (0, 0);
    for (index, bytes) in bytes.iter().enumerate() {
        filled += bytes;
        if filled >= least {
            buckets.push(start..index + 1);
            (start, filled) = (index + 1, 0);
        }
    }
    if start < bytes.len() {
        buckets.push(start..bytes.len());
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1_000_000;

    #[test]
    fn a_bucket_is_full_at_4_megabytes_or_an_eighth_of_all() {
        assert_eq!(buckets(&[3 * MB, MB, 5 * MB, MB]), [0..2, 2..3, 3..4]);
        // 80 MB in tenths: an eighth is in the second.
        assert_eq!(buckets(&[8 * MB; 10]), [0..2, 2..4, 4..6, 6..8, 8..10]);
        assert_eq!(buckets(&[100; 3]).len(), 1);
        assert!(buckets(&[]).is_empty());
    }

    #[test]
    fn each_gradient_is_in_one_bucket_and_there_are_eight_at_most() {
        for number in [1, 7, 300] {
            let bytes: Vec<usize> = (0..number)
                .map(|index| (index * 7919 % 101) * 10_000)
                .collect();
            let buckets = buckets(&bytes);
            assert!(buckets.len() <= MOST);
            assert!(buckets.into_iter().flatten().eq(0..number));
        }
    }
}
