//! Errors of fetching.

use std::io;
use std::path::{Path, PathBuf};

use warmstart_files::shown;
use warmstart_language::{english, message, translated};

use crate::checksum::Checksum;
use crate::places::{Places, WEIGHTS_VARIABLE};
use crate::source::Source;

/// Why a file could not be had. Displayed, it is one line without the fix.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not on this machine, and could not be downloaded.
    #[error("{}", not_here(name, reasons))]
    Missing {
        /// The name of the source.
        name: String,
        /// Why each address was of no use.
        reasons: Vec<String>,
        /// What the user can do.
        fix: String,
    },
    /// Its content is not what its publisher published.
    #[error("{}", message!("{what}: its SHA-256 is {found}, expected {expected}"))]
    OtherContent {
        /// The file or the address.
        what: String,
        /// Its SHA-256.
        found: Checksum,
        /// The published one, or its beginning.
        expected: Checksum,
        /// What the user can do.
        fix: String,
    },
    /// The system refuses.
    #[error("{}", message!("could not {action} {}: {source}", shown(path)))]
    Io {
        /// The action, as a verb in the user's language.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
        /// What the user can do; empty if nothing is known.
        fix: String,
    },
}

impl FetchError {
    /// The system refuses to read.
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::io(english!("read"), path, source)
    }

    /// The system refuses to write.
    #[cfg(any(feature = "download", feature = "remote"))]
    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::io(english!("write"), path, source)
    }

    /// The system refuses to create a file or a folder.
    pub(crate) fn create(path: &Path, source: io::Error) -> Self {
        Self::io(english!("create"), path, source)
    }

    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let fix = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                message!("free some space, or let XDG_CACHE_HOME name a folder on another disk")
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists => {
                message!("let XDG_CACHE_HOME name a folder that can be written to")
            }
            _ => String::new(),
        };
        Self::Io {
            action: translated(action),
            path: path.to_owned(),
            source,
            fix,
        }
    }

    /// A file that is not here, with the reason for each address that was asked.
    pub(crate) fn missing(source: &Source, places: &Places, reasons: Vec<String>) -> Self {
        let name = match (&source.file, &source.hub) {
            (Some(file), _) => file.clone(),
            (None, Some(hub)) => source.kept_name(hub.files.first().map_or("", String::as_str)),
            (None, None) => format!("{}.safetensors", source.name),
        };
        let folder = match &places.folder {
            Some(folder) => message!("into {}, which {WEIGHTS_VARIABLE} names", shown(folder)),
            None => message!("into a folder that {WEIGHTS_VARIABLE} names"),
        };
        let place = match &places.cache {
            Some(cache) => message!("into {}, or {folder}", shown(cache)),
            None => folder,
        };
        let address = match (&source.url, &source.hub) {
            (Some(url), _) => format!(" ({url})"),
            (None, Some(hub)) => format!(" ({})", hub.page(&places.endpoint)),
            (None, None) => String::new(),
        };
        Self::Missing {
            name: source.name.clone(),
            reasons,
            fix: message!("put the file{address} {place}, as {}", named(source, &name)),
        }
    }

    /// What the user can do; empty if nothing is known.
    pub fn fix(&self) -> &str {
        match self {
            Self::Missing { fix, .. } | Self::OtherContent { fix, .. } | Self::Io { fix, .. } => {
                fix
            }
        }
    }
}

/// The name of the file as published, and the short one under which it is found as well.
fn named(source: &Source, name: &str) -> String {
    let end = name.rsplit('.').next().unwrap_or_default();
    let own = format!("{}.{end}", source.name);
    if own != name && source.file_names().contains(&own) {
        message!("{name} or {own}")
    } else {
        name.to_owned()
    }
}

fn not_here(name: &str, reasons: &[String]) -> String {
    if reasons.is_empty() {
        return message!("`{name}` is not on this machine");
    }
    message!(
        "`{name}` is not on this machine, and {}",
        reasons.join("; ")
    )
}
