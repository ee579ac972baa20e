//! The device of a run that continues: whether it is there, and whether it is another one than before.

use std::path::Path;

use warmstart_language::message;
use warmstart_nn::devices;
use warmstart_recipe::{Error, Key, Precision, Problem, Recipe, command};
use warmstart_run::checkpoint::Checkpoint;
use warmstart_run::event::{Event, Observer};
use warmstart_run::position;
use warmstart_train::device::card_identity;

/// Refuses a device that is not there, and says which card the run was on.
pub(super) fn require_device(
    recipe: &Recipe,
    run: &Path,
    checkpoint: Option<&Checkpoint>,
) -> Result<(), Error> {
    let Err(error) = devices::open(recipe.device) else {
        return Ok(());
    };
    let before = checkpoint.and_then(|checkpoint| checkpoint.state.device.as_ref());
    let what = match before {
        Some(card) => {
            message!("the run was trained on a graphics card so far ({card}), and {error}")
        }
        None => error.to_string(),
    };
    let resume = command::resume(run);
    let fix = match recipe.precision {
        Precision::F32 => message!(
            "continue on the processor with `{resume} {} cpu`, or on a device that `warmstart devices` lists",
            Key::DEVICE
        ),
        Precision::Bf16 | Precision::F16 => message!(
            "continue on the processor with `{resume} {} cpu {} f32`, or on a device that `warmstart devices` lists",
            Key::DEVICE,
            Key::PRECISION
        ),
    };
    Err(Problem::new(what).of_key(Key::DEVICE).fix(fix).into())
}

/// Whether a run with epochs left has computed on another device up to a checkpoint, or in another format.
pub(super) fn has_other_device(recipe: &Recipe, checkpoint: &Checkpoint) -> bool {
    let state = &checkpoint.state;
    let has_epochs_left = position::next(recipe, &state.history).is_some();
    has_epochs_left && state.device != card_identity(recipe)
}

/// Whether the options of the device differ.
pub(super) fn has_other_options(recipe: &Recipe, before: &Recipe) -> bool {
    (recipe.device, recipe.precision) != (before.device, before.precision)
}

/// Notes a change of what the same bits are promised within: a card and its driver, or the processor's SIMD level. A
/// change of the recipe is reported as such.
pub(super) fn note_other_bits(recipe: &Recipe, checkpoint: &Checkpoint, observe: Observer) {
    let before = &checkpoint.state;
    if has_other_options(recipe, &before.recipe) {
        return;
    }
    let simd = warmstart_nn::simd_level().unwrap_or_default();
    match (&before.device, card_identity(recipe)) {
        (None, None) if before.simd != simd => observe(Event::Note(message!(
            "the run was trained at the SIMD level {there} so far and continues at {here}: equally good, but not \
             bit-identical",
            there = before.simd,
            here = simd
        ))),
        (Some(there), Some(here)) if *there != here => observe(Event::Note(message!(
            "the run was trained on another graphics card or driver so far ({there}) and continues on this one \
             ({here}): equally good, but not bit-identical"
        ))),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::{Draft, plain};
    use warmstart_run::checkpoint::State;

    use super::*;

    fn recipe(lines: &str) -> Recipe {
        let text = format!("data = '/d'\nmodel = 'resnet18'\nweights = 'w'\n{lines}");
        let draft: Draft = toml::from_str(&text).unwrap();
        draft.resolve(224, None).unwrap()
    }

    /// A checkpoint of a run with this recipe, before its first epoch's end.
    fn checkpoint(recipe: &Recipe, device: Option<&str>, simd: &str) -> Checkpoint {
        Checkpoint {
            folder: "checkpoint".into(),
            state: State {
                format: State::FORMAT,
                warmstart: "0".into(),
                simd: simd.into(),
                device: device.map(str::to_owned),
                recipe: recipe.clone(),
                phase: "freeze".into(),
                data: "d".into(),
                frozen_features: Vec::new(),
                epoch: 0,
                epoch_in_progress: None,
                step: 0,
                optimizer_steps: 0,
                skipped_in_a_row: 0,
                loss_scale: None,
                history: Vec::new(),
                files: Default::default(),
            },
        }
    }

    fn notes(recipe: &Recipe, checkpoint: &Checkpoint) -> Vec<String> {
        let mut notes = Vec::new();
        note_other_bits(recipe, checkpoint, &mut |event| {
            if let Event::Note(note) = event {
                notes.push(note);
            }
        });
        notes
    }

    #[test]
    fn on_the_processor_another_simd_level_is_noted_and_nothing_else() {
        let recipe = recipe("device = 'cpu'");
        let simd = warmstart_nn::simd_level().unwrap();
        let same = checkpoint(&recipe, None, simd);
        assert!(notes(&recipe, &same).is_empty());
        assert!(!has_other_device(&recipe, &same));
        let other = checkpoint(&recipe, None, "another");
        let notes = notes(&recipe, &other);
        assert!(notes[0].contains("at the SIMD level another"), "{notes:?}");
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn a_run_that_leaves_its_card_gets_a_new_plan_and_no_note_beside_its_change() {
        let [before, now] = ["gpu:99", "cpu"].map(|name| recipe(&format!("device = '{name}'")));
        let on_card = checkpoint(&before, Some("a card"), "another");
        assert!(has_other_options(&now, &before));
        assert!(has_other_device(&now, &on_card));
        assert!(notes(&now, &on_card).is_empty());
        assert_eq!(now.differences(&before).len(), 1);
    }

    #[test]
    fn a_card_that_is_not_there_is_named_with_the_command_that_does_without() {
        for (precision, command) in [
            ("f32", "`warmstart resume runs/a device cpu`"),
            ("bf16", "`warmstart resume runs/a device cpu precision f32`"),
        ] {
            let recipe = recipe(&format!("device = 'gpu:99'\nprecision = '{precision}'"));
            let on_card = checkpoint(&recipe, Some("vulkan, a card"), "another");
            let error = require_device(&recipe, Path::new("runs/a"), Some(&on_card));
            let error = error.unwrap_err();
            assert!(error.is_usage());
            let said = plain(&error.to_string());
            assert!(said.contains("so far (vulkan, a card), and "), "{said}");
            assert!(said.contains(command), "{said}");
        }
        let recipe = recipe("device = 'cpu'");
        assert!(require_device(&recipe, Path::new("runs/a"), None).is_ok());
    }
}
