use std::io;
use std::path::{Path, PathBuf};

use warmstart_data::DataError;
use warmstart_files::shown;
use warmstart_weights::WeightError;

use crate::{command, recipe};

/// Why a run could not go on. Each is one line that names the thing and the fix.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request contradicts itself, or names something that isn't there.
    #[error("{0}")]
    Usage(String),
    /// The data set or an image of it.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Reading or writing a file.
    #[error("could not {action} {}: {source}", shown(path))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A recipe that cannot be read.
    #[error("{}:{line}: {message}", shown(path))]
    Recipe {
        /// The file.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A checkpoint that is missing or damaged.
    #[error("{0}")]
    Checkpoint(String),
    /// A checkpoint that another version of warmstart wrote.
    #[error("{0}")]
    OtherVersion(String),
    /// A model file that cannot be used.
    #[error("{}: {problem}", shown(path))]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// There is not enough memory.
    #[error("{0}")]
    Memory(String),
    /// What would do harm: another process has the run, or its data are others.
    #[error("{0}")]
    Refused(String),
    /// The run was stopped from outside.
    #[error("{words}; continue with `{}`", command::resume(run))]
    Interrupted {
        /// Where it was, and whether that is saved.
        words: String,
        /// Folder of the run.
        run: PathBuf,
    },
    /// An image that was there when the run began, and cannot be read any more.
    #[error(
        "{source}; {saved}: bring it back and continue with `{}`, or remove it and continue without it: `{} --accept-data-change`",
        command::resume(run),
        command::resume(run)
    )]
    LostImage {
        /// The image, and why it cannot be read.
        source: DataError,
        /// The place of the run, and whether that is saved.
        saved: String,
        /// Folder of the run.
        run: PathBuf,
    },
    /// The loss, a gradient or a parameter is not finite.
    #[error("{0}")]
    NonFinite(String),
}

impl Error {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn recipe(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        Self::Recipe {
            path: path.to_owned(),
            line: text[..start.min(text.len())].matches('\n').count() + 1,
            message: recipe::explained(error.message()),
        }
    }

    /// The same, or if an image of the data set cannot be read any more: that, and where the run is, which
    /// `interrupt` saves and tells.
    pub(crate) fn of_lost_image(self, interrupt: impl FnOnce() -> Self) -> Self {
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
                unsaved => Self::Checkpoint(format!("{source}; {unsaved}")),
            },
            error => error,
        }
    }

    /// Whether the request was wrong, rather than its execution.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Recipe { .. })
    }
}
