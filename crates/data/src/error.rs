//! Errors between a folder and a batch.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::PathBuf;

use warmstart_files::{Key, one_line, shown};
use warmstart_language::{english, message, translated};

// Fixes, which errors tell to people and, alone, to programs.
const CHECK_DISK: &str = english!("check the free space and the permissions");
const SAVE_AGAIN: &str = english!("remove the file or save it as JPEG or PNG");
const ONE_FOLDER_PER_CLASS: &str = english!("put the images into one subfolder per class");
const ADD_IMAGES: &str = english!("add images or remove the class folder");
const RENAME: &str = english!("rename or remove the folder");
const FILL_OR_REMOVE: &str = english!("add some or remove the folder");
const REPLACE: &str = english!("remove or replace them");
const START_AGAIN: &str = english!("start again with the labels of this picture");
const FREE_SOME: &str = english!("free some, or raise the limit on it");
const REPORT: &str = english!("report this as a bug");
const CHECK_PATH: &str = english!("check that it exists and may be read");

/// Error of using data, in one line that names the file and the fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to list a folder or read a file.
    #[error("{}", unread(path, source))]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The operating system refused to make a folder or write a file.
    #[error("{}", message!(
        "cannot write {}: {source}; {fix}",
        shown(path), fix = translated(CHECK_DISK)
    ))]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not a picture, or a damaged one.
    #[error("{}", message!(
        "cannot decode {}: {reason}; {fix}",
        shown(path), fix = translated(SAVE_AGAIN)
    ))]
    Decode {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A folder was expected and a file is there.
    #[error("{}", message!(
        "{} is a file; expected a folder with one subfolder of images per class",
        shown(_0)
    ))]
    NotAFolder(PathBuf),
    /// A folder has no subfolders that could be classes.
    #[error("{}", message!(
        "{} has no class folders ({} directly in it{instead}); {fix}",
        shown(folder), lie(*images), fix = translated(ONE_FOLDER_PER_CLASS)
    ))]
    NoClasses {
        /// The folder.
        folder: PathBuf,
        /// Images found directly in it.
        images: usize,
        /// Things that are there instead, to follow their number.
        instead: String,
    },
    /// Only one class folder: there is nothing to classify.
    #[error("{}", message!(
        "{} has only one class, {class:?}; classification needs at least two class folders",
        shown(folder)
    ))]
    OneClass {
        /// The folder that holds the class.
        folder: PathBuf,
        /// The class.
        class: String,
    },
    /// A class of the training split without any image.
    #[error("{}", message!(
        "{} has no image (.jpg, .png, .webp, .bmp, .gif, .tif){instead}; {fix}",
        shown(folder), fix = translated(ADD_IMAGES)
    ))]
    EmptyClass {
        /// The class folder.
        folder: PathBuf,
        /// Things that are there instead, to follow the sentence's first part.
        instead: String,
    },
    /// A class folder that the training split or the model does not know.
    #[error("{}", message!(
        "{} is not one of the {known} classes ({examples}); {fix}",
        shown(folder), fix = translated(RENAME)
    ))]
    UnknownClass {
        /// The class folder.
        folder: PathBuf,
        /// Number of known classes.
        known: usize,
        /// The first few of their names.
        examples: String,
    },
    /// A folder of class folders without any image.
    #[error("{}", message!(
        "{} has no image in its class folders; {fix}",
        shown(_0), fix = translated(FILL_OR_REMOVE)
    ))]
    EmptySplit(PathBuf),
    /// No class is large enough to give a validation image.
    #[error("{}", message!(
        "no class of {} has enough images to give one to validation at {} {val_split}; {}",
        shown(folder),
        Key::VAL_SPLIT,
        raise_val_split()
    ))]
    NoValidation {
        /// The folder that was to be split.
        folder: PathBuf,
        /// The fraction asked for.
        val_split: f64,
    },
    /// A folder layout that can be read in two ways or in none.
    #[error("{}", message!("{}: {problem}", shown(folder)))]
    Layout {
        /// The folder.
        folder: PathBuf,
        /// The problem and the fix.
        problem: String,
    },
    /// A file of annotations that cannot be read as what it should be.
    #[error("{}", message!("{}, line {line}: {problem}", shown(path)))]
    Annotations {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The things expected and found, and the fix.
        problem: String,
    },
    /// More images are damaged than an accident explains.
    #[error("{}", message!(
        "{unreadable} of {total} images cannot be decoded, more than the {percent}% that are tolerated: {examples}; {fix}",
        fix = translated(REPLACE)
    ))]
    TooManyUnreadable {
        /// Number of images that cannot be decoded.
        unreadable: usize,
        /// Number of images checked.
        total: usize,
        /// The share that is tolerated, in percent.
        percent: f64,
        /// The first few files, with reasons.
        examples: String,
    },
    /// A number out of its range.
    #[error("{}", message!("{name} is {found}; expected {expected}"))]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// The range, in the user's language.
        expected: &'static str,
        /// The value.
        found: String,
    },
    /// A picture has another size than its labels were read for.
    #[error("{}", message!(
        "{} is {} x {} pixels and its labels are for {} x {}; was it replaced? {fix}",
        shown(path), found.0, found.1, expected.0, expected.1, fix = translated(START_AGAIN)
    ))]
    PictureSize {
        /// The file.
        path: PathBuf,
        /// Its width and height when decoded.
        found: (usize, usize),
        /// Width and height in its scene.
        expected: (usize, usize),
    },
    /// The system refused to start any thread of a loader.
    #[error("{}", message!(
        "the system refused to start a thread to read images: it has no memory or threads to give; {fix}",
        fix = translated(FREE_SOME)
    ))]
    NoThread,
    /// A loader's thread panicked.
    #[error("{}", message!(
        "a data loading thread failed: {0}; {fix}",
        _0, fix = translated(REPORT)
    ))]
    Worker(String),
}

