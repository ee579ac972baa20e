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

use crate::training_state::TrainingState;

/// A moment of a run. Its tensors are handles: steps that come later make copies of what they change, and
/// leave these as they are.
pub struct Commit {
    state: State,
    model: Parameters,
    training: Option<Parameters>,
    optimizer: Parameters,
    info: Arc<ModelInfo>,
    finished: Option<FinishedEpoch>,
    /// Whether the checkpoint is there, and only what follows from it is missing.
    is_written: bool,
}

/// What a finished epoch changes besides.
pub struct FinishedEpoch {
    /// The run with it.
    pub summary: Summary,
    /// True if its metric is the highest so far.
    pub is_highest: bool,
}

impl Commit {
    fn is_highest(&self) -> bool {
        self.finished.as_ref().is_some_and(|epoch| epoch.is_highest)
    }

    /// The checkpoint first, for everything else follows from it. What should have been removed and could
    /// not be is told, and is no failure.
    fn write(&mut self, run: &RunFolder) -> Result<Option<String>, Error> {
        if !self.is_written {
            let model = |path: &Path| write_model(path, &self.model, &self.info);
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
        Ok(self.tidy(run).err().map(|error| error.to_string()))
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

/// Writes the checkpoints of a run beside its training.
pub struct Checkpointer {
    writer: BackgroundWriter<Commit>,
    info: Arc<ModelInfo>,
    recipe: Recipe,
    data: String,
    phase: String,
    frozen_features: Vec<String>,
    /// Whether what is being written is waited for before it is changed, and would be in memory twice.
    waits: bool,
    last: Instant,
    steps_at_last: u64,
    /// How far the run was, in finished epochs and images of the next, when it was last saved.
    saved: (usize, usize),
}

impl Checkpointer {
    /// A checkpointer for a run that learns from data with that checksum, and was saved after so many steps, so
    /// many epochs and images of the next.
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
        let writer = BackgroundWriter::new(move |commit: &mut Commit| commit.write(&run));
        Ok(Self {
            writer: writer.map_err(|error| Error::io("start a thread to write", &path, error))?,
            info: Arc::new(info),
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

    /// Says which phase what comes belongs to, where its frozen features are kept, and whether what is being written is
    /// waited for before it is changed.
    pub fn begin_phase(&mut self, name: &str, frozen_features: Vec<String>, waits: bool) {
        self.phase = name.to_owned();
        self.waits = waits;
        self.frozen_features = frozen_features;
    }

    /// Whether it is time for a checkpoint within an epoch. While one is being written, it is not: a slow
    /// disk makes them fewer.
    pub fn is_due(&self, state: &TrainingState) -> bool {
        let due = match self.recipe.checkpoint_every {
            CheckpointEvery::Time(time) => self.last.elapsed() >= time,
            CheckpointEvery::Steps(steps) => state.steps >= self.steps_at_last + steps,
        };
        due && !self.writer.is_busy()
    }

    /// Saves a moment within an epoch, unless it is saved already, or a parameter is not finite: then the
    /// next step will say so, and the last good state stays. Returns whether it is saved.
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
        epoch_in_hand: Option<EpochProgress>,
        finished: Option<FinishedEpoch>,
    ) {
        let state = State {
            format: State::FORMAT,
            warmstart: env!("CARGO_PKG_VERSION").to_owned(),
            simd: warmstart_nn::simd_level().unwrap_or_default().to_owned(),
            recipe: self.recipe.clone(),
            phase: self.phase.clone(),
            data: self.data.clone(),
            frozen_features: self.frozen_features.clone(),
            epoch: history.len(),
            epoch_in_hand,
            step: training.steps,
            optimizer_steps: training.optimizer.steps,
            skipped_in_a_row: training.skipped_in_a_row,
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
        // Where the disk refuses, what comes later holds what was before; but for the highest epoch's model.
        self.writer
            .submit(commit, |waiting| waiting.is_highest() && !is_highest);
        self.last = Instant::now();
        self.steps_at_last = training.steps;
    }

    /// To be called before what is state changes.
    pub fn before_change(&self) {
        if self.waits {
            self.writer.wait_until_idle();
        }
    }

    /// Tells what there is to tell of the writing.
    pub fn report(&self, observe: Observer) {
        for news in self.writer.news() {
            observe(Event::Note(news));
        }
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// The words of the disk, if it refused every time.
    pub fn flush(&self, observe: Observer) -> Result<(), String> {
        let result = self.writer.flush();
        self.report(observe);
        result
    }
}
