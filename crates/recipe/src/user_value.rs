//! Values as a user gives them, in a file or as a flag.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use warmstart_files::shown;
use warmstart_language::{english, message, translated};

/// A word that an option can have, and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The word.
    pub word: &'static str,
    /// Its meaning, for help.
    pub meaning: &'static str,
}

/// A value as a user gives it, and the value that a recipe stores for it.
pub trait UserValue: Sized {
    /// The value in a recipe.
    type Stored;
    /// The words that it can be; empty where it is not one of a few.
    const CHOICES: &'static [Choice] = &[];

    /// The value for a recipe; `None` if the user leaves it to the default.
    fn stored(self) -> Option<Self::Stored>;

    /// The value of a flag.
    ///
    /// # Errors
    /// If it isn't one; the text says what was expected.
    fn of_flag(text: &OsStr) -> Result<Self, String>;
}

/// The text of a flag.
///
/// # Errors
/// If it is not Unicode, which a recipe cannot hold.
fn text(flag: &OsStr) -> Result<&str, String> {
    flag.to_str().ok_or_else(|| {
        message!(
            "{} is not valid Unicode, so no recipe could name it: rename it",
            shown(Path::new(flag))
        )
    })
}

/// Values that parse from the text of a flag, with what is expected where that fails.
macro_rules! value_by_text {
    ($($type:ty: $expected:expr),*) => { $(
        impl UserValue for $type {
            type Stored = Self;

            fn stored(self) -> Option<Self> {
                Some(self)
            }

            fn of_flag(flag: &OsStr) -> Result<Self, String> {
                text(flag)?
                    .parse()
                    .map_err(|_| message!("expected {expected}", expected = translated($expected)))
            }
        }
    )* };
}
value_by_text!(
    usize: english!("a whole number"),
    u64: english!("a whole number"),
    f64: english!("a number"),
    bool: english!("true or false")
);

/// Values whose own error says what is expected.
macro_rules! value_by_word {
    ($($type:ty),*) => { $(
        impl $crate::user_value::UserValue for $type {
            type Stored = Self;

            fn stored(self) -> Option<Self> {
                Some(self)
            }

            fn of_flag(flag: &std::ffi::OsStr) -> Result<Self, String> {
                $crate::user_value::parsed(flag)
            }
        }
    )* };
}
pub(crate) use value_by_word;

/// The value of a flag by its type's own parser.
pub(crate) fn parsed<T: FromStr<Err = String>>(flag: &OsStr) -> Result<T, String> {
    text(flag)?.parse()
}

impl UserValue for String {
    type Stored = Self;

    fn stored(self) -> Option<Self> {
        Some(self)
    }

    fn of_flag(flag: &OsStr) -> Result<Self, String> {
        text(flag).map(str::to_owned)
    }
}

impl UserValue for PathBuf {
    type Stored = Self;

    fn stored(self) -> Option<Self> {
        Some(self)
    }

    /// Any path; `resolve` refuses one that a recipe cannot hold.
    fn of_flag(flag: &OsStr) -> Result<Self, String> {
        Ok(flag.into())
    }
}

const AUTO: &str = "auto";

/// A value, or the word `auto`, which leaves it to the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto<T> {
    /// Left to the default.
    Auto,
    /// The value.
    Value(T),
}

impl<T: UserValue<Stored = T>> UserValue for Auto<T> {
    type Stored = T;
    const CHOICES: &'static [Choice] = T::CHOICES;

    fn stored(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Value(value) => value.stored(),
        }
    }

    fn of_flag(flag: &OsStr) -> Result<Self, String> {
        if flag == AUTO {
            return Ok(Self::Auto);
        }
        let value = T::of_flag(flag).map(Self::Value);
        value.map_err(|expected| message!("{expected}, or {AUTO}"))
    }
}

impl<T: Serialize> Serialize for Auto<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Auto<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOr<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for AutoOr<T> {
            type Value = Auto<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(&message!("a value, or \"{AUTO}\""))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Auto<T>, E> {
                if word == AUTO {
                    return Ok(Auto::Auto);
                }
                T::deserialize(de::value::StrDeserializer::new(word)).map(Auto::Value)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Auto<T>, E> {
                T::deserialize(de::value::I64Deserializer::new(number)).map(Auto::Value)
            }

            /// Numbers of JSON; those of TOML are signed.
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Auto<T>, E> {
                T::deserialize(de::value::U64Deserializer::new(number)).map(Auto::Value)
            }
        }

        deserializer.deserialize_any(AutoOr(std::marker::PhantomData))
    }
}
