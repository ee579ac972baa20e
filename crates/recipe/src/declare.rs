//! Generation of the types that hold the options from their declarations.
//!
//! `options!` turns each declaration into a field of the resolved type ([`Recipe`](crate::Recipe) or
//! [`Phase`](crate::Phase)), a field of the draft type, a line in the list of options, the default, the check of its
//! range, and the flag. A declaration that lacks a part does not compile.

/// The type in which a recipe stores an option.
macro_rules! stored_type {
    (optional, $given:ty) => { Option<<$given as $crate::user_value::UserValue>::Stored> };
    ($kind:ident, $given:ty) => { <$given as $crate::user_value::UserValue>::Stored };
}

/// The value of an option: what the user gave, or the default.
macro_rules! resolved {
    (required, $words:literal, $given:expr, $key:expr, $context:expr) => {
        $given.ok_or_else(|| ($context.missing)($key, $words))?
    };
    (optional, $words:literal, $given:expr, $key:expr, $context:expr) => {
        $given
    };
    ($kind:ident, ($words:literal, $rule:expr), $given:expr, $key:expr, $context:expr) => {
        match $given {
            Some(value) => value,
            None => in_context($rule, $context),
        }
    };
}

/// An option's default in words; empty where it must be given.
macro_rules! default_words {
    (required, $words:literal) => {
        ""
    };
    (optional, $words:literal) => {
        $words
    };
    ($kind:ident, ($words:literal, $rule:expr)) => {
        $words
    };
}

/// The name of an option that may be given above the phases.
macro_rules! name_above {
    () => {
        None
    };
    ($name:ident) => {
        Some(stringify!($name))
    };
}

/// Whether an option that the user leaves open is decided once the data and the machine are known.
macro_rules! is_decided_later {
    (later) => {
        true
    };
    ($kind:ident) => {
        false
    };
}

/// The value in an option's range check; `None` where there is none.
macro_rules! checked_value {
    (optional, $value:expr) => {
        $value.as_ref()
    };
    ($kind:ident, $value:expr) => {
        Some($value)
    };
}

