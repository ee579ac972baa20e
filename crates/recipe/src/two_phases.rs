//! The default phases, a freeze and a thaw, and the flags for them.

use warmstart_language::message;

use crate::error::{Error, Problem};
use crate::option::{Flag, PhaseFlag};
use crate::options::{Draft, DraftPhase, PHASE_OPTIONS};
use crate::train::Train;
use warmstart_files::Key;

/// The flags of the frozen phases and those of the thawed ones that were given.
pub fn phase_flags_given(draft: &Draft) -> [Vec<Key>; 2] {
    let mut given = [Vec::new(), Vec::new()];
    for option in PHASE_OPTIONS {
        let Flag::Phases { frozen, thawed, .. } = option.flag else {
            continue;
        };
        for (place, flag, phase) in [(0, frozen, &draft.frozen), (1, thawed, &draft.thawed)] {
            if let Some(PhaseFlag { name, .. }) = flag
                && phase.gives(option.key)
            {
                given[place].push(Key(name));
            }
        }
    }
    given
}

/// The phases of a recipe; if they are a freeze and a thaw, flags override them.
pub(crate) fn override_phases(
    draft: &Draft,
    phases: Vec<DraftPhase>,
) -> Result<Vec<DraftPhase>, Error> {
    let Some(flag) = phase_flags_given(draft).into_iter().flatten().next() else {
        return Ok(phases);
    };
    let [own_freeze, own_thaw]: [DraftPhase; 2] =
        phases.try_into().map_err(|_| other_phases(flag))?;
    if !own_freeze
        .train
        .as_ref()
        .is_some_and(Train::freezes_backbone)
        || !own_thaw.train.as_ref().is_some_and(Train::freezes_nothing)
    {
        return Err(other_phases(flag));
    }
    let own_epochs = own_thaw.epochs;
    let freeze = own_freeze.overridden_by(&draft.frozen);
    let mut thaw = own_thaw.overridden_by(&draft.thawed);
    thaw.epochs = match draft.thawed.epochs {
        Some(total) => Some(thawed_epochs(total, freeze.epochs.unwrap_or(0))?),
        None => own_epochs,
    };
    let mut phases = vec![freeze, thaw];
    phases.retain(|phase| phase.epochs != Some(0));
    Ok(phases)
}

/// The phases of a draft that names none.
pub(crate) fn usual_phases(draft: &Draft) -> Result<Vec<DraftPhase>, Error> {
    let defaults = draft.defaults();
    let pretrained = draft.is_pretrained();
    let epochs = draft.thawed.epochs.unwrap_or(defaults.epochs);
    let frozen = match (draft.frozen.epochs, pretrained) {
        (Some(frozen), _) => frozen,
        (None, false) => 0,
        // A thaw is judged by validation images.
        (None, true) if draft.val_split == Some(0.0) && draft.thawed.epochs.is_none() => epochs,
        // In the proportion of the defaults, with an epoch left to thaw.
        (None, true) => {
            (epochs * defaults.frozen_epochs / defaults.epochs).min(epochs.saturating_sub(1))
        }
    };
    let thawed = thawed_epochs(epochs, frozen)?;
    for (flags, own_epochs) in phase_flags_given(draft).iter().zip([frozen, thawed]) {
        let useless = |flag: &&Key| ![Key::EPOCHS, Key::FREEZE_EPOCHS].contains(flag);
        if own_epochs == 0
            && let Some(flag) = flags.iter().find(useless)
        {
            let what = message!(
                "{flag} has no effect: the run has {frozen} frozen and {thawed} thawed epochs"
            );
            return Err(Problem::new(what).of_key(*flag).into());
        }
    }
    let phase = |name: &str, epochs, train, flags: &DraftPhase| DraftPhase {
        name: Some(name.to_owned()),
        epochs: Some(epochs),
        train: Some(train),
        ..flags.clone()
    };
    let last = if pretrained { "thaw" } else { "train" };
    let mut phases = vec![
        phase("freeze", frozen, Train::Head, &draft.frozen),
        phase(last, thawed, Train::All, &draft.thawed),
    ];
    phases.retain(|phase| phase.epochs != Some(0));
    Ok(phases)
}

fn thawed_epochs(total: usize, frozen: usize) -> Result<usize, Error> {
    total.checked_sub(frozen).ok_or_else(|| {
        let what = message!(
            "{frozen} frozen epochs are more than {} {total}, which is the total of both phases",
            Key::EPOCHS
        );
        Problem::new(what).of_key(Key::EPOCHS).into()
    })
}

