//! Forms of YOLO data sets: a `data.yaml`, Darknet's `obj.data`, or folders alone.

use super::description::Description;
use super::description_files::{MOST_BYTES, describes, extension, leads_nowhere};
use super::folders::Folders;
use super::{darknet, yaml};
use crate::error::{DataError, some_of};
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// The place where a YOLO data set says what it is.
pub(in super::super) enum Source {
    /// A `data.yaml`, or another file of that form.
    Yaml(PathBuf),
    /// Darknet's `obj.data`.
    Darknet(PathBuf),
    /// Several files of those forms, of which none is called `data.yaml`.
    Several(Vec<PathBuf>),
    /// Nowhere: folders of images and labels.
    Folders(Folders),
}

impl Source {
    /// The file or folder that shows the form.
    pub fn sign(&self, dir: &Path) -> PathBuf {
        match self {
            Self::Yaml(file) | Self::Darknet(file) => file.clone(),
            Self::Several(files) => files.first().map_or(dir, |file| file).to_path_buf(),
            Self::Folders(_) => dir.to_path_buf(),
        }
    }
}

/// The YOLO data set that a folder or a file is, if it is one: a folder with a `data.yaml` or `data.yml`,
/// another YAML file with classes and a training split, a Darknet `.data` file, or images with label
/// files in YOLO's form; or one of those files itself.
pub(in super::super) fn recognised(path: &Path) -> Option<Source> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_dir() {
        return match extension(path)?.as_str() {
            "yaml" | "yml" => Some(Source::Yaml(path.to_path_buf())),
            "data" => Some(Source::Darknet(path.to_path_buf())),
            _ => None,
        };
    }
    // Anything of that name but a folder counts, even a pipe: the reader then reports what it is.
    let named = ["data.yaml", "data.yml"].map(|name| path.join(name));
    let is_other_than_folder = |file: &PathBuf| match std::fs::metadata(file) {
        Ok(metadata) => !metadata.is_dir(),
        Err(_) => leads_nowhere(file),
    };
    if let Some(file) = named.into_iter().find(is_other_than_folder) {
        return Some(Source::Yaml(file));
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| describes(file))
        .collect();
    files.sort();
    match files.len() {
        0 => Folders::found(path).map(Source::Folders),
        1 => recognised(&files[0]),
        _ => Some(Source::Several(files)),
    }
}

impl Source {
    /// Reads the description.
    ///
    /// # Errors
    /// If there are several, it cannot be read, is not of its form, or names a split that is not there.
    pub fn describe(self, dir: &Path) -> Result<Description, DataError> {
        match self {
            Self::Yaml(file) => {
                require_small(&file)?;
                yaml::describe(&file)
            }
            Self::Darknet(file) => {
                require_small(&file)?;
                darknet::describe(&file)
            }
            Self::Folders(folders) => folders.describe(),
            Self::Several(files) => {
                let files: Vec<String> = files.iter().map(|file| shown(file)).collect();
                let files = some_of(&files);
                let problem = message!(
                    "several files describe a data set ({files}); give the one that is meant as the data, or call it data.yaml"
                );
                Err(DataError::Layout {
                    folder: dir.to_path_buf(),
                    problem,
                })
            }
        }
    }
}

/// Refuses a file that is not regular or is larger than any description, before it is read.
fn require_small(file: &Path) -> Result<(), DataError> {
    if leads_nowhere(file) {
        let problem = message!(
            "it cannot be read: its link leads nowhere; remove the link, or put the file there"
        );
        return Err(DataError::Layout {
            folder: file.to_path_buf(),
            problem,
        });
    }
    let opened = warmstart_files::open(file).and_then(|file| file.metadata());
    let metadata = opened.map_err(|source| DataError::read(file, source))?;
    let size = metadata.len();
    if size <= MOST_BYTES {
        return Ok(());
    }
    let problem = message!(
        "expected a few lines that describe a data set, found {size} bytes; give its data.yaml"
    );
    Err(DataError::annotations(file, 1, problem))
}
