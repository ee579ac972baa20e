//! Error of a command: kinds with fields for programs, one sentence for people.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use warmstart_data::DataError;
use warmstart_files::{shown, text};
use warmstart_language::message;
use warmstart_weights::WeightError;

use crate::command;
use warmstart_files::Key;

/// Error of a command. Displayed, it is one line that names the cause and the fix; options in it are
/// [`Key`]s.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request contradicts itself, or names something that isn't there.
    #[error("{}", sentence(.0))]
    Usage(Box<Problem>),
    /// The data set or an image of it.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Reading or writing a file.
    #[error("{}", not_done(action, path, source))]
    Io {
        /// The action, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A recipe that cannot be read.
    #[error("{}:{line}: {}", shown(path), mistake.message)]
    Recipe {
        /// The file.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// The mistake.
        mistake: Box<Mistake>,
    },
    /// A checkpoint that is missing or damaged.
    #[error("{}", sentence(.0))]
    Checkpoint(Box<Problem>),
    /// A checkpoint that another version of warmstart wrote.
    #[error("{}", sentence(.0))]
    OtherVersion(Box<Problem>),
    /// A model file that cannot be used.
    #[error("{}", sentence(.0))]
    Model(Box<Problem>),
    /// Published weights that could not be had.
    #[error("{}", sentence(.0))]
    Download(Box<Problem>),
    /// There is not enough memory.
    #[error("{}", sentence(.0))]
    Memory(Box<Problem>),
    /// The command would do harm: another process has the run, or its data have changed.
    #[error("{}", sentence(.0))]
    Refused(Box<Problem>),
    /// Another process of the run has failed, or is not like this one.
    #[error("{}", sentence(.0))]
    OtherRank(Box<Problem>),
    /// The run was stopped from outside.
    #[error("{}", message!("{words}; continue with `{}`", command::resume(run)))]
    Interrupted {
        /// The run's position, and whether it is saved.
        words: String,
        /// Folder of the run.
        run: PathBuf,
    },
    /// An image that was there when the run began, and cannot be read any more.
    #[error(
        "{}",
        message!(
            "{source}; {saved}: bring it back and continue with `{}`, or remove it and continue without it: `{} {}`",
            command::resume(run),
            command::resume(run),
            Key::ACCEPT_DATA_CHANGE
        )
    )]
    LostImage {
        /// The image, and why it cannot be read.
        source: DataError,
        /// The run's position, and whether it is saved.
        saved: String,
        /// Folder of the run.
        run: PathBuf,
    },
    /// The loss, a gradient or a parameter is not finite.
    #[error("{}", sentence(.0))]
    NonFinite(Box<Problem>),
}

/// A problem in parts. Those that are not known are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub file: Option<PathBuf>,
    /// The option.
    pub key: Option<Key>,
    /// The value that was expected.
    pub expected: String,
    /// The value that was found.
    pub found: String,
    /// The problem in words; empty where a value is out of range.
    pub what: String,
    /// The fix.
    pub fix: String,
}

/// A mistake in the text of a recipe. Parts that are not known are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistake {
    /// The mistake and its fix, in words.
    pub message: String,
    /// The key, which may be unknown.
    pub key: Option<String>,
    /// The value or the keys that were expected.
    pub expected: String,
    /// The value that was found.
    pub found: String,
    /// The fix.
    pub fix: String,
}

/// An error in parts, for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fields {
    /// The kind of error, in one word.
    pub kind: &'static str,
    /// The file or folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The option, as a recipe names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Cow<'static, str>>,
    /// The value that was expected.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// The value that was found.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// The fix.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

