//! Checks of a file on this machine against what is known of its content.

use std::path::{Path, PathBuf};

use warmstart_files::shown;
use warmstart_language::message;

use crate::checksum::Checksum;
use crate::error::FetchError;
use crate::find::{Found, Place};
use crate::hub::Repository;
use crate::source::Source;

/// Bytes of a file that holds a checksum.
const STORED: u64 = 4096;

/// What a file's content was checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The SHA-256, or its beginning, that its publisher states.
    Published(Checksum),
    /// The SHA-256 that the server states; it is stored.
    Stated(Checksum),
    /// Nothing: nobody states a SHA-256. The one that was found is stored at this first use.
    FirstUse(Checksum),
    /// The SHA-256 that was stored when it was downloaded.
    Stored(Checksum),
    /// Nothing: it is the user's own file.
    Unchecked,
}

/// The result of a check of a file on this machine.
pub enum Verified {
    /// It is what it should be.
    Good(Check),
    /// It is a file of ours that is damaged.
    Damaged,
}

/// Checks a file that was found.
///
/// # Errors
/// If it cannot be read, or is another one than published and the user's own.
pub fn verify(source: &Source, found: &Found) -> Result<Verified, FetchError> {
    let path = &found.path;
    let name = path.file_name().and_then(|name| name.to_str());
    let published = name.and_then(|name| source.checksum_of(name));
    let (expected, check): (_, fn(Checksum) -> Check) = match (published, found.place) {
        (Some(published), _) => (Some(published.clone()), Check::Published),
        (None, Place::Folder) => (None, Check::Stored),
        (None, Place::Cache) => (stored(path), Check::Stored),
        (None, Place::HubCache) => (Repository::hash_of(path), Check::Stored),
    };
    let Some(expected) = expected else {
        return Ok(Verified::Good(Check::Unchecked));
    };
    let content = Checksum::of_file(path).map_err(|error| FetchError::read(path, error))?;
    if expected.fits(&content) {
        return Ok(Verified::Good(check(expected)));
    }
    match found.place {
        Place::Cache | Place::HubCache => Ok(Verified::Damaged),
        Place::Folder => Err(FetchError::OtherContent {
            what: shown(path),
            found: content,
            expected,
            fix: message!("it is damaged or another file: remove it, or give it another name"),
        }),
    }
}

/// The file that holds the checksum of a file in our cache, as `sha256sum --check` reads it.
pub fn checksum_file(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".sha256");
    path.with_file_name(name)
}

/// The checksum that was stored when a file was downloaded.
pub fn stored(path: &Path) -> Option<Checksum> {
    let text = warmstart_files::read_text(&checksum_file(path), STORED).ok()?;
    Checksum::whole(text.split_whitespace().next()?)
}
