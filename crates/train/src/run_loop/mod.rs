//! A run in its folder: what is learned so far, epoch after epoch.

mod ending;
mod guarding;
mod telling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use warmstart_nn::{Parameters, run_when_exhausted};

use warmstart_recipe::Error;
use warmstart_run::checkpoint;
use warmstart_run::checkpoint::At;
use warmstart_run::checkpoint::Checkpoint;
use warmstart_run::position;
use warmstart_run::data_files::DataFiles;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use crate::trainer::CurrentPhase;
use crate::trainer::EpochEnd;
use warmstart_run::epoch_progress::EpochProgress;
use crate::trainer::Trainer;
use crate::trainer::StepEvent;
use crate::memory;
use warmstart_tasks::model_file;
use crate::optimizer::Optimizer;
use warmstart_run::plan::Plan;
use warmstart_recipe::Position;
use warmstart_run::record::EpochRecord;
use warmstart_run::record::RunState;
use warmstart_run::record::Summary;
use warmstart_run::folder::RunFolder;
use warmstart_run::folder::summary_of;
use crate::run_loop::checkpointer::FinishedEpoch;
use crate::run_loop::checkpointer::Checkpointer;
use crate::training_state::TrainingState;
use warmstart_tasks::task::Split;
use warmstart_tasks::task::Task;

/// Flag of `resume` that says why.
pub const OUT_OF_MEMORY: &str = "--out-of-memory";

/// A run while it trains.
pub struct Run<T: Task> {
    job: Trainer<T>,
    run: Arc<RunFolder>,
    files: DataFiles,
    learned: TrainingState,
    history: Vec<EpochRecord>,
    /// The epoch that was being trained when the run was cut.
    in_hand: Option<EpochProgress>,
    /// Keys of its phase's features in the cache.
    frozen_features: Vec<String>,
    plan: Option<Plan>,
    /// What the evaluations of the candidates for the kept model collected, by epoch.
    tallies: BTreeMap<usize, T::Tally>,
    /// Whether the test images were looked at before the run went on.
    tested_before: bool,
}

impl<T: Task> Run<T> {
    /// A run before its first epoch, on data of these files.
    pub fn new(job: Trainer<T>, run: RunFolder, files: DataFiles, parameters: Parameters) -> Self {
        Self {
            learned: TrainingState::new(parameters, Optimizer::new(job.recipe.phases[0].optimizer)),
            job,
            tested_before: summary_of(run.path())
                .is_some_and(|summary| summary.tested_before || summary.test.is_some()),
            run: Arc::new(run),
            files,
            history: Vec::new(),
            in_hand: None,
            frozen_features: Vec::new(),
            plan: None,
            tallies: BTreeMap::new(),
        }
    }

    /// A run as it was at a checkpoint that fits its recipe.
    ///
    /// # Errors
    /// If the checkpoint's files cannot be read, or are of another network. Nothing has been changed
    /// then.
    ///
    /// # Panics
    /// If the recipe has fewer epochs.
    pub fn at(
        job: Trainer<T>,
        run: RunFolder,
        files: DataFiles,
        checkpoint: Checkpoint,
    ) -> Result<Self, Error> {
        let Checkpoint { folder, state } = checkpoint;
        let path = folder.join(checkpoint::MODEL);
        let mut model = warmstart_weights::read(&path)?;
        let position = state.position(&job.recipe);
        let position = position.expect("the recipe was found to fit");
        let mut optimizer = Optimizer::new(job.recipe.phases[position.phase].optimizer);
        optimizer.steps = state.optimizer_steps;
        optimizer.state =
            model_file::read_tensors(&folder.join(checkpoint::OPTIMIZER), &job.device)?;
        let infos = job.parameter_infos();
        let mut parameters = model_file::complete_parameters(&mut model, &infos, &job.device)?;
        let mut average = None;
        if state.files.contains_key(checkpoint::TRAINING) {
            let mut training = warmstart_weights::read(&folder.join(checkpoint::TRAINING))?;
            average = Some(parameters);
            parameters = model_file::complete_parameters(&mut training, &infos, &job.device)?;
        }
        let mut session = Self::new(job, run, files, parameters);
        session.learned.average = average;
        session.learned.optimizer = optimizer;
        session.learned.steps = state.step;
        session.learned.skipped_in_a_row = state.skipped_in_a_row;
        session.history = state.history;
        session.in_hand = state.epoch_in_hand;
        session.frozen_features = state.frozen_features;
        Ok(session)
    }

