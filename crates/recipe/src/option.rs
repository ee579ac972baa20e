//! Everything about an option except its values.

use std::ffi::OsStr;

use crate::user_value::Choice;

/// An option as help, the documentation and `resume` see it.
#[derive(Clone, Copy)]
pub struct OptionInfo {
    /// Its key in TOML.
    pub key: &'static str,
    /// Its documentation: a phrase.
    pub documentation: &'static str,
    /// Its default, in words; empty where it must be given.
    pub default: &'static str,
    /// Values that it can have, in words; empty for any of its type.
    pub range: &'static str,
    /// The words that it can be; empty where it is not one of a few.
    pub choices: &'static [Choice],
    /// How it is given on the command line.
    pub flag: Flag,
    /// What `resume` may do with it.
    pub resume: Resume,
    /// Parses the text of a flag, to tell whether it is a value.
    pub parse: fn(&OsStr) -> Result<(), String>,
}

/// How an option is given on the command line.
#[derive(Clone, Copy)]
pub enum Flag {
    /// Only in a recipe.
    None,
    /// By a flag with the option's name and a value, whose placeholder this is.
    Value(&'static str),
    /// By a flag without a value.
    Switch {
        /// Its name, in a recipe's spelling.
        name: &'static str,
        /// The value that it stands for.
        value: &'static str,
        /// Its documentation: a phrase.
        documentation: &'static str,
    },
    /// By a flag for the phase whose backbone is frozen, and one for the phase after the thaw.
    Phases {
        /// Placeholder for the value.
        value: &'static str,
        /// The flag for the frozen phase.
        frozen: Option<PhaseFlag>,
        /// The flag for the thawed phase.
        thawed: Option<PhaseFlag>,
    },
}

/// A flag for one of the usual two phases.
#[derive(Clone, Copy)]
pub struct PhaseFlag {
    /// Its name, in a recipe's spelling.
    pub name: &'static str,
    /// Its documentation: a phrase.
    pub documentation: &'static str,
    /// Its default, in words.
    pub default: &'static str,
}

/// What `resume` may do with an option.
#[derive(Clone, Copy)]
pub struct Resume {
    /// Documentation of the flag of `resume` that changes it (of a phase, the thawed one's flag); empty for that of
    /// `train`; `None` where only the run's recipe.toml changes it.
    pub flag: Option<&'static str>,
    /// Whether it has to stay the same from a phase's first step to its last.
    pub fixed_in_phase: bool,
    /// The effect of a change on the result, in words; empty for none.
    pub effect: &'static str,
}

impl Resume {
    /// Changed by editing recipe.toml, from then on.
    pub const EDITED: Self = Self {
        flag: None,
        fixed_in_phase: false,
        effect: "from here on",
    };
    /// As [`EDITED`](Self::EDITED), but fixed from a phase's first step to its last.
    pub const FIXED_IN_PHASE: Self = Self {
        fixed_in_phase: true,
        ..Self::EDITED
    };

    /// The same, with another effect.
    pub const fn effect(self, effect: &'static str) -> Self {
        Self { effect, ..self }
    }

    /// The same, with a flag of `resume`, documented by a phrase.
    pub const fn by_flag(self, documentation: &'static str) -> Self {
        Self {
            flag: Some(documentation),
            ..self
        }
    }
}

/// Values that an option can have.
pub struct Range<T> {
    /// Whether a value is one of them.
    pub holds: fn(&T) -> bool,
    /// The values in words; empty for any.
    pub words: &'static str,
}

impl<T> Range<T> {
    /// Every value of the type.
    pub const fn any() -> Self {
        Self {
            holds: |_| true,
            words: "",
        }
    }

    /// The values for which a function holds.
    pub const fn of(words: &'static str, holds: fn(&T) -> bool) -> Self {
        Self { holds, words }
    }
}
