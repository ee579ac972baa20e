//! Confidence interval of an accuracy measured on a sample of images.

use std::fmt;

use serde::{Deserialize, Serialize};
use warmstart_language::message;

/// The quantile of the standard normal distribution that leaves 2.5% on either side.
const QUANTILE: f64 = 1.959_963_984_540_054;

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lowest value.
    pub low: f64,
    /// The highest value.
    pub high: f64,
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&message!("95%: {:.3} to {:.3}", self.low, self.high))
    }
}

/// The 95% score interval, within 0 to 1, of a proportion observed as `successes` in `trials`
/// (Wilson, Probable inference, the law of succession, and statistical inference, 1927).
///
/// 0 to 1 if there were no trials. Unlike a symmetric interval, it stays in that range and holds for few
/// trials and for proportions near 0 and 1.
///
/// # Panics
/// If there are more successes than trials.
pub fn wilson(successes: usize, trials: usize) -> Interval {
    assert!(
        successes <= trials,
        "{successes} successes in {trials} trials"
    );
    if trials == 0 {
        return Interval {
            low: 0.0,
            high: 1.0,
        };
    }
    let trials = trials as f64;
    let share = successes as f64 / trials;
    let square = QUANTILE * QUANTILE;
    let scale = 1.0 + square / trials;
    let center = (share + square / (2.0 * trials)) / scale;
    let variance = share * (1.0 - share) / trials + square / (4.0 * trials * trials);
    let reach = QUANTILE * variance.sqrt() / scale;
    // Despite rounding, the interval contains the proportion itself, even 0 and 1.
    Interval {
        low: (center - reach).clamp(0.0, share),
        high: (center + reach).clamp(share, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table I of Newcombe, Two-sided confidence intervals for the single proportion, 1998,
    /// method 3.
    #[test]
    fn the_intervals_are_those_of_newcombes_table() {
        for (successes, trials, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = wilson(successes, trials);
            assert!((found.low - low).abs() < 5e-5, "{found:?} from {low}");
            assert!((found.high - high).abs() < 5e-5, "{found:?} to {high}");
        }
    }

    #[test]
    fn the_interval_contains_the_proportion_and_stays_between_0_and_1() {
        for trials in 1..200 {
            for successes in 0..=trials {
                let share = successes as f64 / trials as f64;
                let Interval { low, high } = wilson(successes, trials);
                assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
            }
        }
    }

    #[test]
    fn failures_mirror_successes() {
        for (successes, trials) in [(0, 7), (3, 7), (999, 1000), (12_345, 1_000_000)] {
            let one = wilson(successes, trials);
            let other = wilson(trials - successes, trials);
            assert!((one.low - (1.0 - other.high)).abs() < 1e-12);
            assert!((one.high - (1.0 - other.low)).abs() < 1e-12);
        }
    }

    #[test]
    fn more_trials_narrow_the_interval() {
        let width = |(successes, trials): (usize, usize)| {
            let Interval { low, high } = wilson(successes, trials);
            high - low
        };
        for (successes, trials) in [(0, 1), (1, 2), (1, 3), (9, 10), (10, 10)] {
            for times in 1..100 {
                let fewer = width((successes * times, trials * times));
                let more = width((successes * (times + 1), trials * (times + 1)));
                assert!(more < fewer);
            }
        }
    }

    #[test]
    fn without_trials_anything_is_possible() {
        assert_eq!(
            wilson(0, 0),
            Interval {
                low: 0.0,
                high: 1.0
            }
        );
    }

    #[test]
    #[should_panic(expected = "3 successes in 2 trials")]
    fn more_successes_than_trials_are_a_mistake() {
        wilson(3, 2);
    }
}