impl DataError {
    /// The file or folder that the error is about, if there is one.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::Decode { path, .. }
            | Self::NotAFolder(path)
            | Self::EmptySplit(path)
            | Self::NoClasses { folder: path, .. }
            | Self::OneClass { folder: path, .. }
            | Self::EmptyClass { folder: path, .. }
            | Self::UnknownClass { folder: path, .. }
            | Self::NoValidation { folder: path, .. }
            | Self::Layout { folder: path, .. }
            | Self::Annotations { path, .. }
            | Self::PictureSize { path, .. } => Some(path),
            Self::TooManyUnreadable { .. }
            | Self::OutOfRange { .. }
            | Self::NoThread
            | Self::Worker(_) => None,
        }
    }

    /// The line in that file, from 1, if it is known.
    pub fn line(&self) -> Option<usize> {
        if let Self::Annotations { line, .. } = self {
            Some(*line)
        } else {
            None
        }
    }

    /// The value that was found, if it is known.
    pub fn found(&self) -> Option<String> {
        match self {
            Self::OutOfRange { found, .. } => Some(found.clone()),
            Self::PictureSize {
                found: (width, height),
                ..
            } => Some(format!("{width} x {height}")),
            Self::NoValidation { val_split, .. } => Some(val_split.to_string()),
            Self::TooManyUnreadable {
                unreadable, total, ..
            } => Some(message!("{unreadable} of {total}")),
            Self::OneClass { class, .. } => Some(class.clone()),
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Decode { .. }
            | Self::NotAFolder(_)
            | Self::NoClasses { .. }
            | Self::EmptyClass { .. }
            | Self::UnknownClass { .. }
            | Self::EmptySplit(_)
            | Self::Layout { .. }
            | Self::Annotations { .. }
            | Self::NoThread
            | Self::Worker(_) => None,
        }
    }

    /// The value that was expected, if it is known.
    pub fn expected(&self) -> Option<String> {
        match self {
            Self::OutOfRange { expected, .. } => Some((*expected).to_owned()),
            Self::PictureSize {
                expected: (width, height),
                ..
            } => Some(format!("{width} x {height}")),
            Self::UnknownClass { examples, .. } => Some(examples.clone()),
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Decode { .. }
            | Self::NotAFolder(_)
            | Self::NoClasses { .. }
            | Self::OneClass { .. }
            | Self::EmptyClass { .. }
            | Self::EmptySplit(_)
            | Self::NoValidation { .. }
            | Self::Layout { .. }
            | Self::Annotations { .. }
            | Self::TooManyUnreadable { .. }
            | Self::NoThread
            | Self::Worker(_) => None,
        }
    }

    /// The fix, where it is not a part of the problem's words.
    pub fn fix(&self) -> Option<Cow<'static, str>> {
        let fix = match self {
            Self::Read { source, .. } if is_missing(source.kind()) => CHECK_PATH,
            Self::Write { .. } => CHECK_DISK,
            Self::Decode { .. } => SAVE_AGAIN,
            Self::NoClasses { .. } => ONE_FOLDER_PER_CLASS,
            Self::EmptyClass { .. } => ADD_IMAGES,
            Self::UnknownClass { .. } => RENAME,
            Self::EmptySplit(_) => FILL_OR_REMOVE,
            Self::NoValidation { .. } => return Some(raise_val_split().into()),
            Self::TooManyUnreadable { .. } => REPLACE,
            Self::PictureSize { .. } => START_AGAIN,
            Self::NoThread => FREE_SOME,
            Self::Worker(_) => REPORT,
            Self::Read { .. }
            | Self::NotAFolder(_)
            | Self::OneClass { .. }
            | Self::Layout { .. }
            | Self::Annotations { .. }
            | Self::OutOfRange { .. } => return None,
        };
        Some(translated(fix).into())
    }

    pub(crate) fn read(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Read {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn write(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Write {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn annotations(
        path: &std::path::Path,
        line: usize,
        problem: impl Into<String>,
    ) -> Self {
        Self::Annotations {
            path: path.to_path_buf(),
            line: line.max(1),
            problem: problem.into(),
        }
    }
}

/// Whether a file is missing or may not be read; the messages of other problems are complete without a fix.
fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied)
}

fn unread(path: &std::path::Path, source: &std::io::Error) -> String {
    let path = shown(path);
    if is_missing(source.kind()) {
        let fix = translated(CHECK_PATH);
        message!("cannot read {path}: {source}; {fix}")
    } else {
        message!("cannot read {path}: {source}")
    }
}

/// The fix for a validation split that would be empty.
fn raise_val_split() -> String {
    message!("add images or raise {}", Key::VAL_SPLIT)
}

fn lie(images: usize) -> String {
    match images {
        1 => message!("1 image lies"),
        _ => message!("{images} images lie"),
    }
}

/// Names for an error message: the first five and how many more there are.
pub(crate) fn some_of(names: &[String]) -> String {
    let first: Vec<_> = names.iter().take(5).map(|name| one_line(name)).collect();
    let first = first.join(", ");
    match names.len().saturating_sub(5) {
        0 => first,
        more => message!("{first} and {more} more"),
    }
}

/// Refuses the first number below 0 or above its bound. Each comes with its name and its range in English words.
pub(crate) fn require_up_to(
    numbers: &[(&'static str, f64, f64, &'static str)],
) -> Result<(), DataError> {
    let outside = numbers
        .iter()
        .find(|(_, value, high, _)| !(0.0..=*high).contains(value));
    outside.map_or(Ok(()), |&(name, value, _, expected)| {
        Err(DataError::OutOfRange {
            name,
            expected: translated(expected),
            found: value.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::Path;

    #[test]
    fn only_missing_and_forbidden_files_are_to_be_checked() {
        let said = |problem: io::Error| DataError::read(Path::new("a.jpg"), problem).to_string();
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied] {
            assert!(said(kind.into()).ends_with("; check that it exists and may be read"));
        }
        let pipe = io::Error::new(ErrorKind::InvalidInput, "it is a pipe, not a file");
        assert_eq!(said(pipe), "cannot read a.jpg: it is a pipe, not a file");
    }
}
