//! A data set of a table: a row with the path and the class of each picture, as CSV, TSV or lines of JSON.
//!
//! ```text
//! pets.csv                          path,label,split
//! train.csv  val.csv  test.csv      images/1.jpg,cat,train
//! ```

mod columns;
mod rows;
mod tables;

use crate::error::DataError;
use crate::folder::data_folder;
use crate::labelled_pictures::LabelledPictures;
use crate::listed_images::{ListedImages, ListedSplit, Splits};
use crate::scenes::{Findings, Problem, Unread};
use crate::skipped::Skipped;
use crate::split_kind::SplitKind;
use columns::Row;
use rows::read_rows;
use std::path::{Path, PathBuf};
use tables::{Tables, tables_of};
use warmstart_files::shown;
use warmstart_language::message;

/// The pictures of some tables.
struct TabledPictures {
    pictures: LabelledPictures,
    findings: Findings,
    /// Tables for testing without any label.
    ignored: Skipped,
    /// The tables that were read, each with the number of lines in those before it.
    tables: Vec<(usize, PathBuf)>,
    /// The lines of all of them.
    lines: usize,
}

/// Returns whether the tables that `data` names or holds are a data set.
pub(crate) fn are_at(data: &Path) -> bool {
    // Tables that are refused are tables.
    !matches!(tables_of(data), Ok(None))
}

/// Reads the data set of the tables that `data` names or holds; none if there is none. Whether a picture is there
/// shows when it is read.
///
/// # Errors
/// If a table cannot be read, has no header, no usable row or boxes; if two are for one split, or none is for
/// training; if fewer than two classes have a training picture, or a class of another split has none.
pub(crate) fn read(data: &Path) -> Result<Option<ListedImages>, DataError> {
    let Some(tables) = tables_of(data)? else {
        return Ok(None);
    };
    let mut found = TabledPictures::read(&tables)?;
    for table in &tables.unused {
        found.findings.add(Problem::NotUsed, || shown(table));
    }
    let kinds = [SplitKind::Train, SplitKind::Validation, SplitKind::Test];
    if found.pictures.count(SplitKind::Train) == 0 {
        let problem = message!(
            "no row is for training: by their splits all are for validation or testing; add rows of the split train, or put train.csv beside it"
        );
        return Err(layout(data, problem));
    }
    let sources = kinds.map(|kind| {
        let has_pictures = found.pictures.count(kind) > 0;
        has_pictures.then(|| tables.of(kind).to_path_buf())
    });
    let folder = folder_of(data);
    let splits = found.finish(&folder)?;
    let TabledPictures {
        findings, ignored, ..
    } = found;
    let listed = ListedImages::of(splits, sources, (data, &folder), &findings)?;
    Ok(Some(ListedImages { ignored, ..listed }))
}

/// The pictures of one table, all of one split; none if `data` is no table.
///
/// # Errors
/// As of [`read`]; and if its rows are of several splits, or one cannot be used: a measure of fewer pictures is
/// another one.
pub(crate) fn read_one(data: &Path) -> Result<Option<ListedSplit>, DataError> {
    let Some(tables) = tables_of(data)? else {
        return Ok(None);
    };
    let tables = match (data.is_dir(), tables.others()) {
        (true, Some(other)) => {
            let problem = message!(
                "it holds the tables of several splits; give one of them, such as {}",
                shown(other)
            );
            return Err(layout(data, problem));
        }
        (true, None) => tables,
        (false, Some(_) | None) => Tables::one(data),
    };
    let mut found = TabledPictures::read(&tables)?;
    let kinds = [SplitKind::Train, SplitKind::Validation, SplitKind::Test];
    let of_splits = kinds.map(|kind| found.pictures.count(kind));
    if of_splits.iter().filter(|count| **count > 0).count() > 1 {
        let problem =
            message!("its rows are of several splits; give a table with the rows of one of them");
        return Err(layout(data, problem));
    }
    let Splits { names, images } = found.finish(&folder_of(data))?;
    for problem in [Problem::Unlabelled, Problem::Malformed] {
        if let Some(example) = found.findings.examples(problem).first() {
            return Err(layout(
                data,
                message!(
                    "{}, such as {example}; fix or remove these lines, since the metric of some of its pictures is another one",
                    problem.counted(found.findings.count(problem))
                ),
            ));
        }
    }
    let images = images.into_iter().flatten().flatten().collect();
    Ok(Some(ListedSplit { names, images }))
}

