//! A line for people, and its kind.

use std::fmt::Display;

use textwrap::Options;
use warmstart_language::{bent, english, translated};

use crate::printing::printed;

/// Beginning of a line that a user should not miss.
const NOTE: &str = english!("note: ");

/// A line that a user should not miss.
pub fn noted(text: impl Display) -> String {
    format!("{}{text}", translated(NOTE))
}

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

    /// The line bent between words to a terminal's `columns`, so that none is cut within a word. What is indented stays: a
    /// table has its own form for a narrow terminal, and a command is pasted whole.
    pub fn bent(self, columns: Option<usize>) -> Vec<Self> {
        let Some(columns) = columns.filter(|_| !self.text.starts_with(' ')) else {
            return vec![self];
        };
        let options = Options::new(columns)
            .subsequent_indent("    ")
            .break_words(false);
        let parts = bent(&printed(&self.text), options).into_iter();
        parts
            .map(|text| Self {
                kind: self.kind,
                text,
            })
            .collect()
    }

    /// A line of that kind, unless it is a note, which warns.
    fn of(kind: Kind, text: String) -> Self {
        let kind = if text.starts_with(translated(NOTE)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_terminal_a_line_bends_between_words_and_a_command_stays_whole() {
        let texts = |text: &str, columns| -> Vec<String> {
            let parts = Line::warning(text).bent(columns).into_iter();
            parts.map(|part| part.text).collect()
        };
        let line = "note: three of four words";
        assert_eq!(texts(line, Some(16)), ["note: three of", "    four words"]);
        assert_eq!(texts(line, None), [line]);
        let command = "  warmstart report a/long/path";
        assert_eq!(texts(command, Some(16)), [command]);
        // Chinese is as wide as it is on a terminal.
        assert_eq!(texts("数据 类别 图片", Some(10)), ["数据 类别", "    图片"]);
    }

    #[test]
    fn a_note_warns_wherever_it_stands() {
        let texts = ["finished: kept", "note: it is optimistic"].map(str::to_owned);
        let kinds = of_kind(Kind::Result, texts.into()).into_iter();
        let kinds: Vec<Kind> = kinds.map(|line| line.kind).collect();
        assert_eq!(kinds, [Kind::Result, Kind::Warning]);
    }
}
