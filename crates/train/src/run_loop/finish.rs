//! The end of a run, at its last epoch or before, and its summary.

use warmstart_files::shown;
use warmstart_language::{english, message};
use warmstart_recipe::run_files::BEST;
use warmstart_recipe::{Error, Key, OnNonFinite, Phase, Position, Train, command};
use warmstart_run::checkpoint::At;
use warmstart_run::epoch_progress::EpochProgress;
use warmstart_run::event::{Event, Observer};
use warmstart_run::summary::{PhaseSummary, RunState, Summary, TestResult};
use warmstart_run::verdict::Verdict;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use super::checkpointer::Checkpointer;
use super::run::Run;
use crate::epoch::RefusedStep;
use crate::step::NonFinite;

impl<T: Task> Run<T> {
    /// Chooses the kept model, and measures it on the test split.
    pub(super) fn finish(&mut self, observe: Observer) -> Result<Summary, Error> {
        let verdict = self.choose(observe)?;
        if let (None, Some(highest)) = (&verdict, self.highest()) {
            self.keep_epoch(&highest, observe)?;
        }
        let test = if !self.trainer.data.split(EvaluationSplit::Test).is_empty() {
            let kept = self.run.path().join(BEST);
            let tally = self.measured(&kept, EvaluationSplit::Test, observe)?;
            let Some(tally) = tally else {
                return Err(Error::Interrupted {
                    words: message!(
                        "stopped while evaluating the test images; all epochs are done"
                    ),
                    run: self.run.path().to_owned(),
                });
            };
            let evaluation = self.trainer.task.evaluation(&tally);
            Some(TestResult {
                loss: evaluation.loss,
                metric: evaluation.metric,
                interval: evaluation.interval,
            })
        } else {
            None
        };
        let summary = self.summary(RunState::Finished, test, verdict);
        self.run.write_summary(&summary)?;
        self.tell_end(&summary, observe);
        Ok(summary)
    }

    /// Tells what came out of a finished run.
    pub(super) fn tell_end(&self, summary: &Summary, observe: Observer) {
        observe(Event::Finished {
            summary,
            run: self.run.path(),
            recipe: &self.trainer.recipe,
            is_validated: !self
                .trainer
                .data
                .evaluated(EvaluationSplit::Validation)
                .is_empty(),
        });
    }

    /// The summary of a run whose epochs are done, without what rank 0 has measured since.
    ///
    /// # Panics
    /// If it has no epoch.
    pub fn summary_of_epochs(&self) -> Summary {
        self.summary(RunState::Finished, None, None)
    }

    pub(super) fn summary(
        &self,
        state: RunState,
        test: Option<TestResult>,
        guard: Option<Verdict>,
    ) -> Summary {
        let highest = self.highest().expect("there is a finished epoch");
        let planned = |name: &str| {
            let mut phases = self.plan.iter().flat_map(|plan| &plan.phases);
            Some(phases.find(|phase| phase.name == name)?.planned_mb)
        };
        let phases = self.trainer.recipe.phases.iter().filter_map(|phase| {
            let of_phase = || self.history.iter().filter(|r| r.phase == phase.name);
            of_phase().next()?;
            Some(PhaseSummary {
                name: phase.name.clone(),
                seconds: of_phase().map(|record| record.seconds).sum(),
                planned_mb: planned(&phase.name),
                peak_mb: of_phase()
                    .map(|record| record.peak_memory_mb)
                    .fold(0.0, f64::max),
                card_peak_mb: of_phase()
                    .filter_map(|record| record.card_memory_mb)
                    .reduce(f64::max),
            })
        });
        // The file has it in English, whatever the language of the process is.
        let note = match test {
            Some(_) if self.tested_before => {
                english!(
                    "the test images were not used in training, but they were evaluated before: if that result is why \
                     the run was continued, this one is optimistic"
                )
            }
            Some(_) => {
                english!("the test images were not used in training or in choosing the epoch")
            }
            None if self
                .trainer
                .data
                .evaluated(EvaluationSplit::Validation)
                .is_empty() =>
            {
                english!(
                    "no image was held out: this metric is of the training images, each by a head that was solved \
                     without it"
                )
            }
            None if self.trainer.recipe.fold.is_some() => {
                english!("this metric also chose the epoch, so it is optimistic")
            }
            None => {
                english!(
                    "this metric also chose the epoch, so it is optimistic; a test/ folder beside train/ and val/ \
                     would give an unbiased one"
                )
            }
        };
        // An epoch's own weights may be better than their average.
        let looked_at = guard
            .iter()
            .flat_map(|guard| guard.frozen.iter().chain(&guard.thawed));
        let highest = looked_at.fold(highest, |highest, other| {
            if other.value > highest.value {
                other.clone()
            } else {
                highest
            }
        });
        Summary {
            state,
            epochs: self.history.len(),
            kept: guard
                .as_ref()
                .and_then(Verdict::kept)
                .unwrap_or(&highest)
                .clone(),
            highest,
            guard,
            test,
            tested_before: self.tested_before,
            phases: phases.collect(),
            note: note.to_owned(),
        }
    }

