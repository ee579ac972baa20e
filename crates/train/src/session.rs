//! A run in its folder: what is learned so far, epoch after epoch, and a checkpoint after each.

use std::path::Path;
use std::time::Instant;

use warmstart_nn::{Parameters, run_when_exhausted};

use crate::Error;
use crate::checkpoint::{self, Checkpoint, Checkpoints, State};
use crate::event::{Event, Observer};
use crate::frozen::INFERENCE_BATCH;
use crate::job::{CurrentPhase, Job};
use crate::memory;
use crate::model_file::{self, ModelInfo};
use crate::optimizer::Optimizer;
use crate::plan::Plan;
use crate::recipe::{Position, Train};
use crate::record::{Best, EpochRecord, PhaseSummary, RunState, Summary, TestResult};
use crate::run::RunFolder;
use crate::step::Learned;
use crate::task::{Split, Task};

/// Flag of `resume` that says why.
pub const OUT_OF_MEMORY: &str = "--out-of-memory";

/// A run in the works.
pub struct Session<T: Task> {
    job: Job<T>,
    run: RunFolder,
    learned: Learned,
    history: Vec<EpochRecord>,
    plan: Option<Plan>,
}

impl<T: Task> Session<T> {
    /// A run before its first epoch.
    pub fn new(job: Job<T>, run: RunFolder, parameters: Parameters) -> Self {
        Self {
            learned: Learned {
                parameters,
                average: None,
                optimizer: Optimizer::new(job.recipe.phases[0].optimizer),
                steps: 0,
            },
            job,
            run,
            history: Vec::new(),
            plan: None,
        }
    }

    /// A run as it was at a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint's files cannot be read, or belong to other classes or another network.
    /// Nothing has been changed then.
    pub fn at(job: Job<T>, run: RunFolder, checkpoint: Checkpoint) -> Result<Self, Error> {
        let Checkpoint { folder, state } = checkpoint;
        let path = folder.join(checkpoint::MODEL);
        let mut model = warmstart_weights::read(&path)?;
        if let Some(difference) = job.info.difference(ModelInfo::of(&model)?.as_ref()) {
            return Err(Error::Model {
                path,
                problem: format!(
                    "{difference}: this run cannot go on with them; start a new one from its \
                     weights (warmstart train --weights)"
                ),
            });
        }
        let position = job.recipe.position(state.epoch).ok_or_else(|| {
            Error::usage(format!(
                "{}: the recipe has no such epoch",
                folder.display()
            ))
        })?;
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
        let mut session = Self::new(job, run, parameters);
        session.learned.average = average;
        session.learned.optimizer = optimizer;
        session.learned.steps = state.step;
        session.history = state.history;
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

    /// Brings the files that follow from the checkpoints back in line with where the run is.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn align_files(&self, observe: Observer) -> Result<(), Error> {
        self.run.write_recipe(&self.job.recipe)?;
        self.run.write_metrics(&self.history)?;
        let Some(best) = self.best() else {
            return Ok(());
        };
        match self.run.write_best(&best) {
            Err(Error::Checkpoint(damage)) => observe(Event::Note(format!(
                "the best epoch's checkpoint is lost ({damage}); best.safetensors stays as it is \
                 until an epoch is better"
            ))),
            other => other?,
        }
        self.run
            .write_summary(&self.summary(RunState::Running, None))
    }

    /// Trains every epoch that is left. Should the system have no more memory to give, the process
    /// becomes one that resumes the run.
    ///
    /// # Errors
    /// If an image or a file fails, or the loss stops being a number.
    pub fn run(&mut self, observe: Observer) -> Result<Summary, Error> {
        let machine = &self.job.machine;
        let mut command = vec![machine.program.clone().into_os_string(), "resume".into()];
        command.extend([self.run.path().into(), OUT_OF_MEMORY.into()]);
        command.extend(machine.flags.iter().cloned());
        let starts_again = run_when_exhausted(Some(command));
        starts_again.map_err(|error| Error::io("name", &machine.program, error))?;
        let result = self.epochs(observe);
        let _ = run_when_exhausted(None);
        self.run.mark_ended();
        result
    }

    fn epochs(&mut self, observe: Observer) -> Result<Summary, Error> {
        let first = self.history.len() + 1;
        let mut current: Option<CurrentPhase> = None;
        for epoch in first..=self.job.recipe.epochs() {
            let position = self.job.recipe.position(epoch).expect("within the recipe");
            let phase = match current.take() {
                Some(phase) if phase.number == position.phase => phase,
                // What the last phase held is gone by now.
                _ => self.begin_phase(position, observe)?,
            };
            let record = self.epoch(epoch, position, &phase, observe)?;
            self.commit(record, observe)?;
            current = Some(phase);
        }
        self.finish(observe)
    }

