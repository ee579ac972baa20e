//! The tables of a data set.

use super::rows::says_splits;
use crate::class_folder_search::has_class_folders;
use crate::error::DataError;
use crate::file_types::has_extension;
use crate::scenes::Unread;
use crate::split_kind::SplitKind;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// Tables that differ in the word for the split alone, or one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tables {
    /// In the order of their splits. A table alone is of no split: its rows say theirs, or all are for training.
    tables: Vec<(Option<SplitKind>, PathBuf)>,
    /// Tables in the same folder that are not of this data set.
    pub unused: Vec<PathBuf>,
}

impl Tables {
    /// One table.
    pub fn one(table: &Path) -> Self {
        Self {
            tables: vec![(None, table.to_path_buf())],
            unused: Vec::new(),
        }
    }

    /// All tables, each with its split.
    pub fn all(&self) -> impl Iterator<Item = (Option<SplitKind>, &Path)> {
        let tables = self.tables.iter();
        tables.map(|(split, table)| (*split, table.as_path()))
    }

    /// The table of a split; the first one if none is for it alone.
    pub fn of(&self, split: SplitKind) -> &Path {
        let mut tables = self.all();
        let first = tables.next();
        let of_split = self.all().find(|(kind, _)| *kind == Some(split));
        of_split.or(first).map_or(Path::new(""), |(_, table)| table)
    }

    /// A table besides the first.
    pub fn others(&self) -> Option<&Path> {
        self.all().nth(1).map(|(_, table)| table)
    }
}

/// The tables that `data` is or holds. A table whose rows say their splits is alone; beside another one, those count
/// whose names differ in the word for the split. None for anything else, and where there are class folders with
/// pictures beside tables.
///
/// # Errors
/// If it is unclear which table is meant.
pub(super) fn tables_of(data: &Path) -> Result<Option<Tables>, DataError> {
    if data.is_dir() {
        return in_folder(data);
    }
    if !is_table_by_name(data) || !data.is_file() {
        return Ok(None);
    }
    let Some((_, around)) = split_of(data).filter(|_| says_splits(data) != Some(true)) else {
        return Ok(Some(Tables::one(data)));
    };
    let folder = data.parent().unwrap_or(Path::new(""));
    let beside = tables_in(folder);
    let beside = beside
        .into_iter()
        .filter(|table| table.file_name() != data.file_name());
    let tables = beside.chain([data.to_path_buf()]);
    let of_data = tables.filter_map(|table| {
        let (split, words) = split_of(&table)?;
        (words == around).then_some((split, table))
    });
    joined(folder, of_data.collect(), Vec::new()).map(Some)
}

fn in_folder(folder: &Path) -> Result<Option<Tables>, DataError> {
    let tables = tables_in(folder);
    if tables.is_empty() || has_class_folders(folder) {
        return Ok(None);
    }
    if let [table] = &tables[..] {
        return Ok(Some(Tables::one(table)));
    }
    let training = |table: &&PathBuf| {
        let split = split_of(table);
        split.is_some_and(|(kind, _)| kind == SplitKind::Train)
    };
    let for_training: Vec<&PathBuf> = tables.iter().filter(training).collect();
    let [train] = for_training[..] else {
        let (first, second) = match for_training[..] {
            [first, second, ..] => (first, second),
            _ => (&tables[0], &tables[1]),
        };
        let (first, second) = (shown(first), shown(second));
        return Err(DataError::Layout {
            folder: folder.to_path_buf(),
            problem: message!(
                "it is not clear whether {first} or {second} is the table of the data; give the one that is meant as the data"
            ),
        });
    };
    let around = split_of(train).map(|(_, around)| around);
    let (of_data, unused): (Vec<_>, Vec<_>) = tables
        .into_iter()
        .map(|table| (split_of(&table), table))
        .partition(|(split, _)| split.as_ref().map(|(_, words)| words) == around.as_ref());
    let of_data = of_data.into_iter();
    let of_data = of_data.filter_map(|(split, table)| Some((split?.0, table)));
    let unused = unused.into_iter().map(|(_, table)| table);
    joined(folder, of_data.collect(), unused.collect()).map(Some)
}

/// The tables of a data set, each for its split.
fn joined(
    folder: &Path,
    mut tables: Vec<(SplitKind, PathBuf)>,
    unused: Vec<PathBuf>,
) -> Result<Tables, DataError> {
    tables.sort();
    let mut pairs = tables.windows(2);
    if let Some([(_, first), (_, second)]) = pairs.find(|pair| pair[0].0 == pair[1].0) {
        let (first, second) = (shown(first), shown(second));
        return Err(DataError::Layout {
            folder: folder.to_path_buf(),
            problem: message!(
                "{first} and {second} are tables for the same split; move one of them elsewhere"
            ),
        });
    }
    let tables = tables
        .into_iter()
        .map(|(split, table)| (Some(split), table));
    Ok(Tables {
        tables: tables.collect(),
        unused,
    })
}

/// The tables of pictures directly in a folder, sorted.
fn tables_in(folder: &Path) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let entries = std::fs::read_dir(here).into_iter().flatten().flatten();
    let is_visible = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        !name.as_encoded_bytes().starts_with(b".")
    };
    let names = entries.map(|entry| folder.join(entry.file_name()));
    let mut tables: Vec<PathBuf> = names
        .filter(|path| is_table_by_name(path) && is_visible(path))
        .filter(|path| path.is_file() && says_splits(path).is_some())
        // A table of boxes is no table of classes.
        .filter(|path| Unread::of_file(path).is_none())
        .collect();
    tables.sort();
    tables
}

fn is_table_by_name(file: &Path) -> bool {
    let tables = ["csv", "tsv", "jsonl"];
    tables
        .iter()
        .any(|extension| has_extension(file, extension))
}

/// The split in the name of a table, and the other words of the name.
fn split_of(table: &Path) -> Option<(SplitKind, String)> {
    SplitKind::within(table.file_stem()?.to_str()?)
}
