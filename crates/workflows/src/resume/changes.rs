//! What may be changed, and what of the recipe follows.

use std::path::{Path, PathBuf};

use warmstart_recipe::Error;
use warmstart_recipe::command;
use warmstart_run::position;
use warmstart_recipe::absolute;
use warmstart_recipe::Automatic;
use warmstart_recipe::Memory;
use warmstart_recipe::OnNonFinite;
use warmstart_recipe::Phase;
use warmstart_recipe::Recipe;
use warmstart_recipe::Train;
use warmstart_run::record::EpochRecord;

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
    /// Whether the thaw has to beat the frozen model to be kept.
    pub guard: Option<bool>,
    /// Where the data set is now.
    pub data: Option<PathBuf>,
    /// Whether other files, sizes or labels are accepted.
    pub accept_data_change: bool,
    /// Memory to keep within.
    pub memory: Option<Memory>,
    /// True if the run failed to allocate, or was killed for lack of memory.
    pub out_of_memory: bool,
}

impl Changes {
    /// Whether they touch what is planned.
    pub(super) fn need_a_plan(&self) -> bool {
        self.batch.is_some() || self.freeze_batch.is_some() || self.memory.is_some()
    }
}

/// The recipe with the changes, which touch no phase whose epochs are all done.
pub(super) fn change(
    mut recipe: Recipe,
    changes: &Changes,
    history: &[EpochRecord],
) -> Result<Recipe, Error> {
    if let Some(epochs) = changes.epochs
        && (epochs != course::epochs(&recipe, history) || epochs < history.len())
    {
        recipe = course::with_epochs(recipe, epochs, history)?;
    }
    let flags = [
        ("--batch", changes.batch.is_some(), false),
        ("--lr", changes.lr.is_some(), false),
        ("--freeze-batch", changes.freeze_batch.is_some(), true),
        ("--freeze-lr", changes.freeze_lr.is_some(), true),
    ];
    let first = first_open(&recipe, history);
    let mut hit = [false; 2];
    for phase in &mut recipe.phases[first..] {
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
    recipe.guard = changes.guard.unwrap_or(recipe.guard);
    recipe.on_nonfinite = changes.on_nonfinite.unwrap_or(recipe.on_nonfinite);
    if let Some(data) = &changes.data {
        recipe.data = absolute(data);
    }
    recipe.check()?;
    Ok(recipe)
}

/// What a new plan decides: the micro-batches of the phases that are not done.
pub(super) fn open_choices(recipe: &Recipe, history: &[EpochRecord]) -> Vec<Automatic> {
    let first = first_open(recipe, history);
    let choices = (0..recipe.phases.len()).map(|phase| Automatic {
        micro_batch: phase >= first,
        ..Automatic::default()
    });
    choices.collect()
}

/// Index of the first phase that is not done; the number of phases if all are.
fn first_open(recipe: &Recipe, history: &[EpochRecord]) -> usize {
    course::next(recipe, history).map_or(recipe.phases.len(), |position| position.phase)
}

/// Lets a phase for which there was not enough memory do with less, and says so.
pub(super) fn spare_memory(phase: &mut Phase, run: &Path) -> Result<String, Error> {
    let Phase { name, batch, .. } = &*phase;
    let before = phase.micro_batch();
    if before == 1 {
        return Err(Error::Memory(format!(
            "the run ended in phase {name} for lack of memory, and its images go one at a time \
             already: free some memory and resume with `{} --memory auto`, or start a \
             run with a smaller model or --image-size",
            command::resume(run)
        )));
    }
    let after = before.div_ceil(2);
    let note = format!(
        "the run ended in phase {name} for lack of memory: it continues with {after} images at a time \
         instead of {before}, and the gradients averaged over the batch of {batch}"
    );
    phase.micro_batch = Some(after);
    Ok(note)
}
