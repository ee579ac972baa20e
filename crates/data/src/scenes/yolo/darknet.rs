//! Darknet's `obj.data`: lines of `key = value` that name the lists of the splits and of the classes.
//!
//! The format is that of <https://github.com/AlexeyAB/darknet>; CVAT exports it as "YOLO 1.1", with
//! paths that begin with a folder `data/` that is not in the archive.

use super::super::findings::Problem;
use super::super::names::{MOST_UNNAMED, numbered, read_names};
use super::super::places::{Bases, located};
use super::super::reading::read_text;
use super::description::Description;
use crate::error::DataError;
use crate::split_kind::SplitKind;
use std::path::Path;
use warmstart_files::shown;
use warmstart_language::message;

/// Contents of an `obj.data`: keys in lower case with their values and lines.
pub(super) struct Keys(Vec<(String, String, usize)>);

/// Reads the lines of an `obj.data`.
///
/// # Errors
/// If it cannot be read, a line is not `key = value`, or there is no training split.
pub(super) fn read(file: &Path) -> Result<Keys, DataError> {
    let text = read_text(file)?;
    let mut keys = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        let Some((key, value)) = content.split_once('=') else {
            let problem = message!("expected key = value, as train = train.txt, found {content:?}");
            return Err(DataError::annotations(file, line, problem));
        };
        let value = value.trim().to_owned();
        keys.push((key.trim().to_lowercase(), value, line));
    }
    let is_train = |(key, value, _): &(String, String, usize)| {
        SplitKind::of(key) == Some(SplitKind::Train) && !value.is_empty()
    };
    if keys.iter().any(is_train) {
        Ok(Keys(keys))
    } else {
        let problem = message!(
            "there is no key train; give the list of the training images, as train = train.txt"
        );
        Err(DataError::annotations(file, 1, problem))
    }
}

/// Reads an `obj.data` and finds what it names.
///
/// # Errors
/// Those of [`read`], and if it names something that is not there.
pub(super) fn describe(file: &Path) -> Result<Description, DataError> {
    let Keys(keys) = read(file)?;
    let mut description = Description::beside(file);
    let mut count = None;
    for (key, value, line) in &keys {
        let kind = SplitKind::of(key);
        if key == "classes" {
            let parsed = value.parse().ok();
            count = parsed.filter(|count| (1..=MOST_UNNAMED).contains(count));
        }
        if value.is_empty() || kind.is_none() && key != "names" {
            continue;
        }
        let place = || message!("{}, line {line}", shown(file));
        let bases = Bases::new(&description.bases);
        let found = located(&bases, value, place, &mut description.findings);
        let Some(found) = found else {
            if kind == Some(SplitKind::Test) {
                let example = || format!("{}, {key} = {value}", shown(file));
                description.findings.add(Problem::MissingSplit, example);
                continue;
            }
            let problem = message!(
                "{key}: there is no {value} in {}; fix the path",
                shown(&description.root)
            );
            return Err(DataError::annotations(file, *line, problem));
        };
        match kind {
            Some(SplitKind::Train) => description.train.push(found),
            Some(SplitKind::Validation) => description.validation.push(found),
            Some(SplitKind::Test) => description.test.push(found),
            None => {
                let classes = read_names(&found, &mut description.findings)?;
                description.classes = Some(classes);
                description.classes_from = Some(found);
            }
        }
    }
    description.class_count = count;
    if let (None, Some(count)) = (&description.classes, count) {
        let example = || format!("{}, classes = {count}", shown(file));
        description.findings.add(Problem::UnnamedClasses, example);
        description.classes = Some(numbered(count));
    }
    Ok(description)
}