/// The failure of an action; one that is not listed here is said in English.
fn not_done(action: &str, path: &Path, source: &io::Error) -> String {
    let path = shown(path);
    match action {
        "create" => message!("could not create {path}: {source}"),
        "flush" => message!("could not flush {path}: {source}"),
        "list" => message!("could not list {path}: {source}"),
        "name" => message!("could not name {path}: {source}"),
        "open" => message!("could not open {path}: {source}"),
        "read" => message!("could not read {path}: {source}"),
        "remove" => message!("could not remove {path}: {source}"),
        "replace" => message!("could not replace {path}: {source}"),
        "restore" => message!("could not restore {path}: {source}"),
        "run" => message!("could not run {path}: {source}"),
        "start a thread to write" => {
            message!("could not start a thread to write {path}: {source}")
        }
        "write" => message!("could not write {path}: {source}"),
        other => format!("could not {other} {path}: {source}"),
    }
}

/// The one place where parts become a sentence: `file: key is found; expected …: fix`.
fn sentence(problem: &Problem) -> String {
    let Problem {
        file,
        key,
        expected,
        found,
        what,
        fix,
    } = problem;
    let mut sentence = match key {
        // A problem in words names the option itself.
        Some(key) if what.is_empty() => message!("{key} is {found}; it must be {expected}"),
        Some(_) | None => what.clone(),
    };
    if let Some(file) = file {
        sentence = message!("{}: {sentence}", shown(file));
    }
    if !fix.is_empty() {
        sentence = message!("{sentence}: {fix}");
    }
    sentence
}

impl Problem {
    /// A problem in words.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ..Self::default()
        }
    }

    /// A value that an option cannot have.
    pub fn of_value(key: Key, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            key: Some(key),
            found: found.into(),
            expected: expected.into(),
            ..Self::default()
        }
    }

    /// The same problem, with its file or folder.
    #[must_use]
    pub fn of_file(self, file: &Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..self
        }
    }

    /// The same problem, with its option.
    #[must_use]
    pub fn of_key(self, key: Key) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// The same problem, with its fix.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self {
            fix: fix.into(),
            ..self
        }
    }
}

impl From<Problem> for Error {
    /// A problem of the request.
    fn from(problem: Problem) -> Self {
        Self::Usage(Box::new(problem))
    }
}

impl Error {
    /// A problem of the request, in words.
    pub fn usage(what: impl Into<String>) -> Self {
        Problem::new(what).into()
    }

    /// A failure of the system at a file.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// A checkpoint that cannot be used, in words.
    pub fn checkpoint(what: impl Into<String>) -> Self {
        Self::Checkpoint(Box::new(Problem::new(what)))
    }

    /// A model file that cannot be used, in words.
    pub fn model(file: &Path, what: impl Into<String>) -> Self {
        Self::Model(Box::new(Problem::new(what).of_file(file)))
    }

    /// A lack of memory, in words.
    pub fn memory(what: impl Into<String>) -> Self {
        Self::Memory(Box::new(Problem::new(what)))
    }

    /// A checkpoint of another version, in words.
    pub fn other_version(what: impl Into<String>) -> Self {
        Self::OtherVersion(Box::new(Problem::new(what)))
    }

