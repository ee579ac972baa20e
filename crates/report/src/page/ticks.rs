//! The axes of charts: their ends, and round values to mark.

/// Marks on an axis, about.
const TICKS: f64 = 5.0;

/// An axis.
pub struct Scale {
    /// The lowest value.
    pub low: f64,
    /// The highest value, above the lowest.
    pub high: f64,
    is_logarithmic: bool,
}

impl Scale {
    /// An axis that shows all of some finite values, which are positive if it is logarithmic, and those that it shows
    /// `at_least`.
    pub fn of(
        values: impl Iterator<Item = f64>,
        is_logarithmic: bool,
        at_least: Option<[f64; 2]>,
    ) -> Self {
        let ends = at_least.unwrap_or([f64::INFINITY, f64::NEG_INFINITY]);
        let [low, high] = values.fold(ends, |[low, high], value| [low.min(value), high.max(value)]);
        if is_logarithmic {
            let low = 10f64.powf(low.log10().floor());
            let high = 10f64.powf(high.log10().ceil());
            return Self {
                low,
                high: if high > low { high } else { low * 10.0 },
                is_logarithmic,
            };
        }
        let (low, high) = match (high > low, low) {
            (true, _) => (low, high),
            (false, 0.0) => (-0.5, 0.5),
            (false, value) => (value - value.abs() / 4.0, value + value.abs() / 4.0),
        };
        Self {
            low,
            high,
            is_logarithmic,
        }
    }

    /// The place of a value on the axis, 0 to 1.
    pub fn share(&self, value: f64) -> f64 {
        if self.is_logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// Round values within the axis.
    pub fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            let (low, high) = (
                self.low.log10().round() as i32,
                self.high.log10().round() as i32,
            );
            let step = ((high - low) as f64 / TICKS).ceil().max(1.0) as usize;
            return (low..=high)
                .step_by(step)
                .map(|power| 10f64.powi(power))
                .collect();
        }
        let step = round_step((self.high - self.low) / TICKS);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|count| count as f64 * step).collect()
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below a step.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let found = steps.into_iter().find(|round| *round >= step * 0.999);
    found.unwrap_or(step)
}

/// A value as a short text.
pub fn label(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.0e}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_within() {
        let scale = Scale::of([0.31, 0.72].into_iter(), false, None);
        let labels: Vec<String> = scale.ticks().into_iter().map(label).collect();
        assert_eq!(labels, ["0.4", "0.5", "0.6", "0.7"]);
        assert_eq!(scale.share(0.31), 0.0);
        assert_eq!(scale.share(0.72), 1.0);
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_ten() {
        let scale = Scale::of([3e-5, 2e-2].into_iter(), true, None);
        let labels: Vec<String> = scale.ticks().into_iter().map(label).collect();
        assert_eq!(labels, ["1e-5", "1e-4", "0.001", "0.01", "0.1"]);
        assert!((scale.share(1e-3) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn one_value_has_an_axis() {
        let scale = Scale::of([2.0].into_iter(), false, None);
        assert_eq!([scale.low, scale.high], [1.5, 2.5]);
        let scale = Scale::of([1.0].into_iter(), true, None);
        assert_eq!([scale.low, scale.high], [1.0, 10.0]);
    }

    #[test]
    fn values_are_short() {
        let shown = [0.0, 1.0, 0.65201, 12.0, 1234.5, 4e-6, 123456.0].map(label);
        assert_eq!(shown, ["0", "1", "0.652", "12", "1234", "4e-6", "1e5"]);
    }
}
