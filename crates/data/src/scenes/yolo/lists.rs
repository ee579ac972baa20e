//! Text files with the path of an image in every line.

use super::super::findings::{Findings, Problem};
use super::super::places::{Bases, LONGEST, folder_of, located};
use super::super::reading::read_text;
use super::text_files::{start_of, with_line_ends};
use crate::error::DataError;
use crate::folder::is_image;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// Letters of a line that messages show.
const SHOWN: usize = 200;

/// The images in a list. Paths are relative to the list's folder or one of `bases`; lines that begin
/// with `#` are comments.
///
/// # Errors
/// If it cannot be read, or a line has more than a path, or no line is the path of an image.
pub(super) fn listed_images(
    list: &Path,
    bases: &[PathBuf],
    findings: &mut Findings,
) -> Result<Vec<PathBuf>, DataError> {
    let text = read_text(list)?;
    findings.add_encoding(list, &text);
    let text = with_line_ends(text.to_string());
    let beside = folder_of(list);
    let others = bases.iter().filter(|base| **base != beside);
    let places: Vec<PathBuf> = std::iter::once(&beside).chain(others).cloned().collect();
    let bases = Bases::new(&places);
    let mut images = Vec::new();
    let mut strange = None;
    for (line, content) in (1..).zip(text.lines()) {
        let content = unquoted(content.trim());
        if content.is_empty() {
            continue;
        }
        let place = || message!("{}, line {line}", shown(list));
        if is_label(content) {
            let found = beginning(content);
            let problem = message!(
                "found {found:?}, a file of labels or text; expected the path of an image in every line, as images/a.jpg, whose labels are found in labels/a.txt"
            );
            return Err(DataError::annotations(list, line, problem));
        }
        if let Some(image) = located(&bases, content, place, findings) {
            images.push(image);
            continue;
        }
        if content.starts_with('#') {
            continue;
        }
        if boxes_follow(content) {
            let found = beginning(content);
            let problem = message!(
                "found {found:?}, a path with its boxes as keras-yolo3 and keras-retinanet have it; expected the path alone, and the boxes in a label file (class x y width height in fractions)"
            );
            return Err(DataError::annotations(list, line, problem));
        }
        if !is_image(Path::new(content)) {
            strange = strange.or(Some((line, content)));
        }
        if content.len() > LONGEST {
            let found = beginning(content);
            findings.add(Problem::MissingImage, || message!("{}: {}", place(), found));
            continue;
        }
        images.push(beside.join(content));
    }
    match strange {
        Some((line, content)) if !images.iter().any(|image| is_image(image)) => {
            let found = beginning(content);
            let problem = message!("expected the path of an image in every line, found {found:?}");
            Err(DataError::annotations(list, line, problem))
        }
        Some(_) | None => Ok(images),
    }
}

/// The first letters of a line or a path, for messages.
pub(super) fn beginning(line: &str) -> String {
    let mut letters = line.chars();
    let mut start: String = letters.by_ref().take(SHOWN).collect();
    if letters.next().is_some() {
        start.push('…');
    }
    start
}

/// Returns whether a line is the path of a file that has labels and not an image.
fn is_label(line: &str) -> bool {
    let extension = Path::new(line).extension();
    let is_one = |label: &&str| extension.is_some_and(|e| e.eq_ignore_ascii_case(label));
    !line.starts_with('#') && ["txt", "xml", "json"].iter().any(is_one)
}

/// Returns whether a file begins with a line that is the path of an image.
pub(super) fn is_list(file: &Path) -> bool {
    let (text, _) = start_of(file);
    let mut lines = text.lines().map(|line| unquoted(line.trim()));
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| is_image(Path::new(line)))
}

fn unquoted(line: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| line.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(line)
}

/// Returns whether four numbers or more follow the path of an image, with commas between them.
fn boxes_follow(line: &str) -> bool {
    let mut parts = line.split([',', ' ', '\t']).filter(|part| !part.is_empty());
    let is_path = parts.next().is_some_and(|path| is_image(Path::new(path)));
    let numbers = parts.take_while(|part| part.parse::<f64>().is_ok());
    is_path && line.contains(',') && numbers.count() >= 4
}
