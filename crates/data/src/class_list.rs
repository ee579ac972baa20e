//! Lists of pictures with their classes: `cls_train.txt` with rows such as `0;datasets/train/cat/1.jpg`.

use crate::error::DataError;
use crate::folder::{has_extension, is_image};
use crate::listed_images::{ListedImages, ListedSplit, Splits};
use crate::picture_lists::{
    Finder, PictureLists, beginning, class_names, class_number, folder_of, read_list,
};
use crate::sample::Sample;
use crate::scenes::{Findings, Problem};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::{english, message, translated};

/// The usual name of the list of class names.
const CLASSES: &str = "cls_classes.txt";
/// The form of a row, for messages.
const FORM: &str = english!(
    "the number of a class, a semicolon and the path of a picture, as in 0;datasets/train/cat/1.jpg"
);

/// A row of a list.
struct Row {
    line: usize,
    class: usize,
    path: String,
}

/// The lists that `data` names or holds; none if it has none.
///
/// # Errors
/// If two are for one split.
pub(crate) fn find(data: &Path) -> Result<Option<PictureLists>, DataError> {
    PictureLists::find(data, |row| parsed(row).is_some())
}

/// Reads the data set whose lists `data` names or holds; none if it has none.
///
/// # Errors
/// If a list cannot be read or none of its pictures is there, there are fewer than two classes, a class of
/// another split has no training picture, two lists are for one split, or `data` is a text file of another
/// form.
pub(crate) fn read(data: &Path) -> Result<Option<ListedImages>, DataError> {
    let Some(lists) = find(data)? else {
        return refuse_text(data).map(|()| None);
    };
    let train = lists.training(data)?.to_path_buf();
    let mut findings = Findings::default();
    for list in &lists.unused {
        findings.add(Problem::NotUsed, || shown(list));
    }
    let folder = folder_of(&train);
    let splits = read_splits(&folder, &lists, &mut findings)?;
    if splits.images[0].is_none() {
        return Err(other_form(&train));
    }
    let sources = lists.all().map(|list| list.map(Path::to_path_buf));
    ListedImages::of(splits, sources, (data, &folder), &findings).map(Some)
}

/// The pictures of one list; none if `list` is no list.
///
/// # Errors
/// If it cannot be read, or has a row that cannot be used: a measure of fewer pictures is another one.
pub(crate) fn read_one(list: &Path) -> Result<Option<ListedSplit>, DataError> {
    let Some(lists) = find(list)? else {
        return refuse_text(list).map(|()| None);
    };
    let others = lists.all().into_iter().flatten();
    let mut others = others.filter(|other| other.file_name() != list.file_name());
    if list.is_dir() {
        let problem = message!(
            "it holds the lists of a data set; give one of them, such as {}",
            shown(others.next_back().unwrap_or(list))
        );
        return Err(DataError::Layout {
            folder: list.to_path_buf(),
            problem,
        });
    }
    let mut findings = Findings::default();
    let rows = read_rows(list, &mut findings)?;
    // The names are those that fit the labels of all splits.
    let mut count = count_of(&rows);
    for other in others {
        count = count.max(count_of(&read_rows(other, &mut Findings::default())?));
    }
    let folder = [folder_of(list)];
    let names = class_names(&folder[0], CLASSES, count, &mut findings)?;
    let images = found_images(list, rows, &names, &mut Finder::new(&folder), &mut findings)?;
    for problem in [Problem::MissingImage, Problem::Malformed] {
        if let Some(example) = findings.examples(problem).first() {
            return Err(DataError::Layout {
                folder: list.to_path_buf(),
                problem: message!(
                    "{}, such as {example}; fix or remove these lines, since the metric of some of its pictures is another one",
                    problem.counted(findings.count(problem))
                ),
            });
        }
    }
    Ok(Some(ListedSplit { names, images }))
}

/// One more than the highest class.
fn count_of(rows: &[Row]) -> usize {
    let highest = rows.iter().map(|row| row.class).max();
    highest.map_or(0, |highest| highest + 1)
}

/// The number of a class and the path in a row.
fn parsed(row: &str) -> Option<(usize, &str)> {
    let (class, path) = row.split_once(';')?;
    let path = path.trim();
    let class = class_number(class)?;
    is_image(Path::new(path)).then_some((class, path))
}

/// Names of all classes, and the pictures of training, validation and test that are there.
fn read_splits(
    folder: &Path,
    lists: &PictureLists,
    findings: &mut Findings,
) -> Result<Splits, DataError> {
    let mut rows: [Option<Vec<Row>>; 3] = [const { None }; 3];
    for (rows, list) in rows.iter_mut().zip(lists.all()) {
        *rows = list.map(|list| read_rows(list, findings)).transpose()?;
    }
    let counts = rows.iter().flatten().map(|rows| count_of(rows));
    let count = counts.max().unwrap_or(0);
    let names = class_names(folder, CLASSES, count, findings)?;
    let base = [folder.to_path_buf()];
    let mut finder = Finder::new(&base);
    let mut images = [const { None }; 3];
    let mut seen = HashSet::new();
    for (split, (list, rows)) in images.iter_mut().zip(lists.all().into_iter().zip(rows)) {
        let (Some(list), Some(rows)) = (list, rows) else {
            continue;
        };
        let found = found_images(list, rows, &names, &mut finder, findings)?;
        for image in &found {
            if !seen.insert(image.path.clone()) {
                findings.add(Problem::SharedImage, || shown(&image.path));
            }
        }
        *split = Some(found);
    }
    finder.note_outside(findings);
    Ok(Splits { names, images })
}

