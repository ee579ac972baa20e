//! The language of messages: that of `--lang`, else that of the environment.

use std::env;
use std::ffi::OsString;

use clap::Arg;
use clap::builder::{PossibleValue, PossibleValuesParser};
use warmstart_language::{Catalogue, Language};

/// Name of the flag.
const NAME: &str = "lang";
/// The flag, with its value in the next word.
const FLAG: &str = "--lang";
/// The flag, with its value in the same word.
const FLAG_WITH_VALUE: &str = "--lang=";
/// Place of the flag in help: before `--help`, which clap places at 999.
const PLACE: usize = 998;
/// Variables that name the locale of messages, by POSIX: the first one that is not empty counts.
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// The flag, for every command. Its value is read before the others, by [`chosen`], so that their errors are in that
/// language.
pub fn flag() -> Arg {
    Arg::new(NAME)
        .long(NAME)
        .global(true)
        .value_name("LANG")
        .value_parser(PossibleValuesParser::new(Language::ALL.map(value)))
        .ignore_case(true)
        .help("Language of messages [default: that of LANG]")
        .display_order(PLACE)
}

/// A language as a value of the flag.
fn value(language: Language) -> PossibleValue {
    PossibleValue::new(language.word()).aliases(locales(language))
}

/// Names of a language that users know from elsewhere.
fn locales(language: Language) -> &'static [&'static str] {
    match language {
        Language::English => &["en_US", "en-US", "en_GB", "en-GB"],
        Language::Chinese => &["zh_CN", "zh-CN", "zh_TW", "zh-TW", "zh-Hans", "zh-Hant"],
    }
}

/// Makes the language of the command line, or of the environment, that of this process.
pub fn speak() {
    let language = chosen();
    if let Some(catalogue) = catalogue(language) {
        warmstart_language::speak(language, catalogue);
    }
}

/// The catalogue of a language; English needs none.
pub fn catalogue(language: Language) -> Option<Catalogue> {
    let text = match language {
        Language::English => return None,
        Language::Chinese => include_str!("../messages/zh.toml"),
    };
    Some(Catalogue::read(text).expect("a catalogue has tables of texts"))
}

/// The language that the command line asks for, else that of the environment.
fn chosen() -> Language {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    asked_for(&words).unwrap_or_else(|| of_locale(env::var_os))
}

/// A language as words of a command line.
pub fn as_words(language: Language) -> Vec<OsString> {
    vec![FLAG.into(), language.word().into()]
}

/// Words of a command line without the flag and its value.
pub fn without_flag(words: &[OsString]) -> impl Iterator<Item = &OsString> {
    let mut is_value = false;
    words.iter().filter(move |word| {
        let is_flag = !is_value && *word == FLAG;
        let has_value = word
            .to_str()
            .is_some_and(|word| word.starts_with(FLAG_WITH_VALUE));
        let is_other = !is_flag && !is_value && !has_value;
        is_value = is_flag;
        is_other
    })
}

/// The language that a command line asks for; `None` if it asks for none that there is.
fn asked_for(words: &[OsString]) -> Option<Language> {
    let mut words = words
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .take_while(|word| *word != "--");
    let asked = loop {
        let word = words.next()?;
        if word == FLAG {
            break words.next()?;
        }
        if let Some(value) = word.strip_prefix(FLAG_WITH_VALUE) {
            break value;
        }
    };
    let mut languages = Language::ALL.into_iter();
    languages.find(|language| value(*language).matches(asked, true))
}

/// The language of the locale that the variables name.
fn of_locale(variable: impl Fn(&'static str) -> Option<OsString>) -> Language {
    let mut values = VARIABLES.into_iter().filter_map(variable);
    let locale = values.find(|value| !value.is_empty());
    locale.map_or_else(Language::default, |locale| {
        Language::of_locale(&locale.to_string_lossy())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_flag_is_found_wherever_it_stands() {
        for (line, expected) in [
            ("--lang zh train", Some(Language::Chinese)),
            ("train --lang=zh --json", Some(Language::Chinese)),
            ("train --json --lang en", Some(Language::English)),
            ("train --lang", None),
            ("train --lang fr", None),
            ("train --lang zh_CN", Some(Language::Chinese)),
            ("train --lang EN-us", Some(Language::English)),
            ("train --json", None),
            ("predict model -- --lang=zh", None),
        ] {
            assert_eq!(asked_for(&words(line)), expected, "{line}");
        }
    }

    #[test]
    fn other_words_remain() {
        for (line, expected) in [
            ("data --lang zh check", "data check"),
            ("--lang=zh data check", "data check"),
            ("data check", "data check"),
            ("data --lang --lang check", "data check"),
        ] {
            let line = words(line);
            let others: Vec<OsString> = without_flag(&line).cloned().collect();
            assert_eq!(others, words(expected));
        }
    }

    #[test]
    fn the_first_variable_that_says_something_counts() {
        for (set, expected) in [
            (&[("LANG", "zh_CN.UTF-8")][..], Language::Chinese),
            (
                &[("LC_ALL", ""), ("LC_MESSAGES", "zh_CN"), ("LANG", "en_US")],
                Language::Chinese,
            ),
            (
                &[("LC_ALL", "C"), ("LANG", "zh_CN.UTF-8")],
                Language::English,
            ),
            (&[], Language::English),
        ] {
            let variable = |name: &str| {
                let mut set = set.iter();
                set.find(|(of, _)| *of == name)
                    .map(|(_, value)| OsString::from(value))
            };
            assert_eq!(of_locale(variable), expected, "{set:?}");
        }
    }
}
