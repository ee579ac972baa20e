//! The description of a data set, whichever form it has.

use super::super::findings::Findings;
use super::super::places::folder_of;
use std::path::{Path, PathBuf};

/// Contents of a data set before its images are read.
pub(in super::super) struct Description {
    /// The start of the paths that decide about a split by share.
    pub root: PathBuf,
    /// Folders that the lines of lists may be relative to, besides the list's own.
    pub bases: Vec<PathBuf>,
    /// None if they have neither names nor a number.
    pub classes: Option<Vec<String>>,
    /// File that names the classes.
    pub classes_from: Option<PathBuf>,
    /// Classes by a number in the description.
    pub class_count: Option<usize>,
    /// The description itself, or the folder that is one.
    pub file: PathBuf,
    /// Numbers that follow a box for its keypoints, if that is declared.
    pub keypoints: Option<usize>,
    /// Folders and lists of images.
    pub train: Vec<PathBuf>,
    pub validation: Vec<PathBuf>,
    pub test: Vec<PathBuf>,
    pub findings: Findings,
}

impl Description {
    /// A description of the data beside a file.
    pub fn beside(file: &Path) -> Self {
        let root = folder_of(file);
        Self {
            bases: vec![root.clone()],
            root,
            classes: None,
            classes_from: None,
            class_count: None,
            file: file.to_path_buf(),
            keypoints: None,
            train: Vec::new(),
            validation: Vec::new(),
            test: Vec::new(),
            findings: Findings::default(),
        }
    }
}
