//! Checkpoints that are kept.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use warmstart_language::message;

use crate::number_or_word::{self, number_or_word};
use crate::user_value::value_by_word;

/// Checkpoints that are kept, besides the best and the last of each phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// This many, the last ones.
    Last(usize),
    /// All of them.
    All,
}

const ALL: &str = "all";

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = match self {
            Self::Last(count) => Some(*count),
            Self::All => None,
        };
        number_or_word::serialize(count, ALL, serializer)
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = number_or_word(deserializer, ALL)?;
        Ok(count.map_or(Self::All, Self::Last))
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            (ALL, _) => Ok(Self::All),
            (_, Ok(count)) => Ok(Self::Last(count)),
            _ => Err(message!(
                "expected a whole number or \"{ALL}\", found \"{text}\""
            )),
        }
    }
}

value_by_word!(Keep);
