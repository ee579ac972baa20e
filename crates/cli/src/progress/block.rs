//! The live block while a run trains: where it is, how fast, how good, and the time that is left.

use warmstart_language::{columns, cut, message, translated};
use warmstart_run::event::{Event, Progress as Step};
use warmstart_run::folder::{plan_of, summary_of};
use warmstart_run::plan::Plan;

use super::time_left::{TimeLeft, clock};

/// Columns of the bar of an epoch's steps.
const BAR: usize = 14;
/// What stands between two parts of a line.
const BETWEEN: &str = " · ";

/// The state that the block shows.
#[derive(Default)]
pub struct Block {
    /// Name and number of the phase, and the number of phases.
    phase: Option<(String, usize, usize)>,
    step: Option<Step>,
    /// Images evaluated so far, and all of them, while an epoch is evaluated.
    evaluated: Option<(usize, usize)>,
    /// Name of the metric, and its value after the last epoch.
    metric: Option<(String, f64)>,
    /// The metric and the epoch of the model that would be kept now.
    kept: Option<(f64, usize)>,
    plan: Option<Plan>,
    left: TimeLeft,
}

impl Block {
    /// Takes what an event tells, at a time in seconds.
    pub fn see(&mut self, event: &Event, now: f64) {
        match event {
            Event::Plan(plan) => self.take_plan((*plan).clone()),
            Event::Run { path } => {
                if let Some(plan) = self.plan.is_none().then(|| plan_of(path)).flatten() {
                    self.take_plan(plan);
                }
                // A run that continues has epochs already.
                if let Some(summary) = summary_of(path) {
                    self.kept = Some((summary.kept.value, summary.kept.epoch));
                }
            }
            Event::Phase {
                phase,
                number,
                phases,
                ..
            } => {
                self.phase = Some((phase.name.clone(), *number, *phases));
                self.left.begin_phase(*number, *phases);
                (self.step, self.evaluated) = (None, None);
            }
            Event::Step(step) => {
                self.step = Some(*step);
                self.evaluated = None;
                self.left.step(*step, now);
            }
            Event::Evaluated { images, of } => self.evaluated = Some((*images, *of)),
            Event::Epoch {
                record,
                metric,
                is_highest,
                ..
            } => {
                self.metric = Some(((*metric).to_owned(), record.metric));
                if *is_highest {
                    self.kept = Some((record.metric, record.epoch));
                }
                self.evaluated = None;
                self.left.end_epoch(record.seconds);
            }
            // The next run of a cross-validation has a block of its own.
            Event::Finished { .. } => *self = Self::default(),
            Event::Checking { .. }
            | Event::Checked { .. }
            | Event::Data { .. }
            | Event::Measuring
            | Event::Loaded(_)
            | Event::Downloading { .. }
            | Event::Note(_) => {}
        }
    }

    fn take_plan(&mut self, plan: Plan) {
        self.left.plan(&plan);
        self.plan = Some(plan);
    }

    /// The block for a terminal of so many columns, at a time in seconds, with the memory that the process has used.
    pub fn lines(&self, now: f64, peak_mb: f64, columns: usize) -> Vec<String> {
        [self.place(), self.pace(peak_mb), self.result(now)]
            .iter()
            .flat_map(|parts| wrapped(parts, columns))
            .collect()
    }

    /// Phase, epoch and step.
    fn place(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some((name, number, phases)) = &self.phase {
            parts.push(message!("{name} ({number} of {phases})"));
        }
        if let Some(step) = &self.step {
            parts.push(message!("epoch {} of {}", step.epoch, step.epochs));
        }
        match (self.evaluated, &self.step) {
            (Some((done, of)), _) => {
                parts.push(message!(
                    "images evaluated {done} of {of} {}",
                    bar(done, of)
                ));
            }
            (None, Some(Step { step, steps, .. })) => {
                parts.push(message!("step {step} of {steps} {}", bar(*step, *steps)));
            }
            (None, None) => {}
        }
        parts
    }

