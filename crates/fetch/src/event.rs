//! What happens while a file is fetched.

use std::path::Path;
use std::time::Duration;

/// Something that happens while a file is fetched.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The server has answered, and the file's content is about to be downloaded.
    Begin {
        /// The address.
        url: &'a str,
        /// Size of the file, where the server states it.
        bytes: Option<u64>,
        /// Bytes that an earlier, interrupted download left.
        present: u64,
    },
    /// So many bytes are here.
    Bytes {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, where the server states them.
        of: Option<u64>,
    },
    /// A download failed, and is tried again.
    Again {
        /// Why it failed.
        reason: String,
        /// Time until then.
        wait: Duration,
    },
    /// Another process downloads the same file, and this one waits for it.
    Waiting,
    /// A file in the cache is not what it was, and is downloaded again.
    Damaged(&'a Path),
    /// An address was of no use, and the next one is asked.
    Next {
        /// The address.
        url: &'a str,
        /// Why it was of no use.
        reason: String,
    },
}

/// A receiver of events.
pub type Observer<'a> = &'a mut dyn FnMut(Event);
