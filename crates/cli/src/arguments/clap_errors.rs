//! clap's errors on one line, in the user's language. In English they are clap's own words.

use std::error::Error as _;
use std::slice;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use warmstart_language::message;

/// What is wrong, and tips, without the usage.
pub fn words_of(error: &Error) -> String {
    let Some(fault) = fault(error) else {
        return condensed(&error.render().to_string());
    };
    let mut words = fault;
    for tip in tips(error) {
        words = message!("{words}; {tip}");
    }
    words
}

/// What is wrong; `None` for kinds that do not come up here, for which clap has words.
fn fault(error: &Error) -> Option<String> {
    let argument = text(error, ContextKind::InvalidArg);
    let value = text(error, ContextKind::InvalidValue);
    Some(match error.kind() {
        ErrorKind::InvalidValue => {
            let (argument, value) = (argument?, value?);
            let fault = if value.is_empty() {
                message!("a value is required for '{argument}' but none was supplied")
            } else {
                message!("invalid value '{value}' for '{argument}'")
            };
            let possible = texts(error, ContextKind::ValidValue).join(", ");
            if possible.is_empty() {
                fault
            } else {
                message!("{fault} [possible values: {possible}]")
            }
        }
        ErrorKind::ValueValidation => {
            let (argument, value) = (argument?, value?);
            let reason = reason(&error.source()?.to_string());
            message!("invalid value '{value}' for '{argument}': {reason}")
        }
        ErrorKind::UnknownArgument => {
            let argument = argument?;
            message!("unexpected argument '{argument}' found")
        }
        ErrorKind::TooManyValues => {
            let (argument, value) = (argument?, value?);
            message!("unexpected value '{value}' for '{argument}' found; no more were expected")
        }
        ErrorKind::TooFewValues => {
            let argument = argument?;
            let least = number(error, ContextKind::MinValues)?;
            let given = number(error, ContextKind::ActualNumValues)?;
            if given > 1 {
                message!("{least} values required by '{argument}'; only {given} were provided")
            } else {
                message!("{least} values required by '{argument}'; only {given} was provided")
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = texts(error, ContextKind::InvalidArg).join(" ");
            message!("the following required arguments were not provided: {missing}")
        }
        ErrorKind::InvalidSubcommand => {
            let command = text(error, ContextKind::InvalidSubcommand)?;
            message!("unrecognized subcommand '{command}'")
        }
        ErrorKind::MissingSubcommand => {
            let command = text(error, ContextKind::InvalidSubcommand)?;
            let known = texts(error, ContextKind::ValidSubcommand).join(", ");
            message!(
                "'{command}' requires a subcommand but one was not provided [subcommands: {known}]"
            )
        }
        ErrorKind::ArgumentConflict => conflict(argument?, texts(error, ContextKind::PriorArg))?,
        _ => return None,
    })
}

fn conflict(argument: &str, others: &[String]) -> Option<String> {
    Some(match others {
        [] => return None,
        [other] if other == argument => {
            message!("the argument '{argument}' cannot be used multiple times")
        }
        [other] => message!("the argument '{argument}' cannot be used with '{other}'"),
        others => {
            let others = others.join(" ");
            message!("the argument '{argument}' cannot be used with: {others}")
        }
    })
}

/// Why a text is not a value of its type. Ours are in the user's language; others are of clap and the standard library.
fn reason(reason: &str) -> String {
    match reason {
        "invalid digit found in string" => message!("expected a whole number"),
        "invalid float literal" => message!("expected a number"),
        "cannot parse integer from empty string" => {
            message!("cannot parse integer from empty string")
        }
        "number too large to fit in target type" => {
            message!("number too large to fit in target type")
        }
        _ => match reason.split_once(" is not in ") {
            Some((number, range)) => message!("{number} is not in {range}"),
            None => reason.to_owned(),
        },
    }
}

fn tips(error: &Error) -> Vec<String> {
    let mut tips = Vec::new();
    let quoted = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        names.join(", ")
    };
    match texts(error, ContextKind::SuggestedSubcommand) {
        [] => {}
        [name] => tips.push(message!("a similar subcommand exists: '{name}'")),
        names => tips.push(message!(
            "some similar subcommands exist: {}",
            quoted(names)
        )),
    }
    if let Some(name) = text(error, ContextKind::SuggestedArg) {
        tips.push(message!("a similar argument exists: '{name}'"));
    }
    if let Some(name) = text(error, ContextKind::SuggestedValue) {
        tips.push(message!("a similar value exists: '{name}'"));
    }
    let Some(ContextValue::StyledStrs(others)) = error.get(ContextKind::Suggested) else {
        return tips;
    };
    let argument = text(error, ContextKind::InvalidArg).unwrap_or_default();
    let others = others.iter().map(|tip| {
        let tip = tip.to_string();
        if tip.starts_with("to pass ") && !argument.is_empty() {
            message!("to pass '{argument}' as a value, use '-- {argument}'")
        } else if tip.starts_with("subcommand ") {
            message!("subcommand '{argument}' exists; to use it, remove the '--' before it")
        } else {
            tip
        }
    });
    tips.extend(others);
    tips
}

