//! Warnings between two epochs.

use warmstart_recipe::Position;
use warmstart_run::event::{Event, Observer};
use warmstart_run::health::{Ailment, Health};
use warmstart_run::position;
use warmstart_run::record::EpochRecord;
use warmstart_tasks::task::Task;

use super::run::Run;

impl<T: Task> Run<T> {
    /// Warns of problems with the network's health, each kind once per phase.
    pub(super) fn warn_of_ailments(&self, observe: Observer) {
        let Some((last, before)) = self.history.split_last() else {
            return;
        };
        let same_phase = before.iter().filter(|record| record.phase == last.phase);
        let ailments = |record: &EpochRecord| -> Vec<Ailment> {
            record.health.iter().flat_map(Health::ailments).collect()
        };
        let mut known: Vec<&str> = same_phase
            .flat_map(ailments)
            .map(|ailment| ailment.what)
            .collect();
        for ailment in ailments(last) {
            if !known.contains(&ailment.what) {
                known.push(ailment.what);
                observe(Event::Note(ailment.sentence));
            }
        }
    }

    /// Reports that a phase ended before its last epoch.
    pub(super) fn note_early_end(&self, position: Position, observe: Observer) {
        let phase = &self.trainer.recipe.phases[position.phase];
        let done = position.epoch_in_phase + 1;
        let ends = position::ends_phase(&self.trainer.recipe, &self.history, self.history.len());
        if ends && done < phase.epochs {
            observe(Event::Note(format!(
                "phase {} ends after {done} of its {} epochs: no improvement in {} epochs (patience; 0 disables it)",
                phase.name, phase.epochs, phase.patience
            )));
        }
    }
}
