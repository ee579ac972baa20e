//! The `data.yaml` of a YOLO data set: its classes and where its splits are.
//!
//! The format is described at <https://docs.ultralytics.com/datasets/detect/>. The parser's events
//! are read one by one: the file is flat, and every scalar stays the text that it is, so that a class
//! may be called `no` or `7`.

use super::findings::Findings;
use super::reading::{read_text, require_distinct};
use crate::error::DataError;
use saphyr_parser::{Event, Parser, Span, StrInput};
use std::path::Path;

/// What a `data.yaml` says. Other keys are passed over.
#[derive(Debug, Default)]
pub(super) struct DataYaml {
    /// The folder that the splits are relative to.
    pub path: Option<String>,
    /// Class names in the order of their indices.
    pub names: Vec<String>,
    /// Folders or lists of images; empty if the key is missing or has no value.
    pub train: Vec<String>,
    pub validation: Vec<String>,
    pub test: Vec<String>,
}

/// Reads a `data.yaml`.
///
/// # Errors
/// If it is no YAML, has no names or no train, or one of them is of another form.
pub(super) fn read_data_yaml(file: &Path, findings: &mut Findings) -> Result<DataYaml, DataError> {
    let text = read_text(file)?;
    findings.add_encoding(file, &text);
    let mut reader = Reader {
        file,
        events: Parser::new_from_str(&text),
        line: 1,
        lines: text.lines().count(),
    };
    let data = reader.document()?;
    if data.names.is_empty() {
        let problem = "there is no key names; list the class names, such as names: [cat, dog]";
        return Err(DataError::annotations(file, 1, problem));
    }
    require_distinct(file, &data.names)?;
    if data.train.is_empty() {
        let problem = "there is no key train; give the folder of the training images";
        return Err(DataError::annotations(file, 1, problem));
    }
    Ok(data)
}

struct Reader<'a> {
    file: &'a Path,
    events: Parser<'a, StrInput<'a>>,
    /// Line of the last event.
    line: usize,
    lines: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<DataYaml, DataError> {
        let mut data = DataYaml::default();
        let mut first = self.next()?;
        while matches!(first, Event::StreamStart | Event::DocumentStart(_)) {
            first = self.next()?;
        }
        let Event::MappingStart(..) = first else {
            return Err(self.unexpected("keys such as train, val and names", &first));
        };
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(data),
                Event::Scalar(key, ..) => key.into_owned(),
                other => return Err(self.unexpected("a key", &other)),
            };
            match &key[..] {
                "path" => data.path = self.texts(&key)?.pop(),
                "train" => data.train = self.texts(&key)?,
                "val" | "valid" | "validation" => data.validation = self.texts(&key)?,
                "test" => data.test = self.texts(&key)?,
                "names" => data.names = self.names()?,
                _ => self.skip()?,
            }
        }
    }

    /// A text, a list of texts, or nothing.
    fn texts(&mut self, key: &str) -> Result<Vec<String>, DataError> {
        let expected = format!("{key}: to be a path or a list of paths");
        match self.next()? {
            Event::Scalar(text, ..) if is_nothing(&text) => Ok(Vec::new()),
            Event::Scalar(text, ..) => Ok(vec![text.into_owned()]),
            Event::SequenceStart(..) => self.list(&expected),
            other => Err(self.unexpected(&expected, &other)),
        }
    }

    /// A list of names, or a mapping from 0, 1, … to names in any order.
    fn names(&mut self) -> Result<Vec<String>, DataError> {
        let expected = "names: to be a list of names, or a mapping from 0, 1, … to names";
        match self.next()? {
            Event::SequenceStart(..) => return self.list(expected),
            Event::MappingStart(..) => {}
            other => return Err(self.unexpected(expected, &other)),
        }
        let mut numbered = Vec::new();
        loop {
            let index = match self.next()? {
                Event::MappingEnd => break,
                Event::Scalar(index, ..) => index,
                other => return Err(self.unexpected(expected, &other)),
            };
            let Ok(index) = index.parse::<usize>() else {
                let problem = format!("expected {expected}, found the key {index:?}");
                return Err(DataError::annotations(self.file, self.line, problem));
            };
            match self.next()? {
                Event::Scalar(name, ..) => numbered.push((index, name.into_owned())),
                other => return Err(self.unexpected(expected, &other)),
            }
        }
        numbered.sort();
        if let Some((place, (index, name))) = (0..).zip(&numbered).find(|(a, (b, _))| a != b) {
            let problem = format!(
                "names: {name:?} has the index {index} where {place} comes next; number the classes 0, 1, 2, …"
            );
            return Err(DataError::annotations(self.file, self.line, problem));
        }
        Ok(numbered.into_iter().map(|(_, name)| name).collect())
    }

    /// The rest of a list of texts.
    fn list(&mut self, expected: &str) -> Result<Vec<String>, DataError> {
        let mut texts = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(texts),
                Event::Scalar(text, ..) => texts.push(text.into_owned()),
                other => return Err(self.unexpected(expected, &other)),
            }
        }
    }

    /// Passes over one value with all that is in it.
    fn skip(&mut self) -> Result<(), DataError> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Event<'a>, DataError> {
        match self.events.next_event() {
            Some(Ok((event, Span { start, .. }))) => {
                self.line = start.line();
                Ok(event)
            }
            Some(Err(error)) => {
                // The end of the file counts as a line of its own.
                let line = error.marker().line().min(self.lines);
                let reason = error.info();
                let problem = format!("expected YAML; {reason}; mend the line");
                Err(DataError::annotations(self.file, line, problem))
            }
            None => Ok(Event::StreamEnd),
        }
    }

    fn unexpected(&self, expected: &str, found: &Event) -> DataError {
        let found = match found {
            Event::Scalar(text, ..) => format!("the text {text:?}"),
            Event::SequenceStart(..) => "a list".into(),
            Event::MappingStart(..) => "a mapping".into(),
            Event::Alias(_) => "an alias, which is not supported here".into(),
            _ => "nothing".into(),
        };
        let problem = format!("expected {expected}, found {found}; mend the line");
        DataError::annotations(self.file, self.line, problem)
    }
}

fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