fn text(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn texts(error: &Error, kind: ContextKind) -> &[String] {
    match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts,
        Some(ContextValue::String(text)) => slice::from_ref(text),
        _ => &[],
    }
}

fn number(error: &Error, kind: ContextKind) -> Option<isize> {
    match error.get(kind) {
        Some(ContextValue::Number(number)) => Some(*number),
        _ => None,
    }
}

/// Reduces clap's text of an error to what is wrong and tips.
fn condensed(rendered: &str) -> String {
    let lines = rendered
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty());
    let mut text = String::new();
    for line in lines {
        let line = line
            .trim_start_matches("error: ")
            .replace("invalid digit found in string", "expected a whole number")
            .replace("invalid float literal", "expected a number");
        match line.strip_prefix("tip: ") {
            Some(tip) => text += &format!("; {tip}"),
            None if text.is_empty() => text += &line,
            None => text += &format!(" {line}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Arguments;
    use super::*;

    #[test]
    fn in_english_an_error_has_claps_words() {
        for (line, kind) in [
            ("train --task classfy", ErrorKind::InvalidValue),
            ("train --task zebra", ErrorKind::InvalidValue),
            ("train --epochs", ErrorKind::InvalidValue),
            ("train --task", ErrorKind::InvalidValue),
            ("--lang fr train", ErrorKind::InvalidValue),
            ("train --epochs many", ErrorKind::ValueValidation),
            ("predict m a.png --conf high", ErrorKind::ValueValidation),
            ("demo --seeds 0", ErrorKind::ValueValidation),
            ("demo --seeds some", ErrorKind::ValueValidation),
            (
                "demo --seeds 99999999999999999999",
                ErrorKind::ValueValidation,
            ),
            ("demo --seeds=", ErrorKind::ValueValidation),
            ("train one two", ErrorKind::UnknownArgument),
            ("train -x", ErrorKind::UnknownArgument),
            ("resume run -x", ErrorKind::UnknownArgument),
            ("models --json=x", ErrorKind::TooManyValues),
            ("compare one", ErrorKind::TooFewValues),
            ("rank --weights w", ErrorKind::MissingRequiredArgument),
            ("rank", ErrorKind::MissingRequiredArgument),
            ("export run", ErrorKind::MissingRequiredArgument),
            ("trian", ErrorKind::InvalidSubcommand),
            ("zebra", ErrorKind::InvalidSubcommand),
            ("data chek x", ErrorKind::InvalidSubcommand),
            ("help zebra", ErrorKind::InvalidSubcommand),
            ("data -- check", ErrorKind::UnknownArgument),
            ("--lang en", ErrorKind::MissingSubcommand),
            ("data --lang en", ErrorKind::MissingSubcommand),
            ("train --quiet --json", ErrorKind::ArgumentConflict),
            ("demo --seeds 1 --seeds 2", ErrorKind::ArgumentConflict),
            (
                "demo --no-cache --cache x --cache-limit 1GB",
                ErrorKind::ArgumentConflict,
            ),
        ] {
            let words = ["warmstart"].into_iter().chain(line.split(' '));
            let Err(error) = Arguments::try_parse_from(words) else {
                panic!("{line} is fine");
            };
            assert_eq!(error.kind(), kind, "{line}");
            assert!(fault(&error).is_some(), "{line}");
            let rendered = error.render().to_string();
            assert_eq!(words_of(&error), condensed(&rendered), "{line}");
        }
    }
}