    /// The run, with the plan saved that its summary holds the phases against.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn with_plan(self, plan: Option<Plan>) -> Result<Self, Error> {
        if let Some(plan) = &plan {
            self.run.write_plan(plan)?;
        }
        Ok(Self { plan, ..self })
    }

    /// Brings the files that follow from the checkpoints back in line with where the run is, and removes
    /// the checkpoints that are further.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn align_files(&self, finished: Option<&Summary>, observe: Observer) -> Result<(), Error> {
        let further = |at: &At| match *at {
            At::Epoch(epoch) => epoch > self.history.len(),
            At::Step(step) => self.in_hand.is_none() || step != self.learned.steps,
        };
        // The furthest first: cut in between, what is left is a run that was there once.
        let found = self.run.checkpoints.list()?;
        for at in found.into_iter().rev().filter(further) {
            self.run.checkpoints.remove(at)?;
        }
        self.run.write_recipe(&self.job.recipe)?;
        self.run.write_data_files(&self.files)?;
        self.run.write_metrics(&self.history)?;
        let Some(highest) = self.highest() else {
            return Ok(());
        };
        match finished.and_then(|summary| summary.guard.as_ref()) {
            Some(verdict) => self.or_stays(self.keep(verdict), observe)?,
            None => self.keep_epoch(&highest, observe)?,
        }
        match finished {
            // Its figures are those of the file that is kept.
            Some(summary) => self.run.write_summary(summary),
            None => {
                let summary = self.summary(RunState::Running, None, None);
                self.run.write_summary(&summary)
            }
        }
    }

    /// Trains every epoch that is left. Should the system have no more memory to give, the process
    /// becomes one that resumes the run.
    ///
    /// # Errors
    /// If an image or a file fails, the loss stops being a number, or there is a wish to stop.
    pub fn run(&mut self, observe: Observer) -> Result<Summary, Error> {
        let machine = &self.job.machine;
        let mut command = vec![machine.program.clone().into_os_string(), "resume".into()];
        command.extend([self.run.path().into(), OUT_OF_MEMORY.into()]);
        command.extend(machine.flags.iter().cloned());
        let starts_again = run_when_exhausted(Some(command));
        starts_again.map_err(|error| Error::io("name", &machine.program, error))?;
        let stop = machine.stop.clone();
        stop.saves(true);
        let result = self.train(observe);
        stop.saves(false);
        let _ = run_when_exhausted(None);
        self.run.mark_ended();
        result
    }

    fn train(&mut self, observe: Observer) -> Result<Summary, Error> {
        let mut saver = Checkpointer::new(
            Arc::clone(&self.run),
            self.job.recipe.clone(),
            self.job.info.clone(),
            self.files.checksum(),
            (
                self.learned.steps,
                (
                    self.history.len(),
                    self.in_hand.as_ref().map_or(0, |sums| sums.seen),
                ),
            ),
        )?;
        let result = self.epochs_saved(&mut saver, observe);
        let saved = saver.flush(observe);
        result?;
        saved.map_err(|failure| self.unsaved(&failure))?;
        self.finish(observe).map_err(|error| {
            let run = self.run.path().to_owned();
            error.of_lost_image(|| Error::Interrupted {
                words: "every epoch is done and saved".into(),
                run,
            })
        })
    }

    fn epochs_saved(&mut self, saver: &mut Checkpointer, observe: Observer) -> Result<(), Error> {
        let mut current: Option<CurrentPhase> = None;
        while let Some(position) = course::next(&self.job.recipe, &self.history) {
            let epoch = self.history.len() + 1;
            let phase = match current.take() {
                Some(phase) if phase.number == position.phase => phase,
                // What the last phase held is gone by now.
                _ => self.begin_phase(position, saver, observe)?,
            };
            let (record, tally) = self.epoch(epoch, position, &phase, saver, observe)?;
            self.commit(record, saver, observe);
            self.remember(tally);
            self.tell_ailments(observe);
            self.tell_early_end(position, observe);
            current = Some(phase);
        }
        Ok(())
    }

    /// Whether there is an epoch left.
    pub fn has_epochs_left(&self) -> bool {
        course::next(&self.job.recipe, &self.history).is_some()
    }

    /// Epochs of the run, if no phase ends before its time.
    pub fn epochs(&self) -> usize {
        self.job.recipe.epochs()
    }

    /// Writes the summary of a run that had finished before.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep_summary(&self, summary: Summary) -> Result<Summary, Error> {
        self.run.write_summary(&summary)?;
        Ok(summary)
    }

    fn begin_phase(
        &mut self,
        position: Position,
        saver: &mut Checkpointer,
        observe: Observer,
    ) -> Result<CurrentPhase, Error> {
        // Whatever the new phase dies of, the old one is on the disk. If the disk refuses, that was told.
        let _ = saver.flush(observe);
        let phase = &self.job.recipe.phases[position.phase];
        self.run.mark_running(&phase.name);
        if position.epoch_in_phase == 0 && self.in_hand.is_none() {
            self.learned.begin_phase(phase);
        }
        let current = self
            .job
            .begin_phase(position.phase, &self.learned.parameters, observe)?;
        let (before, now) = (&self.frozen_features, current.frozen.cache_keys());
        let same_phase = position.epoch_in_phase > 0 || self.in_hand.is_some();
        if same_phase && !before.is_empty() && !now.is_empty() && *before != now {
            observe(Event::Note(
                "the phase's frozen features are not those that were kept before: places or times of the \
                 images' files have changed, or what is kept"
                    .into(),
            ));
        }
        let waits = |plan: &Plan| plan.waits_for_writes(&phase.name);
        saver.begin_phase(&phase.name, now, self.plan.as_ref().is_none_or(waits));
        Ok(current)
    }

    fn epoch(
        &mut self,
        epoch: usize,
        position: Position,
        current: &CurrentPhase,
        saver: &mut Checkpointer,
        observe: Observer,
    ) -> Result<(EpochRecord, T::Tally), Error> {
        let mut sums = self.in_hand.take().unwrap_or_default();
        let Self {
            job,
            learned,
            history,
            ..
        } = self;
        let end = job.train_epoch(
            (epoch, position.epoch_in_phase),
            current,
            learned,
            &mut sums,
            &mut |moment, observe| match moment {
                StepEvent::BeforeChange => saver.before_change(),
                StepEvent::Done(learned, sums) => {
                    saver.tell(observe);
                    if saver.is_due(learned) {
                        saver.within_epoch(learned, history, sums);
                    }
                }
            },
            observe,
        );
        let evaluating = Instant::now();
        let tally = match end {
            Ok(EpochEnd::Complete) => self.job.tally(
                self.learned.model(),
                &current.frozen,
                Split::Validation,
                observe,
            ),
            Ok(EpochEnd::Stopped) => Ok(None),
            Ok(EpochEnd::NonFinite(step)) => {
                return Err(self.diverged(step, epoch, position, observe));
            }
            Err(error) => Err(error),
        };
        let phase = &self.job.recipe.phases[position.phase];
        let tally = match tally {
            Ok(Some(tally)) => tally,
            Ok(None) => return Err(self.interrupted(&sums, epoch, phase, saver, observe)),
            Err(error) => {
                let saved = || self.interrupted(&sums, epoch, phase, saver, observe);
                return Err(error.of_lost_image(saved));
            }
        };
        let evaluation = self.job.task.evaluation(&tally);
        let record = EpochRecord {
            epoch,
            phase: self.job.recipe.phases[position.phase].name.clone(),
            train_loss: sums.loss / sums.images as f64,
            val_loss: evaluation.loss,
            metric: evaluation.metric,
            interval: evaluation.interval,
            others: evaluation.others,
            health: sums.health,
            skipped_steps: sums.skipped,
            lr: sums.lr,
            images_per_second: sums.images as f64 / sums.seconds,
            seconds: sums.elapsed + evaluating.elapsed().as_secs_f64(),
            peak_memory_mb: memory::peak_mb(),
        };
        Ok((record, tally))
    }

    /// Makes a finished epoch last.
    fn commit(&mut self, record: EpochRecord, saver: &mut Checkpointer, observe: Observer) {
        let epoch = record.epoch;
        self.history.push(record);
        let is_highest = self.highest().is_some_and(|highest| highest.epoch == epoch);
        let summary = self.summary(RunState::Running, None, None);
        saver.epoch(
            &self.learned,
            &self.history,
            FinishedEpoch {
                summary,
                is_highest,
            },
        );
        observe(Event::Epoch {
            record: &self.history[epoch - 1],
            epochs: self.job.recipe.epochs(),
            metric: T::KIND.metric(),
            is_highest,
        });
        saver.tell(observe);
    }
}
