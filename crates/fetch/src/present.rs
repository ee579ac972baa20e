//! A verified file on this machine.

use std::path::PathBuf;

use crate::error::FetchError;
use crate::event::{Event, Observer};
use crate::find::{Place, find};
use crate::places::Places;
use crate::source::Source;
use crate::verify::{Check, Verified, verify};

/// A file that is on this machine now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// What its content was checked against.
    pub check: Check,
    /// Whether it was downloaded just now.
    pub is_new: bool,
}

/// The verified file of a source, if it is on this machine. A damaged one of ours counts as missing.
pub fn present(
    source: &Source,
    places: &Places,
    observe: Observer,
) -> Result<Option<Fetched>, FetchError> {
    let Some(found) = find(source, places) else {
        return Ok(None);
    };
    match verify(source, &found)? {
        Verified::Good(check) => Ok(Some(Fetched {
            path: found.path,
            check,
            is_new: false,
        })),
        Verified::Damaged => {
            observe(Event::Damaged(&found.path));
            if found.place == Place::Cache {
                // Or it would be found again before another place's. One that cannot be removed is replaced.
                let _ = std::fs::remove_file(&found.path);
            }
            Ok(None)
        }
    }
}
