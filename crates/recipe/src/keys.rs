//! Messages for keys that a recipe does not have, or not in that place.

use serde::de::DeserializeOwned;
use warmstart_language::{english, message, translated};

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
    let text = message.replace('\n', " ");
    if let Some(mistake) = text.strip_prefix("invalid type: ")
        && let Some((found, expected)) = mistake.rsplit_once(", expected ")
    {
        return other_type(found, expected);
    }
    if message.starts_with("unknown field") {
        let mut names = quoted(message);
        if let Some(key) = names.next() {
            let known: Vec<&str> = names.collect();
            return elsewhere(key, &known).unwrap_or_else(|| unknown(key, &known));
        }
    }
    Mistake {
        message: in_words(&text).unwrap_or(text),
        ..Mistake::default()
    }
}

/// The other errors of the parser about a value, in the user's language; `None` for those about TOML itself, and those
/// of the types here, which speak it.
fn in_words(text: &str) -> Option<String> {
    if let Some(mistake) = text.strip_prefix("invalid value: ") {
        let (found, expected) = mistake.rsplit_once(", expected ")?;
        return Some(message!(
            "invalid value: {found}, expected {expected}",
            found = found_in_words(found)
        ));
    }
    if let Some(mistake) = text.strip_prefix("unknown variant `") {
        let (found, expected) = mistake.split_once("`, expected ")?;
        let expected = match expected.strip_prefix("one of ") {
            Some(names) => message!("one of {names}"),
            None => expected.replace(" or ", translated(english!(" or "))),
        };
        return Some(message!("unknown variant `{found}`, expected {expected}"));
    }
    if let Some(mistake) = text.strip_prefix("invalid length ") {
        let (found, expected) = mistake.split_once(", expected ")?;
        return Some(message!(
            "invalid length {found}, expected {expected}",
            expected = expected_in_words(expected)
        ));
    }
    let field = text.strip_prefix("missing field ")?;
    Some(message!("missing field {field}"))
}

fn other_type(found: &str, expected: &str) -> Mistake {
    let expected = expected_in_words(expected);
    let found = found_in_words(found);
    Mistake {
        message: message!("expected {expected}, found {found}"),
        expected,
        found,
        ..Mistake::default()
    }
}

/// What a parser expects, in the terms of a recipe.
fn expected_in_words(expected: &str) -> String {
    let known = match expected {
        "f32" | "f64" => english!("a number"),
        "u32" | "u64" | "usize" => english!("a whole number"),
        "a boolean" => english!("true or false"),
        "a string" => english!("a string"),
        "a sequence" => english!("a sequence"),
        "a map" => english!("a map"),
        other => {
            return match other.strip_prefix("an array of length ") {
                Some(length) => message!("an array of length {length}"),
                None => other.to_owned(),
            };
        }
    };
    translated(known).to_owned()
}

/// Kinds of values as a parser names them.
const KINDS: [&str; 6] = [
    english!("string"),
    english!("integer"),
    english!("floating point"),
    english!("boolean"),
    english!("sequence"),
    english!("map"),
];

/// What a parser has found, such as `string "x"`, with its kind in the user's language.
fn found_in_words(found: &str) -> String {
    let with_kind = |kind: &'static str| {
        let value = found.strip_prefix(kind)?;
        let is_whole = value.is_empty() || value.starts_with(' ');
        is_whole.then(|| format!("{}{value}", translated(kind)))
    };
    let mut kinds = KINDS.into_iter();
    kinds
        .find_map(with_kind)
        .unwrap_or_else(|| found.to_owned())
}

/// The mistake of a key that exists in another place, or as a flag.
fn elsewhere(key: &str, known: &[&str]) -> Option<Mistake> {
    let has = |keys: &[String]| keys.iter().any(|name| name == key);
    let flag = phase_flags().find(|(flag, _)| flag.name == key);
    let is_top = known.contains(&"phase");
    let (problem, fix) = if is_top && has(&keys_of::<DraftPhase>()) {
        let fix = match flag {
            Some((flag, _)) => message!(
                "put it below a [[phase]] line, or leave it out and give the flag {}",
                Key(flag.name)
            ),
            None => message!("put it below a [[phase]] line"),
        };
        (message!("the key `{key}` belongs in a phase"), fix)
    } else if let Some((flag, option)) = flag {
        (
            message!("`{key}` is a flag and no key of a recipe"),
            message!(
                "give {}, or `{}` below the first [[phase]] line",
                Key(flag.name),
                option.key
            ),
        )
    } else if has(&keys_of::<DraftAugmentation>()) {
        (
            message!("the key `{key}` belongs to the augmentation"),
            message!("put it below a [phase.augmentation] line"),
        )
    } else if !is_top && has(&keys_of::<Draft>()) {
        (
            message!("the key `{key}` belongs to the whole run"),
            message!("put it above the first [[phase]] line"),
        )
    } else {
        return None;
    };
    Some(Mistake {
        message: message!("{problem}: {fix}"),
        key: Some(key.to_owned()),
        fix,
        ..Mistake::default()
    })
}

fn unknown(key: &str, known: &[&str]) -> Mistake {
    let likely = meant(key, known);
    let (message, fix) = if likely.is_empty() {
        let keys = known.join(", ");
        let message = message!("there is no key `{key}` here; the keys are {keys}");
        (message, String::new())
    } else {
        let fix = message!("did you mean {}?", any_of(&likely));
        (message!("there is no key `{key}`: {fix}"), fix)
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
