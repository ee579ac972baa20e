//! What is said between two epochs.

use super::Run;
use warmstart_run::position;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use warmstart_run::health::Ailment;
use warmstart_run::health::Health;
use warmstart_recipe::Position;
use warmstart_run::record::EpochRecord;
use warmstart_tasks::task::Task;

impl<T: Task> Run<T> {
    /// Tells what is off with the network, each kind once a phase.
    pub(super) fn tell_ailments(&self, observe: Observer) {
        let Some((last, before)) = self.history.split_last() else {
            return;
        };
        let same_phase = before.iter().filter(|record| record.phase == last.phase);
        let ailments = |record: &EpochRecord| -> Vec<Ailment> {
            record.health.iter().flat_map(Health::ailments).collect()
        };
        let mut told: Vec<&str> = same_phase
            .flat_map(ailments)
            .map(|ailment| ailment.what)
            .collect();
        for ailment in ailments(last) {
            if !told.contains(&ailment.what) {
                told.push(ailment.what);
                observe(Event::Note(ailment.sentence));
            }
        }
    }

    pub(super) fn tell_early_end(&self, position: Position, observe: Observer) {
        let phase = &self.job.recipe.phases[position.phase];
        let done = position.epoch_in_phase + 1;
        let ends = course::ends_phase(&self.job.recipe, &self.history, self.history.len());
        if ends && done < phase.epochs {
            observe(Event::Note(format!(
                "phase {} ends after {done} of its {} epochs: the last {} were no better (patience; 0 would have \
                 all of them)",
                phase.name, phase.epochs, phase.patience
            )));
        }
    }
}