fn other_phases(flag: Key) -> Error {
    let what = message!(
        "{flag} applies to the default phases freeze and thaw, but the recipe defines its own"
    );
    Problem::new(what)
        .of_key(flag)
        .fix(message!("set it there"))
        .into()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::HeadKind;

    /// A draft of a file and flags: `(is_frozen, key, text)`.
    fn draft(file: &str, flags: &[(bool, &str, &str)]) -> Draft {
        let text = format!("data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n{file}");
        let mut draft: Draft = toml::from_str(&text).unwrap();
        for (is_frozen, key, text) in flags {
            let phase = if *is_frozen {
                &mut draft.frozen
            } else {
                &mut draft.thawed
            };
            phase.set(key, OsStr::new(text)).unwrap();
        }
        draft
    }

    fn refused(draft: &Draft) -> String {
        crate::plain(&draft.resolve(224, None).unwrap_err().to_string())
    }

    #[test]
    fn a_file_with_weights_gives_a_freeze_and_a_thaw() {
        let flags = [(true, "head", "linear")];
        let recipe = draft("", &flags).resolve(224, None).unwrap();
        let [freeze, thaw] = &recipe.phases[..] else {
            panic!()
        };
        assert_eq!((freeze.train.clone(), freeze.epochs), (Train::Head, 8));
        assert_eq!(
            (thaw.train.clone(), thaw.epochs, thaw.warmup),
            (Train::All, 6, 0.1)
        );
        assert_eq!(recipe.image_size, 224);
    }

    #[test]
    fn without_weights_everything_trains_from_the_start() {
        let mut draft = draft("", &[]);
        draft.weights = Some("none".into());
        let recipe = draft.resolve(224, None).unwrap();
        assert_eq!(recipe.phases.len(), 1);
        assert_eq!(
            (recipe.phases[0].epochs, recipe.phases[0].layer_decay),
            (14, 1.0)
        );
    }

    #[test]
    fn without_validation_images_only_the_head_trains_unless_epochs_are_asked_for() {
        let phases = |flags: &[(bool, &str, &str)]| {
            let recipe = draft("val_split = 0.0\n", flags)
                .resolve(224, None)
                .unwrap();
            let phases = recipe.phases.iter();
            phases.map(|phase| phase.train.clone()).collect::<Vec<_>>()
        };
        assert_eq!(phases(&[]), [Train::Head]);
        let asked = phases(&[(false, "epochs", "14")]);
        assert_eq!(asked, [Train::Head, Train::All]);
    }

    #[test]
    fn a_head_is_solved_in_one_epoch_unless_an_option_of_its_steps_is_given() {
        let of = |flags: &[(bool, &str, &str)]| {
            let recipe = draft("", flags).resolve(224, None).unwrap();
            let [freeze, thaw] = &recipe.phases[..] else {
                panic!()
            };
            (freeze.head, freeze.epochs, thaw.head, thaw.epochs)
        };
        let (ridge, linear) = (HeadKind::Ridge, HeadKind::Linear);
        assert_eq!(of(&[]), (ridge, 1, linear, 6));
        assert_eq!(of(&[(true, "batch", "8")]), (ridge, 1, linear, 6));
        assert_eq!(of(&[(true, "balance", "prior")]), (ridge, 1, linear, 6));
        assert_eq!(of(&[(true, "balance", "loss")]), (linear, 8, linear, 6));
        assert_eq!(of(&[(true, "lr", "1e-3")]), (linear, 8, linear, 6));
        assert_eq!(of(&[(true, "views", "4")]), (linear, 8, linear, 6));
        let thawed = draft("", &[(false, "head", "ridge")]).resolve(224, None);
        assert!(
            thawed
                .unwrap_err()
                .to_string()
                .contains("where a part of the backbone trains")
        );
        let layers = draft(
            "",
            &[(true, "head", "linear"), (true, "head_layers", "last")],
        );
        assert!(refused(&layers).contains("left out unless head is"));
    }

    #[test]
    fn epochs_is_a_total() {
        let flags = [
            (true, "head", "linear"),
            (true, "epochs", "3"),
            (false, "epochs", "5"),
        ];
        let recipe = draft("", &flags).resolve(224, None).unwrap();
        assert_eq!([recipe.phases[0].epochs, recipe.phases[1].epochs], [3, 2]);
        let flags = [(true, "epochs", "6"), (false, "epochs", "5")];
        assert!(refused(&draft("", &flags)).contains("more than epochs 5"));
    }

    #[test]
    fn a_flag_leaves_open_what_a_recipe_gives() {
        let phases = "[[phase]]\ntrain = 'head'\nepochs = 1\nbatch = 7\n[[phase]]\ntrain = 'all'\nepochs = 1\nbatch = 7\n";
        let draft = draft(phases, &[(false, "batch", "auto"), (true, "batch", "9")]);
        let open = draft.draft_phases().unwrap();
        let is_open = |phase: &DraftPhase| phase.left_open().contains(&Key::BATCH);
        assert_eq!([is_open(&open[0]), is_open(&open[1])], [false, true]);
        let recipe = draft.resolve(224, None).unwrap();
        assert_eq!([recipe.phases[0].batch, recipe.phases[1].batch], [9, 16]);
        let refused = DraftPhase::default().set("batch", OsStr::new("many"));
        assert_eq!(refused, Err("expected a whole number, or auto".to_owned()));
    }

    #[test]
    fn flags_of_two_phases_do_not_go_with_own_phases() {
        let own = draft(
            "[[phase]]\ntrain = 'all'\nepochs = 1\n",
            &[(false, "lr", "0.1")],
        );
        assert!(refused(&own).starts_with("lr applies to the default phases"));
    }

    #[test]
    fn a_flag_for_a_phase_that_is_not_there_is_refused() {
        let flags = [(true, "epochs", "0"), (true, "lr", "0.1")];
        assert!(
            refused(&draft("", &flags))
                .starts_with("freeze_lr has no effect: the run has 0 frozen")
        );
    }
}
