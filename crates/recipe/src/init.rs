use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use warmstart_language::{english, message, translated};
use warmstart_nn::initialization::{Initialization, Scheme, Weights, check_name};

use crate::user_value::value_by_word;

/// Initialization of parameters that no file gives: a word for all weights, or a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Init(pub Initialization);

const TORCHVISION: &str = "torchvision";
const LAYER_SEQUENTIAL: &str = "lsuv";

fn weights(word: &str) -> Result<Weights, String> {
    match word {
        TORCHVISION => Ok(Weights::Torchvision),
        LAYER_SEQUENTIAL => Ok(Weights::LayerSequential),
        scheme => match scheme.parse() {
            Ok(scheme) => Ok(Weights::Scheme(scheme)),
            Err(error) => Err(message!("{error}, {LAYER_SEQUENTIAL} or {TORCHVISION}")),
        },
    }
}

fn word(weights: Weights) -> String {
    match weights {
        Weights::Torchvision => TORCHVISION.into(),
        Weights::LayerSequential => LAYER_SEQUENTIAL.into(),
        Weights::Scheme(scheme) => scheme.to_string(),
    }
}

impl FromStr for Init {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(Initialization {
            weights: weights(text)?,
            ..Initialization::default()
        }))
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Initialization {
            weights,
            linear,
            by_name,
            zero_last_norm,
        } = &self.0;
        f.write_str(&word(*weights))?;
        if let Some(scheme) = linear {
            write!(f, ", linear layers {scheme}")?;
        }
        for (name, scheme) in by_name {
            write!(f, ", {name} {scheme}")?;
        }
        if *zero_last_norm {
            f.write_str(", residual branches zero")?;
        }
        Ok(())
    }
}

/// The table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    weights: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linear: Option<String>,
    #[serde(default)]
    zero_last_norm: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    by_name: BTreeMap<String, String>,
}

impl Serialize for Init {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Initialization {
            weights,
            linear,
            by_name,
            zero_last_norm,
        } = &self.0;
        let weights = word(*weights);
        if linear.is_none() && by_name.is_empty() && !zero_last_norm {
            return serializer.serialize_str(&weights);
        }
        let words_by_name = by_name
            .iter()
            .map(|(name, scheme)| (name.clone(), scheme.to_string()));
        let table = Table {
            weights: Some(weights),
            linear: linear.map(|scheme| scheme.to_string()),
            zero_last_norm: *zero_last_norm,
            by_name: words_by_name.collect(),
        };
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Init;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(translated(english!(
                    "an initialization, such as \"kaiming_normal\", or a table of them"
                )))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Init, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Init, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                let scheme = |text: String| text.parse::<Scheme>().map_err(de::Error::custom);
                let named = table.by_name.into_iter();
                let named = named.map(|(name, text)| {
                    check_name(&name).map_err(de::Error::custom)?;
                    Ok((name, scheme(text)?))
                });
                Ok(Init(Initialization {
                    weights: match table.weights {
                        Some(word) => weights(&word).map_err(de::Error::custom)?,
                        None => Weights::default(),
                    },
                    linear: table.linear.map(scheme).transpose()?,
                    by_name: named.collect::<Result<_, A::Error>>()?,
                    zero_last_norm: table.zero_last_norm,
                }))
            }
        }

        deserializer.deserialize_any(WordOrTable)
    }
}

value_by_word!(Init);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Recipe {
        init: Init,
    }

    #[test]
    fn a_word_or_a_table_reads_as_it_is_written() {
        for text in [
            "init = \"torchvision\"\n",
            "init = \"lsuv\"\n",
            "init = \"xavier_normal(0.02)\"\n",
            "[init]\nweights = \"orthogonal\"\nlinear = \"normal(0.01)\"\nzero_last_norm = true\n\n\
             [init.by_name]\n\"layer4.1\" = \"kaiming_normal(out)\"\n",
        ] {
            let recipe: Recipe = toml::from_str(text).unwrap();
            assert_eq!(toml::to_string(&recipe).unwrap(), text);
            let json = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        }
        let table: Recipe = toml::from_str("[init]\nlinear = 'normal(0.1)'").unwrap();
        assert_eq!(
            table.init.to_string(),
            "torchvision, linear layers normal(0.1)"
        );
    }

    #[test]
    fn what_is_not_known_is_named_with_what_is() {
        for (text, words) in [
            (
                "init = 'he'",
                "`he` is no initialization: it is normal(deviation)",
            ),
            ("[init]\nlinear = 'lsuv'", "`lsuv` is no initialization"),
            (
                "[init.by_name]\n'features.[3' = 'normal(1)'",
                "`features.[3`",
            ),
            ("[init]\nlinaer = 'normal'", "unknown field `linaer`"),
            ("init = 3", "expected an initialization"),
        ] {
            let error = toml::from_str::<Recipe>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