    /// A command that would do harm, in words.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::Refused(Box::new(Problem::new(what)))
    }

    /// A loss, gradient or parameter that is not finite, in words.
    pub fn non_finite(what: impl Into<String>) -> Self {
        Self::NonFinite(Box::new(Problem::new(what)))
    }

    /// The same error, with its fix where the kind has one.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        if let Self::Usage(problem)
        | Self::Checkpoint(problem)
        | Self::OtherVersion(problem)
        | Self::Model(problem)
        | Self::Download(problem)
        | Self::Memory(problem)
        | Self::Refused(problem)
        | Self::OtherRank(problem)
        | Self::NonFinite(problem) = &mut self
        {
            problem.fix = fix.into();
        }
        self
    }

    /// The same error, or, if it is an image that cannot be read any more, an error with the run's position as well,
    /// which `interrupt` saves and describes.
    #[must_use]
    pub fn of_lost_image(self, interrupt: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Data(
                source @ (DataError::Read { .. }
                | DataError::Decode { .. }
                | DataError::PictureSize { .. }),
            ) => match interrupt() {
                Self::Interrupted { words, run } => Self::LostImage {
                    source,
                    saved: words,
                    run,
                },
                unsaved => Self::checkpoint(message!("{source}; {unsaved}")),
            },
            error => error,
        }
    }

    /// Whether the request was wrong, rather than its execution.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Recipe { .. })
    }

    /// The error in parts, for programs.
    pub fn fields(&self) -> Fields {
        let of_problem = |kind, problem: &Problem| Fields {
            kind,
            file: problem.file.as_deref().map(|file| text(file).into_owned()),
            key: problem.key.map(|key| key.0.into()),
            expected: problem.expected.clone(),
            found: problem.found.clone(),
            fix: problem.fix.clone(),
            ..Fields::default()
        };
        let of_file = |kind, file: Option<&Path>| Fields {
            kind,
            file: file.map(|file| text(file).into_owned()),
            ..Fields::default()
        };
        match self {
            Self::Usage(problem) => of_problem("usage", problem),
            Self::Data(error) => Fields {
                line: error.line(),
                expected: error.expected().unwrap_or_default(),
                found: error.found().unwrap_or_default(),
                fix: error.fix().unwrap_or_default().into(),
                ..of_file("data", error.path())
            },
            Self::Weights(error) => Fields {
                found: error.found().unwrap_or_default().into(),
                fix: error.fix().unwrap_or_default().into(),
                ..of_file("weights", error.path())
            },
            Self::Io { path, .. } => of_file("file", Some(path)),
            Self::Recipe {
                path,
                line,
                mistake,
            } => Fields {
                line: Some(*line),
                key: mistake.key.clone().map(Cow::Owned),
                expected: mistake.expected.clone(),
                found: mistake.found.clone(),
                fix: mistake.fix.clone(),
                ..of_file("recipe", Some(path))
            },
            Self::Checkpoint(problem) => of_problem("checkpoint", problem),
            Self::OtherVersion(problem) => of_problem("version", problem),
            Self::Model(problem) => of_problem("model", problem),
            Self::Download(problem) => of_problem("download", problem),
            Self::Memory(problem) => of_problem("memory", problem),
            Self::Refused(problem) => of_problem("refused", problem),
            Self::OtherRank(problem) => of_problem("rank", problem),
            Self::Interrupted { run, .. } => Fields {
                fix: command::resume(run),
                ..of_file("interrupted", Some(run))
            },
            Self::LostImage { source, run, .. } => Fields {
                fix: format!("{} {}", command::resume(run), Key::ACCEPT_DATA_CHANGE),
                ..of_file("lost_image", source.path())
            },
            Self::NonFinite(problem) => of_problem("non_finite", problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_one_sentence() {
        let of_value = Problem::of_value(Key::IMAGE_SIZE, "31", "from 32 to 2048");
        let error = Error::from(of_value.of_file(Path::new("recipe.toml")));
        assert_eq!(
            warmstart_files::plain(&error.to_string()),
            "recipe.toml: image_size is 31; it must be from 32 to 2048"
        );
        let Fields {
            kind, key, found, ..
        } = error.fields();
        assert_eq!(
            (kind, key.as_deref(), &*found),
            ("usage", Some("image_size"), "31")
        );
        let error = Error::usage("there are 3 images").fix("give fewer folds");
        assert_eq!(error.to_string(), "there are 3 images: give fewer folds");
        assert_eq!(error.fields().fix, "give fewer folds");
    }

    #[test]
    fn errors_of_other_crates_keep_their_parts() {
        let error = Error::from(DataError::PictureSize {
            path: "a.png".into(),
            found: (3, 4),
            expected: (5, 6),
        });
        let Fields {
            expected,
            found,
            fix,
            ..
        } = error.fields();
        assert_eq!((&*found, &*expected), ("3 x 4", "5 x 6"));
        assert!(error.to_string().ends_with(&fix) && !fix.is_empty());
    }
}
