//! Messages for keys that a recipe does not have, or not in that place.

use serde::de::DeserializeOwned;

use crate::draft_augmentation::DraftAugmentation;
use crate::error::Mistake;
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

/// Flags of commands that are no option's.
const COMMAND_FLAGS: [Key; 9] = [
    Key::OUT,
    Key::FOLDS,
    Key::FROM_EPOCH,
    Key::ACCEPT_DATA_CHANGE,
    Key::OUT_OF_MEMORY,
    Key::THREADS,
    Key::PICTURE,
    Key::PICTURES,
    Key::CACHE_LIMIT,
];

/// Whether there is a flag of that name, in a recipe's spelling.
pub fn has_flag(name: &str) -> bool {
    let mut options = RUN_OPTIONS.iter().chain(PHASE_OPTIONS);
    COMMAND_FLAGS.iter().any(|flag| flag.0 == name)
        || phase_flags().any(|(flag, _)| flag.name == name)
        || options.any(|option| match option.flag {
            Flag::None | Flag::Phases { .. } => false,
            Flag::Switch { name: flag, .. } => flag == name,
            Flag::Value(_) => option.key == name,
        })
}

/// An error of the parser, in the terms of a recipe.
pub fn explained(message: &str) -> Mistake {
    let one_line = || Mistake {
        message: message.replace('\n', " "),
        ..Mistake::default()
    };
    if let Some(mistake) = message.strip_prefix("invalid type: ")
        && let Some((found, expected)) = mistake.rsplit_once(", expected ")
    {
        return other_type(found.replace('\n', " "), expected);
    }
    if !message.starts_with("unknown field") {
        return one_line();
    }
    let mut names = quoted(message);
    let Some(key) = names.next() else {
        return one_line();
    };
    let known: Vec<&str> = names.collect();
    elsewhere(key, &known).unwrap_or_else(|| unknown(key, &known))
}

fn other_type(found: String, expected: &str) -> Mistake {
    let expected = match expected {
        "f32" | "f64" => "a number",
        "u32" | "u64" | "usize" => "a whole number",
        "a boolean" => "true or false",
        other => other,
    };
    Mistake {
        message: format!("expected {expected}, found {found}"),
        expected: expected.to_owned(),
        found,
        ..Mistake::default()
    }
}

/// The mistake of a key that exists in another place, or as a flag.
fn elsewhere(key: &str, known: &[&str]) -> Option<Mistake> {
    let has = |keys: &[String]| keys.iter().any(|name| name == key);
    let flag = phase_flags().find(|(flag, _)| flag.name == key);
    let is_top = known.contains(&"phase");
    let (problem, fix) = if is_top && has(&keys_of::<DraftPhase>()) {
        let or_flag = match flag {
            Some((flag, _)) => format!(", or leave it out and give the flag {}", Key(flag.name)),
            None => String::new(),
        };
        (
            format!("the key `{key}` belongs in a phase"),
            format!("put it below a [[phase]] line{or_flag}"),
        )
    } else if let Some((flag, option)) = flag {
        (
            format!("`{key}` is a flag and no key of a recipe"),
            format!(
                "give {}, or `{}` below the first [[phase]] line",
                Key(flag.name),
                option.key
            ),
        )
    } else if has(&keys_of::<DraftAugmentation>()) {
        (
            format!("the key `{key}` belongs to the augmentation"),
            "put it below a [phase.augmentation] line".to_owned(),
        )
    } else if !is_top && has(&keys_of::<Draft>()) {
        (
            format!("the key `{key}` belongs to the whole run"),
            "put it above the first [[phase]] line".to_owned(),
        )
    } else {
        return None;
    };
    Some(Mistake {
        message: format!("{problem}: {fix}"),
        key: Some(key.to_owned()),
        fix,
        ..Mistake::default()
    })
}

fn unknown(key: &str, known: &[&str]) -> Mistake {
    let likely = meant(key, known);
    let (message, fix) = if likely.is_empty() {
        let keys = known.join(", ");
        let message = format!("there is no key `{key}` here; the keys are {keys}");
        (message, String::new())
    } else {
        let fix = format!("did you mean {}?", any_of(&likely));
        (format!("there is no key `{key}`: {fix}"), fix)
    };
    Mistake {
        message,
        key: Some(key.to_owned()),
        expected: if likely.is_empty() { known } else { &likely }.join(", "),
        fix,
        ..Mistake::default()
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
            let said = crate::plain(&explained(error.message()).message);
            assert!(said.contains(words), "{text}: {said}");
            assert!(!said.contains('\n'), "{said}");
        }
        assert_eq!(explained("another\nproblem").message, "another problem");
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
        for key in ["keep", "micro_batch", "guard", "layer_decay", "zebra"] {
            assert!(!has_flag(key), "{key}");
        }
    }

    #[test]
    fn every_name_in_messages_is_an_option_or_a_flag() {
        let options: Vec<&str> = RUN_OPTIONS
            .iter()
            .chain(PHASE_OPTIONS)
            .map(|option| option.key)
            .collect();
        for key in Key::ALL {
            assert!(options.contains(&key.0) || has_flag(key.0), "{}", key.0);
        }
    }
}
