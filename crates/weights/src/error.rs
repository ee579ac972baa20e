//! Errors, each in one line that names the file and the fix.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use warmstart_files::shown;
use warmstart_language::{english, message, translated};

/// Fix for a damaged file.
const COPY_AGAIN: &str = english!("download or copy it again");
/// Fix for two entries of one name.
const REMOVE_ONE: &str = english!("remove one of them from the file");
/// Fix for a file that runs code.
const USE_SAFE_FILE: &str = english!(
    "use a .safetensors file, or one saved with torch.save(model.state_dict(), ...) by someone you trust"
);

/// Error of reading, using or writing weights.
#[derive(Debug, Error)]
pub enum WeightError {
    /// The operating system refused.
    #[error(
        "{}",
        message!("{}: cannot be {action}: {source}", shown(path), action = translated(action))
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, as a participle, from the catalogue: "read", "written".
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The file is something else, such as a web page.
    #[error("{}", message!("{}: {found}, not a weights file; {fix}", shown(path)))]
    NotWeights {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
        /// What to do about it.
        fix: String,
    },
    /// A weights file in a form that is not supported.
    #[error("{}", message!("{}: {found}; {fix}", shown(path)))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What to do about it.
        fix: String,
    },
    /// The file contradicts itself or ends too early.
    #[error(
        "{}",
        message!("{}: damaged or cut short ({detail}); {fix}", shown(path), fix = translated(COPY_AGAIN))
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
    },
    /// Unpickling the file with Python would call code.
    #[error(
        "{}",
        message!(
            "{}: loading this pickle in Python would run {call}, which is code and not weights; nothing was run; \
             {fix}",
            shown(path),
            fix = translated(USE_SAFE_FILE)
        )
    )]
    RunsCode {
        /// The file.
        path: PathBuf,
        /// The callable, such as `posix.system`.
        call: String,
    },
    /// Two entries of a file claim one name.
    #[error(
        "{}",
        message!(
            "{}: {first} and {second} both stand for {name}; {fix}",
            shown(path),
            fix = translated(REMOVE_ONE)
        )
    )]
    NameCollision {
        /// The file.
        path: PathBuf,
        /// The name both map to.
        name: String,
        /// The first key in the file.
        first: String,
        /// The second key in the file.
        second: String,
    },
    /// No tensor of the model is under the wanted prefix, or a tensor that the model needs cannot be read or
    /// contradicts another one.
    #[error("{}", message!("{}: {detail}", shown(path)))]
    NotThere {
        /// The file.
        path: PathBuf,
        /// The prefix and those that fit, or the tensor.
        detail: String,
    },
    /// Too little of the backbone came from the file to be worth training on.
    #[error("{}", message!("{}: {detail}", shown(path)))]
    BackboneNotLoaded {
        /// The file.
        path: PathBuf,
        /// How much loads, an example with the closest names, and the fix.
        detail: String,
    },
    /// Tensors that cannot be written as they are.
    #[error("{}", message!("cannot save tensor {name}: {detail}"))]
    NotSavable {
        /// The tensor.
        name: String,
        /// What was expected and what was found.
        detail: String,
    },
}

impl WeightError {
    /// The file that the error is about, if there is one.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            Self::Io { path, .. }
            | Self::NotWeights { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Damaged { path, .. }
            | Self::RunsCode { path, .. }
            | Self::NameCollision { path, .. }
            | Self::NotThere { path, .. }
            | Self::BackboneNotLoaded { path, .. } => Some(path),
            Self::NotSavable { .. } => None,
        }
    }

    /// The content that was found instead of weights, if it is known.
    pub fn found(&self) -> Option<&str> {
        match self {
            Self::NotWeights { found, .. } | Self::Unsupported { found, .. } => Some(found),
            Self::Damaged { detail, .. } => Some(detail),
            Self::RunsCode { call, .. } => Some(call),
            Self::Io { .. }
            | Self::NameCollision { .. }
            | Self::NotThere { .. }
            | Self::BackboneNotLoaded { .. }
            | Self::NotSavable { .. } => None,
        }
    }

    /// The fix, where it is not a part of the details.
    pub fn fix(&self) -> Option<&str> {
        match self {
            Self::NotWeights { fix, .. } | Self::Unsupported { fix, .. } => Some(fix),
            Self::Damaged { .. } => Some(translated(COPY_AGAIN)),
            Self::RunsCode { .. } => Some(translated(USE_SAFE_FILE)),
            Self::NameCollision { .. } => Some(translated(REMOVE_ONE)),
            Self::Io { .. }
            | Self::NotThere { .. }
            | Self::BackboneNotLoaded { .. }
            | Self::NotSavable { .. } => None,
        }
    }
}
