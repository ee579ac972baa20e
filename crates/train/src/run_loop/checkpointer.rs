//! Checkpoints: their content, and when they are written.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use warmstart_nn::Parameters;
use warmstart_recipe::run_files::{MODEL, OPTIMIZER, TRAINING};
use warmstart_recipe::{CheckpointEvery, Error, Recipe};
use warmstart_run::background_writer::BackgroundWriter;
use warmstart_run::checkpoint::{At, Content, State};
use warmstart_run::epoch_progress::EpochProgress;
use warmstart_run::event::{Event, Observer};
use warmstart_run::folder::RunFolder;
use warmstart_run::record::EpochRecord;
use warmstart_run::summary::Summary;
use warmstart_tasks::model_file::{ModelInfo, write_model, write_tensors};

use crate::device::card_identity;
use crate::training_state::TrainingState;

/// The state of a run that a checkpoint saves. Its tensors are handles: later steps copy what they change, and leave
/// these as they are.
pub struct Commit {
    state: State,
    model: Parameters,
    training: Option<Parameters>,
    optimizer: Parameters,
    info: Arc<ModelInfo>,
    finished: Option<FinishedEpoch>,
    /// Whether the checkpoint is written, and only the files that follow from it are missing.
    is_written: bool,
}

/// Results of a finished epoch besides its checkpoint.
pub struct FinishedEpoch {
    /// The summary of the run, with this epoch.
    pub summary: Summary,
    /// True if its metric is the highest so far.
    pub is_highest: bool,
}

impl Commit {
    fn is_highest(&self) -> bool {
        self.finished.as_ref().is_some_and(|epoch| epoch.is_highest)
    }

    /// The model's metadata; at the end of an epoch, with what was measured of it.
    fn info(&self) -> ModelInfo {
        let record = self.state.history.last();
        let record = record.filter(|_| self.finished.is_some());
        with_confidence(&self.info, record.and_then(EpochRecord::confidence))
    }

    /// Writes the checkpoint first, because everything else follows from it. A failure to remove old files, or to write
    /// copies of the metrics, is a message, and no error.
    fn write(&mut self, run: &RunFolder) -> Result<Option<String>, Error> {
        if !self.is_written {
            let info = self.info();
            let model = |path: &Path| write_model(path, &self.model, &info);
            let optimizer = |path: &Path| write_tensors(path, &self.optimizer);
            let mut files: Vec<Content> = vec![(MODEL, &model), (OPTIMIZER, &optimizer)];
            let training = self.training.as_ref();
            let training = training.map(|values| move |path: &Path| write_tensors(path, values));
            if let Some(training) = &training {
                files.push((TRAINING, training));
            }
            run.checkpoints.write(self.state.clone(), &files)?;
            self.is_written = true;
        }
        if let Some(FinishedEpoch {
            summary,
            is_highest,
        }) = &self.finished
        {
            run.write_metrics(&self.state.history)?;
            if *is_highest {
                run.write_kept(&summary.kept)?;
            }
            run.write_summary(summary)?;
        }
        let copied = match &self.finished {
            Some(_) => run.write_copies(&self.state.recipe, &self.state.history),
            None => Ok(()),
        };
        let failure = self.tidy(run).and(copied).err();
        Ok(failure.map(|error| error.to_string()))
    }

    fn tidy(&self, run: &RunFolder) -> Result<(), Error> {
        if self.finished.is_some() {
            run.prune(&self.state.recipe, &self.state.history)?;
        }
        let passed = |at: &At| matches!(at, At::Step(_)) && *at != self.state.at();
        for at in run.checkpoints.list()?.into_iter().filter(passed) {
            run.checkpoints.remove(at)?;
        }
        Ok(())
    }
}

/// The metadata of a model with the confidence at which its F1 is highest, where that was measured.
pub fn with_confidence(info: &ModelInfo, confidence: Option<f64>) -> ModelInfo {
    ModelInfo {
        confidence: confidence.map(|confidence| confidence as f32),
        ..info.clone()
    }
}

/// Writes the checkpoints of a run in the background of training.
pub struct Checkpointer {
    writer: BackgroundWriter<Commit>,
    /// Whether this process writes the run; otherwise nothing is saved here.
    writes: bool,
    info: Arc<ModelInfo>,
    recipe: Recipe,
    /// The card that computes; `None` for the processor.
    device: Option<String>,
    data: String,
    phase: String,
    frozen_features: Vec<String>,
    /// Whether steps wait for the checkpoint that is being written before they change the parameters, which would be in
    /// memory twice.
    waits: bool,
    last: Instant,
    steps_at_last: u64,
    /// The last saved progress: finished epochs, and images of the next one.
    saved: (usize, usize),
}

