//! The table that `predict --csv` writes.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use warmstart_files::text;
use warmstart_language::message;
use warmstart_recipe::Error;

use super::Failure;

/// The columns. A box is in pixels of the picture, as are the boxes of `--json`.
const COLUMNS: [&str; 9] = [
    "file",
    "rank",
    "class",
    "probability",
    "left",
    "top",
    "right",
    "bottom",
    "error",
];

/// A prediction of a picture.
pub struct Row<'a> {
    pub class: &'a str,
    pub probability: f32,
    /// Left, top, right and bottom of an object; `None` of a class of the whole picture.
    pub corners: Option<[f64; 4]>,
}

/// A table with a row for each prediction, and one for each picture that has none.
pub struct PredictionTable<'a> {
    path: &'a Path,
    rows: csv::Writer<&'a mut dyn Write>,
}

impl PredictionTable<'_> {
    /// Adds the predictions of a picture, the likeliest first.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add(&mut self, file: &Path, rows: &[Row]) -> Result<(), Failure> {
        let file = text(file);
        for (row, rank) in rows.iter().zip(1_u32..) {
            let corners = row.corners.map(|corners| corners.map(|at| at.to_string()));
            let [left, top, right, bottom] = corners.unwrap_or_default();
            self.record([
                &file,
                &rank.to_string(),
                row.class,
                &row.probability.to_string(),
                &left,
                &top,
                &right,
                &bottom,
                "",
            ])?;
        }
        if rows.is_empty() {
            self.record([&file, "", "", "", "", "", "", "", ""])?;
        }
        Ok(())
    }

    /// Adds a picture that cannot be read.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add_unreadable(&mut self, file: &Path, error: &str) -> Result<(), Failure> {
        self.record([&text(file), "", "", "", "", "", "", "", error])
    }

    fn record(&mut self, record: [&str; COLUMNS.len()]) -> Result<(), Failure> {
        let written = self.rows.write_record(record);
        written.map_err(|error| Error::io("write", self.path, error.into()).into())
    }
}

/// Writes the table by `fill`, whole or not at all, and returns what `fill` does.
///
/// # Errors
/// Those of `fill`, and those of the disk.
pub fn write_table<R>(
    path: &Path,
    fill: impl FnOnce(&mut PredictionTable) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let mut filled = None;
    let written = warmstart_files::replace(path, |file| {
        let mut buffered = BufWriter::new(file);
        let out: &mut dyn Write = &mut buffered;
        let mut table = PredictionTable {
            path,
            rows: csv::Writer::from_writer(out),
        };
        let result = table.record(COLUMNS).and_then(|()| fill(&mut table));
        let is_complete = result.is_ok();
        filled = Some(result);
        if is_complete {
            table.rows.flush()
        } else {
            // The failure itself is told instead of this.
            Err(io::Error::other("the table is not complete"))
        }
    });
    let written = written.map_err(|error| Error::io("write", path, error).into());
    match filled {
        Some(Ok(result)) => written.map(|()| result),
        Some(Err(failure)) => Err(failure),
        None => Err(written
            .err()
            .unwrap_or_else(|| Failure::failed(message!("nothing was written")))),
    }
}

/// Writes the rows of a part of the table, in `folder`, by `fill`, and returns what `fill` does.
///
/// # Errors
/// Those of `fill`, and those of the disk.
pub fn write_rows<R>(
    folder: &Path,
    out: &mut dyn Write,
    fill: impl FnOnce(&mut PredictionTable) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let mut table = PredictionTable {
        path: folder,
        rows: csv::Writer::from_writer(out),
    };
    let result = fill(&mut table)?;
    let flushed = table.rows.flush();
    flushed.map_err(|error| Error::io("write", folder, error))?;
    Ok(result)
}

/// The first line of the table, with its end.
pub fn heading() -> String {
    format!("{}\n", COLUMNS.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_for_each_prediction_and_for_each_other_picture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.csv");
        let row = Row {
            class: "cat, \"grey\"",
            probability: 0.5,
            corners: Some([1.0, 2.5, 3.0, 4.0]),
        };
        let filled = write_table(&path, |table| {
            table.add(Path::new("a.jpg"), &[row])?;
            table.add(Path::new("b.jpg"), &[])?;
            table.add_unreadable(Path::new("c.jpg"), "it is text")?;
            Ok(())
        });
        assert!(filled.is_ok());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&heading()));
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "file,rank,class,probability,left,top,right,bottom,error\n\
             a.jpg,1,\"cat, \"\"grey\"\"\",0.5,1,2.5,3,4,\n\
             b.jpg,,,,,,,,\n\
             c.jpg,,,,,,,,it is text\n"
        );
    }

    #[test]
    fn a_failure_leaves_no_half_table() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.csv");
        let filled: Result<(), Failure> = write_table(&path, |_| Err(Failure::failed("no thread")));
        assert!(filled.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
