//! Going on with a run.

mod changes;
mod checks;

use std::path::Path;

pub use changes::Changes;
use changes::{change, open_choices, spare_memory};
use checks::{OtherData, between_epochs, other_data, require_same_model, require_same_place};

use warmstart_files::shown;

use warmstart_recipe::Error;
use warmstart_run::checkpoint::At;
use warmstart_run::checkpoint::Checkpoint;
use warmstart_tasks::classify::Classification;
use warmstart_recipe::command;
use warmstart_run::position;
use warmstart_run::data_files::DataFiles;
use warmstart_tasks::detect::Detection;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use warmstart_train::resources::Resources;
use warmstart_run::kills::EndCause;
use warmstart_train::assemble::assemble;
use warmstart_train::assemble::load;
use warmstart_recipe as recipe;
use warmstart_recipe::Automatic;
use warmstart_recipe::Recipe;
use warmstart_run::record::RunState;
use warmstart_run::record::Summary;
use warmstart_run::folder::RunFolder;
use warmstart_run::list::MORE_EPOCHS;
use warmstart_train::run_loop::OUT_OF_MEMORY;
use warmstart_train::run_loop::Run;
use warmstart_train::plan::automatic::make_plan;
use warmstart_tasks::task::Task;

/// Resumes a run from its newest sound checkpoint, or from the start if it has none.
///
/// # Errors
/// If there is no run, no sound checkpoint, or a change that cannot be; if training fails. Nothing
/// is changed before the checkpoint is loaded.
pub fn resume(
    path: &Path,
    changes: &Changes,
    machine: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let (run, recipe) = RunFolder::open(path, observe)?;
    match recipe.task {
        recipe::Task::Classify => {
            resume_task::<Classification>(path, run, recipe, changes, machine, observe)
        }
        recipe::Task::Detect => {
            resume_task::<Detection>(path, run, recipe, changes, machine, observe)
        }
    }
}

fn resume_task<T: Task>(
    path: &Path,
    run: RunFolder,
    recipe: Recipe,
    changes: &Changes,
    machine: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let checkpoint = match changes.from_epoch {
        Some(epoch) => Some(chosen(&run, epoch)?),
        None => run.checkpoints.newest(&mut |damage| {
            observe(Event::Note(format!(
                "skipped a damaged checkpoint: {damage}"
            )));
        })?,
    };
    let done = checkpoint
        .as_ref()
        .map_or(0, |checkpoint| checkpoint.state.epoch);
    let before = recipe;
    let history = checkpoint
        .as_ref()
        .map_or(Vec::new(), |checkpoint| checkpoint.state.history.clone());
    let mut recipe = change(before.clone(), changes, &history)?;
    if changes.out_of_memory && course::next(&recipe, &history).is_none() {
        return Err(Error::Memory(format!(
            "every epoch is done, and there is too little memory to measure what is kept: free some and resume \
             with `{}`",
            command::resume(path)
        )));
    }
    let mut is_spared = false;
    if !changes.need_a_plan()
        && (changes.out_of_memory || was_killed_for_memory(&run, observe))
        && let Some(position) = course::next(&recipe, &history)
    {
        let note = spare_memory(&mut recipe.phases[position.phase], path)?;
        observe(Event::Note(note));
        is_spared = true;
    }
    if let Some(checkpoint) = &checkpoint {
        require_same_place(&recipe, path, &checkpoint.state)?;
    } else if let Some(trace) = run.trace_of_epochs() {
        return Err(Error::Checkpoint(format!(
            "{} is there, and the checkpoints that it came from are lost: start a new run from its weights \
             (warmstart train --weights {})",
            shown(&trace),
            command::word(path)
        )));
    }
    let mut job = assemble::<T>(recipe, machine, observe)?;
    if let Some(checkpoint) = &checkpoint {
        require_same_model(&job.info, checkpoint)?;
    }
    let files = DataFiles::of(job.task.data(), &job.recipe.data)?;
    let other_data = other_data(&run, &files, checkpoint.as_ref());
    tell_changes(&job.recipe, &before, checkpoint.as_ref(), observe);
    if changes.data.is_some() && other_data.is_none() {
        observe(Event::Note(
            "its data are the same files: the result is the same".into(),
        ));
    }
    let checkpoint = match &other_data {
        None => checkpoint,
        Some(OtherData {
            difference,
            was_accepted: false,
        }) if !changes.accept_data_change => {
            return Err(Error::Refused(format!(
                "{} does not hold the files that the run learned from: {difference}; bring them back, continue \
                 with these by --accept-data-change, or start a new run",
                shown(&job.recipe.data)
            )));
        }
        Some(OtherData { difference, .. }) => {
            observe(Event::Note(format!(
                "from here on the run learns from other files, so its figures before and after are not \
                 measured on the same: {difference}"
            )));
            between_epochs(&run, checkpoint, observe)?
        }
    };
    let plan = match (changes.need_a_plan(), is_spared) {
        (true, _) => {
            let open = open_choices(&job.recipe, &history);
            make_plan(&mut job, &open, observe)?
        }
        (false, true) => {
            let nothing_open = vec![Automatic::default(); job.recipe.phases.len()];
            make_plan(&mut job, &nothing_open, observe)?.or_else(|| run.plan())
        }
        (false, false) => run.plan(),
    };
    let Some(checkpoint) = checkpoint else {
        observe(Event::Note(
            "the run has no checkpoint yet: it starts from its first epoch".into(),
        ));
        let start = load(&job, observe)?;
        run.begin(&job.recipe, &start.report, &files)?;
        let session = Run::new(job, run, files, start.parameters);
        let mut session = session.with_plan(plan)?;
        session.align_files(None, observe)?;
        return session.run(observe);
    };
    note_other_simd(&checkpoint, observe);
    if changes.from_epoch.is_some() {
        observe(Event::Note(format!(
            "back to epoch {done}: what came after it is removed, and comes out the same again unless something \
             is changed"
        )));
    }
    let has_same_guard = job.recipe.guard == checkpoint.state.recipe.guard;
    let finished = run.summary().filter(|summary| {
        let whole = summary.state == RunState::Finished && summary.epochs == done;
        whole && other_data.is_none() && has_same_guard
    });
    let seen = checkpoint.state.images_in_epoch();
    let session = Run::at(job, run, files, checkpoint)?;
    let mut session = session.with_plan(plan)?;
    let finished = finished.filter(|_| !session.has_epochs_left());
    session.align_files(finished.as_ref(), observe)?;
    if session.has_epochs_left() {
        let within = match seen {
            0 => String::new(),
            _ => format!(", with {seen} images of epoch {} done", done + 1),
        };
        observe(Event::Note(format!(
            "going on after epoch {done} of {}{within}",
            session.epochs()
        )));
        return session.run(observe);
    }
    observe(Event::Note(format!(
        "{} has finished its {done} epochs; to train on: {} --epochs {}",
        shown(path),
        command::resume(path),
        done + MORE_EPOCHS
    )));
    match finished {
        // The test split was measured; that is done once.
        Some(summary) => session.keep_summary(summary),
        None => session.run(observe),
    }
}

