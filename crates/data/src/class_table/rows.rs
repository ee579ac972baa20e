//! Reading the rows of a table one by one.

use super::columns::{Columns, LABELS, PATHS, Row, SPLITS, no_path};
use crate::error::DataError;
use crate::file_types::has_extension;
use crate::picture_lists::beginning;
use crate::text::start_of;
use csv::ByteRecord;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use warmstart_language::message;

/// Bytes at the start of a table that show its form.
const START: u64 = 64 << 10;
/// Bytes that a row may have: a quote that is not closed must not fill the memory.
const MOST_ROW: u64 = 16 << 20;

/// Takes the rows of a table, each with its line and the problem of one that cannot be used.
pub(super) type EachRow<'a> = dyn FnMut(usize, Result<Row<'_>, String>) + 'a;

/// Hands every row of a table to `each`.
///
/// # Errors
/// If it cannot be read, a row is too long, or a table of values in columns has no header.
pub(super) fn read_rows(table: &Path, each: &mut EachRow) -> Result<(), DataError> {
    if has_extension(table, "jsonl") {
        json_rows(table, each)
    } else {
        csv_rows(table, each)
    }
}

/// What the beginning of a table shows: whether its rows say their splits; none if its columns are not those of a
/// path and a label.
pub(super) fn says_splits(table: &Path) -> Option<bool> {
    let (start, _) = start_of(table, START).ok()?;
    if has_extension(table, "jsonl") {
        let first = start.lines().find(|line| !line.trim().is_empty())?;
        let row: Map<String, Value> = serde_json::from_str(first).ok()?;
        let has_both = value(&row, &PATHS).is_some() && value(&row, &LABELS).is_some();
        return has_both.then(|| value(&row, &SPLITS).is_some());
    }
    let mut reader = csv_reader(delimiter(table, &start), start.as_bytes());
    let mut header = ByteRecord::new();
    reader.read_byte_record(&mut header).ok()?;
    Columns::of(&header).map(Columns::has_split)
}

fn csv_rows(table: &Path, each: &mut EachRow) -> Result<(), DataError> {
    let unreadable = |source| DataError::read(table, source);
    let (start, _) = start_of(table, START).map_err(unreadable)?;
    let left = Cell::new(MOST_ROW);
    let file = Rows {
        file: warmstart_files::open(table).map_err(unreadable)?,
        left: &left,
    };
    let mut reader = csv_reader(delimiter(table, &start), file);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| {
        left.set(MOST_ROW);
        let read = reader.read_byte_record(record);
        read.map_err(|error| unreadable(io::Error::from(error)))
    };
    next(&mut record)?;
    let Some(columns) = Columns::of(&record) else {
        let found = beginning(start.lines().next().unwrap_or_default());
        let problem = message!(
            "expected a header with the columns path and label, found {found:?}; write path,label as the first line, or the names that the columns have"
        );
        return Err(DataError::annotations(table, 1, problem));
    };
    while next(&mut record)? {
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let line = record.position().map_or(0, |position| position.line());
        each(line as usize, columns.row(&record));
    }
    Ok(())
}

fn csv_reader<R: Read>(delimiter: u8, reader: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter)
        .from_reader(reader)
}

/// What is between the columns: a tab in TSV, else what the header has.
fn delimiter(table: &Path, start: &str) -> u8 {
    let header = start.lines().next().unwrap_or_default();
    let has = |delimiter: char| header.contains(delimiter);
    if has_extension(table, "tsv") {
        b'\t'
    } else if has(',') {
        b','
    } else if has(';') {
        b';'
    } else if has('\t') {
        b'\t'
    } else {
        b','
    }
}

/// A table, of which so many bytes may be read before the next row.
struct Rows<'a> {
    file: File,
    left: &'a Cell<u64>,
}

impl Read for Rows<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        match self.left.get().checked_sub(read as u64) {
            Some(left) => self.left.set(left),
            None => return Err(too_long()),
        }
        Ok(read)
    }
}

fn too_long() -> io::Error {
    let problem = message!(
        "it has a row of more than {limit} bytes; is a quote not closed?",
        limit = MOST_ROW
    );
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn json_rows(table: &Path, each: &mut EachRow) -> Result<(), DataError> {
    let unreadable = |source| DataError::read(table, source);
    let mut file = BufReader::new(warmstart_files::open(table).map_err(unreadable)?);
    let mut bytes = Vec::new();
    let mut line = 0;
    loop {
        bytes.clear();
        line += 1;
        let mut row = file.by_ref().take(MOST_ROW + 1);
        let read = row.read_until(b'\n', &mut bytes).map_err(unreadable)?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 > MOST_ROW {
            return Err(unreadable(too_long()));
        }
        let row = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if !row.trim_ascii().is_empty() {
            each(line, json_row(row));
        }
    }
}

/// The parts of a line of JSON.
fn json_row(row: &[u8]) -> Result<Row<'static>, String> {
    let row: Map<String, Value> = serde_json::from_slice(row)
        .map_err(|error| message!("expected an object of JSON with a path and a label: {error}"))?;
    let path = value(&row, &PATHS).map_or(String::new(), text);
    if path.is_empty() {
        return Err(no_path());
    }
    Ok(Row {
        path: path.into(),
        label: value(&row, &LABELS).map_or(Cow::Borrowed(""), |label| text(label).into()),
        split: value(&row, &SPLITS).map(|split| text(split).into()),
    })
}

/// The value of the first of some keys that a row has, in any case.
fn value<'a>(row: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a Value> {
    let of_key = |key: &&str| {
        let mut values = row.iter();
        values.find_map(|(name, value)| name.eq_ignore_ascii_case(key).then_some(value))
    };
    keys.iter().find_map(of_key)
}

/// A text or a whole number as text; empty for anything else.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.as_u64().map_or(String::new(), |n| n.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}
