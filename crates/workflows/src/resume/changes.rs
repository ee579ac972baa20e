//! The changes that `resume` makes to a run and its recipe.

use std::path::Path;

use warmstart_language::message;
use warmstart_nn::devices;
use warmstart_recipe::{
    Auto, ByMemory, Draft, Error, Key, Phase, Problem, Recipe, absolute, command, phase_flags_given,
};
use warmstart_run::position;
use warmstart_run::record::EpochRecord;

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
        let frozen = options.frozen.clone().with_shared(options);
        let mut thawed = options.thawed.clone().with_shared(options);
        // Here `epochs` is the total, not that of a phase.
        thawed.epochs = None;
        let first = first_open(&recipe, history);
        let mut has_phase = [false; 2];
        for phase in &mut recipe.phases[first..] {
            let is_frozen = phase.train.freezes_backbone();
            has_phase[usize::from(!is_frozen)] = true;
            phase.take_options(if is_frozen { &frozen } else { &thawed });
        }
        for (place, flags) in phase_flags_given(options).into_iter().enumerate() {
            let flag = flags.into_iter().find(|flag| *flag != Key::EPOCHS);
            if let Some(flag) = flag.filter(|_| !has_phase[place]) {
                let what = if place == 0 {
                    message!("{flag} has no effect: no frozen epochs are left")
                } else {
                    message!("{flag} has no effect: no thawed epochs are left")
                };
                return Err(Problem::new(what).of_key(flag).into());
            }
        }
        for (flag, phase) in [(Key::FREEZE_BATCH, &frozen), (Key::BATCH, &thawed)] {
            if phase.batch == Some(Auto::Auto) {
                return Err(Problem::of_value(flag, "auto", message!("a number on resume")).into());
            }
        }
        recipe.take_options(options);
        if options.device == Some(Auto::Auto) {
            recipe.device = devices::automatic()?;
        }
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
        let what = message!(
            "the run ended in phase {name} for lack of memory, and its micro-batch is a single image already"
        );
        return Err(Error::memory(what).fix(message!(
            "free some memory and resume with `{} {} auto`, or start a run with a smaller model or {}",
            command::resume(run),
            Key::MEMORY,
            Key::IMAGE_SIZE
        )));
    }
    let after = before.div_ceil(2);
    let note = message!(
        "the run ended in phase {name} for lack of memory: continuing with micro-batches of {after} instead of \
         {before}; gradients are still averaged over the batch of {batch}"
    );
    phase.micro_batch = Some(after);
    Ok(note)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use warmstart_recipe::{Flag, OptionInfo, PHASE_OPTIONS, RUN_OPTIONS, ResumeFlag};

    use super::*;

    /// Values of which each option takes at least one that differs from that of the recipe below.
    const VALUES: [&str; 8] = ["30", "7", "0.123", "2GiB", "skip", "false", "cpu", "bf16"];

    /// The changes by each flag of `resume` for an option, with one value.
    fn changes_by_flags(option: &OptionInfo, text: &str) -> Vec<Changes> {
        let by = |set: &dyn Fn(&mut Draft, &OsStr) -> Result<(), String>| {
            let mut changes = Changes::default();
            let is_set = set(&mut changes.options, OsStr::new(text));
            is_set.is_ok().then_some(changes)
        };
        let of_run = || by(&|draft, text| draft.set(option.key, text));
        let of_frozen = || by(&|draft, text| draft.frozen.set(option.key, text));
        let of_thawed = || by(&|draft, text| draft.thawed.set(option.key, text));
        let flags = match (option.flag, option.resume.flag) {
            (Flag::None, _) => Vec::new(),
            (Flag::Value(_) | Flag::Switch { .. }, _) => vec![of_run()],
            (Flag::Phases { .. }, ResumeFlag::Thawed(_)) => vec![of_thawed()],
            (Flag::Phases { .. }, _) => vec![of_frozen(), of_thawed()],
        };
        flags.into_iter().flatten().collect()
    }

    #[test]
    fn every_flag_of_resume_changes_the_recipe() {
        let text = "data = '/d'\nmodel = 'resnet18'\nweights = 'w'\ndevice = 'gpu'";
        let draft: Draft = toml::from_str(text).unwrap();
        let recipe = draft.resolve(224, None).unwrap();
        let mut tried = 0;
        for option in RUN_OPTIONS.iter().chain(PHASE_OPTIONS) {
            if matches!(option.resume.flag, ResumeFlag::None) {
                continue;
            }
            tried += 1;
            let changed = VALUES.iter().any(|text| {
                let changes = changes_by_flags(option, text);
                let changes_recipe = |changes: &Changes| {
                    let now = changes.apply(recipe.clone(), &[]);
                    now.is_ok_and(|now| !now.differences(&recipe).is_empty())
                };
                !changes.is_empty() && changes.iter().all(changes_recipe)
            });
            assert!(changed, "{} is ignored", option.key);
        }
        assert!(tried >= 6, "{tried}");
    }

    #[test]
    fn options_above_the_phases_reach_every_open_phase() {
        let draft: Draft =
            toml::from_str("data = '/d'\nmodel = 'resnet18'\nweights = 'w'").unwrap();
        let recipe = draft.resolve(224, None).unwrap();
        let mut changes = Changes::default();
        changes.options.set("patience", OsStr::new("3")).unwrap();
        let now = changes.apply(recipe, &[]).unwrap();
        assert!(now.phases.iter().all(|phase| phase.patience == 3));
    }

    #[test]
    fn a_run_goes_from_a_card_to_the_processor_in_f32_alone() {
        let text =
            "data = '/d'\nmodel = 'resnet18'\nweights = 'w'\ndevice = 'gpu'\nprecision = 'bf16'";
        let draft: Draft = toml::from_str(text).unwrap();
        let recipe = draft.resolve(224, None).unwrap();
        let mut changes = Changes::default();
        changes.options.set("device", OsStr::new("cpu")).unwrap();
        let error = changes.apply(recipe.clone(), &[]).unwrap_err();
        assert_eq!(error.fields().key.as_deref(), Some(Key::PRECISION.0));
        changes.options.set("precision", OsStr::new("f32")).unwrap();
        let now = changes.apply(recipe.clone(), &[]).unwrap();
        assert_eq!(
            now.differences(&recipe),
            [
                "device gpu:0 → cpu: equally good from here on, but not bit-identical",
                "precision bf16 → f32: from here on",
            ]
        );
    }

    #[test]
    fn auto_is_refused_by_the_flag_that_was_given() {
        let draft: Draft =
            toml::from_str("data = '/d'\nmodel = 'resnet18'\nweights = 'w'").unwrap();
        let recipe = draft.resolve(224, None).unwrap();
        let mut changes = Changes::default();
        let frozen = &mut changes.options.frozen;
        frozen.set("batch", OsStr::new("auto")).unwrap();
        let error = changes.apply(recipe, &[]).unwrap_err();
        assert_eq!(
            error.fields().key.as_deref(),
            Some(Key::FREEZE_BATCH.0),
            "{error}"
        );
    }
}
