//! The order of an epoch as a function: the sample at a place is computed, and no list is kept.
//!
//! A Feistel network permutes the numbers below a power of four, and a number that comes out too large goes through it
//! again until one is small enough, which permutes the numbers below any count (Black and Rogaway, "Ciphers with
//! Arbitrary Finite Domains", 2002: the cycle-walking cipher, with a generalized Feistel network inside). The power is
//! the least that is enough, so at most three of four numbers are too large, and a sample takes four passes on average
//! at most.

use crate::random::{Purpose, stream};
use rand_chacha::rand_core::Rng as _;

/// Rounds of the network. Few are enough for large halves (Luby and Rackoff, "How to Construct Pseudorandom
/// Permutations from Pseudorandom Functions", 1988); halves of one or two bits need more until each order of a handful
/// of samples is about as likely as another. Over 20,000 orders of five samples, six rounds left the chi-square of a
/// place at ten times its expectation; twelve left none of 3 to 64 samples above three times.
const ROUNDS: usize = 12;

/// A permutation of the numbers below a count, one for each seed and epoch.
///
/// It visits samples in another order than [`epoch_order`](crate::epoch_order) with the same numbers, takes no memory
/// that grows with the count, and finds the sample at a place without those before it.
#[derive(Debug, Clone)]
pub struct Permutation {
    count: u64,
    /// Bits of half a number that the network takes.
    half: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The order in which an epoch visits `count` samples.
    pub fn new(seed: u64, epoch: u64, count: usize) -> Self {
        let count = count as u64;
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        let mut random = stream(seed, epoch, 0, Purpose::Order);
        Self {
            count,
            half: bits.div_ceil(2).max(1),
            keys: [(); ROUNDS].map(|()| random.next_u64()),
        }
    }

    /// The sample at a place.
    ///
    /// # Panics
    /// If the place is not below the count.
    pub fn at(&self, place: usize) -> usize {
        let mut number = place as u64;
        assert!(number < self.count, "a place below {}", self.count);
        loop {
            number = self.permuted(number);
            // The walk comes back to the place it began at, at the latest.
            if number < self.count {
                return number as usize;
            }
        }
    }

    /// One pass through the network.
    fn permuted(&self, number: u64) -> u64 {
        let mask = u64::MAX >> (u64::BITS - self.half);
        let (mut left, mut right) = (number >> self.half, number & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mixed(right ^ key) & mask));
        }
        left << self.half | right
    }
}

/// A number in which each bit depends on all bits of another: the last steps of SplitMix64 (Steele, Lea and Flood, "Fast
/// Splittable Pseudorandom Number Generators", 2014).
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(seed: u64, epoch: u64, count: usize) -> Vec<usize> {
        let order = Permutation::new(seed, epoch, count);
        (0..count).map(|place| order.at(place)).collect()
    }

    /// From an independent implementation in Python. A change here would silently change every run: these numbers must
    /// never be edited.
    #[test]
    fn the_orders_stay_what_they_are() {
        assert_eq!(order(42, 1, 10), [8, 5, 9, 2, 0, 6, 7, 3, 4, 1]);
        assert_eq!(order(42, 2, 10), [3, 5, 8, 6, 2, 9, 4, 1, 0, 7]);
        let of_imagenet = Permutation::new(7, 3, 1_281_167);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|place| of_imagenet.at(place)),
            [138_752, 1_038_583, 1_039_320, 1_024_934, 802_494]
        );
        let largest = Permutation::new(0, 1, 1 << 48);
        assert_eq!(
            [0, 1, (1 << 48) - 1].map(|place| largest.at(place)),
            [71_297_742_510_347, 41_390_266_108_473, 217_249_614_607_194]
        );
    }

    #[test]
    fn no_sample_and_one_sample_have_one_order() {
        assert!(order(1, 1, 0).is_empty());
        assert_eq!(order(1, 1, 1), [0]);
    }

    #[test]
    fn each_epoch_and_each_seed_has_an_order_of_its_own() {
        assert_eq!(order(1, 1, 100), order(1, 1, 100));
        assert_ne!(order(1, 1, 100), order(1, 2, 100));
        assert_ne!(order(1, 1, 100), order(2, 1, 100));
    }

    /// The sum of squared distances from even counts, in units of their expectation; about 1 by chance.
    fn unevenness(counts: &[usize]) -> f64 {
        let even = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        let squares = counts.iter().map(|&count| (count as f64 - even).powi(2));
        squares.sum::<f64>() / even / (counts.len() - 1) as f64
    }

    #[test]
    fn every_sample_is_as_likely_at_every_place_and_every_pair_at_the_first_two() {
        for count in [2, 3, 5, 8, 17, 40] {
            let epochs = 400 * count;
            let mut at = vec![vec![0; count]; count];
            let mut pairs = vec![vec![0; count]; count];
            for epoch in 0..epochs {
                let order = order(3, epoch as u64, count);
                for (place, &sample) in order.iter().enumerate() {
                    at[place][sample] += 1;
                }
                pairs[order[0]][order[1]] += 1;
            }
            // The largest of so many values, each with count - 1 degrees of freedom: eight standard deviations.
            let limit = |degrees: usize| 1.0 + 8.0 * (2.0 / degrees as f64).sqrt();
            for (place, counts) in at.iter().enumerate() {
                let found = unevenness(counts);
                assert!(
                    found < limit(count - 1),
                    "place {place} of {count}: {found}"
                );
            }
            for (sample, after) in pairs.iter_mut().enumerate() {
                // No sample follows itself.
                after.remove(sample);
            }
            let pairs = pairs.concat();
            let found = unevenness(&pairs);
            assert!(found < limit(pairs.len() - 1), "pairs of {count}: {found}");
        }
    }

    #[test]
    fn neighbours_do_not_stay_together() {
        let order = order(5, 1, 10_000);
        let next = order.windows(2).filter(|pair| pair[1] == pair[0] + 1);
        // One in expectation.
        assert!(next.count() < 8);
        let still = order
            .iter()
            .enumerate()
            .filter(|&(place, &sample)| place == sample);
        assert!(still.count() < 8);
    }

    proptest! {
        #[test]
        fn it_visits_every_sample_once(seed: u64, epoch in 0u64..1000, count in 0usize..3000) {
            let mut order = order(seed, epoch, count);
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..count));
        }

        #[test]
        fn samples_stay_below_the_count(seed: u64, count in 1usize..=1 << 48, place: usize) {
            prop_assert!(Permutation::new(seed, 1, count).at(place % count) < count);
        }
    }
}
