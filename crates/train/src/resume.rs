//! Going on with a run.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::checkpoint::{At, Checkpoint, MODEL, State};
use crate::classify::Classification;
use crate::data_files::DataFiles;
use crate::detect::Detection;
use crate::event::{Event, Observer};
use crate::job::Machine;
use crate::launch::{absolute, assemble, load, make_plan};
use crate::model_file::ModelInfo;
use crate::recipe::{self, Automatic, Memory, OnNonFinite, Phase, Recipe, Train};
use crate::record::{RunState, Summary};
use crate::run::{RECIPE, RunFolder};
use crate::runs::MORE_EPOCHS;
use crate::session::Session;
use crate::task::Task;

/// What `resume` may change.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Total of epochs over all phases.
    pub epochs: Option<usize>,
    /// Go on after this epoch instead of the last.
    pub from_epoch: Option<usize>,
    /// Batch of the phases that train more than the head.
    pub batch: Option<usize>,
    /// Batch of the phases that train the head alone.
    pub freeze_batch: Option<usize>,
    /// Learning rate of the phases that train more than the head.
    pub lr: Option<f64>,
    /// Learning rate of the phases that train the head alone.
    pub freeze_lr: Option<f64>,
    /// What to do about a step whose loss or gradient is not a number.
    pub on_nonfinite: Option<OnNonFinite>,
    /// Where the data set is now.
    pub data: Option<PathBuf>,
    /// Whether other files, sizes or labels are accepted.
    pub accept_data_change: bool,
    /// Memory to keep within.
    pub memory: Option<Memory>,
    /// Whether the run failed to allocate.
    pub out_of_memory: bool,
}

impl Changes {
    /// Whether they touch what is planned.
    fn need_a_plan(&self) -> bool {
        self.batch.is_some() || self.freeze_batch.is_some() || self.memory.is_some()
    }
}

