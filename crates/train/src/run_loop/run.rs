//! A run in progress: its folder and learned state.

use std::collections::BTreeMap;
use std::sync::Arc;

use warmstart_nn::Parameters;
use warmstart_recipe::run_files::{MODEL, OPTIMIZER, TRAINING};
use warmstart_recipe::{Error, Recipe};
use warmstart_run::checkpoint::Checkpoint;
use warmstart_run::data_files::DataFiles;
use warmstart_run::epoch_progress::EpochProgress;
use warmstart_run::event::Observer;
use warmstart_run::folder::{RunFolder, summary_of};
use warmstart_run::loss_scale::LossScale;
use warmstart_run::plan::Plan;
use warmstart_run::position;
use warmstart_run::record::{EpochFigure, EpochRecord};
use warmstart_run::summary::Summary;
use warmstart_tasks::model_file;
use warmstart_tasks::task::Task;

use crate::optimizer::Optimizer;
use crate::trainer::Trainer;
use crate::training_state::TrainingState;

/// A run in progress.
pub struct Run<T: Task> {
    pub(super) trainer: Trainer<T>,
    pub(super) run: Arc<RunFolder>,
    pub(super) files: DataFiles,
    pub(super) state: TrainingState,
    pub(super) history: Vec<EpochRecord>,
    /// Progress of the epoch in which the run was interrupted.
    pub(super) epoch_in_progress: Option<EpochProgress>,
    /// Keys of the cached features of the phase in which the run was interrupted.
    pub(super) frozen_features: Vec<String>,
    pub(super) plan: Option<Plan>,
    /// Evaluations of the candidates for the kept model, by epoch.
    pub(super) tallies: BTreeMap<usize, T::Tally>,
    /// Whether the test images were measured before the run was continued.
    pub(super) tested_before: bool,
}

impl<T: Task> Run<T> {
    /// A run before its first epoch, with the list of its data files.
    pub fn new(
        trainer: Trainer<T>,
        run: RunFolder,
        files: DataFiles,
        parameters: Parameters,
    ) -> Self {
        let optimizer = Optimizer::new(trainer.recipe.phases[0].optimizer);
        let mut state = TrainingState::new(parameters, optimizer);
        state.loss_scale = LossScale::of(trainer.recipe.precision);
        Self {
            state,
            trainer,
            tested_before: summary_of(run.path())
                .is_some_and(|summary| summary.tested_before || summary.test.is_some()),
            run: Arc::new(run),
            files,
            history: Vec::new(),
            epoch_in_progress: None,
            frozen_features: Vec::new(),
            plan: None,
            tallies: BTreeMap::new(),
        }
    }

    /// A run as it was at a checkpoint that fits its recipe.
    ///
    /// # Errors
    /// If the checkpoint's files cannot be read, or are of another network; nothing is changed then.
    ///
    /// # Panics
    /// If the recipe has fewer epochs.
    pub fn at(
        trainer: Trainer<T>,
        run: RunFolder,
        files: DataFiles,
        checkpoint: Checkpoint,
    ) -> Result<Self, Error> {
        let Checkpoint { folder, state } = checkpoint;
        let path = folder.join(MODEL);
        let mut model = warmstart_weights::read(&path)?;
        let position = state.position(&trainer.recipe);
        let position = position.expect("the recipe was found to fit");
        let mut optimizer = Optimizer::new(trainer.recipe.phases[position.phase].optimizer);
        optimizer.steps = state.optimizer_steps;
        // Before its first step, an optimizer has no moments.
        if optimizer.steps > 0 {
            optimizer.state = model_file::read_tensors(&folder.join(OPTIMIZER), &trainer.device)?;
        }
        let infos = trainer.parameter_infos();
        let mut parameters = model_file::complete_parameters(&mut model, &infos, &trainer.device)?;
        let mut average = None;
        if state.files.contains_key(TRAINING) {
            let mut training = warmstart_weights::read(&folder.join(TRAINING))?;
            average = Some(parameters);
            parameters = model_file::complete_parameters(&mut training, &infos, &trainer.device)?;
        }
        let mut restored = Self::new(trainer, run, files, parameters);
        restored.state.average = average;
        restored.state.optimizer = optimizer;
        restored.state.steps = state.step;
        restored.state.skipped_in_a_row = state.skipped_in_a_row;
        if restored.state.loss_scale.is_some() && state.loss_scale.is_some() {
            restored.state.loss_scale = state.loss_scale;
        }
        restored.history = state.history;
        restored.epoch_in_progress = state.epoch_in_progress;
        restored.frozen_features = state.frozen_features;
        Ok(restored)
    }

    /// Takes the run's plan, which is saved; the summary compares the phases with it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn take_plan(&mut self, plan: Option<Plan>) -> Result<(), Error> {
        if let Some(plan) = &plan {
            self.run.write_plan(plan)?;
        }
        self.plan = plan;
        Ok(())
    }

    /// The list of its data files.
    pub fn files(&self) -> &DataFiles {
        &self.files
    }

    /// The parameters from which its next step starts.
    pub fn parameters(&self) -> &Parameters {
        &self.state.parameters
    }

    /// Its recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.trainer.recipe
    }

    /// Whether there is an epoch left.
    pub fn has_epochs_left(&self) -> bool {
        position::next(&self.trainer.recipe, &self.history).is_some()
    }

    /// Epochs of the run, if no further phase ends early.
    pub fn epochs(&self) -> usize {
        self.trainer.recipe.epochs()
    }

    /// Writes the summary of a run that had finished before.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep_summary(&self, summary: Summary, observe: Observer) -> Result<Summary, Error> {
        self.run.write_summary(&summary)?;
        self.tell_end(&summary, observe);
        Ok(summary)
    }

    /// The epoch with the highest metric so far.
    pub(super) fn highest(&self) -> Option<EpochFigure> {
        EpochFigure::highest(&self.history, T::KIND.metric())
    }
}
