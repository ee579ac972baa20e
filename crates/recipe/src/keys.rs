//! Messages for keys that a recipe does not have, or not in that place.

use serde::de::DeserializeOwned;

use crate::draft_augmentation::DraftAugmentation;
use crate::near_miss::{any_of, meant};
use crate::option::{Flag, OptionInfo, PhaseFlag};
use crate::options::{Draft, DraftPhase, PHASE_OPTIONS, RUN_OPTIONS};
use warmstart_files::Key;

/// The flags for one of two phases, each with its option.
fn phase_flags() -> impl Iterator<Item = (PhaseFlag, &'static OptionInfo)> {
    PHASE_OPTIONS.iter().flat_map(|option| {
        let flags = match option.flag {
            Flag::Phases { frozen, thawed, .. } => [frozen, thawed],
            Flag::None | Flag::Value(_) | Flag::Switch { .. } => [None, None],
        };
        flags.into_iter().flatten().map(move |flag| (flag, option))
    })
}

/// Whether there is a flag of that name, in a recipe's spelling. Names that are no option's are those of commands.
pub fn has_flag(name: &str) -> bool {
    let mut options = RUN_OPTIONS.iter().chain(PHASE_OPTIONS);
    let is_phase_flag = phase_flags().any(|(flag, _)| flag.name == name);
    is_phase_flag
        || options.all(|option| match option.flag {
            Flag::None | Flag::Phases { .. } => option.key != name,
            Flag::Switch { name: flag, .. } => flag == name || option.key != name,
            Flag::Value(_) => true,
        })
}

/// An error of the parser, in the terms of a recipe.
pub fn explained(message: &str) -> String {
    let one_line = || message.replace('\n', " ");
    if let Some(mistake) = message.strip_prefix("invalid type: ")
        && let Some((found, expected)) = mistake.rsplit_once(", expected ")
    {
        let expected = match expected {
            "f32" | "f64" => "a number",
            "u32" | "u64" | "usize" => "a whole number",
            "a boolean" => "true or false",
            other => other,
        };
        return format!("expected {expected}, found {}", found.replace('\n', " "));
    }
    if !message.starts_with("unknown field") {
        return one_line();
    }
    let mut names = quoted(message);
    let Some(key) = names.next() else {
        return one_line();
    };
    let known: Vec<&str> = names.collect();
    let has = |keys: &[String]| keys.iter().any(|name| name == key);
    let is_top = known.contains(&"phase");
    if is_top && has(&keys_of::<DraftPhase>()) {
        let flag = phase_flags().find(|(flag, _)| flag.name == key);
        return format!(
            "the key `{key}` belongs in a phase: put it below a [[phase]] line{}",
            match flag {
                Some((flag, _)) =>
                    format!(", or leave it out and give the flag {}", Key(flag.name)),
                None => String::new(),
            }
        );
    }
    if let Some((flag, option)) = phase_flags().find(|(flag, _)| flag.name == key) {
        return format!(
            "`{key}` is a flag and no key of a recipe: give {}, or `{}` below the first [[phase]] line",
            Key(flag.name),
            option.key
        );
    }
    if has(&keys_of::<DraftAugmentation>()) {
        return format!("the key `{key}` belongs in [phase.augmentation]");
    }
    if !is_top && has(&keys_of::<Draft>()) {
        return format!(
            "the key `{key}` belongs to the whole run: put it above the first [[phase]] line"
        );
    }
    match &meant(key, &known)[..] {
        [] => format!(
            "there is no key `{key}` here; the keys are {}",
            known.join(", ")
        ),
        likely => format!("there is no key `{key}`: did you mean {}?", any_of(likely)),
    }
}

/// Names between backticks.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

/// The keys of a table, taken from its parser's error for an unknown key.
fn keys_of<T: DeserializeOwned>() -> Vec<String> {
    match toml::from_str::<T>("\"?\" = 0") {
        Ok(_) => Vec::new(),
        Err(error) => quoted(error.message()).skip(1).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_wrong_place_is_sent_to_the_right_one() {
        let phase = "[[phase]]\ntrain = 'all'\nepochs = 1\n";
        for (text, words) in [
            (
                "epochs = 3".to_owned(),
                "`epochs` belongs in a phase: put it below a [[phase]] line, or",
            ),
            (
                "layer_decay = 1.0".to_owned(),
                "belongs in a phase: put it below a [[phase]] line",
            ),
            (
                "freeze_lr = 1.0".to_owned(),
                "give freeze_lr, or `lr` below",
            ),
            (format!("{phase}seed = 3"), "above the first [[phase]]"),
            (format!("{phase}mosaic = 0.5"), "[phase.augmentation]"),
            ("modle = 'm'".to_owned(), "did you mean `model`?"),
            ("image-size = 3".to_owned(), "did you mean `image_size`?"),
            (format!("{phase}learning_rate = 1.0"), "did you mean `lr`?"),
            (
                "seed = 'x'".to_owned(),
                "expected a whole number, found string \"x\"",
            ),
            (
                "guard = 1".to_owned(),
                "expected true or false, found integer `1`",
            ),
            (
                "zebra = 1".to_owned(),
                "there is no key `zebra` here; the keys are ",
            ),
        ] {
            let error = toml::from_str::<Draft>(&text).unwrap_err();
            let said = crate::plain(&explained(error.message()));
            assert!(said.contains(words), "{text}: {said}");
            assert!(!said.contains('\n'), "{said}");
        }
        assert_eq!(explained("another\nproblem"), "another problem");
    }

    #[test]
    fn options_without_a_flag_are_known() {
        for flag in [
            "seed",
            "batch",
            "freeze_batch",
            "no_guard",
            "out",
            "allow_partial",
        ] {
            assert!(has_flag(flag), "{flag}");
        }
        for key in ["keep", "micro_batch", "guard", "layer_decay"] {
            assert!(!has_flag(key), "{key}");
        }
    }
}
