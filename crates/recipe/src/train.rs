//! The part of a network that learns.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use warmstart_language::message;

use crate::user_value::value_by_word;

/// The stage of a detector between its backbone and its head.
pub const NECK: &str = "neck";

/// The part of the network that learns in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Train {
    /// The head: the whole backbone is frozen.
    Head,
    /// The stage of that name, what follows it, and the head. `neck` is such a stage of a detector.
    From(String),
    /// Everything.
    All,
}

impl Train {
    /// Whether the whole backbone is frozen.
    pub fn freezes_backbone(&self) -> bool {
        match self {
            Self::Head => true,
            Self::From(_) | Self::All => false,
        }
    }

    /// Whether nothing is frozen.
    pub fn freezes_nothing(&self) -> bool {
        match self {
            Self::All => true,
            Self::Head | Self::From(_) => false,
        }
    }
}

impl FromStr for Train {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("from:")) {
            ("head", _) => Ok(Self::Head),
            ("all", _) => Ok(Self::All),
            (NECK, _) => Ok(Self::From(NECK.to_owned())),
            (_, Some(stage)) if !stage.is_empty() => Ok(Self::From(stage.to_owned())),
            _ => Err(message!(
                "expected \"head\", \"{NECK}\", \"all\" or \"from:STAGE\", found \"{text}\""
            )),
        }
    }
}

impl TryFrom<String> for Train {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Train> for String {
    fn from(train: Train) -> Self {
        train.to_string()
    }
}

impl fmt::Display for Train {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::From(stage) => write!(f, "from:{stage}"),
            Self::All => f.write_str("all"),
        }
    }
}

value_by_word!(Train);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neck_is_a_stage_with_a_word_of_its_own() {
        let neck: Train = "neck".parse().unwrap();
        assert_eq!(neck, Train::From("neck".to_owned()));
        assert_eq!(neck.to_string().parse::<Train>(), Ok(neck));
        let refused = "necks".parse::<Train>().unwrap_err();
        assert!(refused.contains("\"neck\", \"all\""), "{refused}");
    }
}
