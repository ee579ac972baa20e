//! Rows of a tensor that come from a file whose tensor has rows for other classes.

use serde::Serialize;

use super::target::{Expected, Rows};
use crate::FileTensor;

/// A tensor of which only some rows come from the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptRows {
    /// Its native name.
    pub name: String,
    /// Its key in the file.
    pub file_name: String,
    /// Its rows in the model.
    pub rows: usize,
    /// Its rows in the file.
    pub of: usize,
    /// The rows that are kept, by their places in the model, each with its values.
    #[serde(skip)]
    pub values: Vec<(usize, Vec<f32>)>,
}

impl KeptRows {
    /// The rows that a model's tensor has in common with a file's; `None` if the file's does not have those rows.
    pub(super) fn of(
        expected: &Expected,
        rows: &Rows,
        key: &str,
        tensor: &FileTensor,
    ) -> Option<Self> {
        let width: usize = expected.shape.iter().skip(1).product();
        let is_whole = tensor.shape.first() == Some(&rows.of)
            && tensor.data.len() == rows.of * width
            && expected.shape.first() == Some(&rows.from.len());
        if !is_whole {
            return None;
        }
        let value = |(row, from): (usize, &Option<usize>)| {
            let start = (*from)?.checked_mul(width)?;
            let values = tensor.data.get(start..start.checked_add(width)?)?;
            Some((row, values.to_vec()))
        };
        Some(Self {
            name: expected.name.clone(),
            file_name: key.to_owned(),
            rows: rows.from.len(),
            of: rows.of,
            values: rows.from.iter().enumerate().filter_map(value).collect(),
        })
    }

    /// All values, if every row is there.
    pub(super) fn complete(&self) -> Option<Vec<f32>> {
        let is_complete = self.values.len() == self.rows;
        is_complete.then(|| {
            let rows = self.values.iter();
            rows.flat_map(|(_, values)| values).copied().collect()
        })
    }
}
