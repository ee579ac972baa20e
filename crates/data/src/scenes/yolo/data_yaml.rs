//! The `data.yaml` of a YOLO data set: its classes and where its splits are.
//!
//! The format is described at <https://docs.ultralytics.com/datasets/detect/>. The parser's events
//! are read one by one: the file is flat, and every scalar stays the text that it is, so that a class
//! may be called `no` or `7`. Aliases are not expanded, so that no file grows while it is read.

use super::super::findings::Findings;
use super::super::names::MOST_UNNAMED;
use super::super::reading::{class_name, read_text, require_distinct};
use crate::error::DataError;
use crate::split_kind::SplitKind;
use saphyr_parser::{Event, Parser, Span, StrInput};
use std::path::Path;
use warmstart_language::{english, message, translated};

/// Most keypoints of an object, and most numbers of a keypoint.
const MOST_KEYPOINTS: [usize; 2] = [1000, 3];

/// Keys that are about other things than pictures, and may have the name of a folder as their value.
const OTHER_KEYS: [&str; 5] = ["yaml_file", "download", "task", "project", "name"];

/// Contents of a `data.yaml`.
#[derive(Debug, Default)]
pub(super) struct DataYaml {
    /// The folder that the splits are relative to.
    pub path: Option<String>,
    pub names: Names,
    /// The keys of splits in the order of the file.
    pub splits: Vec<(SplitKind, Paths)>,
    /// Keys of other names with a text or a list of texts: paths, perhaps.
    pub others: Vec<Paths>,
    /// Number of classes (`nc`).
    pub count: Option<usize>,
    /// Numbers that follow a box for its keypoints (`kpt_shape`).
    pub keypoints: Option<usize>,
}

/// A key with one path or several; none if it has no value.
#[derive(Debug)]
pub(super) struct Paths {
    pub key: String,
    /// Line of the key.
    pub line: usize,
    pub paths: Vec<String>,
}

/// Class names, as a `data.yaml` has them.
#[derive(Debug, Default)]
pub(super) enum Names {
    /// In the order of their indices.
    Listed(Vec<String>),
    /// A text, perhaps the path of a file with a name in every line, and the line that it is in.
    Text(String, usize),
    /// Their number, from `nc`.
    Counted(usize),
    #[default]
    None,
}

