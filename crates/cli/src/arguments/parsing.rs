//! Parsing of the command line, with errors on one line.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Parser};
use warmstart_files::shown;
use warmstart_language::{Language, language, message};
use warmstart_recipe::near_miss::{any_of, meant};

use super::Arguments;
use super::clap_errors::words_of;
use super::help::translated_commands;
use crate::commands::Failure;
use crate::language::without_flag;

/// Reads the command line. Help that was asked for is printed, and ends the process.
pub fn arguments() -> Result<Arguments, Failure> {
    let words: Vec<OsString> = env::args_os().collect();
    Arguments::try_parse_from(&words).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            translated_help(&words).unwrap_or(error).exit()
        }
        ErrorKind::DisplayVersion => error.exit(),
        _ => Failure::command_line(line(&error, &words), key(&error), found(&error)),
    })
}

/// The help that a command line asks for, in the user's language; `None` in English, which clap has.
fn translated_help(words: &[OsString]) -> Option<clap::Error> {
    if language() == Language::English {
        return None;
    }
    let commands = translated_commands(Arguments::command());
    commands.try_get_matches_from(words).err()
}

/// The flag that an error is about, in a recipe's spelling; `None` if it is about none.
fn key(error: &clap::Error) -> Option<String> {
    let flags = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(flag) => std::slice::from_ref(flag),
        ContextValue::Strings(flags) => flags,
        _ => return None,
    };
    // Such as `--epochs <N>`.
    let flag = flags.first()?.strip_prefix("--")?;
    Some(flag.split([' ', '=']).next()?.replace('-', "_"))
}

/// The value that an error is about; empty if it is about none.
fn found(error: &clap::Error) -> String {
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.clone(),
        _ => String::new(),
    }
}

fn line(error: &clap::Error, words: &[OsString]) -> String {
    let (command, name) = command_of(words);
    let help = message!("`{name} --help` lists what there is");
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && flag.starts_with("--")
    {
        let flags: Vec<String> = command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
            .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
            .collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let likely = meant(flag, &flags);
        if !likely.is_empty() {
            return message!("there is no flag {flag}: did you mean {}?", any_of(&likely));
        }
        return message!("there is no flag {flag}; {help}");
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(side) = detached_side(words)
    {
        return message!("the value of --tile is attached to it: write --tile={side}");
    }
    if error.kind() == ErrorKind::InvalidUtf8 {
        let odd = words.iter().filter(|word| word.to_str().is_none());
        let odd: Vec<String> = odd.map(|word| shown(Path::new(word))).collect();
        return message!("not valid UTF-8: {}; rename the file", odd.join(", "));
    }
    message!("{}; {help}", words_of(error))
}

/// The number after a `--tile` that has no value.
fn detached_side(words: &[OsString]) -> Option<&str> {
    let mut pairs = words.windows(2);
    pairs.find_map(|pair| {
        let side = pair[1].to_str().filter(|_| pair[0] == "--tile")?;
        side.parse::<usize>().is_ok().then_some(side)
    })
}

/// The command that the words begin with, and its full name, such as `warmstart data check`.
fn command_of(words: &[OsString]) -> (Command, String) {
    let mut command = Arguments::command();
    command.build();
    let mut name = command.get_name().to_owned();
    for word in without_flag(words).skip(1) {
        let Some(below) = word.to_str().and_then(|word| command.find_subcommand(word)) else {
            break;
        };
        name = format!("{name} {}", below.get_name());
        command = below.clone();
    }
    (command, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &[&str]) -> String {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let Err(error) = Arguments::try_parse_from(&words) else {
            panic!("{words:?} are fine");
        };
        line(&error, &words)
    }

    #[test]
    fn a_mistake_is_one_line_with_what_was_likely_meant() {
        for (words, expected) in [
            (
                &["warmstart", "train", "--freeze", "2"][..],
                &["--freeze", "did you mean `--freeze-epochs`"][..],
            ),
            (
                &["warmstart", "train", "--learning-rate", "1"],
                &["`--lr`?"],
            ),
            (
                &["warmstart", "train", "--batchsize=4"],
                &["--batchsize", "`--batch`"],
            ),
            // One that only the long help lists.
            (
                &["warmstart", "train", "--patiense", "3"],
                &["--patiense", "did you mean `--patience`"],
            ),
            (
                &["warmstart", "train", "--zebra"],
                &["--zebra", "`warmstart train --help`"],
            ),
            (
                &["warmstart", "trian"],
                &["'trian'", "'train'", "`warmstart --help`"],
            ),
            (
                &["warmstart", "data", "chek", "x"],
                &["'chek'", "'check'", "`warmstart data --help`"],
            ),
            (
                &["warmstart", "train", "--task", "classfy"],
                &["classify", "detect"],
            ),
            (
                &["warmstart", "rank", "--weights", "w"],
                &["not provided", "--data <DIR>"],
            ),
            (
                &["warmstart", "train", "--epochs", "many"],
                &["'many'", "--epochs", "expected a whole number"],
            ),
            (&["warmstart", "train", "--epochs"], &["--epochs", "value"]),
            (
                &["warmstart", "eval", "runs/street", "--tile", "640"],
                &["write --tile=640"],
            ),
            (
                &["warmstart", "--lang", "en", "train", "--patiense", "3"],
                &["did you mean `--patience`"],
            ),
            (
                &["warmstart", "train", "--lang", "xy"],
                &["'xy'", "--lang", "possible values: en, zh"],
            ),
        ] {
            let said = refused(words);
            assert!(!said.contains('\n') && !said.contains("Usage"), "{said}");
            for word in expected {
                assert!(said.contains(word), "{words:?}, {word}: {said}");
            }
        }
    }

    #[test]
    fn programs_get_the_flag_and_the_value() {
        for (words, expected) in [
            (
                &["warmstart", "train", "--epochs", "x"][..],
                (Some("epochs"), "x"),
            ),
            (
                &["warmstart", "plan", "--freeze-lr", "low"],
                (Some("freeze_lr"), "low"),
            ),
            (&["warmstart", "rank", "--weights", "w"], (Some("data"), "")),
            (&["warmstart", "trian"], (None, "")),
        ] {
            let Err(error) = Arguments::try_parse_from(words) else {
                panic!("{words:?} are fine");
            };
            let key = key(&error);
            assert_eq!((key.as_deref(), &*found(&error)), expected, "{words:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_word_that_is_not_text_is_named() {
        use std::os::unix::ffi::OsStringExt as _;
        let model = OsString::from_vec(b"w\xff".to_vec());
        let words = ["warmstart", "train", "--model"].map(OsString::from);
        let words: Vec<OsString> = words.into_iter().chain([model]).collect();
        let Err(error) = Arguments::try_parse_from(&words) else {
            panic!("{words:?} are fine");
        };
        let line = line(&error, &words);
        assert!(
            line.contains("w\\xff is not valid Unicode, so no recipe could name it"),
            "{line}"
        );
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
