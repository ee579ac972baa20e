//! The time that is left of an epoch, its phase and the run: measured where an epoch is done, else by the steps so far;
//! later phases by the plan, which is scaled by how far the present phase is from it.

use warmstart_run::event::Progress as Step;
use warmstart_run::plan::Plan;

/// What is known of the time of a run. Times are in seconds.
#[derive(Default)]
pub struct TimeLeft {
    /// Epochs and time of each phase.
    planned: Vec<(usize, f64)>,
    /// Number of the present phase, from 1; 0 before the first.
    phase: usize,
    phases: usize,
    /// The last step.
    step: Option<Step>,
    /// Steps of the present epoch that were done when it was first seen, and that time.
    first: Option<(usize, f64)>,
    /// Epochs of the phase that were measured, and their time.
    measured: (usize, f64),
}

/// The time that is left, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    pub epoch: f64,
    pub phase: f64,
    /// `None` where later phases have no plan.
    pub run: Option<f64>,
}

impl TimeLeft {
    /// Takes the plan of the run's phases.
    pub fn plan(&mut self, plan: &Plan) {
        let phases = plan.phases.iter();
        self.planned = phases.map(|phase| (phase.epochs, phase.seconds)).collect();
    }

    /// A phase begins or continues.
    pub fn begin_phase(&mut self, number: usize, phases: usize) {
        *self = Self {
            planned: std::mem::take(&mut self.planned),
            phase: number,
            phases,
            ..Self::default()
        };
    }

    /// A step is done.
    pub fn step(&mut self, step: Step, now: f64) {
        if self.step.is_none_or(|last| last.epoch != step.epoch) {
            self.first = Some((step.step, now));
        }
        self.step = Some(step);
    }

    /// An epoch is done.
    pub fn end_epoch(&mut self, seconds: f64) {
        self.measured.0 += 1;
        self.measured.1 += seconds;
    }

    /// The time that is left; `None` until there is something to judge by.
    pub fn left(&self, now: f64) -> Option<Left> {
        let step = self.step?;
        let an_epoch = self.epoch_time(&step, now)?;
        let share_left = 1.0 - step.step as f64 / step.steps.max(1) as f64;
        let epoch = an_epoch * share_left.max(0.0);
        let epochs_left = step.epochs_in_phase.saturating_sub(step.epoch_in_phase);
        let phase = epoch + an_epoch * epochs_left as f64;
        let later = self.later(an_epoch);
        Some(Left {
            epoch,
            phase,
            run: later.map(|later| phase + later),
        })
    }

    /// The time of an epoch of the phase.
    fn epoch_time(&self, step: &Step, now: f64) -> Option<f64> {
        let (epochs, seconds) = self.measured;
        if epochs > 0 {
            return Some(seconds / epochs as f64);
        }
        let (first, began) = self.first?;
        let done = step.step.checked_sub(first).filter(|done| *done > 0)?;
        Some((now - began) / done as f64 * step.steps as f64)
    }

    /// The time of the phases after the present one, an epoch of which takes that long.
    fn later(&self, an_epoch: f64) -> Option<f64> {
        if self.phase >= self.phases {
            return Some(0.0);
        }
        let (done, later) = self.planned.split_at_checked(self.phase)?;
        if later.len() < self.phases - self.phase {
            return None;
        }
        let (epochs, seconds) = done.last()?;
        let planned = seconds / (*epochs).max(1) as f64;
        let factor = if planned > 0.0 {
            an_epoch / planned
        } else {
            1.0
        };
        let later: f64 = later.iter().map(|(_, seconds)| seconds).sum();
        Some(later * factor)
    }
}

/// 80 seconds as `1:20`, an hour as `1:00:00`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(epoch: usize, epoch_in_phase: usize, step: usize) -> Step {
        Step {
            epoch,
            epochs: 14,
            epoch_in_phase,
            epochs_in_phase: 4,
            step,
            steps: 10,
            loss: 1.0,
            images_per_second: 80.0,
        }
    }

    #[test]
    fn before_an_epoch_is_done_its_steps_tell() {
        let mut left = TimeLeft::default();
        left.begin_phase(2, 2);
        assert_eq!(left.left(0.0), None);
        left.step(step(5, 1, 1), 0.0);
        assert_eq!(left.left(0.0), None, "one step has no length");
        left.step(step(5, 1, 6), 10.0);
        let expected = Left {
            epoch: 8.0,
            phase: 68.0,
            run: Some(68.0),
        };
        assert_eq!(left.left(10.0), Some(expected));
    }

    #[test]
    fn a_measured_epoch_counts_and_scales_the_later_phases() {
        let mut left = TimeLeft {
            planned: vec![(4, 40.0), (10, 300.0)],
            ..TimeLeft::default()
        };
        left.begin_phase(1, 2);
        left.step(step(1, 1, 10), 0.0);
        left.end_epoch(20.0);
        left.step(step(2, 2, 5), 30.0);
        let expected = Left {
            epoch: 10.0,
            phase: 50.0,
            run: Some(650.0),
        };
        assert_eq!(left.left(30.0), Some(expected));
        left.planned.pop();
        assert_eq!(left.left(30.0).unwrap().run, None, "it has no plan");
    }

    #[test]
    fn times_are_read_as_on_a_clock() {
        assert_eq!(
            [4.2, 80.0, 760.0, 3600.0].map(clock),
            ["0:04", "1:20", "12:40", "1:00:00"]
        );
    }
}
