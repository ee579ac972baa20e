//! Text of label files and lists, and the numbers of a line.

use crate::error::DataError;
use crate::text;
use std::path::Path;

/// Bytes that a label file may have: a hundred thousand boxes.
const MOST_BYTES: u64 = 16 << 20;

/// Bytes of a file that are looked at to know what it is.
const START: u64 = 4096;

/// Text of a label file. It has only numbers, which are the same in every encoding but UTF-16, so an
/// invalid byte costs its line and not the file.
pub(super) fn label_file_text(file: &Path) -> Result<String, DataError> {
    let bytes = warmstart_files::read(file, MOST_BYTES);
    bytes
        .map(|bytes| with_line_ends(text::lossy(&bytes)))
        .map_err(|source| DataError::read(file, source))
}

/// Text of the first few lines of a file, and whether that is all of it; none if it cannot be read.
pub(super) fn start_of(file: &Path) -> (String, bool) {
    let (start, complete) = text::start_of(file, START).unwrap_or_default();
    (with_line_ends(start), complete)
}

/// A text with `\n` as its line ends: some old editors write `\r` alone.
pub(super) fn with_line_ends(text: String) -> String {
    if text.contains('\r') && !text.contains('\n') {
        text.replace('\r', "\n")
    } else {
        text
    }
}

/// The numbers of a line, or the first word that is not a number.
pub(super) fn numbers(line: &str) -> Result<Vec<f64>, &str> {
    let words = line.split_whitespace();
    words.map(|word| word.parse().map_err(|_| word)).collect()
}
