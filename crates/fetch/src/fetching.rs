//! A file on this machine, whatever that takes.

use warmstart_language::message;

use crate::error::FetchError;
use crate::event::Observer;
use crate::places::Places;
use crate::present::{Fetched, present};
use crate::source::Source;

/// The verified file of a source: found on this machine, or downloaded.
///
/// # Errors
/// If it is nowhere, or not what was published, or cannot be kept.
pub fn fetch(source: &Source, places: &Places, observe: Observer) -> Result<Fetched, FetchError> {
    if let Some(present) = present(source, places, observe)? {
        return Ok(present);
    }
    if places.is_offline {
        let reason = message!("HF_HUB_OFFLINE forbids its download");
        return Err(FetchError::missing(source, places, vec![reason]));
    }
    #[cfg(feature = "download")]
    return crate::download::download(source, places, observe);
    #[cfg(not(feature = "download"))]
    Err(FetchError::missing(
        source,
        places,
        vec![message!("this build of warmstart cannot download")],
    ))
}
