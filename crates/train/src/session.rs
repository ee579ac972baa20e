//! The training loop: phases, epochs, steps. It does not know which task it trains.

use std::sync::Arc;
use std::time::Instant;

use warmstart_data::{FeatureCacheFolder, Loader, batches, epoch_order};
use warmstart_models::Architecture;
use warmstart_nn::block::{Forward, ParameterInfo};
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::{Parameters, release_free_memory};

use crate::Error;
use crate::checkpoint::{self, Checkpoint, Checkpoints, State};
use crate::event::{Event, Observer, Progress};
use crate::frozen::{Frozen, Origin};
use crate::memory;
use crate::model_file::{self, ModelInfo};
use crate::optimizer::Optimizer;
use crate::phase_setup::PhaseSetup;
use crate::recipe::{Phase, Position, Recipe, Train};
use crate::record::{Best, EpochRecord, PhaseSummary, RunState, Summary, TestResult};
use crate::run::RunFolder;
use crate::schedule::learning_rate;
use crate::step::{Learned, Step};
use crate::task::{Evaluation, Split, Task};

/// Batches that are prepared ahead of the one that trains.
const BATCHES_AHEAD: usize = 3;
/// Images of an evaluation batch.
pub(crate) const EVALUATION_BATCH: usize = 32;

/// What a run works with besides its folder.
pub struct Job<T> {
    /// The phases, and everything else that was asked for.
    pub recipe: Recipe,
    /// The network without its head.
    pub architecture: Architecture,
    /// What it learns.
    pub task: T,
    /// The metadata of its model files.
    pub info: ModelInfo,
}

/// A run in the works.
pub struct Session<T: Task> {
    recipe: Recipe,
    architecture: Architecture,
    task: Arc<T>,
    info: ModelInfo,
    run: RunFolder,
    workers: usize,
    device: Device,
    learned: Learned,
    history: Vec<EpochRecord>,
    cache: Option<FeatureCacheFolder>,
}

/// A phase while it runs.
struct CurrentPhase {
    number: usize,
    setup: PhaseSetup,
    frozen: Frozen,
}

/// Sums over the steps of an epoch.
#[derive(Default)]
struct EpochSums {
    loss: f64,
    images: usize,
    seconds: f64,
    lr: f64,
}

impl<T: Task> Session<T> {
    /// A run before its first epoch. `workers` threads prepare images.
    pub fn new(
        job: Job<T>,
        run: RunFolder,
        parameters: Parameters,
        workers: usize,
        device: Device,
    ) -> Self {
        Self {
            learned: Learned {
                parameters,
                optimizer: Optimizer::new(job.recipe.phases[0].optimizer),
                steps: 0,
            },
            recipe: job.recipe,
            architecture: job.architecture,
            task: Arc::new(job.task),
            info: job.info,
            run,
            workers,
            device,
            history: Vec::new(),
            cache: None,
        }
    }

    /// The run, with a folder for what its frozen parts make of images.
    pub fn with_cache(self, cache: Option<FeatureCacheFolder>) -> Self {
        Self { cache, ..self }
    }

    /// A run as it was at a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint's files cannot be read, or belong to other classes or another network.
    /// Nothing has been changed then.
    pub fn at(
        job: Job<T>,
        run: RunFolder,
        checkpoint: Checkpoint,
        workers: usize,
        device: Device,
    ) -> Result<Self, Error> {
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
        optimizer.state = model_file::read_tensors(&folder.join(checkpoint::OPTIMIZER), &device)?;
        let mut session = Self::new(job, run, Parameters::new(), workers, device);
        session.learned.parameters = model_file::complete_parameters(
            &mut model,
            &session.parameter_infos(),
            &session.device,
        )?;
        session.learned.optimizer = optimizer;
        session.learned.steps = state.step;
        session.history = state.history;
        Ok(session)
    }

    /// Brings the files that follow from the checkpoints back in line with where the run is.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn align_files(&self, observe: Observer) -> Result<(), Error> {
        self.run.write_recipe(&self.recipe)?;
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

