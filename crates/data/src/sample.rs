//! A picture and its label.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One labelled image. In classification the label is an index into the class names, in detection a
/// [`Scene`](crate::Scene).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample<L = usize> {
    /// The file.
    pub path: PathBuf,
    /// What the picture shows.
    pub label: L,
}
