//! Settings that are a number or one word: `keep = 3`, `keep = "all"`, `batch = "auto"`.

use std::fmt;

use serde::Serializer;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use warmstart_language::message;

/// Reads a number, or `None` for the word.
///
/// # Errors
/// If it is neither; the error says what was expected.
pub(crate) fn number_or_word<'de, D: Deserializer<'de>>(
    deserializer: D,
    word: &'static str,
) -> Result<Option<usize>, D::Error> {
    deserializer.deserialize_any(NumberOrWord(word))
}

/// Writes what [`number_or_word`] reads.
///
/// # Errors
/// If the serializer fails.
pub(crate) fn serialize<S: Serializer>(
    number: Option<usize>,
    word: &'static str,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serializer.serialize_u64(number as u64),
        None => serializer.serialize_str(word),
    }
}

struct NumberOrWord(&'static str);

impl Visitor<'_> for NumberOrWord {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&message!(
            "a number that is not negative, or \"{}\"",
            self.0
        ))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        usize::try_from(number)
            .map(Some)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    /// Numbers of JSON; those of TOML are signed.
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        usize::try_from(number)
            .map(Some)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        if word == self.0 {
            return Ok(None);
        }
        Err(E::invalid_value(Unexpected::Str(word), &self))
    }
}