/// Reads a `data.yaml`; `findings` get the encoding that was assumed, if any.
///
/// # Errors
/// If it is not YAML, has neither names nor `nc`, has no train, or one of them is of another form.
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
    let names = match &data.names {
        Names::Listed(names) => {
            require_distinct(file, names)?;
            names.len()
        }
        Names::Text(..) => 1,
        Names::Counted(count) => *count,
        Names::None => 0,
    };
    if names == 0 {
        let problem =
            message!("there is no key names; list the class names, such as names: [cat, dog]");
        return Err(DataError::annotations(file, 1, problem));
    }
    let train =
        |(kind, paths): &(SplitKind, Paths)| *kind == SplitKind::Train && !paths.paths.is_empty();
    if !data.splits.iter().any(train) {
        let problem = message!("there is no key train; give the folder of the training images");
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
        let mut flipped = None;
        let mut first = self.next()?;
        while matches!(first, Event::StreamStart | Event::DocumentStart(_)) {
            first = self.next()?;
        }
        let Event::MappingStart(..) = first else {
            let expected = translated(english!("keys such as train, val and names"));
            return Err(self.unexpected(expected, &first));
        };
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                Event::Scalar(key, ..) => key.into_owned(),
                other => return Err(self.unexpected(translated(english!("a key")), &other)),
            };
            let line = self.line;
            match &key.to_lowercase()[..] {
                "path" => data.path = self.paths(&key)?.pop(),
                "names" => data.names = self.names()?,
                "nc" => data.count = self.count()?,
                "kpt_shape" => data.keypoints = self.keypoints()?,
                "flip_idx" if !self.value()?.is_empty() => flipped = Some(line),
                "flip_idx" => {}
                lower if OTHER_KEYS.contains(&lower) => drop(self.value()?),
                lower => match SplitKind::of(lower) {
                    Some(kind) => {
                        let paths = self.paths(&key)?;
                        data.splits.push((kind, Paths { key, line, paths }));
                    }
                    None => {
                        let paths = self.value()?;
                        data.others.push(Paths { key, line, paths });
                    }
                },
            }
        }
        // Without the shape, keypoints in two dimensions would be taken for an outline.
        if let (Some(line), None) = (flipped, data.keypoints) {
            let problem = message!(
                "flip_idx says that the labels have keypoints, and there is no key kpt_shape; add kpt_shape: [keypoints, 2 or 3]"
            );
            return Err(DataError::annotations(self.file, line, problem));
        }
        if let (Names::None, Some(count)) = (&data.names, data.count) {
            data.names = Names::Counted(count);
        }
        Ok(data)
    }

    /// A path, a list of paths, or nothing.
    fn paths(&mut self, key: &str) -> Result<Vec<String>, DataError> {
        let expected = message!("{key}: to be a path or a list of paths");
        match self.next()? {
            Event::Scalar(text, ..) if is_nothing(&text) => Ok(Vec::new()),
            Event::Scalar(text, ..) => Ok(vec![unescaped(&text)]),
            Event::SequenceStart(..) => {
                let paths = self.list(&expected)?;
                Ok(paths.iter().map(|path| unescaped(path)).collect())
            }
            other => Err(self.unexpected(&expected, &other)),
        }
    }

    /// A list of names, a mapping from 0, 1, … to names in any order, or a text.
    fn names(&mut self) -> Result<Names, DataError> {
        let expected = translated(EXPECTED_NAMES);
        match self.next()? {
            Event::SequenceStart(..) => {
                return Ok(Names::Listed(
                    self.list(expected)?
                        .iter()
                        .map(|name| class_name(name))
                        .collect(),
                ));
            }
            Event::Scalar(text, ..) if is_nothing(&text) => return Ok(Names::None),
            Event::Scalar(text, ..) => return Ok(Names::Text(text.into_owned(), self.line)),
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
                let problem = message!("expected {expected}, found the key {index:?}");
                return Err(DataError::annotations(self.file, self.line, problem));
            };
            match self.next()? {
                Event::Scalar(name, ..) => numbered.push((index, class_name(&name))),
                other => return Err(self.unexpected(expected, &other)),
            }
        }
        numbered.sort();
        if let Some((place, (index, name))) = (0..).zip(&numbered).find(|(a, (b, _))| a != b) {
            let problem = message!(
                "names: {name:?} has the index {index} where {place} comes next; number the classes 0, 1, 2, …"
            );
            return Err(DataError::annotations(self.file, self.line, problem));
        }
        Ok(Names::Listed(
            numbered.into_iter().map(|(_, name)| name).collect(),
        ))
    }

    /// A number of classes.
    fn count(&mut self) -> Result<Option<usize>, DataError> {
        let expected = message!("nc: to be a number of classes up to {MOST_UNNAMED}");
        match self.next()? {
            Event::Scalar(text, ..) if is_nothing(&text) => Ok(None),
            Event::Scalar(text, style, anchor, tag) => match text.parse() {
                Ok(count) if count <= MOST_UNNAMED => Ok(Some(count)),
                Ok(_) | Err(_) => {
                    Err(self.unexpected(&expected, &Event::Scalar(text, style, anchor, tag)))
                }
            },
            other => Err(self.unexpected(&expected, &other)),
        }
    }

    /// The numbers of all keypoints of an object, from `[keypoints, 2 or 3]`.
    fn keypoints(&mut self) -> Result<Option<usize>, DataError> {
        let expected = translated(english!("kpt_shape: to be [keypoints, 2 or 3]"));
        let texts = match self.next()? {
            Event::Scalar(text, ..) if is_nothing(&text) => return Ok(None),
            Event::SequenceStart(..) => self.list(expected)?,
            other => return Err(self.unexpected(expected, &other)),
        };
        let numbers: Vec<usize> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        let [most, most_numbers] = MOST_KEYPOINTS;
        match numbers[..] {
            [points, numbers]
                if texts.len() == 2
                    && (1..=most).contains(&points)
                    && (2..=most_numbers).contains(&numbers) =>
            {
                Ok(Some(points * numbers))
            }
            _ => {
                let found = texts.join(", ");
                let problem = message!("expected {expected}, found [{found}]; fix the line");
                Err(DataError::annotations(self.file, self.line, problem))
            }
        }
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

    /// The texts of a value that is a text or a list of texts; of anything else none. All of it is
    /// consumed.
    fn value(&mut self) -> Result<Vec<String>, DataError> {
        let mut texts = Vec::new();
        let (mut depth, mut flat) = (0_usize, true);
        loop {
            match self.next()? {
                Event::SequenceStart(..) => {
                    flat &= depth == 0;
                    depth += 1;
                }
                Event::MappingStart(..) => {
                    flat = false;
                    depth += 1;
                }
                Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
                Event::Scalar(text, ..) if flat && !is_nothing(&text) => {
                    texts.push(text.into_owned());
                }
                Event::Scalar(..)
                | Event::Alias(_)
                | Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
            }
            if depth == 0 {
                return Ok(if flat { texts } else { Vec::new() });
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
                let problem = if reason.contains("escape") {
                    message!(
                        "expected YAML; {reason}; write / for \\ in paths, for \\ begins an escape in double quotes"
                    )
                } else {
                    message!("expected YAML; {reason}; fix the line")
                };
                Err(DataError::annotations(self.file, line, problem))
            }
            None => Ok(Event::StreamEnd),
        }
    }

    fn unexpected(&self, expected: &str, found: &Event) -> DataError {
        let found = match found {
            Event::Scalar(text, ..) => message!("the text {text:?}"),
            Event::SequenceStart(..) => message!("a list"),
            Event::MappingStart(..) => message!("a mapping"),
            Event::Alias(_) => message!("an alias, which is not supported here"),
            Event::SequenceEnd
            | Event::MappingEnd
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => message!("nothing"),
        };
        let problem = message!("expected {expected}, found {found}; fix the line");
        DataError::annotations(self.file, self.line, problem)
    }
}

/// A path with `\` and a letter for the characters that YAML's double quotes make of them, so that
/// `"images\train"` is not a path with a tab.
fn unescaped(path: &str) -> String {
    let mut unescaped = String::new();
    for letter in path.trim_matches(['\n', '\r']).chars() {
        let escaped = match letter {
            '\0' => "\\0",
            '\x07' => "\\a",
            '\x08' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\x0b' => "\\v",
            '\x0c' => "\\f",
            '\r' => "\\r",
            '\x1b' => "\\e",
            '\u{85}' => "\\N",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            letter => {
                unescaped.push(letter);
                continue;
            }
        };
        unescaped.push_str(escaped);
    }
    unescaped
}

/// Forms that the key names may have, in English.
pub(super) const EXPECTED_NAMES: &str =
    english!("names: to be a list of names, or a mapping from 0, 1, … to names");

fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
