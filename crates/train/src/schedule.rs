//! The learning rate as a function of the step: there is no state to save.

use std::f64::consts::PI;

use warmstart_recipe::{Phase, ScheduleKind};

/// Learning rate at the end of a cosine, as a share of the highest one.
const COSINE_FLOOR: f64 = 0.01;

/// Learning rate of a step of a phase.
///
/// `step` counts from 0 to `steps` − 1. Over the first `warmup` share of the steps, at least one step, the rate rises
/// linearly from above 0; the schedule spans the steps that are left. Cosine: Loshchilov and Hutter, "SGDR" (arXiv
/// 1608.03983), equation 5, without restarts.
pub fn learning_rate(phase: &Phase, step: usize, steps: usize) -> f64 {
    let share = (phase.warmup * steps as f64).round() as usize;
    let fewest = usize::from(phase.warmup > 0.0 && steps > 1);
    let warmup = share.max(fewest);
    if step < warmup {
        return phase.lr * (step + 1) as f64 / (warmup + 1) as f64;
    }
    let progress = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
    phase.lr
        * match phase.schedule {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Step => 0.1f64.powi((progress * 3.0) as i32),
            ScheduleKind::Cosine => {
                COSINE_FLOOR + (1.0 - COSINE_FLOOR) * (1.0 + (PI * progress).cos()) / 2.0
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmstart_recipe::Draft;

    fn phase(lines: &str) -> Phase {
        let text = format!(
            "data = 'd'\nmodel = 'm'\nweights = 'none'\n[[phase]]\ntrain = 'all'\nepochs = 1\nlr = 1.0\n{lines}"
        );
        let draft: Draft = toml::from_str(&text).unwrap();
        draft.resolve(224, None).unwrap().phases.remove(0)
    }

    #[test]
    fn warm_up_rises_to_the_highest_rate_and_never_starts_at_zero() {
        let phase = phase("warmup = 0.5\nschedule = 'constant'");
        let rates: Vec<f64> = (0..8).map(|step| learning_rate(&phase, step, 8)).collect();
        assert_eq!(rates, [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_warm_up_has_a_step_however_short_the_phase() {
        let phase = phase("warmup = 0.1\nschedule = 'constant'");
        let rates: Vec<f64> = (0..4).map(|step| learning_rate(&phase, step, 4)).collect();
        assert_eq!(rates, [0.5, 1.0, 1.0, 1.0]);
        assert_eq!(learning_rate(&phase, 0, 1), 1.0);
    }

    #[test]
    fn cosine_starts_at_the_highest_rate_and_falls_towards_a_hundredth() {
        let phase = phase("warmup = 0.0\nschedule = 'cosine'");
        assert_eq!(learning_rate(&phase, 0, 100), 1.0);
        assert!((learning_rate(&phase, 50, 100) - 0.505).abs() < 1e-12);
        let last = learning_rate(&phase, 99, 100);
        assert!(last > 0.01 && last < 0.0103, "{last}");
    }

    #[test]
    fn step_divides_by_ten_after_each_third() {
        let phase = phase("warmup = 0.0\nschedule = 'step'");
        let rates: Vec<f64> = [0, 3, 6]
            .map(|step| learning_rate(&phase, step, 9))
            .to_vec();
        for (rate, expected) in rates.iter().zip([1.0, 0.1, 0.01]) {
            assert!((rate - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_phase_of_one_step_has_a_rate() {
        assert!(learning_rate(&phase(""), 0, 1) > 0.0);
    }
}