macro_rules! options {
    (
        run {$(
            $(#[doc = $run_doc:literal])+
            $run_key:ident: $run_type:ty {
                default: $run_kind:ident $run_default:tt,
                range: $run_range:expr,
                flag: $run_flag:expr,
                resume: $run_resume:expr,
                $(stored: #[$run_stored:meta],)?
            }
        )*}
        phase {$(
            $(#[doc = $phase_doc:literal])+
            $phase_key:ident: $phase_type:ty {
                default: $phase_kind:ident $phase_default:tt,
                range: $phase_range:expr,
                flag: $phase_flag:expr,
                resume: $phase_resume:expr,
                $(above_the_phases: $shared:ident,)?
                $(stored: #[$phase_stored:meta],)?
            }
        )*}
    ) => {
        /// A run in which every option has a value.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Recipe {
            /// Version of warmstart that wrote it.
            pub warmstart: String,
            $(
                $(#[doc = $run_doc])+
                $(#[$run_stored])?
                pub $run_key: stored_type!($run_kind, $run_type),
            )*
            /// Its fold of a cross-validation.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub fold: Option<FoldId>,
            /// The phases, in order.
            #[serde(rename = "phase")]
            pub phases: Vec<Phase>,
        }

        /// A stretch of training with its own options, each with a value.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Phase {
            /// Name, shown in reports.
            pub name: String,
            $(
                $(#[doc = $phase_doc])+
                $(#[$phase_stored])?
                pub $phase_key: stored_type!($phase_kind, $phase_type),
            )*
            /// Augmentation of training images.
            pub augmentation: Augmentation,
        }

        /// A run as a user asks for it: any part of a recipe, and flags for the usual two phases.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Draft {
            /// Version that wrote the file, if it is a resolved recipe.
            pub warmstart: Option<String>,
            $( $(#[doc = $run_doc])+ pub $run_key: Option<$run_type>, )*
            /// Its fold of a cross-validation.
            pub fold: Option<FoldId>,
            $($(
                /// The value for phases that do not give their own.
                pub $shared: Option<$phase_type>,
            )?)*
            /// The phases, if they aren't the usual two.
            pub phase: Option<Vec<DraftPhase>>,
            /// Flags for the phase with a frozen backbone.
            #[serde(skip)]
            pub frozen: DraftPhase,
            /// Flags for the phase after the thaw; its epochs are the total of both phases.
            #[serde(skip)]
            pub thawed: DraftPhase,
        }

        /// A phase as a user asks for it.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct DraftPhase {
            /// Name, shown in reports.
            pub name: Option<String>,
            $( $(#[doc = $phase_doc])+ pub $phase_key: Option<$phase_type>, )*
            /// Augmentation of training images.
            pub augmentation: Option<DraftAugmentation>,
        }

        /// The options of a run.
        pub const RUN_OPTIONS: &[OptionInfo] = &[$( OptionInfo {
            key: stringify!($run_key),
            documentation: concat!($($run_doc),+),
            default: default_words!($run_kind, $run_default),
            range: { const RANGE: Range<<$run_type as UserValue>::Stored> = $run_range; RANGE.words },
            choices: <$run_type as UserValue>::CHOICES,
            flag: $run_flag,
            resume: $run_resume,
            parse: |text| <$run_type as UserValue>::of_flag(text).map(drop),
        } ),*];

        /// The options of a phase.
        pub const PHASE_OPTIONS: &[OptionInfo] = &[$( OptionInfo {
            key: stringify!($phase_key),
            documentation: concat!($($phase_doc),+),
            default: default_words!($phase_kind, $phase_default),
            range: { const RANGE: Range<<$phase_type as UserValue>::Stored> = $phase_range; RANGE.words },
            choices: <$phase_type as UserValue>::CHOICES,
            flag: $phase_flag,
            resume: $phase_resume,
            parse: |text| <$phase_type as UserValue>::of_flag(text).map(drop),
        } ),*];

        $( const _: () = assert!(
            fits_run(&$run_flag, &$run_resume),
            concat!("the flags of ", stringify!($run_key), " do not set it")
        ); )*
        $( const _: () = assert!(
            fits_phase(stringify!($phase_key), name_above!($($shared)?), &$phase_flag, &$phase_resume),
            concat!("the flags of ", stringify!($phase_key), " do not set it")
        ); )*

        impl Draft {
            /// The recipe, without its phases.
            pub(crate) fn run_options(&self, context: &RunContext) -> Result<Recipe, Error> {
                Ok(Recipe {
                    warmstart: env!("CARGO_PKG_VERSION").to_owned(),
                    $( $run_key: resolved!(
                        $run_kind, $run_default, self.$run_key.clone().and_then(UserValue::stored),
                        Key(stringify!($run_key)), context
                    ), )*
                    fold: self.fold,
                    phases: Vec::new(),
                })
            }

            /// Sets an option of the run, or of all its phases, by the text of a flag.
            ///
            /// # Errors
            /// If the text is not a value of the option; the error says what was expected.
            pub fn set(&mut self, key: &str, text: &OsStr) -> Result<(), String> {
                $( if key == stringify!($run_key) {
                    self.$run_key = Some(UserValue::of_flag(text)?);
                    return Ok(());
                } )*
                $($( if key == stringify!($shared) {
                    self.$shared = Some(UserValue::of_flag(text)?);
                    return Ok(());
                } )?)*
                Err(message!("there is no option {key}"))
            }

            /// Options that the user leaves open, and that are decided once the data and the machine are known.
            pub(crate) fn left_open(&self) -> Vec<Key> {
                let mut open = Vec::new();
                $( if is_decided_later!($run_kind)
                    && self.$run_key.clone().and_then(UserValue::stored).is_none()
                {
                    open.push(Key(stringify!($run_key)));
                } )*
                open
            }
        }

        impl DraftPhase {
            /// The phase, with the default of every option that is not given.
            pub(crate) fn phase_options(
                self,
                name: String,
                augmentation: Augmentation,
                context: &PhaseContext,
            ) -> Result<Phase, Error> {
                Ok(Phase {
                    name,
                    $( $phase_key: resolved!(
                        $phase_kind, $phase_default, self.$phase_key.and_then(UserValue::stored),
                        Key(stringify!($phase_key)), context
                    ), )*
                    augmentation,
                })
            }

            /// Sets an option by the text of a flag.
            ///
            /// # Errors
            /// If the text is not a value of the option; the error says what was expected.
            pub fn set(&mut self, key: &str, text: &OsStr) -> Result<(), String> {
                $( if key == stringify!($phase_key) {
                    self.$phase_key = Some(UserValue::of_flag(text)?);
                    return Ok(());
                } )*
                Err(message!("a phase has no option {key}"))
            }

            /// Whether an option is given.
            pub(crate) fn gives(&self, key: &str) -> bool {
                $( if key == stringify!($phase_key) {
                    return self.$phase_key.is_some();
                } )*
                false
            }

            /// This phase, with the options that `other` gives taking precedence.
            pub(crate) fn overridden_by(self, other: &Self) -> Self {
                Self {
                    name: self.name,
                    $( $phase_key: other.$phase_key.clone().or(self.$phase_key), )*
                    augmentation: self.augmentation,
                }
            }

            /// This phase, with the draft's shared options where it gives none of its own.
            pub fn with_shared(mut self, draft: &Draft) -> Self {
                $($( self.$shared = self.$shared.or_else(|| draft.$shared.clone()); )?)*
                self
            }

            /// Options that the user leaves open, and that are decided once the data and the machine are known.
            pub(crate) fn left_open(&self) -> Vec<Key> {
                let mut open = Vec::new();
                $( if is_decided_later!($phase_kind)
                    && self.$phase_key.clone().and_then(UserValue::stored).is_none()
                {
                    open.push(Key(stringify!($phase_key)));
                } )*
                open
            }
        }

        impl Recipe {
            /// Overrides the options of the run, not those of its phases, by the ones that a draft gives.
            pub fn take_options(&mut self, draft: &Draft) {
                $( if let Some(value) = draft.$run_key.clone().and_then(UserValue::stored) {
                    self.$run_key = value.into();
                } )*
            }

            /// The first option out of its range, and the range in English words.
            pub(crate) fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
                $(
                    let range: Range<<$run_type as UserValue>::Stored> = $run_range;
                    if checked_value!($run_kind, &self.$run_key).is_some_and(|value| !(range.holds)(value)) {
                        return Some((stringify!($run_key), range.words));
                    }
                )*
                None
            }
        }

        impl Phase {
            /// Overrides the options by those that a draft gives.
            pub fn take_options(&mut self, draft: &DraftPhase) {
                $( if let Some(value) = draft.$phase_key.clone().and_then(UserValue::stored) {
                    self.$phase_key = value.into();
                } )*
            }

            /// The first option out of its range, and the range in English words.
            pub(crate) fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
                $(
                    let range: Range<<$phase_type as UserValue>::Stored> = $phase_range;
                    if checked_value!($phase_kind, &self.$phase_key).is_some_and(|value| !(range.holds)(value)) {
                        return Some((stringify!($phase_key), range.words));
                    }
                )*
                None
            }
        }
    };
}
pub(crate) use {
    checked_value, default_words, is_decided_later, name_above, options, resolved, stored_type,
};
