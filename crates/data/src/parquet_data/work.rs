//! What is to be unpacked, and what came of it.

use std::path::PathBuf;

use crate::split_kind::SplitKind;

/// A Parquet file.
#[derive(Clone, Debug)]
pub struct ParquetFile {
    /// Its place.
    pub path: PathBuf,
    /// The split that its rows are for.
    pub split: SplitKind,
    /// Its size.
    pub bytes: u64,
}

/// What was written of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Pictures.
    pub pictures: usize,
    /// Rows that have no label, and were left out.
    pub unlabelled: usize,
    /// Classes.
    pub classes: usize,
}
