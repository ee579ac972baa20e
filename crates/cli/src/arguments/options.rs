//! The options of a recipe as flags, made from their declarations; those of other commands have their words and help
//! from there, too.

use std::ffi::{OsStr, OsString};

use clap::builder::{
    OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser,
};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use warmstart_language::message;
use warmstart_recipe::{
    Draft, Error, Flag, Key, OptionInfo, PHASE_OPTIONS, PhaseFlag, Problem, RUN_OPTIONS,
    ResumeFlag, UserValue,
};

use super::groups;

/// The declaration of an option of a run.
///
/// # Panics
/// If there is none of that name.
fn declared(key: Key) -> &'static OptionInfo {
    let mut options = RUN_OPTIONS.iter();
    let option = options.find(|option| option.key == key.0);
    option.expect("the option is declared")
}

/// The documentation of an option of a run.
pub fn documentation(key: Key) -> &'static str {
    declared(key).documentation.trim()
}

/// Parses a value of an option of a run: its range is checked with the recipe.
///
/// # Panics
/// If there is no option of that name.
pub fn value_of<T: UserValue + Clone + Send + Sync + 'static>(key: Key) -> ValueParser {
    parser(declared(key), |text| T::of_flag(&text))
}

/// Parses a value of an option: one of its words, or one of its type.
fn parser<T: Clone + Send + Sync + 'static>(
    option: &'static OptionInfo,
    value: fn(OsString) -> Result<T, String>,
) -> ValueParser {
    if !option.choices.is_empty() {
        let words = option
            .choices
            .iter()
            .map(|choice| PossibleValue::new(choice.word).help(choice.meaning));
        let words = PossibleValuesParser::new(words);
        return ValueParser::new(words.try_map(move |word| value(word.into())));
    }
    let parse = option.parse;
    ValueParser::new(OsStringValueParser::new().try_map(move |text| {
        parse(&text)?;
        value(text)
    }))
}

/// The part of a run that a flag is for.
#[derive(Clone, Copy)]
enum Place {
    Run,
    Frozen,
    Thawed,
}

/// A flag for an option.
struct OptionFlag {
    place: Place,
    option: &'static OptionInfo,
    /// Its name, in a recipe's spelling.
    name: &'static str,
    help: String,
    /// Placeholder for its value; `None` for a switch, with the value that it stands for.
    value: Result<&'static str, &'static str>,
}

/// The flags of `train`.
fn of_train() -> Vec<OptionFlag> {
    let run = RUN_OPTIONS.iter().flat_map(|option| flags(option, None));
    let phase = PHASE_OPTIONS.iter().flat_map(|option| flags(option, None));
    run.chain(phase).collect()
}

/// The flags of `resume`.
fn of_resume() -> Vec<OptionFlag> {
    let options = RUN_OPTIONS.iter().chain(PHASE_OPTIONS);
    options
        .flat_map(|option| match option.resume.flag {
            ResumeFlag::None => Vec::new(),
            flag @ (ResumeFlag::AsInTrain
            | ResumeFlag::Documented(_)
            | ResumeFlag::Phases { .. }
            | ResumeFlag::Thawed(_)) => flags(option, Some(flag)),
        })
        .collect()
}

