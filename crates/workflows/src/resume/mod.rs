//! `warmstart resume`: continues a run.

mod changes;
mod checks;
mod device;

use std::path::Path;

use warmstart_files::shown;
use warmstart_language::{counted, message};
use warmstart_recipe::{ByMemory, Error, Key, Recipe, command, named_record};
use warmstart_run::checkpoint::{At, Checkpoint};
use warmstart_run::data_files::DataFiles;
use warmstart_run::event::{Event, Observer};
use warmstart_run::folder::RunFolder;
use warmstart_run::kills::EndCause;
use warmstart_run::list::MORE_EPOCHS;
use warmstart_run::plan::Plan;
use warmstart_run::position;
use warmstart_run::record::EpochRecord;
use warmstart_run::summary::{RunState, Summary};
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::plan::automatic::make_plan;
use warmstart_train::resources::Resources;
use warmstart_train::run_loop::Run;
use warmstart_train::trainer::Trainer;

pub use changes::Changes;

use crate::named_weights;
use crate::prepare::prepare;
use changes::{open_options, spare_memory};
use checks::{
    Lists, OtherData, between_epochs, other_data, require_same_model, require_same_place,
};
use device::{has_other_device, has_other_options, note_other_bits, require_device};

/// Resumes a run from its newest sound checkpoint, or from the start if it has none.
///
/// # Errors
/// If there is no run, no sound checkpoint, or an impossible change, or if training fails. Nothing is changed before
/// the checkpoint is loaded.
pub fn resume(
    path: &Path,
    changes: &Changes,
    resources: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let (folder, recipe) = RunFolder::open(path, observe)?;
    observe(Event::Run { path });
    let request = Request {
        path,
        folder,
        changes,
    };
    with_task!(recipe.task, T => request.resume::<T>(recipe, resources, observe))
}

/// A run to resume, and the changes to it.
struct Request<'a> {
    path: &'a Path,
    folder: RunFolder,
    changes: &'a Changes,
}

