//! The catalogue of a language: an English literal, and the message in that language.

use std::collections::HashMap;

/// A language: its texts by their English ones.
#[derive(Debug)]
pub struct Catalogue {
    /// What [`crate::message!`], [`crate::english!`] and [`crate::counted`] have.
    pub messages: HashMap<String, String>,
    /// What `--help` says of commands and flags.
    pub help: HashMap<String, String>,
    /// What the operating system says: the usual reasons why a file cannot be read or written.
    pub system: HashMap<String, String>,
}

impl Catalogue {
    /// Reads a catalogue in TOML: the tables `messages`, `help` and `system`, whose keys and values are texts.
    ///
    /// # Errors
    /// If it is something else.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        let mut tables: HashMap<String, HashMap<String, String>> = toml::from_str(text)?;
        let mut table = |name: &str| tables.remove(name).unwrap_or_default();
        Ok(Self {
            messages: table("messages"),
            help: table("help"),
            system: table("system"),
        })
    }
}

/// A text with its placeholders filled, each by what stands between its braces: `{path}`, `{loss:.3}`, `{0}`; `{}` is
/// the next by position. `{{` and `}}` are braces. A placeholder without a value stays as it is. `in_language` has the
/// words for a whole value.
pub fn filled<'a>(
    text: &str,
    values: &'a [(&str, String)],
    in_language: impl Fn(&'a str) -> &'a str,
) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut positions = 0;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            filled.push_str(brace);
            rest = after;
            continue;
        }
        let Some(end) = rest.find('}').filter(|_| brace == "{") else {
            filled.push_str(brace);
            continue;
        };
        let mut key = rest[..end].to_owned();
        if key.is_empty() || key.starts_with(':') {
            key = format!("{positions}{key}");
            positions += 1;
        }
        match values.iter().find(|(name, _)| *name == key) {
            Some((_, value)) => filled.push_str(in_language(value)),
            None => {
                filled.push('{');
                filled.push_str(&key);
                filled.push('}');
            }
        }
        rest = &rest[end + 1..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, values: &[(&str, String)]) -> String {
        filled(text, values, |value| value)
    }

    #[test]
    fn placeholders_are_filled_in_any_order() {
        let values = [
            ("path", "a.jpg".to_owned()),
            ("0", "7".to_owned()),
            ("1", "8".to_owned()),
        ];
        assert_eq!(fill("{1} 之 {0}：{path}", &values), "8 之 7：a.jpg");
        assert_eq!(fill("{} 之 {}", &values), "7 之 8");
        assert_eq!(fill("{{}} {path} }", &values), "{} a.jpg }");
        assert_eq!(fill("{nothing}", &values), "{nothing}");
    }

    #[test]
    fn what_a_value_holds_is_not_read_as_a_placeholder() {
        assert_eq!(
            fill("{0}", &[("0", "{1}".to_owned()), ("1", "x".to_owned())]),
            "{1}"
        );
    }

    #[test]
    fn a_whole_value_is_in_the_language() {
        let values = [("path", "a b".to_owned()), ("error", "full".to_owned())];
        let in_language = |value| if value == "full" { "已满" } else { value };
        let text = filled("{path}：{error}", &values, in_language);
        assert_eq!(text, "a b：已满");
    }
}
