//! The loop of a run: phase after phase, epoch after epoch.

mod checkpointer;
mod doubts;
mod finish;
mod keep_best;
mod keep_of_three;
mod run;
mod solved_epoch;
mod warnings;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use warmstart_language::message;
use warmstart_nn::{Continuation, run_when_exhausted};
use warmstart_recipe::{Error, Position, command};
use warmstart_run::event::{Event, Observer};
use warmstart_run::plan::Plan;
use warmstart_run::position;
use warmstart_run::record::EpochRecord;
use warmstart_run::summary::{RunState, Summary};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

pub use run::Run;

use crate::epoch::{EpochEnd, StepEvent};
use crate::lockstep::{agree, first};
use crate::memory;
use crate::trainer::CurrentPhase;
use checkpointer::{Checkpointer, FinishedEpoch};

impl<T: Task> Run<T> {
    /// Trains every epoch that is left. If an allocation fails, of the system or of a graphics card, the process
    /// replaces itself by one that resumes the run; a rank of several cannot, and ends with the command that does.
    ///
    /// All ranks call it together. What comes after the last epoch, rank 0 does alone.
    ///
    /// # Errors
    /// If an image or a file fails, the loss is not finite any more, or a stop is requested.
    pub fn run(&mut self, observe: Observer) -> Result<Summary, Error> {
        let resources = &self.trainer.resources;
        let starts_again = run_when_exhausted(Some(self.continuation()));
        let starts_again =
            starts_again.map_err(|error| Error::io("name", &resources.program, error));
        agree(&resources.ranks, starts_again)?;
        let stop = resources.stop.clone();
        stop.saves(true);
        let result = self.train(observe);
        stop.saves(false);
        let _ = run_when_exhausted(None);
        self.run.mark_ended();
        result
    }

    /// The work of this process as another one continues it with less memory.
    fn continuation(&self) -> Continuation {
        let resources = &self.trainer.resources;
        let run = self.run.path();
        if resources.ranks.started_by_mpi() {
            // MPI knows its processes, and takes no other in place of one.
            let flags = resources.restart_flags.iter();
            let words = flags.map(|flag| command::word(Path::new(flag)));
            let words: Vec<String> = [command::resume(run)].into_iter().chain(words).collect();
            return Continuation {
                command: Vec::new(),
                typed: words.join(" "),
            };
        }
        let mut command = vec![resources.program.clone().into_os_string(), "resume".into()];
        command.push(run.into());
        command.extend(resources.restart_flags.iter().cloned());
        Continuation {
            command,
            typed: command::resume(run),
        }
    }

    fn train(&mut self, observe: Observer) -> Result<Summary, Error> {
        let ranks = self.trainer.resources.ranks.clone();
        let checkpointer = Checkpointer::new(
            Arc::clone(&self.run),
            self.trainer.recipe.clone(),
            self.trainer.info.clone(),
            self.files.checksum(),
            (
                self.state.steps,
                (
                    self.history.len(),
                    self.epoch_in_progress
                        .as_ref()
                        .map_or(0, |progress| progress.seen),
                ),
            ),
        );
        let mut checkpointer = agree(&ranks, checkpointer)?;
        let result = self.epochs_saved(&mut checkpointer, observe);
        let saved = checkpointer.flush(observe);
        result?;
        let mut summary = None;
        first(&ranks, || {
            saved.map_err(|failure| self.unsaved(&failure))?;
            let finished = self.finish(observe).map_err(|error| {
                let run = self.run.path().to_owned();
                error.of_lost_image(|| Error::Interrupted {
                    words: message!("all epochs are done and saved"),
                    run,
                })
            });
            summary = Some(finished?);
            Ok(())
        })?;
        Ok(summary.unwrap_or_else(|| self.summary_of_epochs()))
    }

    fn epochs_saved(
        &mut self,
        checkpointer: &mut Checkpointer,
        observe: Observer,
    ) -> Result<(), Error> {
        let ranks = self.trainer.resources.ranks.clone();
        let mut current: Option<CurrentPhase> = None;
        while let Some(position) = position::next(&self.trainer.recipe, &self.history) {
            let epoch = self.history.len() + 1;
            let phase = match current.take() {
                Some(phase) if phase.number == position.phase => phase,
                // The memory of the last phase is free by now.
                _ => {
                    let begun = self.begin_phase(position, checkpointer, observe);
                    agree(&ranks, begun)?
                }
            };
            let (record, tally) = if self.trainer.recipe.phases[position.phase].is_solved() {
                self.solved_epoch(epoch, position, &phase, observe)?
            } else {
                let (record, tally) = self.epoch(epoch, position, &phase, checkpointer, observe)?;
                (record, Some(tally))
            };
            self.commit(record, checkpointer, observe);
            // Rank 0 alone chooses the kept model.
            if let Some(tally) = tally.filter(|_| ranks.is_first()) {
                self.remember(tally);
            }
            self.warn_of_health(observe);
            self.note_early_end(position, observe);
            current = Some(phase);
        }
        Ok(())
    }

