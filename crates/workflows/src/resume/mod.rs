//! `warmstart resume`: continues a run.
//!
//! Of several ranks, rank 0 opens the run and decides how it goes on; the others follow.

mod changes;
mod checks;
mod device;
mod follow;
mod going_on;

use std::path::Path;

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::{ByMemory, Error, Key, Recipe, command};
use warmstart_run::checkpoint::{At, Checkpoint};
use warmstart_run::event::{Event, Observer};
use warmstart_run::folder::RunFolder;
use warmstart_run::kills::EndCause;
use warmstart_run::plan::Plan;
use warmstart_run::position;
use warmstart_run::record::EpochRecord;
use warmstart_run::summary::Summary;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::lockstep::{agree, tell};
use warmstart_train::plan::automatic::make_plan;
use warmstart_train::resources::Resources;
use warmstart_train::trainer::Trainer;

pub use changes::Changes;

use crate::common::require_same_request;
use crate::named_weights::fetch_named;
use crate::prepare::prepare;
use crate::settle_data::settle_data;
use changes::{open_options, spare_memory};
use checks::{
    Lists, OtherData, between_epochs, other_data, require_same_model, require_same_place,
};
use device::{has_other_device, has_other_options, require_device};
use follow::{Order, follow};
use going_on::Decided;

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
    require_same_request(&resources, &format!("{path:?} {changes:?}"))?;
    let ranks = resources.ranks.clone();
    let mut changes = changes.clone();
    let settled = settle_data(&mut changes.options, &resources, observe);
    agree(&ranks, settled)?;
    if !ranks.is_first() {
        return follow(path, resources, observe);
    }
    let opened = RunFolder::open(path, observe);
    let (folder, recipe) = opened.inspect_err(|error| tell::<Order>(&ranks, Err(error)))?;
    observe(Event::Run { path });
    let request = Request {
        path,
        folder,
        changes: &changes,
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
        let ranks = resources.ranks.clone();
        let decided = self.decide::<T>(before, resources, observe);
        tell(&ranks, decided.as_ref().map(Decided::order));
        decided?.go_on(self.folder, observe)
    }

    /// How the run goes on. Nothing of it is changed yet.
    fn decide<T: Task>(
        &self,
        before: Recipe,
        resources: Resources,
        observe: Observer,
    ) -> Result<Decided<T>, Error> {
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
        if checkpoint.is_none() {
            observe(Event::Note(message!(
                "the run has no checkpoint yet: it starts from its first epoch"
            )));
            fetch_named(&trainer.recipe, observe)?;
        }
        Ok(Decided {
            trainer,
            checkpoint,
            goes_back: self.changes.from_epoch.is_some(),
            files,
            plan,
            has_same_data,
        })
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
