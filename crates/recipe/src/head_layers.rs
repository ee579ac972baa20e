//! The layers that a head in closed form reads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use warmstart_language::message;

use crate::user_value::value_by_word;

/// The layers that a head in closed form reads, besides the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HeadLayers {
    /// Those that were chosen for the architecture.
    #[default]
    Auto,
    /// None.
    Last,
    /// Stages, whose result is read, and convolutions, whose input is.
    Named(Vec<String>),
}

const AUTO: &str = "auto";
const LAST: &str = "last";

impl HeadLayers {
    /// Whether the choice is left to the architecture.
    pub fn is_auto(&self) -> bool {
        match self {
            Self::Auto => true,
            Self::Last | Self::Named(_) => false,
        }
    }

    fn named(names: Vec<String>) -> Result<Self, String> {
        let is_repeated = |(place, name): (usize, &String)| names[..place].contains(name);
        match names.iter().enumerate().find(|named| is_repeated(*named)) {
            _ if names.is_empty() || names.iter().any(String::is_empty) => {
                Err(message!("expected names of layers, {AUTO}, or {LAST}"))
            }
            Some((_, name)) => Err(message!("`{name}` is named twice")),
            None => Ok(Self::Named(names)),
        }
    }
}

impl FromStr for HeadLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            AUTO => Ok(Self::Auto),
            LAST => Ok(Self::Last),
            names => Self::named(names.split(',').map(str::trim).map(str::to_owned).collect()),
        }
    }
}

impl fmt::Display for HeadLayers {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::Last => f.write_str(LAST),
            Self::Named(names) => f.write_str(&names.join(",")),
        }
    }
}

impl Serialize for HeadLayers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto | Self::Last => serializer.serialize_str(&self.to_string()),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for HeadLayers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum WordOrNames {
            Word(String),
            Names(Vec<String>),
        }
        let given = WordOrNames::deserialize(deserializer).map_err(|_| {
            <D::Error as de::Error>::custom(message!(
                "expected \"auto\", \"last\", or a list of names of layers"
            ))
        })?;
        let layers = match given {
            WordOrNames::Word(word) => word.parse(),
            WordOrNames::Names(names) => Self::named(names),
        };
        layers.map_err(de::Error::custom)
    }
}

value_by_word!(HeadLayers);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_list_in_a_recipe_and_separated_by_commas_in_a_flag() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Table {
            layers: HeadLayers,
        }
        for (text, layers) in [
            ("layers = \"auto\"\n", "auto"),
            ("layers = \"last\"\n", "last"),
            (
                "layers = [\"layer3.1\", \"layer4.0\"]\n",
                "layer3.1, layer4.0",
            ),
        ] {
            let table: Table = toml::from_str(text).unwrap();
            assert_eq!(table.layers, layers.parse().unwrap());
            assert_eq!(toml::to_string(&table).unwrap(), text);
        }
        assert!("a,a".parse::<HeadLayers>().unwrap_err().contains("twice"));
        for wrong in ["a,,b", "", ","] {
            assert!(wrong.parse::<HeadLayers>().is_err(), "{wrong}");
        }
        assert!(toml::from_str::<Table>("layers = []").is_err());
        assert!(toml::from_str::<Table>("layers = 3").is_err());
    }
}
