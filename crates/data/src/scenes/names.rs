//! Class names in a text file, one in a line.

use super::findings::{Findings, Problem};
use super::reading::{class_name, read_text, require_distinct};
use crate::error::DataError;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// Most classes that may be counted without names.
pub(crate) const MOST_UNNAMED: usize = 10_000;

/// Names that tools give to their list of the classes.
const LISTS: [&str; 8] = [
    "classes.txt",
    "obj.names",
    "_darknet.labels",
    "classes.names",
    "predefined_classes.txt",
    "class_names.txt",
    "names.txt",
    "labels.txt",
];

/// Returns whether a file has the name of a list of classes.
pub(super) fn is_list_of_classes(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_ascii_lowercase());
    name.is_some_and(|name| {
        LISTS.iter().any(|list| name == *list)
            || Path::new(&name).extension() == Some("names".as_ref())
    })
}

/// The lists of classes in a folder, those with the more usual names first.
pub(super) fn lists_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut lists: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| is_list_of_classes(path) && !path.is_dir())
        .collect();
    let rank = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_ascii_lowercase();
        LISTS
            .iter()
            .position(|list| name == *list)
            .unwrap_or(LISTS.len())
    };
    lists.sort_by_key(|path| (rank(path), path.clone()));
    lists
}

/// Reads a list of class names; `findings` get the encoding that was assumed, if any.
///
/// # Errors
/// If it cannot be read, is empty, has a class twice, or has an empty line before its end, which would
/// shift the classes after it.
pub(crate) fn read_names(file: &Path, findings: &mut Findings) -> Result<Vec<String>, DataError> {
    let text = read_text(file)?;
    findings.add_encoding(file, &text);
    let mut names: Vec<String> = text.lines().map(|line| class_name(line.trim())).collect();
    while names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    if names.is_empty() {
        let problem = message!(
            "expected a class name in every line, found nothing; list the classes in the order of their indices"
        );
        return Err(DataError::annotations(file, 1, problem));
    }
    if let Some(index) = names.iter().position(String::is_empty) {
        let problem = message!(
            "expected a class name, found an empty line, so that the index of the next class is not certain; remove the line or name the class"
        );
        return Err(DataError::annotations(file, index + 1, problem));
    }
    require_distinct(file, &names)?;
    Ok(names)
}

/// The names of a list without its lines that begin with `#`, if the number of classes shows that these
/// are comments; `findings` get the lines of which it is unknown.
///
/// # Errors
/// Those of `count`, the number of classes.
pub(super) fn without_comments(
    file: &Path,
    names: Vec<String>,
    count: impl Fn() -> Result<usize, DataError>,
    findings: &mut Findings,
) -> Result<Vec<String>, DataError> {
    let is_comment = |name: &String| name.starts_with('#');
    let comments = names.iter().filter(|name| is_comment(name)).count();
    if comments == 0 || comments == names.len() {
        return Ok(names);
    }
    let count = count()?;
    if count == names.len() - comments {
        return Ok(names.into_iter().filter(|name| !is_comment(name)).collect());
    }
    if count != names.len() {
        let comments = (1..).zip(&names).filter(|(_, name)| is_comment(name));
        for (line, name) in comments {
            findings.add(Problem::OtherClasses, || {
                let file = shown(file);
                message!(
                    "{file}, line {line}: {name:?} is taken for a class; remove the line if it is a comment"
                )
            });
        }
    }
    Ok(names)
}

/// Names for classes that have none.
pub(crate) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("class_{index}")).collect()
}