impl Checkpointer {
    /// A checkpointer for a run. `data` is the checksum of its data files; the last tuple is its saved progress: steps,
    /// and finished epochs with images of the next one.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn new(
        run: Arc<RunFolder>,
        recipe: Recipe,
        info: ModelInfo,
        data: String,
        (steps, saved): (u64, (usize, usize)),
    ) -> Result<Self, Error> {
        let path = run.path().to_owned();
        let writes = run.writes();
        let writer = BackgroundWriter::new(move |commit: &mut Commit| commit.write(&run));
        Ok(Self {
            writer: writer.map_err(|error| Error::io("start a thread to write", &path, error))?,
            writes,
            info: Arc::new(info),
            device: card_identity(&recipe),
            recipe,
            data,
            phase: String::new(),
            frozen_features: Vec::new(),
            waits: false,
            last: Instant::now(),
            steps_at_last: steps,
            saved,
        })
    }

    /// Begins a phase: sets its name, the keys of its frozen features, and whether steps wait for the checkpoint that
    /// is being written.
    pub fn begin_phase(&mut self, name: &str, frozen_features: Vec<String>, waits: bool) {
        self.phase = name.to_owned();
        self.waits = waits;
        self.frozen_features = frozen_features;
    }

    /// Whether a checkpoint within an epoch is due. None is due while one is being written, so a slow disk gets fewer.
    pub fn is_due(&self, state: &TrainingState) -> bool {
        let due = match self.recipe.checkpoint_every {
            CheckpointEvery::Time(time) => self.last.elapsed() >= time,
            CheckpointEvery::Steps(steps) => state.steps >= self.steps_at_last + steps,
        };
        self.writes && due && !self.writer.is_busy()
    }

    /// Saves the state within an epoch, unless it is saved already, or a parameter is not finite: then the next step
    /// fails, and the last good state stays. Returns whether it is saved.
    pub fn within_epoch(
        &mut self,
        state: &TrainingState,
        history: &[EpochRecord],
        progress: &EpochProgress,
    ) -> bool {
        if self.saved == (history.len(), progress.seen) {
            return true;
        }
        let sound = state.first_non_finite().is_none();
        if sound {
            self.submit(state, history, Some(progress.clone()), None);
        }
        sound
    }

    /// Saves the end of an epoch, the last of the history.
    pub fn epoch(&mut self, state: &TrainingState, history: &[EpochRecord], epoch: FinishedEpoch) {
        self.submit(state, history, None, Some(epoch));
    }

    fn submit(
        &mut self,
        training: &TrainingState,
        history: &[EpochRecord],
        epoch_in_progress: Option<EpochProgress>,
        finished: Option<FinishedEpoch>,
    ) {
        if !self.writes {
            return;
        }
        let state = State {
            format: State::FORMAT,
            warmstart: env!("CARGO_PKG_VERSION").to_owned(),
            simd: warmstart_nn::simd_level().unwrap_or_default().to_owned(),
            device: self.device.clone(),
            recipe: self.recipe.clone(),
            phase: self.phase.clone(),
            data: self.data.clone(),
            frozen_features: self.frozen_features.clone(),
            epoch: history.len(),
            epoch_in_progress,
            step: training.steps,
            optimizer_steps: training.optimizer.steps,
            skipped_in_a_row: training.skipped_in_a_row,
            loss_scale: training.loss_scale,
            history: history.to_vec(),
            files: Default::default(),
        };
        let commit = Commit {
            state,
            model: training.model().clone(),
            training: training
                .average
                .as_ref()
                .map(|_| training.parameters.clone()),
            optimizer: training.optimizer.state.clone(),
            info: Arc::clone(&self.info),
            finished,
            is_written: false,
        };
        let is_highest = commit.is_highest();
        self.saved = commit.state.progress();
        // Where the disk refuses, a later checkpoint replaces this one, except that of the highest epoch.
        self.writer
            .submit(commit, |waiting| waiting.is_highest() && !is_highest);
        self.last = Instant::now();
        self.steps_at_last = training.steps;
    }

    /// Waits for the write in progress where the phase requires it; called before the state changes.
    pub fn before_change(&self) {
        if self.waits {
            self.writer.wait_until_idle();
        }
    }

    /// Reports the writer's messages.
    pub fn report(&self, observe: Observer) {
        for news in self.writer.news() {
            observe(Event::Note(news));
        }
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// The error of the disk, if it refused every time.
    pub fn flush(&self, observe: Observer) -> Result<(), String> {
        let result = self.writer.flush();
        self.report(observe);
        result
    }
}
