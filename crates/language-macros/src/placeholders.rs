//! The placeholders of a literal that `format!` takes.

/// What a placeholder names.
#[derive(Debug, PartialEq, Eq)]
pub enum Name {
    /// `{}`, the argument at that position, or `{0}`.
    Position(usize),
    /// `{path}`.
    Word(String),
}

/// A placeholder.
#[derive(Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// As a catalogue has it between braces: `path`, `loss:.3`, and `0` for the first `{}`.
    pub key: String,
    /// What it names.
    pub name: Name,
    /// The same for `format!` with one argument: `{}`, `{:.3}`.
    pub format: String,
}

/// The placeholders of a literal, in order. `{{` and `}}` are none.
pub fn placeholders(literal: &str) -> Vec<Placeholder> {
    let mut found = Vec::new();
    let mut positions = 0;
    let mut rest = literal;
    while let Some(start) = rest.find('{') {
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            rest = after;
            continue;
        }
        let Some(end) = rest.find('}') else { break };
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        let (name, specification) = match inside.split_once(':') {
            Some((name, specification)) => (name, format!(":{specification}")),
            None => (inside, String::new()),
        };
        let name = if name.is_empty() {
            positions += 1;
            Name::Position(positions - 1)
        } else {
            match name.parse() {
                Ok(position) => Name::Position(position),
                Err(_) => Name::Word(name.to_owned()),
            }
        };
        let spelled = match &name {
            Name::Position(position) => position.to_string(),
            Name::Word(word) => word.clone(),
        };
        found.push(Placeholder {
            key: format!("{spelled}{specification}"),
            name,
            format: format!("{{{specification}}}"),
        });
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_by_name_and_by_position() {
        let keys = |literal: &str| -> Vec<String> {
            let found = placeholders(literal).into_iter();
            found.map(|placeholder| placeholder.key).collect()
        };
        assert_eq!(
            keys("{path}: {loss:.3} of {{all}} {}{:>4}"),
            ["path", "loss:.3", "0", "1:>4"]
        );
        assert_eq!(keys("nothing, {{}}"), [""; 0]);
        let found = placeholders("{loss:.3}").remove(0);
        assert_eq!(
            (found.name, found.format.as_str()),
            (Name::Word("loss".to_owned()), "{:.3}")
        );
    }
}
