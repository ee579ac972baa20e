//! The changes that `resume` makes to a run and its recipe.

use std::path::Path;

use warmstart_recipe::{
    Auto, ByMemory, Draft, Error, Key, Phase, Problem, Recipe, Train, absolute, command,
    phase_flags_given,
};
use warmstart_run::position;
use warmstart_run::record::EpochRecord;

/// Images per step.
const BATCH: Key = Key("batch");

/// The changes that `resume` makes.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New values of options: those of the run, of the phases that train the head alone (`frozen`), and of the others
    /// (`thawed`), whose epochs are the new total.
    pub options: Draft,
    /// The epoch after which to continue, instead of the last.
    pub from_epoch: Option<usize>,
    /// Whether other files, sizes or labels are accepted.
    pub accept_data_change: bool,
    /// Whether the run failed to allocate, or was killed for lack of memory.
    pub out_of_memory: bool,
}

impl Changes {
    /// Whether the changes need a new plan.
    pub(super) fn need_a_plan(&self) -> bool {
        let Draft {
            memory,
            frozen,
            thawed,
            ..
        } = &self.options;
        memory.is_some() || frozen.batch.is_some() || thawed.batch.is_some()
    }

    /// The recipe with the changes, except in phases whose epochs are all finished.
    pub(super) fn apply(
        &self,
        mut recipe: Recipe,
        history: &[EpochRecord],
    ) -> Result<Recipe, Error> {
        let options = &self.options;
        if let Some(epochs) = options.thawed.epochs
            && (epochs != position::epochs(&recipe, history) || epochs < history.len())
        {
            recipe = position::with_epochs(recipe, epochs, history)?;
        }
        let mut thawed = options.thawed.clone();
        // Here `epochs` is the total, not that of a phase.
        thawed.epochs = None;
        let first = first_open(&recipe, history);
        let mut has_phase = [false; 2];
        for phase in &mut recipe.phases[first..] {
            let is_frozen = phase.train == Train::Head;
            has_phase[usize::from(!is_frozen)] = true;
            phase.take_options(if is_frozen { &options.frozen } else { &thawed });
        }
        for (place, flags) in phase_flags_given(options).into_iter().enumerate() {
            let flag = flags.into_iter().find(|flag| *flag != Key::EPOCHS);
            if let Some(flag) = flag.filter(|_| !has_phase[place]) {
                let backbone = ["frozen", "thawed"][place];
                let what = format!("{flag} has no effect: no {backbone} epochs are left");
                return Err(Problem::new(what).of_key(flag).into());
            }
        }
        if [&options.frozen, &options.thawed]
            .iter()
            .any(|phase| phase.batch == Some(Auto::Auto))
        {
            return Err(Problem::of_value(BATCH, "auto", "a number on resume").into());
        }
        recipe.take_options(options);
        recipe.data = absolute(&recipe.data);
        recipe.check()?;
        Ok(recipe)
    }
}

/// The options that a new plan chooses: the micro-batches of the phases that are not finished.
pub(super) fn open_options(recipe: &Recipe, history: &[EpochRecord]) -> Vec<ByMemory> {
    let first = first_open(recipe, history);
    let open = (0..recipe.phases.len()).map(|phase| ByMemory {
        micro_batch: phase >= first,
        ..ByMemory::default()
    });
    open.collect()
}

/// Index of the first phase that is not finished; the number of phases if all are.
fn first_open(recipe: &Recipe, history: &[EpochRecord]) -> usize {
    position::next(recipe, history).map_or(recipe.phases.len(), |position| position.phase)
}

/// Halves the micro-batch of a phase that ran out of memory, and returns a note on it.
pub(super) fn spare_memory(phase: &mut Phase, run: &Path) -> Result<String, Error> {
    let Phase { name, batch, .. } = &*phase;
    let before = phase.micro_batch();
    if before == 1 {
        let what = format!(
            "the run ended in phase {name} for lack of memory, and its micro-batch is a single image already"
        );
        return Err(Error::memory(what).fix(format!(
            "free some memory and resume with `{} {} auto`, or start a run with a smaller model or {}",
            command::resume(run),
            Key::MEMORY,
            Key::IMAGE_SIZE
        )));
    }
    let after = before.div_ceil(2);
    let note = format!(
        "the run ended in phase {name} for lack of memory: continuing with micro-batches of {after} instead of \
         {before}; gradients are still averaged over the batch of {batch}"
    );
    phase.micro_batch = Some(after);
    Ok(note)
}