impl Request<'_> {
    fn resume<T: Task>(
        self,
        before: Recipe,
        resources: Resources,
        observe: Observer,
    ) -> Result<Summary, Error> {
        let checkpoint = self.checkpoint(observe)?;
        let history = match &checkpoint {
            Some(checkpoint) => checkpoint.state.history.clone(),
            None => Vec::new(),
        };
        let mut recipe = self.changes.apply(before.clone(), &history)?;
        require_device(&recipe, self.path, checkpoint.as_ref())?;
        let needs_a_plan = self.needs_a_plan(&recipe, &before, checkpoint.as_ref());
        let is_spared = self.spare_memory(&mut recipe, &history, needs_a_plan, observe)?;
        self.require_place(&recipe, checkpoint.as_ref())?;
        let mut trainer = prepare::<T>(recipe, None, resources, observe)?;
        let lists = Lists::of(&trainer)?;
        if let Some(checkpoint) = &checkpoint {
            require_same_model(&trainer.info, checkpoint)?;
        }
        report_changes(&trainer.recipe, &before, checkpoint.as_ref(), observe);
        let other_data = other_data(&self.folder, &lists, checkpoint.as_ref());
        let files = lists.now;
        let has_same_data = other_data.is_none();
        let checkpoint = self.for_data(&trainer.recipe.data, other_data, checkpoint, observe)?;
        let plan = if needs_a_plan {
            self.new_plan(&mut trainer, &history, observe)?
        } else {
            self.plan(&mut trainer, is_spared, observe)?
        };
        match checkpoint {
            None => self.start_over(trainer, files, plan, observe),
            Some(checkpoint) => {
                self.continue_from(checkpoint, trainer, files, plan, has_same_data, observe)
            }
        }
    }

    /// The checkpoint to continue from.
    fn checkpoint(&self, observe: Observer) -> Result<Option<Checkpoint>, Error> {
        match self.changes.from_epoch {
            Some(epoch) => chosen(&self.folder, epoch).map(Some),
            None => self.folder.checkpoints.newest(&mut |damage| {
                observe(Event::Note(message!(
                    "skipped a damaged checkpoint: {damage}"
                )));
            }),
        }
    }

    /// Whether micro-batches are chosen anew: because of a flag, or for the memory of another device. A run that ended
    /// for lack of memory since it was given the device gets smaller ones instead.
    fn needs_a_plan(
        &self,
        recipe: &Recipe,
        before: &Recipe,
        checkpoint: Option<&Checkpoint>,
    ) -> bool {
        if self.changes.need_a_plan() || has_other_options(recipe, before) {
            return true;
        }
        let lacked_memory = self.changes.out_of_memory
            || match self.folder.silent_end() {
                None | Some((_, EndCause::OtherEnd)) => false,
                Some((_, EndCause::Unknown | EndCause::Killed)) => true,
            };
        !lacked_memory && checkpoint.is_some_and(|checkpoint| has_other_device(recipe, checkpoint))
    }

    /// Halves the micro-batch of the next phase if the run ended for lack of memory, and no new plan chooses it. Returns
    /// whether it did.
    fn spare_memory(
        &self,
        recipe: &mut Recipe,
        history: &[EpochRecord],
        needs_a_plan: bool,
        observe: Observer,
    ) -> Result<bool, Error> {
        let next = position::next(recipe, history);
        if self.changes.out_of_memory && next.is_none() {
            let what = message!(
                "all epochs are done, and there is too little memory to evaluate the kept model"
            );
            return Err(Error::memory(what).fix(message!(
                "free some memory and resume with `{}`",
                command::resume(self.path)
            )));
        }
        let Some(next) = next.filter(|_| !needs_a_plan) else {
            return Ok(false);
        };
        if !self.changes.out_of_memory && !self.was_killed_for_memory(observe) {
            return Ok(false);
        }
        let note = spare_memory(&mut recipe.phases[next.phase], self.path)?;
        observe(Event::Note(note));
        Ok(true)
    }

    /// Whether the run was certainly killed for lack of memory. If another process may have been killed instead, a note
    /// says how to confirm it, and the run continues unchanged, with the same bits.
    fn was_killed_for_memory(&self, observe: Observer) -> bool {
        match self.folder.silent_end() {
            None | Some((_, EndCause::OtherEnd)) => false,
            Some((_, EndCause::Killed)) => true,
            Some((phase, EndCause::Unknown)) => {
                observe(Event::Note(message!(
                    "the run ended without an error in phase {phase}, and the system has killed a process for lack of \
                     memory since that phase began: if it was this run, stop and resume with `{} {}`, which takes half \
                     as many images at a time; without it the run continues as it was",
                    command::resume(self.folder.path()),
                    Key::OUT_OF_MEMORY
                )));
                false
            }
        }
    }

    /// Refuses a recipe that does not fit the checkpoint, and a run whose checkpoints are lost.
    fn require_place(&self, recipe: &Recipe, checkpoint: Option<&Checkpoint>) -> Result<(), Error> {
        if let Some(checkpoint) = checkpoint {
            return require_same_place(recipe, self.path, &checkpoint.state);
        }
        match self.folder.trace_of_epochs() {
            None => Ok(()),
            Some(trace) => {
                let what = message!("{} is there, but its checkpoints are lost", shown(&trace));
                Err(Error::checkpoint(what).fix(message!(
                    "start a new run from its weights (warmstart train {} {})",
                    Key::WEIGHTS,
                    command::word(self.path)
                )))
            }
        }
    }

    /// The checkpoint to continue from, on data that may differ.
    fn for_data(
        &self,
        data: &Path,
        other_data: Option<OtherData>,
        checkpoint: Option<Checkpoint>,
        observe: Observer,
    ) -> Result<Option<Checkpoint>, Error> {
        let Some(OtherData {
            difference,
            are_other_folds,
            was_accepted,
        }) = other_data
        else {
            if self.changes.options.data.is_some() {
                observe(Event::Note(message!(
                    "the data set has the same files: the result does not change"
                )));
            }
            return Ok(checkpoint);
        };
        if are_other_folds && !was_accepted && !self.changes.accept_data_change {
            let what = message!("{}: {difference}", shown(self.path));
            let fix = message!("train all folds anew, with another {}", Key::OUT);
            return Err(Error::refused(what).fix(fix));
        }
        if !was_accepted && !self.changes.accept_data_change {
            let what = message!(
                "{} does not hold the files that the run was trained on: {difference}",
                shown(data)
            );
            return Err(Error::refused(what).fix(message!(
                "bring them back, continue with these by {}, or start a new run",
                Key::ACCEPT_DATA_CHANGE
            )));
        }
        observe(Event::Note(message!(
            "the data set has changed, so metrics before and after are not comparable: {difference}"
        )));
        between_epochs(&self.folder, checkpoint, observe)
    }

    /// The plan of a run whose micro-batches are chosen anew, and reported where they change. For the memory of another
    /// device alone they only become smaller: the run may have been given those that it has.
    fn new_plan<T: Task>(
        &self,
        trainer: &mut Trainer<T>,
        history: &[EpochRecord],
        observe: Observer,
    ) -> Result<Option<Plan>, Error> {
        let before = trainer.recipe.clone();
        let open = open_options(&before, history);
        let plan = make_plan(trainer, &open, self.changes.need_a_plan(), observe)?;
        report_differences(&trainer.recipe, &before, observe);
        Ok(plan)
    }

    /// The plan of a run whose micro-batches were chosen before.
    fn plan<T: Task>(
        &self,
        trainer: &mut Trainer<T>,
        is_spared: bool,
        observe: Observer,
    ) -> Result<Option<Plan>, Error> {
        if is_spared {
            let nothing_open = vec![ByMemory::default(); trainer.recipe.phases.len()];
            let plan = make_plan(trainer, &nothing_open, false, observe)?;
            return Ok(plan.or_else(|| self.folder.plan()));
        }
        Ok(self.folder.plan())
    }

    /// Trains a run that has no checkpoint yet.
    fn start_over<T: Task>(
        self,
        trainer: Trainer<T>,
        files: DataFiles,
        plan: Option<Plan>,
        observe: Observer,
    ) -> Result<Summary, Error> {
        observe(Event::Note(message!(
            "the run has no checkpoint yet: it starts from its first epoch"
        )));
        if let Some(record) = named_record(&trainer.recipe.weights) {
            named_weights::get(record, observe)?;
        }
        let initial = initial_weights(&trainer, observe)?;
        self.folder
            .begin(&trainer.recipe, &initial.report, &files)?;
        let mut run = Run::new(trainer, self.folder, files, initial.parameters).with_plan(plan)?;
        run.align_files(None, observe)?;
        run.run(observe)
    }

    fn continue_from<T: Task>(
        self,
        checkpoint: Checkpoint,
        trainer: Trainer<T>,
        files: DataFiles,
        plan: Option<Plan>,
        has_same_data: bool,
        observe: Observer,
    ) -> Result<Summary, Error> {
        let done = checkpoint.state.epoch;
        note_other_bits(&trainer.recipe, &checkpoint, observe);
        if self.changes.from_epoch.is_some() {
            observe(Event::Note(message!(
                "back to epoch {done}: later epochs are removed; training them again gives the same result unless \
                 something is changed"
            )));
        }
        let has_same_guard = trainer.recipe.guard == checkpoint.state.recipe.guard;
        let summary = self.folder.summary();
        let processed = checkpoint.state.images_in_epoch();
        let mut run = Run::at(trainer, self.folder, files, checkpoint)?.with_plan(plan)?;
        let finished = summary.filter(|summary| {
            let is_whole = summary.state == RunState::Finished && summary.epochs == done;
            is_whole && has_same_data && has_same_guard && !run.has_epochs_left()
        });
        run.align_files(finished.as_ref(), observe)?;
        if run.has_epochs_left() {
            let epochs = run.epochs();
            observe(Event::Note(match processed {
                0 => message!("continuing after epoch {done} of {epochs}"),
                _ => message!(
                    "continuing after epoch {done} of {epochs}, with {processed} images of epoch {} processed",
                    done + 1
                ),
            }));
            return run.run(observe);
        }
        let (path, epochs) = (shown(self.path), counted(done, "epoch"));
        observe(Event::Note(match run.recipe().phases.last() {
            // More epochs do not change a head that is solved.
            Some(last) if last.is_solved() => message!("{path} has finished its {epochs}"),
            Some(_) | None => message!(
                "{path} has finished its {epochs}; to train more: {} {} {}",
                command::resume(self.path),
                Key::EPOCHS,
                done + MORE_EPOCHS
            ),
        }));
        match finished {
            // The test split was measured already, which is done only once.
            Some(summary) => run.keep_summary(summary, observe),
            None => run.run(observe),
        }
    }
}

