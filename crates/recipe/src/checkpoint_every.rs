use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use warmstart_language::{english, message, translated};

use crate::user_value::value_by_word;

/// Interval between checkpoints within an epoch; each epoch ends with one in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointEvery {
    /// After this much time since the last checkpoint.
    Time(Duration),
    /// After this many steps.
    Steps(u64),
}

impl Default for CheckpointEvery {
    fn default() -> Self {
        Self::Time(Duration::from_secs(300))
    }
}

/// Units in seconds, the longest first.
const UNITS: [(&str, u64); 3] = [("h", 3600), ("min", 60), ("s", 1)];
const EXPECTED: &str = english!("a time such as \"5min\", \"90s\" or \"1h\", or a number of steps");

impl FromStr for CheckpointEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            message!(
                "expected {expected}, above 0, found \"{text}\"",
                expected = translated(EXPECTED)
            )
        };
        if let Ok(steps) = text.parse() {
            return match steps {
                0 => Err(refused()),
                _ => Ok(Self::Steps(steps)),
            };
        }
        let seconds = UNITS.iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(*seconds)
        });
        match seconds {
            Some(seconds) if seconds > 0 => Ok(Self::Time(Duration::from_secs(seconds))),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for CheckpointEvery {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps}"),
            Self::Time(time) => {
                let time = time.as_secs();
                let whole = |(_, seconds): &&(&str, u64)| time.is_multiple_of(*seconds);
                let (unit, seconds) = UNITS.iter().find(whole).expect("seconds always fit");
                write!(f, "{}{unit}", time / seconds)
            }
        }
    }
}

impl Serialize for CheckpointEvery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Steps(steps) => serializer.serialize_u64(*steps),
            Self::Time(_) => serializer.serialize_str(&self.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for CheckpointEvery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = CheckpointEvery;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(translated(EXPECTED))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, steps: i64) -> Result<Self::Value, E> {
                match u64::try_from(steps) {
                    Ok(steps) => self.visit_u64(steps),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(steps), &self)),
                }
            }

            fn visit_u64<E: serde::de::Error>(self, steps: u64) -> Result<Self::Value, E> {
                steps.to_string().parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

value_by_word!(CheckpointEvery);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_steps_read_as_they_are_written() {
        for (text, expected) in [
            ("5min", CheckpointEvery::Time(Duration::from_secs(300))),
            ("90s", CheckpointEvery::Time(Duration::from_secs(90))),
            ("2h", CheckpointEvery::Time(Duration::from_secs(7200))),
            ("200", CheckpointEvery::Steps(200)),
        ] {
            let every: CheckpointEvery = text.parse().unwrap();
            assert_eq!((every, every.to_string().as_str()), (expected, text));
        }
        assert_eq!(CheckpointEvery::default().to_string(), "5min");
    }

    #[test]
    fn nothing_else_is_taken() {
        for text in [
            "",
            "0",
            "0s",
            "5",
            "min",
            "-3",
            "5 days",
            "99999999999999999999h",
        ] {
            let every = text.parse::<CheckpointEvery>();
            assert_eq!(every.is_ok(), text == "5", "{text}");
        }
    }
}
