//! Warnings between two epochs.

use warmstart_language::message;
use warmstart_recipe::Position;
use warmstart_run::event::{Event, Observer};
use warmstart_run::health::{Health, HealthProblem};
use warmstart_run::position;
use warmstart_run::record::EpochRecord;
use warmstart_tasks::task::Task;

use super::run::Run;

impl<T: Task> Run<T> {
    /// Warns of problems with the network's health, each kind once per phase.
    pub(super) fn warn_of_health(&self, observe: Observer) {
        let Some((last, before)) = self.history.split_last() else {
            return;
        };
        let same_phase = before.iter().filter(|record| record.phase == last.phase);
        let problems = |record: &EpochRecord| -> Vec<HealthProblem> {
            record.health.iter().flat_map(Health::problems).collect()
        };
        let mut known: Vec<&str> = same_phase
            .flat_map(problems)
            .map(|problem| problem.what)
            .collect();
        for problem in problems(last) {
            if !known.contains(&problem.what) {
                known.push(problem.what);
                observe(Event::Note(problem.sentence));
            }
        }
    }

    /// Reports that a phase ended before its last epoch.
    pub(super) fn note_early_end(&self, position: Position, observe: Observer) {
        let phase = &self.trainer.recipe.phases[position.phase];
        let done = position.epoch_in_phase + 1;
        let ends = position::ends_phase(&self.trainer.recipe, &self.history, self.history.len());
        if ends && done < phase.epochs {
            observe(Event::Note(message!(
                "phase {} ends after {done} of its {} epochs: no improvement in {} epochs (patience; 0 disables it)",
                phase.name,
                phase.epochs,
                phase.patience
            )));
        }
    }
}
