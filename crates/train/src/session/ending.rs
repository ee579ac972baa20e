//! How a session ends before its last epoch, and what is said of it.

use super::Session;
use crate::Error;
use crate::command;
use crate::event::{Event, Observer};
use crate::job::{EpochSums, RefusedStep};
use crate::recipe::{OnNonFinite, Phase, Position, Train};
use crate::record::RunState;
use crate::saver::Saver;
use crate::step::NonFinite;
use crate::task::Task;

impl<T: Task> Session<T> {
    /// A step that could not be taken.
    pub(super) fn diverged(
        &self,
        refused: RefusedStep,
        epoch: usize,
        position: Position,
        observe: Observer,
    ) -> Error {
        let RefusedStep {
            cause: NonFinite { what, layer },
            step,
            lr,
            files,
        } = refused;
        if !files.is_empty() {
            let files: Vec<_> = files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            observe(Event::Note(format!(
                "images of that step: {}",
                files.join(", ")
            )));
        }
        let phase = &self.job.recipe.phases[position.phase];
        let flag = match phase.train {
            Train::Head => "--freeze-lr",
            Train::All | Train::From(_) => "--lr",
        };
        let skip = match self.job.recipe.on_nonfinite {
            OnNonFinite::Stop => ", or leave such steps out: `--on-nonfinite skip`",
            OnNonFinite::Skip => "",
        };
        Error::NonFinite(format!(
            "{what} (step {step} of epoch {epoch}, learning rate {lr:.1e}), and the first that is no number \
             is {layer}: nothing was saved over the last good state; try a lower learning rate: `{} {flag} \
             {:.0e}`{skip}",
            command::resume(self.run.path()),
            phase.lr / 10.0
        ))
    }

    /// Saves where the epoch is.
    pub(super) fn interrupted(
        &self,
        sums: &EpochSums,
        epoch: usize,
        phase: &Phase,
        saver: &mut Saver,
        observe: Observer,
    ) -> Error {
        let saved = saver.within_epoch(&self.learned, &self.history, sums);
        if let Err(failure) = saver.flush(observe) {
            return self.unsaved(&failure);
        }
        if self.best().is_some() {
            // For whoever reads it: resuming does not need it.
            let _ = self
                .run
                .write_summary(&self.summary(RunState::Interrupted, None, None));
        }
        let left = self.job.task.training_images() - sums.seen;
        let steps = self.job.steps_per_epoch(phase);
        let done = steps - left.div_ceil(phase.batch);
        let saved = match saved {
            true => "and saved",
            false => "and not saved, for a parameter is not finite: the last good state stays",
        };
        Error::Interrupted {
            words: format!("stopped in epoch {epoch} after {done} of {steps} steps, {saved}"),
            run: self.run.path().to_owned(),
        }
    }

    /// The end of a run whose last checkpoints the disk refuses.
    pub(super) fn unsaved(&self, failure: &str) -> Error {
        let newest = match self.run.checkpoints.newest_state() {
            Ok(Some(state)) => format!("{} is its newest checkpoint", state.at()),
            _ => "it has no checkpoint".into(),
        };
        Error::Checkpoint(format!(
            "{failure}: what the run has learned since cannot be saved, and {newest}; make room and go on from \
             there with `{}`",
            command::resume(self.run.path())
        ))
    }
}
