//! The columns of a table by their names.

use csv::ByteRecord;
use std::borrow::Cow;
use warmstart_language::message;

/// Names of the column with the paths of the pictures, the more usual first.
pub(super) const PATHS: [&str; 6] = ["path", "image", "file", "filename", "file_name", "filepath"];
/// Names of the column with the classes.
pub(super) const LABELS: [&str; 4] = ["label", "class", "category", "target"];
/// Names of the column with the splits.
pub(super) const SPLITS: [&str; 3] = ["split", "subset", "set"];

/// A row of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub path: Cow<'a, str>,
    /// Empty if the row has none.
    pub label: Cow<'a, str>,
    /// As it is written, if the table says splits.
    pub split: Option<Cow<'a, str>>,
}

/// The places of the columns that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    path: usize,
    label: usize,
    split: Option<usize>,
}

impl Columns {
    /// Finds the columns in the first row of a table; none if it does not name a column of paths and one of labels.
    pub fn of(header: &ByteRecord) -> Option<Self> {
        let names: Vec<String> = header
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_lowercase())
            .collect();
        let place = |known: &[&str]| {
            let mut known = known.iter();
            known.find_map(|known| names.iter().position(|name| name == known))
        };
        Some(Self {
            path: place(&PATHS)?,
            label: place(&LABELS)?,
            split: place(&SPLITS),
        })
    }

    /// Whether the rows say their splits.
    pub fn has_split(self) -> bool {
        self.split.is_some()
    }

    /// The parts of a row.
    ///
    /// # Errors
    /// If it has too few, or one of them is not UTF-8; with the problem in words.
    pub fn row(self, record: &ByteRecord) -> Result<Row<'_>, String> {
        let part = |column: usize| {
            let found = record.len();
            let part = record.get(column).ok_or_else(|| {
                let expected = column + 1;
                message!("expected at least {expected} columns, found {found}")
            })?;
            let part = std::str::from_utf8(part)
                .map_err(|_| message!("it is not UTF-8; save the table as UTF-8"))?;
            Ok::<_, String>(Cow::Borrowed(part.trim()))
        };
        let path = part(self.path)?;
        if path.is_empty() {
            return Err(no_path());
        }
        Ok(Row {
            path,
            label: part(self.label)?,
            split: self.split.map(part).transpose()?,
        })
    }
}

/// The problem of a row without a path.
pub(super) fn no_path() -> String {
    message!("expected the path of a picture, found nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &[&str]) -> Option<Columns> {
        Columns::of(&ByteRecord::from(header.to_vec()))
    }

    #[test]
    fn columns_are_known_by_their_names_in_any_case() {
        let found = columns(&["id", "File_Name", "Split", " CLASS "]).unwrap();
        assert!(found.has_split());
        let record = ByteRecord::from(vec!["7", "a.jpg", "train", "cat"]);
        let row = found.row(&record).unwrap();
        assert_eq!((&*row.path, &*row.label), ("a.jpg", "cat"));
        assert_eq!(row.split.as_deref(), Some("train"));
        assert_eq!(columns(&["a.jpg", "cat"]), None);
        assert_eq!(columns(&["path", "width"]), None);
    }

    #[test]
    fn a_short_row_and_a_row_without_a_path_are_refused() {
        let columns = columns(&["path", "label"]).unwrap();
        for (row, expected) in [
            (vec!["a.jpg"], "expected at least 2 columns, found 1"),
            (
                vec!["", "cat"],
                "expected the path of a picture, found nothing",
            ),
        ] {
            assert_eq!(columns.row(&ByteRecord::from(row)).unwrap_err(), expected);
        }
        let row = ByteRecord::from(vec![&b"\xff.jpg"[..], b"cat"]);
        assert!(
            columns
                .row(&row)
                .unwrap_err()
                .starts_with("it is not UTF-8")
        );
    }
}
