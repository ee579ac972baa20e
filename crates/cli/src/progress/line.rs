//! A line for people, and its kind.

/// Beginning of a line that a user should not miss.
pub const NOTE: &str = "note: ";

/// The place that a line has in what a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How it goes.
    News,
    /// Something a user should know.
    Warning,
    /// What came out.
    Result,
}

/// A line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub kind: Kind,
    pub text: String,
}

impl Line {
    pub fn warning(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Warning,
            text: text.into(),
        }
    }

    /// A line of that kind, unless it is a note, which warns.
    fn of(kind: Kind, text: String) -> Self {
        let kind = if text.starts_with(NOTE) {
            Kind::Warning
        } else {
            kind
        };
        Self { kind, text }
    }
}

/// Lines of a kind, except for the notes among them.
pub fn of_kind(kind: Kind, texts: Vec<String>) -> Vec<Line> {
    let texts = texts.into_iter();
    texts.map(|text| Line::of(kind, text)).collect()
}

/// `1 image`, `2 images`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_warns_wherever_it_stands() {
        let texts = ["finished: kept", "note: it is optimistic"].map(str::to_owned);
        let kinds = of_kind(Kind::Result, texts.into()).into_iter();
        let kinds: Vec<Kind> = kinds.map(|line| line.kind).collect();
        assert_eq!(kinds, [Kind::Result, Kind::Warning]);
    }
}
