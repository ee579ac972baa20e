//! The end of a session, at its last epoch or before, and its report.

use warmstart_files::shown;

use super::Run;
use warmstart_recipe::Error;
use warmstart_recipe::command;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use warmstart_run::verdict::Verdict;
use warmstart_run::epoch_progress::EpochProgress;
use crate::trainer::RefusedStep;
use warmstart_recipe::OnNonFinite;
use warmstart_recipe::Phase;
use warmstart_recipe::Position;
use warmstart_recipe::Train;
use warmstart_run::record::EpochFigure;
use warmstart_run::record::PhaseSummary;
use warmstart_run::record::RunState;
use warmstart_run::record::Summary;
use warmstart_run::record::TestResult;
use crate::run_loop::checkpointer::Checkpointer;
use crate::step::NonFinite;
use warmstart_tasks::task::Split;
use warmstart_tasks::task::Task;

impl<T: Task> Run<T> {
    /// What is kept, and what a test split says of it.
    pub(super) fn finish(&mut self, observe: Observer) -> Result<Summary, Error> {
        let verdict = self.guard(observe)?;
        if let (None, Some(highest)) = (&verdict, self.highest()) {
            self.keep_epoch(&highest, observe)?;
        }
        let test = if !self.job.task.split(Split::Test).is_empty() {
            let kept = self.run.path().join(warmstart_recipe::run_files::BEST);
            let tally = self.measured(&kept, Split::Test, observe)?;
            let Some(tally) = tally else {
                return Err(Error::Interrupted {
                    words: "stopped while the test images were measured; every epoch is done"
                        .into(),
                    run: self.run.path().to_owned(),
                });
            };
            let evaluation = self.job.task.evaluation(&tally);
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
        observe(Event::Finished {
            summary: &summary,
            run: self.run.path(),
        });
        Ok(summary)
    }

    pub(super) fn highest(&self) -> Option<EpochFigure> {
        EpochFigure::highest(&self.history, T::KIND.metric())
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
        let phases = self.job.recipe.phases.iter().filter_map(|phase| {
            let of_phase = || self.history.iter().filter(|r| r.phase == phase.name);
            of_phase().next()?;
            Some(PhaseSummary {
                name: phase.name.clone(),
                seconds: of_phase().map(|record| record.seconds).sum(),
                planned_mb: planned(&phase.name),
                peak_mb: of_phase()
                    .map(|record| record.peak_memory_mb)
                    .fold(0.0, f64::max),
            })
        });
        let note = match test {
            Some(_) if self.tested_before => {
                "the test images had no part in training, but this is not the first look at them: whoever \
                 went on because of what they said has chosen by them"
            }
            Some(_) => "the test images had no part in training or in choosing the epoch",
            None if self.job.recipe.fold.is_some() => {
                "the validation figure was also used to choose the epoch, so it flatters"
            }
            None => {
                "the validation figure was also used to choose the epoch, so it flatters; a test/ \
                 folder beside train/ and val/ would give one that does not"
            }
        };
        // The guard may have looked at an epoch's weights beside their average, and found more.
        let looked_at = guard
            .iter()
            .flat_map(|guard| guard.probe.iter().chain(&guard.thawed));
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
            let files: Vec<_> = files.iter().map(|file| shown(file)).collect();
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
            "{what} (step {step} of epoch {epoch}, learning rate {lr:.1e}), and the first that is not finite \
             is {layer}: nothing was saved over the last good state; try a lower learning rate: `{} {flag} \
             {:.0e}`{skip}",
            command::resume(self.run.path()),
            phase.lr / 10.0
        ))
    }

    /// Saves where the epoch is.
    pub(super) fn interrupted(
        &self,
        sums: &EpochProgress,
        epoch: usize,
        phase: &Phase,
        saver: &mut Checkpointer,
        observe: Observer,
    ) -> Error {
        let saved = saver.within_epoch(&self.learned, &self.history, sums);
        if let Err(failure) = saver.flush(observe) {
            return self.unsaved(&failure);
        }
        if self.highest().is_some() {
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
            "{failure}: what the run has learned since cannot be saved, and {newest}; make room or \
             repair the disk, and go on from there with `{}`",
            command::resume(self.run.path())
        ))
    }
}