/// Goes on with a run from its newest sound checkpoint, or from the start if it has none.
///
/// # Errors
/// If there is no run, no sound checkpoint, or a change that cannot be; if training fails. Nothing
/// is changed before the checkpoint is loaded.
pub fn resume(
    path: &Path,
    changes: &Changes,
    machine: Machine,
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
    machine: Machine,
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
    let mut recipe = change(before.clone(), changes, done)?;
    if !changes.need_a_plan()
        && (changes.out_of_memory || run.killed_for_memory().is_some())
        && let Some(position) = recipe.position(done + 1)
    {
        let note = spare_memory(&mut recipe.phases[position.phase], path)?;
        observe(Event::Note(note));
    }
    if let Some(checkpoint) = &checkpoint {
        require_same_place(&recipe, path, &checkpoint.state)?;
    } else if let Some(trace) = run.trace_of_epochs() {
        return Err(Error::Checkpoint(format!(
            "{} is there, and the checkpoints that it came from are lost: start a new run from its weights \
             (warmstart train --weights {})",
            trace.display(),
            path.display()
        )));
    }
    let epochs = recipe.epochs();
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
        Some(difference) if !changes.accept_data_change && !was_accepted(&run, &files) => {
            return Err(Error::Refused(format!(
                "{} does not hold the files that the run learned from: {difference}; bring them back, go on \
                 with these by --accept-data-change, or start a new run",
                job.recipe.data.display()
            )));
        }
        Some(difference) => {
            observe(Event::Note(format!(
                "from here on the run learns from other files, so its figures before and after are not \
                 measured on the same: {difference}"
            )));
            between_epochs(&run, checkpoint, observe)?
        }
    };
    let plan = match changes.need_a_plan() {
        true => {
            let open = open_choices(&job.recipe, done);
            make_plan(&mut job, &open, observe)?
        }
        false => run.plan(),
    };
    let Some(checkpoint) = checkpoint else {
        observe(Event::Note(
            "the run has no checkpoint yet: it starts from its first epoch".into(),
        ));
        let start = load(&job, observe)?;
        run.begin(&job.recipe, &start.report, &files)?;
        let session = Session::new(job, run, files, start.parameters);
        let mut session = session.with_plan(plan)?;
        session.align_files(observe)?;
        return session.run(observe);
    };
    note_other_simd(&checkpoint, observe);
    let finished = run.summary().filter(|summary| {
        let whole = summary.state == RunState::Finished && summary.epochs == epochs;
        whole && other_data.is_none()
    });
    let seen = checkpoint.state.images_in_epoch();
    let session = Session::at(job, run, files, checkpoint)?;
    let mut session = session.with_plan(plan)?;
    session.align_files(observe)?;
    if done < epochs {
        let within = match seen {
            0 => String::new(),
            _ => format!(", with {seen} images of epoch {} behind", done + 1),
        };
        observe(Event::Note(format!(
            "going on after epoch {done} of {epochs}{within}"
        )));
        return session.run(observe);
    }
    let shown = path.display();
    observe(Event::Note(format!(
        "{shown} has finished its {done} epochs; to train on: warmstart resume {shown} --epochs {}",
        done + MORE_EPOCHS
    )));
    match finished {
        // The test split was measured; that is done once.
        Some(summary) => session.keep_summary(summary),
        None => session.run(observe),
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

/// Refuses a checkpoint of other classes, another network or another image size: nothing of the result
/// would mean anything.
fn require_same_model(info: &ModelInfo, checkpoint: &Checkpoint) -> Result<(), Error> {
    let path = checkpoint.folder.join(MODEL);
    let found = ModelInfo::of(&warmstart_weights::read(&path)?)?;
    match info.difference(found.as_ref()) {
        None => Ok(()),
        Some(difference) => Err(Error::Model {
            path,
            problem: format!(
                "{difference}: this run cannot go on with them; start a new one from its weights \
                 (warmstart train --weights)"
            ),
        }),
    }
}

/// How the data differ from those that the run learned from; `None` if they do not.
fn other_data(
    run: &RunFolder,
    files: &DataFiles,
    checkpoint: Option<&Checkpoint>,
) -> Option<String> {
    let listed = run.data_files();
    let expected = match checkpoint {
        Some(checkpoint) => checkpoint.state.data.clone(),
        None => listed.as_ref()?.checksum(),
    };
    if files.checksum() == expected {
        return None;
    }
    // The list may be lost, or be that of a later change.
    let listed = listed.filter(|listed| listed.checksum() == expected);
    Some(listed.map_or_else(
        || {
            "files, sizes or labels; which ones cannot be said, for the run's list of them is lost"
                .into()
        },
        |listed| files.difference(&listed),
    ))
}

/// Whether these data were accepted before, by a process that ended before its first checkpoint.
fn was_accepted(run: &RunFolder, files: &DataFiles) -> bool {
    run.data_files().is_some_and(|listed| listed == *files)
}

/// The newest checkpoint between two epochs: which images of an epoch are behind means nothing to others.
fn between_epochs(
    run: &RunFolder,
    checkpoint: Option<Checkpoint>,
    observe: Observer,
) -> Result<Option<Checkpoint>, Error> {
    let in_hand = |checkpoint: &Checkpoint| checkpoint.state.epoch_in_hand.is_some();
    if !checkpoint.as_ref().is_some_and(in_hand) {
        return Ok(checkpoint);
    }
    let newest = run.checkpoints.newest_epoch(&mut |damage| {
        observe(Event::Note(format!(
            "skipped a damaged checkpoint: {damage}"
        )));
    })?;
    let epoch = newest.as_ref().map_or(0, |newest| newest.state.epoch);
    observe(Event::Note(format!("epoch {} begins again", epoch + 1)));
    Ok(newest)
}

/// Refuses a recipe in which the run is no longer where its checkpoint was.
fn require_same_place(recipe: &Recipe, run: &Path, state: &State) -> Result<(), Error> {
    let file = run.join(RECIPE);
    let file = file.display();
    let in_hand = state.epoch_in_hand.is_some();
    let epoch = state.epoch + usize::from(in_hand);
    let Some(position) = recipe.position(epoch) else {
        return Err(Error::usage(format!(
            "{file} has {} epochs, and {} are done: give it more, or go back by --from-epoch",
            recipe.epochs(),
            state.epoch
        )));
    };
    let phase = &recipe.phases[position.phase];
    if phase.name != state.phase {
        return Err(Error::usage(format!(
            "{file} has phase {} where the run is in phase {}: give the phases back their names and places",
            phase.name, state.phase
        )));
    }
    let before = state
        .recipe
        .phases
        .iter()
        .find(|phase| phase.name == state.phase);
    let Some(before) = before.filter(|_| in_hand || !recipe.ends_phase(epoch)) else {
        return Ok(());
    };
    for (key, is_same) in [
        ("train", before.train == phase.train),
        ("optimizer", before.optimizer == phase.optimizer),
    ] {
        if !is_same {
            return Err(Error::usage(format!(
                "{file} has another `{key}` in phase {}, in the middle of which the run is: change it back, or \
                 go back to the phase's beginning by --from-epoch",
                phase.name
            )));
        }
    }
    Ok(())
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

/// The recipe with the changes, which touch no phase whose epochs are all done.
fn change(mut recipe: Recipe, changes: &Changes, done: usize) -> Result<Recipe, Error> {
    if let Some(epochs) = changes.epochs
        && (epochs != recipe.epochs() || epochs < done)
    {
        recipe = recipe.with_epochs(epochs, done)?;
    }
    let flags = [
        ("--batch", changes.batch.is_some(), false),
        ("--lr", changes.lr.is_some(), false),
        ("--freeze-batch", changes.freeze_batch.is_some(), true),
        ("--freeze-lr", changes.freeze_lr.is_some(), true),
    ];
    let mut end = 0;
    let mut hit = [false; 2];
    for phase in &mut recipe.phases {
        end += phase.epochs;
        if end <= done {
            continue;
        }
        let frozen = phase.train == Train::Head;
        hit[usize::from(frozen)] = true;
        let (batch, lr) = match frozen {
            true => (changes.freeze_batch, changes.freeze_lr),
            false => (changes.batch, changes.lr),
        };
        phase.batch = batch.unwrap_or(phase.batch);
        phase.lr = lr.unwrap_or(phase.lr);
    }
    for (flag, given, frozen) in flags {
        if given && !hit[usize::from(frozen)] {
            return Err(Error::usage(format!(
                "{flag}: no epoch is left whose backbone is {}",
                if frozen { "frozen" } else { "thawed" }
            )));
        }
    }
    recipe.memory = changes.memory.unwrap_or(recipe.memory);
    recipe.on_nonfinite = changes.on_nonfinite.unwrap_or(recipe.on_nonfinite);
    if let Some(data) = &changes.data {
        recipe.data = absolute(data);
    }
    recipe.check()?;
    Ok(recipe)
}

/// What a new plan decides: the micro-batches of the phases that are not done.
fn open_choices(recipe: &Recipe, done: usize) -> Vec<Automatic> {
    let mut end = 0;
    let choices = recipe.phases.iter().map(|phase| {
        end += phase.epochs;
        Automatic {
            batch: false,
            micro_batch: end > done,
            lr: false,
        }
    });
    choices.collect()
}

/// Lets a phase for which there was not enough memory do with less, and says so.
fn spare_memory(phase: &mut Phase, run: &Path) -> Result<String, Error> {
    let Phase { name, batch, .. } = &*phase;
    let before = phase.micro_batch();
    if before == 1 {
        return Err(Error::Memory(format!(
            "the run ended in phase {name} for lack of memory, and its images go one at a time \
             already: free some memory and resume with `warmstart resume {} --memory auto`, or start a \
             run with a smaller model or --image-size",
            run.display()
        )));
    }
    let after = before.div_ceil(2);
    let note = format!(
        "the run ended in phase {name} for lack of memory: it goes on with {after} images at a time \
         instead of {before}, and the gradients averaged over the batch of {batch}"
    );
    phase.micro_batch = Some(after);
    Ok(note)
}