/// Reports the changes of the recipe: those made now, and those since the checkpoint.
fn report_changes(
    recipe: &Recipe,
    before: &Recipe,
    checkpoint: Option<&Checkpoint>,
    observe: Observer,
) {
    let earlier = checkpoint.map_or_else(Vec::new, |checkpoint| {
        before.differences(&checkpoint.state.recipe)
    });
    for line in earlier {
        observe(Event::Note(message!(
            "the recipe was changed since the checkpoint: {line}"
        )));
    }
    report_differences(recipe, before, observe);
}

/// Reports what has changed in a recipe.
fn report_differences(recipe: &Recipe, before: &Recipe, observe: Observer) {
    for line in recipe.differences(before) {
        observe(Event::Note(message!("changed: {line}")));
    }
}

/// The checkpoint of an epoch.
fn chosen(folder: &RunFolder, epoch: usize) -> Result<Checkpoint, Error> {
    let kept = folder.checkpoints.epochs()?;
    if kept.contains(&epoch) {
        return folder.checkpoints.open(At::Epoch(epoch));
    }
    let kept = if kept.is_empty() {
        message!("there are none yet")
    } else {
        let kept: Vec<_> = kept.iter().map(usize::to_string).collect();
        message!("there are checkpoints of the epochs {}", kept.join(", "))
    };
    Err(Error::usage(message!(
        "{} {epoch}: this epoch has no checkpoint; {kept}",
        Key::FROM_EPOCH
    )))
}