    /// Loss, speed and memory.
    fn pace(&self, peak_mb: f64) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(step) = &self.step {
            parts.push(message!("loss {:.3}", step.loss));
            parts.push(message!("{:.0} images/s", step.images_per_second));
        }
        // 0 where the system does not tell.
        if peak_mb > 0.0 {
            parts.push(match self.planned_mb() {
                Some(planned) => message!("memory {peak_mb:.0} of {planned:.0} MB"),
                None => message!("memory {peak_mb:.0} MB"),
            });
        }
        parts
    }

    /// Memory that is planned for the phase.
    fn planned_mb(&self) -> Option<f64> {
        let (name, ..) = self.phase.as_ref()?;
        let mut phases = self.plan.as_ref()?.phases.iter();
        Some(phases.find(|phase| phase.name == *name)?.planned_mb)
    }

    /// The metric so far, the one that is kept, and the time that is left.
    fn result(&self, now: f64) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some((name, value)) = &self.metric {
            parts.push(format!("{} {value:.4}", translated(name)));
        }
        if let Some((value, epoch)) = self.kept {
            parts.push(message!("kept {value:.4} (epoch {epoch})"));
        }
        if let Some(left) = self.left.left(now) {
            let run = left.run.map(clock);
            parts.push(message!("left: epoch {time}", time = clock(left.epoch)));
            parts.push(message!("phase {time}", time = clock(left.phase)));
            parts.extend(run.map(|time| message!("run {time}")));
        }
        parts
    }
}

/// A bar of which the share that is done is heavy.
fn bar(done: usize, of: usize) -> String {
    let heavy = (done * BAR / of.max(1)).min(BAR);
    "━".repeat(heavy) + &"─".repeat(BAR - heavy)
}

/// The parts in as few lines of so many columns as hold them.
fn wrapped(parts: &[String], most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let part = cut(part, most);
        let added = columns(BETWEEN) + columns(&part);
        match lines
            .last_mut()
            .filter(|line| columns(line) + added <= most)
        {
            Some(line) => {
                line.push_str(BETWEEN);
                line.push_str(&part);
            }
            None => lines.push(part),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        let mut block = Block {
            phase: Some(("thaw".into(), 2, 2)),
            metric: Some(("top-1 accuracy".into(), 0.652)),
            kept: Some((0.652, 4)),
            ..Block::default()
        };
        block.left.begin_phase(2, 2);
        for (step, now) in [(1, 0.0), (12, 11.0)] {
            let step = Step {
                epoch: 5,
                epochs: 14,
                epoch_in_phase: 1,
                epochs_in_phase: 10,
                step,
                steps: 38,
                loss: 1.234,
                images_per_second: 82.0,
            };
            block.see(&Event::Step(step), now);
        }
        block
    }

    #[test]
    fn at_80_columns_its_lines_are_full() {
        assert_eq!(
            block().lines(11.0, 412.0, 80),
            [
                "thaw (2 of 2) · epoch 5 of 14 · step 12 of 38 ━━━━──────────",
                "loss 1.234 · 82 images/s · memory 412 MB",
                "top-1 accuracy 0.6520 · kept 0.6520 (epoch 4) · left: epoch 0:26 · phase 6:08",
                "run 6:08",
            ]
        );
    }

    #[test]
    fn at_40_columns_it_bends() {
        let lines = block().lines(11.0, 412.0, 40);
        assert_eq!(
            lines,
            [
                "thaw (2 of 2) · epoch 5 of 14",
                "step 12 of 38 ━━━━──────────",
                "loss 1.234 · 82 images/s · memory 412 MB",
                "top-1 accuracy 0.6520",
                "kept 0.6520 (epoch 4) · left: epoch 0:26",
                "phase 6:08 · run 6:08",
            ]
        );
        assert!(lines.iter().all(|line| columns(line) <= 40), "{lines:?}");
    }

    #[test]
    fn images_that_are_evaluated_take_the_place_of_steps() {
        let mut block = block();
        block.see(&Event::Evaluated { images: 5, of: 10 }, 12.0);
        let lines = block.lines(12.0, 0.0, 80);
        assert_eq!(
            lines[..2],
            [
                "thaw (2 of 2) · epoch 5 of 14 · images evaluated 5 of 10 ━━━━━━━───────",
                "loss 1.234 · 82 images/s",
            ]
        );
    }
}
