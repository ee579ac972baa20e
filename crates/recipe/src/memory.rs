use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use warmstart_language::message;

use crate::user_value::value_by_word;

/// Memory limit of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Memory {
    /// The memory available when the run is planned.
    #[default]
    Auto,
    /// A number of bytes.
    Bytes(ByteSize),
}

const AUTO: &str = "auto";

impl Memory {
    /// Whether the machine decides.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == AUTO {
            return Ok(Self::Auto);
        }
        size_with_unit(text).map(Self::Bytes).ok_or_else(|| {
            message!(
                "expected \"{AUTO}\", or a size with its unit such as \"6GiB\" or \"800MB\", found \"{text}\""
            )
        })
    }
}

/// A size as people write it; `None` without a unit, because someone who writes 6 hardly means six bytes.
pub fn size_with_unit(text: &str) -> Option<ByteSize> {
    let size = text.parse().ok();
    size.filter(|_| text.ends_with(|last: char| last.is_ascii_alphabetic()))
}

impl TryFrom<String> for Memory {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Memory> for String {
    fn from(memory: Memory) -> Self {
        memory.to_string()
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            // In bytes, which is exact.
            Self::Bytes(size) => write!(f, "{}B", size.as_u64()),
        }
    }
}

value_by_word!(Memory);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_they_say_and_come_back() {
        for (text, bytes) in [
            ("6GiB", 6 << 30),
            ("800MB", 800_000_000),
            ("123456B", 123_456),
        ] {
            let memory: Memory = text.parse().unwrap();
            assert_eq!(memory, Memory::Bytes(ByteSize(bytes)));
            assert_eq!(memory.to_string().parse(), Ok(memory));
        }
        assert_eq!("auto".parse(), Ok(Memory::Auto));
        for text in ["much", "6", "6000000000", "", "GiB"] {
            let error = text.parse::<Memory>().unwrap_err();
            assert!(
                error.contains("with its unit such as \"6GiB\""),
                "{text}: {error}"
            );
        }
    }
}