    fn begin_phase(
        &mut self,
        position: Position,
        checkpointer: &mut Checkpointer,
        observe: Observer,
    ) -> Result<CurrentPhase, Error> {
        // However the new phase ends, the old one is on the disk; a refusal of the disk was reported.
        let _ = checkpointer.flush(observe);
        let phase = &self.trainer.recipe.phases[position.phase];
        self.run.mark_running(&phase.name);
        if position.epoch_in_phase == 0 && self.epoch_in_progress.is_none() {
            // A head on several layers reads those of the backbone as it was.
            self.state.keep_only(&self.trainer.parameter_infos());
            self.state.begin_phase(phase);
        }
        // The card's allocator keeps what the old one left free, which would count as memory of the new one.
        self.trainer.device.memory_cleanup();
        let current = self
            .trainer
            .begin_phase(position.phase, &self.state.parameters, observe)?;
        let (before, now) = (&self.frozen_features, current.frozen.cache_keys());
        let same_phase = position.epoch_in_phase > 0 || self.epoch_in_progress.is_some();
        if same_phase && !before.is_empty() && !now.is_empty() && *before != now {
            observe(Event::Note(message!(
                "the phase's cached features are not those used before: paths or times of the images, or the cache, \
                 have changed"
            )));
        }
        let waits = |plan: &Plan| plan.waits_for_writes(&phase.name);
        checkpointer.begin_phase(&phase.name, now, self.plan.as_ref().is_none_or(waits));
        Ok(current)
    }

    fn epoch(
        &mut self,
        epoch: usize,
        position: Position,
        current: &CurrentPhase,
        checkpointer: &mut Checkpointer,
        observe: Observer,
    ) -> Result<(EpochRecord, T::Tally), Error> {
        let mut progress = self.epoch_in_progress.take().unwrap_or_default();
        let Self {
            trainer,
            state,
            history,
            ..
        } = self;
        let end = trainer.train_epoch(
            (epoch, position.epoch_in_phase),
            current,
            state,
            &mut progress,
            &mut |event, observe| match event {
                StepEvent::BeforeChange => checkpointer.before_change(),
                StepEvent::Done(state, progress) => {
                    checkpointer.report(observe);
                    if checkpointer.is_due(state) {
                        checkpointer.within_epoch(state, history, progress);
                    }
                }
            },
            observe,
        );
        let evaluating = Instant::now();
        let tally = match end {
            Ok(EpochEnd::Complete) => self.trainer.evaluate_together(
                self.state.model(),
                &current.frozen,
                EvaluationSplit::Validation,
                observe,
            ),
            Ok(EpochEnd::Stopped) => Ok(None),
            Ok(EpochEnd::NonFinite(step)) => {
                return Err(self.diverged(step, epoch, position, observe));
            }
            Err(error) => Err(error),
        };
        let phase = &self.trainer.recipe.phases[position.phase];
        let tally = match tally {
            Ok(Some(tally)) => tally,
            Ok(None) => {
                return Err(self.interrupted(&progress, epoch, phase, checkpointer, observe));
            }
            Err(error) => {
                let mut saved = || self.interrupted(&progress, epoch, phase, checkpointer, observe);
                return Err(match error {
                    Error::OtherRank(problem) => Error::OtherRank(problem).fix(saved().to_string()),
                    error => error.of_lost_image(saved),
                });
            }
        };
        let evaluation = self.trainer.task.evaluation(&tally);
        let images_per_second = progress.images_per_second();
        let record = EpochRecord {
            epoch,
            phase: self.trainer.recipe.phases[position.phase].name.clone(),
            train_loss: progress.mean_loss(),
            val_loss: evaluation.loss,
            metric: evaluation.metric,
            interval: evaluation.interval,
            others: evaluation.others,
            health: progress.health,
            skipped_steps: progress.skipped,
            lr: progress.lr,
            images_per_second,
            waiting_for_images: progress.waiting,
            seconds: progress.elapsed + evaluating.elapsed().as_secs_f64(),
            peak_memory_mb: memory::peak_mb(),
            card_memory_mb: memory::card_mb(&self.trainer.device),
        };
        Ok((record, tally))
    }

    /// Saves a finished epoch.
    fn commit(&mut self, record: EpochRecord, checkpointer: &mut Checkpointer, observe: Observer) {
        let epoch = record.epoch;
        self.history.push(record);
        let is_highest = self.highest().is_some_and(|highest| highest.epoch == epoch);
        let summary = self.summary(RunState::Running, None, None);
        checkpointer.epoch(
            &self.state,
            &self.history,
            FinishedEpoch {
                summary,
                is_highest,
            },
        );
        observe(Event::Epoch {
            record: &self.history[epoch - 1],
            epochs: self.trainer.recipe.epochs(),
            metric: T::KIND.metric(),
            is_highest,
        });
        checkpointer.report(observe);
    }
}