    /// The error for a step that could not be taken.
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
            lr: step_lr,
            files,
        } = refused;
        if !files.is_empty() {
            let files: Vec<_> = files.iter().map(|file| shown(file)).collect();
            observe(Event::Note(message!(
                "images of that step: {}",
                files.join(", ")
            )));
        }
        let phase = &self.trainer.recipe.phases[position.phase];
        let lr = match phase.train {
            Train::Head => Key::FREEZE_LR,
            Train::All | Train::From(_) => Key::LR,
        };
        let what = message!(
            "{what} (step {step} of epoch {epoch}, learning rate {step_lr:.1e}), first non-finite value in {layer}; \
             the last good checkpoint is unchanged"
        );
        let lower = phase.lr / 10.0;
        let resume = command::resume(self.run.path());
        Error::non_finite(what).fix(match self.trainer.recipe.on_nonfinite {
            OnNonFinite::Stop => message!(
                "try a lower learning rate: `{resume} {lr} {lower:.0e}`, or skip such steps: `{} skip`",
                Key::ON_NONFINITE
            ),
            OnNonFinite::Skip => message!("try a lower learning rate: `{resume} {lr} {lower:.0e}`"),
        })
    }

    /// Saves the progress of the epoch, and returns the error for a stop.
    pub(super) fn interrupted(
        &self,
        progress: &EpochProgress,
        epoch: usize,
        phase: &Phase,
        checkpointer: &mut Checkpointer,
        observe: Observer,
    ) -> Error {
        let saved = checkpointer.within_epoch(&self.state, &self.history, progress);
        if let Err(failure) = checkpointer.flush(observe) {
            return self.unsaved(&failure);
        }
        if self.highest().is_some() {
            // For people and programs that read it: resuming does not need it.
            let _ = self
                .run
                .write_summary(&self.summary(RunState::Interrupted, None, None));
        }
        let left = self.trainer.data.training_images() - progress.seen;
        let steps = self.trainer.steps_per_epoch(phase);
        let done = steps - left.div_ceil(phase.batch);
        let words = if saved {
            message!("stopped in epoch {epoch} after {done} of {steps} steps, and saved")
        } else {
            message!(
                "stopped in epoch {epoch} after {done} of {steps} steps, and not saved, because a parameter is not \
                 finite: the last good checkpoint is unchanged"
            )
        };
        Error::Interrupted {
            words,
            run: self.run.path().to_owned(),
        }
    }

    /// The error for a run whose last checkpoints the disk refuses.
    pub(super) fn unsaved(&self, failure: &str) -> Error {
        let newest = match self.run.checkpoints.newest_state() {
            Ok(Some(state)) => message!("the newest checkpoint is {}", state.at()),
            Ok(None) => message!("there is no checkpoint"),
            Err(error) => message!("the checkpoints cannot be read ({error})"),
        };
        let what = message!("{failure}: progress since then is lost; {newest}");
        Error::checkpoint(what).fix(message!(
            "make room or repair the disk, and continue from there with `{}`",
            command::resume(self.run.path())
        ))
    }

    /// Makes the files that follow from the checkpoints agree with the run's position, and removes later checkpoints.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn align_files(&self, finished: Option<&Summary>, observe: Observer) -> Result<(), Error> {
        let further = |at: &At| match *at {
            At::Epoch(epoch) => epoch > self.history.len(),
            At::Step(step) => self.epoch_in_progress.is_none() || step != self.state.steps,
        };
        // The latest first, so that an interruption leaves an earlier state of the run.
        let found = self.run.checkpoints.list()?;
        for at in found.into_iter().rev().filter(further) {
            self.run.checkpoints.remove(at)?;
        }
        self.run.write_recipe(&self.trainer.recipe)?;
        self.run.write_data_files(&self.files)?;
        self.run.write_metrics(&self.history)?;
        // The next epoch writes them again, and says so if it cannot.
        let _ = self.run.write_copies(&self.trainer.recipe, &self.history);
        let Some(highest) = self.highest() else {
            return Ok(());
        };
        match finished.and_then(|summary| summary.guard.as_ref()) {
            Some(verdict) => {
                let kept = match verdict.kind {
                    Some(kind) => self.keep_of_three(kind, verdict, observe),
                    None => self.keep(verdict),
                };
                self.keep_old_if_lost(kept, observe)?;
            }
            None => self.keep_epoch(&highest, observe)?,
        }
        match finished {
            // Its metrics are those of the kept file.
            Some(summary) => self.run.write_summary(summary),
            None => {
                let summary = self.summary(RunState::Running, None, None);
                self.run.write_summary(&summary)
            }
        }
    }
}