impl TabledPictures {
    fn read(tables: &Tables) -> Result<Self, DataError> {
        let mut found = Self {
            pictures: LabelledPictures::default(),
            findings: Findings::default(),
            ignored: Skipped::default(),
            tables: Vec::new(),
            lines: 0,
        };
        for (split, table) in tables.all() {
            if let Some(unread) = Unread::of_file(table) {
                let problem = message!("{} looks like {}", shown(table), unread.advice());
                return Err(layout(table, problem));
            }
            found.add(table, split)?;
        }
        Ok(found)
    }

    /// Adds the rows of a table, whose `split` counts where its rows have none. One for testing may have no labels.
    fn add(&mut self, table: &Path, split: Option<SplitKind>) -> Result<(), DataError> {
        let folder = folder_of(table);
        let before = self.lines;
        self.tables.push((before, table.to_path_buf()));
        let (mut rows, mut used) = (0, 0);
        let mut unlabelled = Findings::default();
        read_rows(table, &mut |line, row| {
            rows += 1;
            self.lines = before + line;
            match row.and_then(|row| Ok((split_of(&row, split)?, row))) {
                Ok((split, row)) if !row.label.is_empty() => {
                    used += 1;
                    let path = picture(&folder, &row.path);
                    self.pictures.add(split, path, &row.label, before + line);
                }
                Ok((_, row)) => unlabelled.add(Problem::Unlabelled, || {
                    let place = place_of(table, line);
                    format!("{place}: {}", row.path)
                }),
                Err(problem) => self.findings.add(Problem::Malformed, || {
                    let place = place_of(table, line);
                    format!("{place}: {problem}")
                }),
            }
        })?;
        let is_test = split == Some(SplitKind::Test);
        if is_test && rows > 0 && unlabelled.count(Problem::Unlabelled) == rows {
            // Unlabelled test images are common, and training can do without.
            self.ignored.add_unused(table, rows);
            return Ok(());
        }
        self.findings.append(unlabelled);
        if used > 0 {
            return Ok(());
        }
        let examples = [Problem::Malformed, Problem::Unlabelled];
        let example = examples.map(|problem| self.findings.examples(problem).first());
        let example = example.into_iter().flatten().next();
        let example = example.map_or(String::new(), |example| message!(", such as {example}"));
        let problem = message!(
            "none of its {rows} rows can be used{example}; expected the path and the label of a picture in every row"
        );
        Err(layout(table, problem))
    }

    fn finish(&mut self, folder: &Path) -> Result<Splits, DataError> {
        let tables = std::mem::take(&mut self.tables);
        let place = |line: usize| {
            let table = tables.iter().rfind(|(before, _)| *before < line);
            table.map_or(String::new(), |(before, table)| {
                place_of(table, line - before)
            })
        };
        let pictures = std::mem::take(&mut self.pictures);
        pictures.finish(folder, &place, &mut self.findings)
    }
}

/// The split of a row: what the row says, which is nearer than the name of its table.
fn split_of(row: &Row, of_table: Option<SplitKind>) -> Result<SplitKind, String> {
    let said = row.split.as_deref();
    match (said.and_then(SplitKind::of), of_table, said) {
        (Some(kind), _, _) | (None, Some(kind), _) => Ok(kind),
        (None, None, None) => Ok(SplitKind::Train),
        (None, None, Some(said)) => Err(message!(
            "expected the split train, val or test, found {said:?}"
        )),
    }
}

/// The picture that a path in a table of that folder means.
fn picture(folder: &Path, path: &str) -> PathBuf {
    let path = if cfg!(windows) || path.contains('/') {
        path.trim_start_matches("./").to_owned()
    } else {
        // Written on Windows.
        path.replace('\\', "/")
    };
    folder.join(path)
}

fn place_of(table: &Path, line: usize) -> String {
    message!("{}, line {line}", shown(table))
}

/// The folder from which the paths of a table count.
fn folder_of(data: &Path) -> PathBuf {
    data_folder(data).to_path_buf()
}

fn layout(data: &Path, problem: String) -> DataError {
    DataError::Layout {
        folder: data.to_path_buf(),
        problem,
    }
}

#[cfg(test)]
mod tests;