    /// Trains every epoch that is left.
    ///
    /// # Errors
    /// If an image or a file fails, or the loss stops being a number.
    pub fn run(&mut self, observe: Observer) -> Result<Summary, Error> {
        let first = self.history.len() + 1;
        let mut current: Option<CurrentPhase> = None;
        for epoch in first..=self.recipe.epochs() {
            let position = self.recipe.position(epoch).expect("within the recipe");
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

    fn parameter_infos(&self) -> Vec<ParameterInfo> {
        let mut infos = self.architecture.backbone_parameters();
        infos.extend(self.task.head_parameters());
        infos
    }

    fn begin_phase(
        &mut self,
        position: Position,
        observe: Observer,
    ) -> Result<CurrentPhase, Error> {
        let phase = &self.recipe.phases[position.phase];
        if position.epoch_in_phase == 0 {
            // The moments of another set of parameters would push these the wrong way.
            self.learned.optimizer = Optimizer::new(phase.optimizer);
        }
        release_free_memory();
        memory::reset_peak();
        let setup = PhaseSetup::new(phase, &self.architecture, &self.task.head_parameters())?;
        let mut frozen = self.frozen(setup.boundary, &self.learned.parameters);
        let origin = Origin {
            architecture: &self.architecture,
            parameters: &self.learned.parameters,
            phase,
            task: &*self.task,
            preprocessing: &self.info.preprocessing,
            seed: self.recipe.seed,
        };
        let opened = match &self.cache {
            Some(cache) => frozen.open_cache(&origin, cache, &self.device),
            None => Ok(None),
        };
        observe(Event::Phase {
            phase,
            number: position.phase + 1,
            phases: self.recipe.phases.len(),
            trained: setup.trained,
            frozen: setup.frozen,
            steps: self.steps_per_epoch(phase),
        });
        if let Some(words) = opened.unwrap_or_else(Some) {
            observe(Event::Note(words));
        }
        Ok(CurrentPhase {
            number: position.phase,
            setup,
            frozen,
        })
    }

    fn frozen(&self, boundary: usize, parameters: &Parameters) -> Frozen {
        let size = self.info.preprocessing.crop;
        Frozen::new(&self.architecture, boundary, parameters, size, &self.device)
    }

    fn steps_per_epoch(&self, phase: &Phase) -> usize {
        self.task.training_files().len().div_ceil(phase.batch)
    }

    fn epoch(
        &mut self,
        epoch: usize,
        position: Position,
        current: &CurrentPhase,
        observe: Observer,
    ) -> Result<EpochRecord, Error> {
        let started = Instant::now();
        let phase = self.recipe.phases[position.phase].clone();
        let sums = self.train_epoch(epoch, position, &phase, current, observe)?;
        self.require_finite(epoch, &phase)?;
        let evaluation = self.evaluate(
            &self.learned.parameters,
            &current.frozen,
            Split::Validation,
            observe,
        )?;
        Ok(EpochRecord {
            epoch,
            phase: phase.name,
            train_loss: sums.loss / sums.images as f64,
            val_loss: evaluation.loss,
            metric: evaluation.metric,
            lr: sums.lr,
            images_per_second: sums.images as f64 / sums.seconds,
            seconds: started.elapsed().as_secs_f64(),
            peak_memory_mb: memory::peak_mb(),
        })
    }

    fn train_epoch(
        &mut self,
        epoch: usize,
        position: Position,
        phase: &Phase,
        current: &CurrentPhase,
        observe: Observer,
    ) -> Result<EpochSums, Error> {
        let CurrentPhase { setup, frozen, .. } = current;
        let samples = self.task.training_files().len();
        let order = epoch_order(self.recipe.seed, epoch as u64, samples);
        let source = frozen.training_source(&self.task, phase, epoch);
        let loader = Loader::new(
            batches(&order, phase.batch),
            self.workers,
            BATCHES_AHEAD,
            source.prepare(),
        );
        let steps = self.steps_per_epoch(phase);
        let mut sums = EpochSums::default();
        for (step, batch) in loader.enumerate() {
            let batch = batch?;
            let started = Instant::now();
            let (features, failure) =
                frozen.features(&batch, &source, &self.architecture, &self.device);
            if let Some(failure) = failure {
                observe(Event::Note(failure));
            }
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            let step_in_phase = position.epoch_in_phase * steps + step;
            sums.lr = learning_rate(phase, step_in_phase, phase.epochs * steps);
            let loss = Step {
                architecture: &self.architecture,
                task: &*self.task,
                phase,
                setup,
                seed: self.recipe.seed,
            }
            .run(&mut self.learned, features, &targets, sums.lr);
            if !loss.is_finite() {
                let what = format!("the loss of step {} is {loss}", step + 1);
                return Err(self.diverged(what, epoch, phase));
            }
            sums.seconds += started.elapsed().as_secs_f64();
            sums.loss += f64::from(loss) * targets.len() as f64;
            sums.images += targets.len();
            observe(Event::Step(Progress {
                epoch,
                epochs: self.recipe.epochs(),
                step: step + 1,
                steps,
                loss,
                images_per_second: sums.images as f64 / sums.seconds,
            }));
        }
        Ok(sums)
    }

    /// A gradient that is no number shows in the parameters, and one step later in the loss. This
    /// finds it after the last step, before anything is saved.
    fn require_finite(&self, epoch: usize, phase: &Phase) -> Result<(), Error> {
        let spoiled = self.learned.parameters.names().find(|name| {
            self.learned
                .parameters
                .values(name)
                .iter()
                .any(|v| !v.is_finite())
        });
        match spoiled {
            None => Ok(()),
            Some(name) => Err(self.diverged(format!("{name} is not finite"), epoch, phase)),
        }
    }

    fn diverged(&self, what: String, epoch: usize, phase: &Phase) -> Error {
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

    fn evaluate(
        &self,
        parameters: &Parameters,
        frozen: &Frozen,
        split: Split,
        observe: Observer,
    ) -> Result<Evaluation, Error> {
        let rest = frozen.rest(&self.architecture, parameters, &self.device);
        let samples: Vec<usize> = (0..self.task.evaluation_files(split).len()).collect();
        let source = frozen.evaluation_source(&self.task, split);
        let loader = Loader::new(
            batches(&samples, EVALUATION_BATCH),
            self.workers,
            BATCHES_AHEAD,
            source.prepare(),
        );
        let mut tally = T::Tally::default();
        let mut done = 0;
        for batch in loader {
            let batch = batch?;
            let (features, failure) =
                frozen.features(&batch, &source, &self.architecture, &self.device);
            if let Some(failure) = failure {
                observe(Event::Note(failure));
            }
            let features = self.architecture.forward(
                frozen.boundary()..self.architecture.stages.len(),
                features,
                &mut Forward::Inference(&rest),
            );
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            self.task.tally(&mut tally, features, parameters, &targets);
            done += targets.len();
            observe(Event::Evaluated {
                images: done,
                of: samples.len(),
            });
        }
        Ok(self.task.evaluation(&tally))
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
        let files = [
            (
                checkpoint::MODEL,
                model_file::model_bytes(&self.learned.parameters, &self.info)?,
            ),
            (
                checkpoint::OPTIMIZER,
                model_file::tensor_bytes(&self.learned.optimizer.state)?,
            ),
        ];
        self.run.checkpoints.write(state, &files)?;
        self.run.write_metrics(&self.history)?;
        if best.epoch == epoch {
            self.run.write_best(&best)?;
        }
        self.run
            .write_summary(&self.summary(RunState::Running, None))?;
        self.run.prune(&self.recipe, &self.history)?;
        observe(Event::Epoch {
            record: &self.history[epoch - 1],
            epochs: self.recipe.epochs(),
            metric: self.task.metric_name(),
            best: best.epoch == epoch,
        });
        Ok(())
    }

    fn finish(&self, observe: Observer) -> Result<Summary, Error> {
        let test = if !self.task.evaluation_files(Split::Test).is_empty() {
            let mut model = warmstart_weights::read(&self.run.path().join(crate::run::BEST))?;
            let kept =
                model_file::complete_parameters(&mut model, &self.parameter_infos(), &self.device)?;
            let frozen = self.frozen(0, &kept);
            let evaluation = self.evaluate(&kept, &frozen, Split::Test, observe)?;
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
        Best::of(&self.history, self.task.metric_name())
    }

    fn summary(&self, state: RunState, test: Option<TestResult>) -> Summary {
        let best = self.best().expect("there is a finished epoch");
        let phases = self.recipe.phases.iter().filter_map(|phase| {
            let of_phase = || self.history.iter().filter(|r| r.phase == phase.name);
            of_phase().next()?;
            Some(PhaseSummary {
                name: phase.name.clone(),
                seconds: of_phase().map(|record| record.seconds).sum(),
                planned_mb: None,
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
