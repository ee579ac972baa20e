//! Everything about an option except its values.

use std::ffi::OsStr;

use warmstart_language::english;

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
    /// Values that it can have, in English words; empty for any of its type.
    pub range: &'static str,
    /// The words that it can be; empty where it is not one of a few.
    pub choices: &'static [Choice],
    /// Its form on the command line.
    pub flag: Flag,
    /// The rules of `resume` for it.
    pub resume: Resume,
    /// Parses the text of a flag, to tell whether it is a value.
    pub parse: fn(&OsStr) -> Result<(), String>,
}

/// Form of an option on the command line.
#[derive(Clone, Copy)]
pub enum Flag {
    /// No flag.
    None,
    /// A flag with the option's name and a value, whose placeholder this is.
    Value(&'static str),
    /// A flag without a value.
    Switch {
        /// Its name, in a recipe's spelling.
        name: &'static str,
        /// The value that it stands for.
        value: &'static str,
        /// Its documentation: a phrase.
        documentation: &'static str,
    },
    /// A flag for the phase whose backbone is frozen, and one for the phase after the thaw.
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

/// Form of an option as a flag of `resume`.
#[derive(Clone, Copy)]
pub enum ResumeFlag {
    /// No flag: only the run's recipe.toml changes it.
    None,
    /// The flags of `train`, with their documentation.
    AsInTrain,
    /// The flag of `train`, with documentation of its own.
    Documented(&'static str),
    /// The flags for the frozen and the thawed phase, each with documentation of its own.
    Phases {
        /// Documentation of the flag for the frozen phase.
        frozen: &'static str,
        /// Documentation of the flag for the thawed phase.
        thawed: &'static str,
    },
    /// The flag for the thawed phase alone, with documentation of its own.
    Thawed(&'static str),
}

/// Rules of `resume` for an option.
#[derive(Clone, Copy)]
pub struct Resume {
    /// The flag of `resume` that changes it.
    pub flag: ResumeFlag,
    /// Whether it has to stay the same from a phase's first step to its last.
    pub fixed_in_phase: bool,
    /// The effect of a change on the result, in English words; empty for none.
    pub effect: &'static str,
}

impl Resume {
    /// An option changed by editing recipe.toml, from then on.
    pub const EDITED: Self = Self {
        flag: ResumeFlag::None,
        fixed_in_phase: false,
        effect: english!("from here on"),
    };
    /// An option as [`EDITED`](Self::EDITED), but fixed from a phase's first step to its last.
    pub const FIXED_IN_PHASE: Self = Self {
        fixed_in_phase: true,
        ..Self::EDITED
    };
    /// An option that a checkpoint's model depends on: `resume` refuses a checkpoint of another value.
    pub const FIXED_BY_CHECKPOINT: Self = Self {
        effect: english!("refused after the first checkpoint"),
        ..Self::EDITED
    };
    /// An option of the initial weights, which the first checkpoint replaces.
    pub const INITIAL: Self = Self {
        effect: english!("no effect after the first checkpoint"),
        ..Self::EDITED
    };

    /// The same, with another effect.
    pub const fn effect(self, effect: &'static str) -> Self {
        Self { effect, ..self }
    }

    /// The same, with a flag of `resume`.
    pub const fn by_flag(self, flag: ResumeFlag) -> Self {
        Self { flag, ..self }
    }
}

/// Whether the flags of an option of the run set it: checked when the declarations compile.
pub(crate) const fn fits_run(flag: &Flag, resume: &Resume) -> bool {
    let has_place = match flag {
        Flag::None | Flag::Value(_) | Flag::Switch { .. } => true,
        // These are set in a phase.
        Flag::Phases { .. } => false,
    };
    has_place && fits_train(flag, &resume.flag)
}

/// Whether the flags of an option of a phase set it: checked when the declarations compile. `above` is the name of the
/// option that gives its value for all phases, if there is one.
pub(crate) const fn fits_phase(
    key: &str,
    above: Option<&str>,
    flag: &Flag,
    resume: &Resume,
) -> bool {
    let has_place = match (flag, above) {
        (Flag::None | Flag::Phases { .. }, None) => true,
        // These are set above the phases.
        (Flag::Value(_) | Flag::Switch { .. }, None) => false,
        (Flag::None | Flag::Value(_) | Flag::Switch { .. } | Flag::Phases { .. }, Some(above)) => {
            is_same(key, above)
        }
    };
    has_place && fits_train(flag, &resume.flag)
}

/// Whether a flag of `resume` is one of the flags of `train`.
const fn fits_train(train: &Flag, resume: &ResumeFlag) -> bool {
    match (resume, train) {
        (ResumeFlag::None, _) => true,
        (ResumeFlag::AsInTrain, Flag::Value(_) | Flag::Switch { .. } | Flag::Phases { .. })
        | (ResumeFlag::Documented(_), Flag::Value(_) | Flag::Switch { .. }) => true,
        (ResumeFlag::Phases { .. }, Flag::Phases { frozen, thawed, .. }) => {
            frozen.is_some() && thawed.is_some()
        }
        (ResumeFlag::Thawed(_), Flag::Phases { thawed, .. }) => thawed.is_some(),
        (ResumeFlag::AsInTrain, Flag::None)
        | (ResumeFlag::Documented(_), Flag::None | Flag::Phases { .. })
        | (
            ResumeFlag::Phases { .. } | ResumeFlag::Thawed(_),
            Flag::None | Flag::Value(_) | Flag::Switch { .. },
        ) => false,
    }
}

/// Whether two names are the same, for constants.
const fn is_same(a: &str, b: &str) -> bool {
    let [a, b] = [a.as_bytes(), b.as_bytes()];
    let mut place = 0;
    while place < a.len() && place < b.len() {
        if a[place] != b[place] {
            return false;
        }
        place += 1;
    }
    a.len() == b.len()
}

/// Values that an option can have.
pub struct Range<T> {
    /// Whether a value is one of them.
    pub holds: fn(&T) -> bool,
    /// The values in English words; empty for any.
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