/// Returns whether the run was surely killed for lack of memory. Where another process may have been, says so and
/// how to state it: the run goes on as it was, in the same bits.
fn was_killed_for_memory(run: &RunFolder, observe: Observer) -> bool {
    match run.silent_end() {
        None | Some((_, EndCause::OtherEnd)) => false,
        Some((_, EndCause::Killed)) => true,
        Some((phase, EndCause::Unknown)) => {
            observe(Event::Note(format!(
                "the run ended without a word in phase {phase}, and the system has killed a process for lack of \
                 memory since that phase began: if it was this run, stop and resume with `{} {OUT_OF_MEMORY}`, \
                 which takes half as many images at a time; without it the run goes on as it was",
                command::resume(run.path())
            )));
            false
        }
    }
}

/// Says what of the recipe is not as it was: changed now, or since the checkpoint.
fn tell_changes(
    recipe: &Recipe,
    before: &Recipe,
    checkpoint: Option<&Checkpoint>,
    observe: Observer,
) {
    let earlier = checkpoint.map_or_else(Vec::new, |checkpoint| {
        before.differences(&checkpoint.state.recipe)
    });
    for line in earlier {
        observe(Event::Note(format!(
            "the recipe was changed since the checkpoint: {line}"
        )));
    }
    for line in recipe.differences(before) {
        observe(Event::Note(format!("changed: {line}")));
    }
}

/// The same bits are promised within one SIMD level.
fn note_other_simd(checkpoint: &Checkpoint, observe: Observer) {
    let here = warmstart_nn::simd_level().unwrap_or_default();
    let there = &checkpoint.state.simd;
    if there != here {
        observe(Event::Note(format!(
            "the run went at the SIMD level {there} so far and goes on at {here}: the result is as \
             good, but not the same in every bit"
        )));
    }
}

fn chosen(run: &RunFolder, epoch: usize) -> Result<Checkpoint, Error> {
    let kept = run.checkpoints.epochs()?;
    if !kept.contains(&epoch) {
        let kept = match kept.len() {
            0 => "there are none yet".to_owned(),
            _ => {
                let kept: Vec<_> = kept.iter().map(usize::to_string).collect();
                format!("those kept are of the epochs {}", kept.join(", "))
            }
        };
        return Err(Error::usage(format!(
            "--from-epoch {epoch}: there is no checkpoint of it; {kept}"
        )));
    }
    run.checkpoints.open(At::Epoch(epoch))
}
