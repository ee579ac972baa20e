//! Published files by name: found on this machine, or downloaded once, verified and kept.
//!
//! A [`Source`] says what a file is called and where it is published; [`Places`] says where this machine keeps such
//! files. [`find`] looks without the network; [`fetch`] also downloads, if the crate has its feature `download`.
//! [`mirror`] copies data from an object store or a web server, if the crate has its feature `remote`.
//! Nothing here knows what is in a file.

mod checksum;
#[cfg(feature = "download")]
mod download;
mod error;
mod event;
mod fetching;
mod find;
#[cfg(feature = "download")]
mod http;
mod hub;
mod lock;
mod objects;
mod places;
mod present;
mod source;
#[cfg(feature = "download")]
mod transfer;
mod verify;

pub use checksum::Checksum;
pub use error::FetchError;
pub use event::{Event, Observer};
pub use fetching::fetch;
pub use find::{Found, Place, find, locate};
pub use lock::Lock;
pub use objects::{
    COPIES_DATA, Mirror, Mirrored, ObjectError, ObjectEvent, address_of, mirror,
    settings_from_environment,
};
pub use places::{Places, WEIGHTS_VARIABLE};
pub use present::Fetched;
pub use source::{Hub, Source};
pub use verify::Check;

/// Whether this build can download.
pub const DOWNLOADS: bool = cfg!(feature = "download");
