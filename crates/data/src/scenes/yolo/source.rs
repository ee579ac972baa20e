//! Forms of YOLO data sets: a `data.yaml`, Darknet's `obj.data`, or folders alone.

use super::super::findings::Findings;
use super::data_yaml::read_data_yaml;
use super::folders::Folders;
use super::places::folder_of;
use super::{darknet, yaml};
use crate::error::{DataError, some_of};
use crate::split_kind::SplitKind;
use std::path::{Path, PathBuf};
use warmstart_files::shown;

/// Bytes of a file that may be the description of a data set: many thousands of class names.
const MOST_BYTES: u64 = 16 << 20;

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
    /// The file or folder that says so.
    pub fn sign(&self, dir: &Path) -> PathBuf {
        match self {
            Self::Yaml(file) | Self::Darknet(file) => file.clone(),
            Self::Several(files) => files.first().map_or(dir, |file| file).to_path_buf(),
            Self::Folders(_) => dir.to_path_buf(),
        }
    }
}

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
    // Anything but a folder of that name is meant to be one, a pipe as well: reading says what it is.
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

/// Returns whether a path is a link to what is not there, or to itself.
pub(super) fn leads_nowhere(path: &Path) -> bool {
    path.is_symlink() && std::fs::metadata(path).is_err()
}

/// The files in a folder that look like descriptions and cannot be used, with the reason; sorted.
pub(super) fn unusable(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| is_yaml(file) || extension(file).as_deref() == Some("data"));
    files.sort();
    let reason = |file: PathBuf| -> Option<String> {
        if leads_nowhere(&file) {
            return Some(format!("{}: its link leads nowhere", shown(&file)));
        }
        let (text, _) = super::start_of(&file);
        let is_key = |line: &str| {
            let key = line.split([':', '=']).next().unwrap_or_default().trim();
            matches!(key, "names" | "nc") || SplitKind::of(key).is_some()
        };
        if !text.lines().any(is_key) {
            return None;
        }
        let error = if is_yaml(&file) {
            read_data_yaml(&file, &mut Findings::default()).err()
        } else {
            darknet::read(&file).err()
        };
        Some(error?.to_string())
    };
    files.into_iter().filter_map(reason).collect()
}

/// Returns whether a file of any name is a description that can be used.
fn describes(file: &Path) -> bool {
    let is_plain = || {
        let metadata = std::fs::metadata(file);
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MOST_BYTES)
    };
    match extension(file).as_deref() {
        Some("yaml" | "yml") => {
            is_plain() && read_data_yaml(file, &mut Findings::default()).is_ok()
        }
        Some("data") => is_plain() && darknet::read(file).is_ok(),
        Some(_) | None => false,
    }
}

/// Whether a file is called as a `data.yaml` may be.
pub(super) fn is_yaml(file: &Path) -> bool {
    matches!(extension(file).as_deref(), Some("yaml" | "yml"))
}

fn extension(file: &Path) -> Option<String> {
    Some(file.extension()?.to_str()?.to_ascii_lowercase())
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
                let problem = format!(
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

/// Fails before a file is read that is not regular, or larger than any description.
fn require_small(file: &Path) -> Result<(), DataError> {
    if leads_nowhere(file) {
        let problem =
            "it cannot be read: its link leads nowhere; remove the link, or put the file there";
        return Err(DataError::Layout {
            folder: file.to_path_buf(),
            problem: problem.into(),
        });
    }
    let opened = warmstart_files::open(file).and_then(|file| file.metadata());
    let metadata = opened.map_err(|source| DataError::read(file, source))?;
    let size = metadata.len();
    if size <= MOST_BYTES {
        return Ok(());
    }
    let problem = format!(
        "expected a few lines that describe a data set, found {size} bytes; give its data.yaml"
    );
    Err(DataError::annotations(file, 1, problem))
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