    /// The run's checkpoints.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.run.checkpoints
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
        observe: Observer,
    ) -> Result<CurrentPhase, Error> {
        let phase = &self.job.recipe.phases[position.phase];
        self.run.mark_running(&phase.name)?;
        if position.epoch_in_phase == 0 {
            self.learned.begin_phase(phase);
        }
        self.job
            .begin_phase(position.phase, &self.learned.parameters, observe)
    }

    fn epoch(
        &mut self,
        epoch: usize,
        position: Position,
        current: &CurrentPhase,
        observe: Observer,
    ) -> Result<EpochRecord, Error> {
        let started = Instant::now();
        let sums = self.job.train_epoch(
            epoch,
            position.epoch_in_phase,
            current,
            &mut self.learned,
            observe,
        )?;
        let sums = sums.map_err(|what| self.diverged(what, epoch, position))?;
        let evaluation = self.job.evaluate(
            self.learned.model(),
            &current.frozen,
            Split::Validation,
            observe,
        )?;
        Ok(EpochRecord {
            epoch,
            phase: self.job.recipe.phases[position.phase].name.clone(),
            train_loss: sums.loss / sums.images as f64,
            val_loss: evaluation.loss,
            metric: evaluation.metric,
            others: evaluation.others,
            lr: sums.lr,
            images_per_second: sums.images as f64 / sums.seconds,
            seconds: started.elapsed().as_secs_f64(),
            peak_memory_mb: memory::peak_mb(),
        })
    }

    fn diverged(&self, what: String, epoch: usize, position: Position) -> Error {
        let phase = &self.job.recipe.phases[position.phase];
        Error::NonFinite {
            what,
            epoch,
            lr: phase.lr,
            flag: if phase.train == Train::Head {
                "--freeze-lr"
            } else {
                "--lr"
            },
            run: self.run.path().to_owned(),
        }
    }

    /// Makes a finished epoch last: its checkpoint first, for everything else follows from it.
    fn commit(&mut self, record: EpochRecord, observe: Observer) -> Result<(), Error> {
        let epoch = record.epoch;
        self.history.push(record);
        let best = self.best().expect("there is a finished epoch");
        let state = State::new(
            self.learned.steps,
            self.learned.optimizer.steps,
            self.history.clone(),
        );
        let Self {
            job, learned, run, ..
        } = &*self;
        let model = |path: &Path| model_file::write_model(path, learned.model(), &job.info);
        let optimizer = |path: &Path| model_file::write_tensors(path, &learned.optimizer.state);
        let training = |path: &Path| model_file::write_tensors(path, &learned.parameters);
        let mut files: Vec<checkpoint::Content> = vec![
            (checkpoint::MODEL, &model),
            (checkpoint::OPTIMIZER, &optimizer),
        ];
        if learned.average.is_some() {
            files.push((checkpoint::TRAINING, &training));
        }
        run.checkpoints.write(state, &files)?;
        self.run.write_metrics(&self.history)?;
        if best.epoch == epoch {
            self.run.write_best(&best)?;
        }
        self.run
            .write_summary(&self.summary(RunState::Running, None))?;
        self.run.prune(&self.job.recipe, &self.history)?;
        observe(Event::Epoch {
            record: &self.history[epoch - 1],
            epochs: self.job.recipe.epochs(),
            metric: T::METRIC,
            best: best.epoch == epoch,
        });
        Ok(())
    }

    fn finish(&self, observe: Observer) -> Result<Summary, Error> {
        let test = if !self.job.task.split(Split::Test).is_empty() {
            let mut model = warmstart_weights::read(&self.run.path().join(crate::run::BEST))?;
            let kept = model_file::complete_parameters(
                &mut model,
                &self.job.parameter_infos(),
                &self.job.device,
            )?;
            let frozen = self.job.frozen(0, &kept, INFERENCE_BATCH);
            let evaluation = self.job.evaluate(&kept, &frozen, Split::Test, observe)?;
            Some(TestResult {
                loss: evaluation.loss,
                metric: evaluation.metric,
            })
        } else {
            None
        };
        let summary = self.summary(RunState::Finished, test);
        self.run.write_summary(&summary)?;
        observe(Event::Finished {
            summary: &summary,
            run: self.run.path(),
        });
        Ok(summary)
    }

    fn best(&self) -> Option<Best> {
        Best::of(&self.history, T::METRIC)
    }

    fn summary(&self, state: RunState, test: Option<TestResult>) -> Summary {
        let best = self.best().expect("there is a finished epoch");
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
            Some(_) => "the test images had no part in training or in choosing the epoch",
            None => {
                "the validation figure was also used to choose the epoch, so it flatters; a test/ \
                 folder beside train/ and val/ would give one that does not"
            }
        };
        Summary {
            state,
            epochs: self.history.len(),
            kept: best.clone(),
            best,
            test,
            phases: phases.collect(),
            note: note.to_owned(),
        }
    }
}
