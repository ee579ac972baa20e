//! Variants of training images.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use warmstart_language::message;

use crate::number_or_word::{self, number_or_word};
use crate::user_value::value_by_word;

/// A variant of each training image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its number.
    pub number: usize,
    /// Whether it belongs to the end of a phase, without mosaics.
    pub closing: bool,
}

/// Variants of each training image, which the epochs see in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Views {
    /// A new variant in every epoch.
    #[default]
    Fresh,
    /// This many, whose frozen features are computed once and cached.
    Number(usize),
}

const FRESH: &str = "fresh";

impl FromStr for Views {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            (FRESH, _) => Ok(Self::Fresh),
            (_, Ok(views)) => Ok(Self::Number(views)),
            _ => Err(message!(
                "expected a number or \"{FRESH}\", found \"{text}\""
            )),
        }
    }
}

impl Serialize for Views {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let views = match self {
            Self::Number(views) => Some(*views),
            Self::Fresh => None,
        };
        number_or_word::serialize(views, FRESH, serializer)
    }
}

impl<'de> Deserialize<'de> for Views {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let views = number_or_word(deserializer, FRESH)?;
        Ok(views.map_or(Self::Fresh, Self::Number))
    }
}

value_by_word!(Views);
