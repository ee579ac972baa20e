//! Errors of copying data from an address.

use warmstart_language::message;

use crate::error::FetchError;

/// Why data at an address could not be copied. Displayed, it is one line without the fix.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// This build has no object stores.
    #[error("{}", message!("{address}: this build of warmstart copies no data from addresses"))]
    NotBuilt {
        /// The address.
        address: String,
    },
    /// The address is none that can be copied from, or what is there can be no folder.
    #[error("{}", message!("{address}: {problem}"))]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        problem: String,
        /// What the user can do.
        fix: String,
    },
    /// The server does not give what is asked for.
    #[error("{}", message!("{address} could not be read: {reason}"))]
    Server {
        /// The address, or that of one object.
        address: String,
        /// What the server or the network says.
        reason: String,
        /// What the user can do.
        fix: String,
    },
    /// The copying was stopped from outside.
    #[error("{}", message!("stopped while copying {address}: {files} files are here"))]
    Stopped {
        /// The address.
        address: String,
        /// Whole files that are here.
        files: usize,
    },
    /// The system refuses.
    #[error(transparent)]
    Here(#[from] FetchError),
}

impl ObjectError {
    /// What the user can do.
    pub fn fix(&self) -> String {
        match self {
            Self::NotBuilt { .. } => message!(
                "take a build with `--features remote`, or copy the data into a folder of this machine"
            ),
            Self::Address { fix, .. } | Self::Server { fix, .. } => fix.clone(),
            Self::Stopped { .. } => {
                message!("give the same command again; what is here is not fetched again")
            }
            Self::Here(_) => {
                message!("name a folder with room that can be written to, with --cache DIR")
            }
        }
    }
}