/// The rows of a list; those of another form are findings.
fn read_rows(list: &Path, findings: &mut Findings) -> Result<Vec<Row>, DataError> {
    let text = read_list(list, findings)?;
    let mut rows = Vec::new();
    for (line, row) in (1..).zip(text.rows().map(str::trim)) {
        if row.is_empty() {
            continue;
        }
        match parsed(row) {
            Some((class, path)) => rows.push(Row {
                line,
                class,
                path: path.to_owned(),
            }),
            None => findings.add(Problem::Malformed, || {
                let found = beginning(row);
                message!(
                    "{}, line {line}: expected {form}, found {found:?}",
                    shown(list),
                    form = translated(FORM)
                )
            }),
        }
    }
    Ok(rows)
}

/// The pictures of a list that are there, sorted by class, then by path, each once.
fn found_images(
    list: &Path,
    rows: Vec<Row>,
    names: &[String],
    finder: &mut Finder,
    findings: &mut Findings,
) -> Result<Vec<Sample>, DataError> {
    let mut images: Vec<Sample> = Vec::with_capacity(rows.len());
    let mut classes: HashMap<PathBuf, usize> = HashMap::new();
    let first = rows.first().map(|row| (row.line, beginning(&row.path)));
    let count = rows.len();
    for Row { line, class, path } in rows {
        let place = || message!("{}, line {line}", shown(list));
        if class >= names.len() {
            findings.add(Problem::Malformed, || {
                let highest = names.len() - 1;
                message!(
                    "{}: expected a class from 0 to {highest}, since there are {} names, found {class}",
                    place(),
                    names.len()
                )
            });
            continue;
        }
        let Some(path) = finder.find(&path, place, findings) else {
            continue;
        };
        if let Some(before) = classes.get(&path) {
            findings.add(Problem::RepeatedImage, || {
                let (first, again) = (&names[*before], &names[class]);
                if before == &class {
                    format!("{}: {}", place(), shown(&path))
                } else {
                    message!(
                        "{}: {} is {first:?} and {again:?}; the first is taken",
                        place(),
                        shown(&path)
                    )
                }
            });
            continue;
        }
        classes.insert(path.clone(), class);
        images.push(Sample { path, label: class });
    }
    let (line, example) = first.unwrap_or((1, String::new()));
    if images.is_empty() {
        let problem = message!(
            "none of its {count} pictures can be used, such as {example}; expected paths that exist, or whose ends lie below {}: put the list beside the folder of its pictures",
            shown(&folder_of(list))
        );
        return Err(DataError::annotations(list, line, problem));
    }
    images.sort_by(|a, b| (a.label, &a.path).cmp(&(b.label, &b.path)));
    Ok(images)
}

/// Refuses a text file that is no list; anything else may be a data set of another layout.
fn refuse_text(data: &Path) -> Result<(), DataError> {
    if has_extension(data, "txt") && data.is_file() {
        return Err(other_form(data));
    }
    Ok(())
}

/// The error of a text file that is no list.
fn other_form(file: &Path) -> DataError {
    let text = match read_list(file, &mut Findings::default()) {
        Ok(text) => text,
        Err(error) => return error,
    };
    let mut rows = (1..).zip(text.rows().map(str::trim));
    let first = rows.find(|(_, row)| !row.is_empty());
    let (line, found) = match first {
        Some((line, row)) => (line, message!("found {:?}", beginning(row))),
        None => (1, message!("found nothing")),
    };
    let problem = message!(
        "expected in every line {form}, or for detection the path of a picture and its boxes, as in 1.jpg 10,20,110,220,0; {found}",
        form = translated(FORM)
    );
    DataError::annotations(file, line, problem)
}

#[cfg(test)]
mod tests {
    use super::parsed;

    #[test]
    fn a_row_is_a_class_and_a_path() {
        assert_eq!(parsed("0;a.jpg"), Some((0, "a.jpg")));
        let spaces = parsed(" 12 ; D:\\my photos\\a; b.PNG ");
        assert_eq!(spaces, Some((12, "D:\\my photos\\a; b.PNG")));
        for row in [
            "",
            ";a.jpg",
            "cat;a.jpg",
            "-1;a.jpg",
            "0,a.jpg",
            "0;a",
            "99999999;a.jpg",
        ] {
            assert_eq!(parsed(row), None, "{row}");
        }
    }
}