/// The flags of an option; for `resume`, in its form there.
fn flags(option: &'static OptionInfo, resume: Option<ResumeFlag>) -> Vec<OptionFlag> {
    let help = |documentation: &str, default: &str| match resume {
        Some(ResumeFlag::Documented(help)) => help.to_owned(),
        None if !default.is_empty() => format!("{} [default: {default}]", documentation.trim()),
        None
        | Some(
            ResumeFlag::None
            | ResumeFlag::AsInTrain
            | ResumeFlag::Phases { .. }
            | ResumeFlag::Thawed(_),
        ) => documentation.trim().to_owned(),
    };
    let of_place = |place, flag: PhaseFlag, value| OptionFlag {
        place,
        option,
        name: flag.name,
        help: match (resume, place) {
            (Some(ResumeFlag::Phases { frozen, .. }), Place::Frozen) => frozen.to_owned(),
            (Some(ResumeFlag::Phases { thawed, .. } | ResumeFlag::Thawed(thawed)), _) => {
                thawed.to_owned()
            }
            (
                None | Some(ResumeFlag::None | ResumeFlag::AsInTrain | ResumeFlag::Documented(_)),
                _,
            ) => help(flag.documentation, flag.default),
        },
        value: Ok(value),
    };
    match option.flag {
        Flag::None => Vec::new(),
        Flag::Value(value) => vec![OptionFlag {
            place: Place::Run,
            option,
            name: option.key,
            help: help(option.documentation, option.default),
            value: Ok(value),
        }],
        Flag::Switch {
            name,
            value,
            documentation,
        } => vec![OptionFlag {
            place: Place::Run,
            option,
            name,
            help: help(documentation, ""),
            value: Err(value),
        }],
        Flag::Phases {
            value,
            frozen,
            thawed,
        } => {
            let frozen = frozen.map(|flag| of_place(Place::Frozen, flag, value));
            let thawed = thawed.map(|flag| of_place(Place::Thawed, flag, value));
            let frozen = frozen.filter(|_| !matches!(resume, Some(ResumeFlag::Thawed(_))));
            frozen.into_iter().chain(thawed).collect()
        }
    }
}

impl OptionFlag {
    fn argument(&self) -> Arg {
        // Names of arguments live as long as the program.
        let long: &'static str = self.name.replace('_', "-").leak();
        let argument = Arg::new(self.name).long(long).help(self.help.clone());
        let Ok(placeholder) = self.value else {
            return argument.action(ArgAction::SetTrue);
        };
        argument
            .value_name(placeholder)
            .value_parser(parser(self.option, Ok))
    }

    /// The text that was given.
    fn given(&self, matches: &ArgMatches) -> Option<OsString> {
        match self.value {
            Ok(_) => matches.get_one::<OsString>(self.name).cloned(),
            Err(value) => matches.get_flag(self.name).then(|| value.into()),
        }
    }

    fn set(&self, draft: &mut Draft, text: &OsStr) -> Result<(), String> {
        match self.place {
            Place::Run => draft.set(self.option.key, text),
            Place::Frozen => draft.frozen.set(self.option.key, text),
            Place::Thawed => draft.thawed.set(self.option.key, text),
        }
    }
}

/// Puts the given flags into a draft.
fn apply(flags: &[OptionFlag], matches: &ArgMatches, draft: &mut Draft) -> Result<(), Error> {
    for option in flags {
        if let Some(text) = option.given(matches) {
            option.set(draft, &text).map_err(|expected| {
                let key = Key(option.name);
                Problem::new(message!("{key}: {expected}")).of_key(key)
            })?;
        }
    }
    Ok(())
}

/// A set of flags for `clap`.
macro_rules! option_flags {
    ($(#[$meta:meta])* $name:ident, $flags:ident) => {
        $(#[$meta])*
        pub struct $name(ArgMatches);

        impl $name {
            /// The options of a file, overridden by the flags.
            ///
            /// # Errors
            /// If a value is not one of its option.
            pub fn over(&self, mut draft: Draft) -> Result<Draft, Error> {
                apply(&$flags(), &self.0, &mut draft)?;
                Ok(draft)
            }
        }

        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                let mut flags = $flags();
                // Help has the groups in the order of their first flags.
                flags.sort_by_key(|flag| groups::place(flag.name));
                command.args(flags.iter().map(OptionFlag::argument))
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self(matches.clone()))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = matches.clone();
                Ok(())
            }
        }
    };
}

option_flags! {
    /// Flags of `train` for the options of a recipe.
    TrainOptions, of_train
}
option_flags! {
    /// Flags of `resume` that change options of the run's recipe.
    ResumeOptions, of_resume
}
