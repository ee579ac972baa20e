//! How a run goes on once everything is decided: from a checkpoint, or from its first epoch.

use warmstart_files::shown;
use warmstart_language::{counted, message};
use warmstart_recipe::{Error, Key, command};
use warmstart_run::checkpoint::Checkpoint;
use warmstart_run::data_files::DataFiles;
use warmstart_run::event::{Event, Observer};
use warmstart_run::folder::RunFolder;
use warmstart_run::list::MORE_EPOCHS;
use warmstart_run::plan::Plan;
use warmstart_run::summary::{RunState, Summary};
use warmstart_tasks::task::Task;
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::lockstep::first;
use warmstart_train::run_loop::Run;
use warmstart_train::trainer::Trainer;

use super::device::note_other_bits;
use super::follow::{IsFinished, Order, start_together};

/// Everything that is decided before a run goes on.
pub(super) struct Decided<T: Task> {
    pub trainer: Trainer<T>,
    /// The checkpoint to continue from; `None` to start over.
    pub checkpoint: Option<Checkpoint>,
    /// Whether later epochs are removed.
    pub goes_back: bool,
    pub files: DataFiles,
    pub plan: Option<Plan>,
    pub has_same_data: bool,
}

impl<T: Task> Decided<T> {
    /// What the other ranks have to know.
    pub(super) fn order(&self) -> Order {
        let checkpoint = self.checkpoint.as_ref();
        Order {
            recipe: self.trainer.recipe.to_toml(),
            checkpoint: checkpoint.map(|checkpoint| checkpoint.state.at()),
        }
    }

    /// Trains the run to its end.
    pub(super) fn go_on(mut self, folder: RunFolder, observe: Observer) -> Result<Summary, Error> {
        match self.checkpoint.take() {
            None => self.start_over(folder, observe),
            Some(checkpoint) => self.continue_from(checkpoint, folder, observe),
        }
    }

    /// Trains a run that has no checkpoint yet.
    fn start_over(self, folder: RunFolder, observe: Observer) -> Result<Summary, Error> {
        let Self {
            trainer,
            files,
            plan,
            ..
        } = self;
        let ranks = trainer.resources.ranks.clone();
        let begun = initial_weights(&trainer, observe).and_then(|initial| {
            folder.begin(&trainer.recipe, &initial.report, &files)?;
            Ok(Run::new(trainer, folder, files, initial.parameters))
        });
        let mut run = start_together(&ranks, begun)?;
        first(&ranks, || {
            run.take_plan(plan)?;
            run.align_files(None, observe)?;
            Ok(IsFinished(false))
        })?;
        run.run(observe)
    }

    fn continue_from(
        self,
        checkpoint: Checkpoint,
        folder: RunFolder,
        observe: Observer,
    ) -> Result<Summary, Error> {
        let Self {
            trainer,
            goes_back,
            files,
            plan,
            has_same_data,
            ..
        } = self;
        let run_path = folder.path().to_owned();
        let ranks = trainer.resources.ranks.clone();
        let done = checkpoint.state.epoch;
        note_other_bits(&trainer.recipe, &checkpoint, observe);
        if goes_back {
            observe(Event::Note(message!(
                "back to epoch {done}: later epochs are removed; training them again gives the same result unless \
                 something is changed"
            )));
        }
        let has_same_guard = trainer.recipe.guard == checkpoint.state.recipe.guard;
        let summary = folder.summary();
        let processed = checkpoint.state.images_in_epoch();
        let run = Run::at(trainer, folder, files, checkpoint);
        let mut run = start_together(&ranks, run)?;
        let has_epochs_left = run.has_epochs_left();
        let finished = summary.filter(|summary| {
            let is_whole = summary.state == RunState::Finished && summary.epochs == done;
            is_whole && has_same_data && has_same_guard && !has_epochs_left
        });
        let mut kept = None;
        first(&ranks, || {
            run.take_plan(plan)?;
            run.align_files(finished.as_ref(), observe)?;
            if has_epochs_left {
                let epochs = run.epochs();
                observe(Event::Note(match processed {
                    0 => message!("continuing after epoch {done} of {epochs}"),
                    _ => message!(
                        "continuing after epoch {done} of {epochs}, with {processed} images of epoch {} processed",
                        done + 1
                    ),
                }));
                return Ok(IsFinished(false));
            }
            let (path, epochs) = (shown(&run_path), counted(done, "epoch"));
            observe(Event::Note(match run.recipe().phases.last() {
                // More epochs do not change a head that is solved.
                Some(last) if last.is_solved() => message!("{path} has finished its {epochs}"),
                Some(_) | None => message!(
                    "{path} has finished its {epochs}; to train more: {} {} {}",
                    command::resume(&run_path),
                    Key::EPOCHS,
                    done + MORE_EPOCHS
                ),
            }));
            // The test split was measured already, which is done only once.
            if let Some(finished) = finished {
                kept = Some(run.keep_summary(finished, observe)?);
            }
            Ok(IsFinished(kept.is_some()))
        })?;
        match kept {
            Some(kept) => Ok(kept),
            None => run.run(observe),
        }
    }
}
