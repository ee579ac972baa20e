//! JSON as tools write it, and errors that name the column: much of it is one long line.

use crate::error::DataError;
use crate::text::{Text, read_json_text};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use warmstart_language::{message, translated};

/// Reads the text of a JSON file. The NaN, Infinity and -Infinity that Python's `json` writes are put in
/// quotes, where [`Number`] reads them.
///
/// # Errors
/// Those of [`read_text`](crate::text::read_text).
pub(super) fn read_json(file: &Path) -> Result<Text, DataError> {
    let text = read_json_text(file)?;
    // A text with such words is rare, and may have them in names only.
    let may_have = ["NaN", "Infinity"].iter().any(|word| text.contains(word));
    Ok(if may_have {
        text.map(quoted_not_finite)
    } else {
        text
    })
}

/// Parses a JSON text.
///
/// # Errors
/// If the text is not JSON or not of the form `expected` (in English), with line and column.
pub(super) fn parse_json<'a, T: Deserialize<'a>>(
    file: &Path,
    text: &'a str,
    expected: &'static str,
) -> Result<T, DataError> {
    serde_json::from_str(text).map_err(|error| {
        let (reason, column) = (error_reason(&error), error.column());
        let expected = translated(expected);
        let problem =
            message!("expected {expected}; {reason} at column {column}; fix it or export it again");
        DataError::annotations(file, error.line(), problem)
    })
}

/// The words of Python's `json` for numbers that are not finite, and texts of the same length that stand
/// for them, so that columns stay what they are.
const NOT_FINITE: [(&str, &str); 3] = [
    ("NaN", "\"N\""),
    ("Infinity", "\"  inf \""),
    ("-Infinity", "\"  -inf \""),
];

fn quoted_not_finite(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let (mut in_text, mut escaped) = (false, false);
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            in_text = true;
        } else if at >= copied && matches!(byte, b'N' | b'I' | b'-') {
            let word = NOT_FINITE
                .iter()
                .find(|(word, _)| text[at..].starts_with(word));
            if let Some((word, stand_in)) = word {
                quoted.push_str(&text[copied..at]);
                quoted.push_str(stand_in);
                copied = at + word.len();
            }
        }
    }
    quoted.push_str(&text[copied..]);
    quoted
}

/// A number, in quotes or not; one in quotes may be not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number(pub f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
        match text.trim() {
            "N" => Ok(Number(f64::NAN)),
            text => match text.parse() {
                Ok(value) => Ok(Number(value)),
                Err(_) => Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
            },
        }
    }
}

/// A number, in quotes or not; none for values of other types.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The reason of an error without its position, which counts within an entry or is given separately.
pub(super) fn error_reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}

/// Line and column, counted from 1, of a part of a text.
pub(super) fn place_in(text: &str, part: &str) -> (usize, usize) {
    let at = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    (line, before.len() - start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Number>, String> {
        parse_json(Path::new("x.json"), &quoted_not_finite(text), "numbers")
            .map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_may_be_in_quotes_and_not_finite() {
        let read = parsed(r#"[1, "2.5", "-3", -Infinity, Infinity, 1e2]"#).unwrap();
        let read: Vec<f64> = read.into_iter().map(|number| number.0).collect();
        assert_eq!(
            read,
            [1.0, 2.5, -3.0, f64::NEG_INFINITY, f64::INFINITY, 100.0]
        );
        assert!(parsed("[NaN]").unwrap()[0].0.is_nan());
    }

    #[test]
    fn an_error_names_line_and_column() {
        assert_eq!(
            parsed(r#"[1, "two"]"#).unwrap_err(),
            "x.json, line 1: expected numbers; invalid type: string \"two\", expected a number at column 9; fix it or export it again"
        );
        let error = parsed("[NaN,\nNaN, Infinity, x]").unwrap_err();
        assert!(
            error.contains("line 2: ") && error.contains("at column 16"),
            "{error}"
        );
    }

    #[test]
    fn names_keep_their_words() {
        let text = r#"["NaN \" Infinity", NaN, "\\", -Infinity, "é NaN"]"#;
        assert_eq!(
            quoted_not_finite(text),
            r#"["NaN \" Infinity", "N", "\\", "  -inf ", "é NaN"]"#
        );
    }

    #[test]
    fn a_part_has_its_line_and_column() {
        let text = "ab\ncde";
        assert_eq!(place_in(text, &text[4..]), (2, 2));
        assert_eq!(place_in(text, text), (1, 1));
    }
}
