//! The cause of a step that was not taken.

use serde::{Deserialize, Serialize};

/// Cause of a step that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonFinite {
    /// The quantity that is not finite.
    pub what: String,
    /// The first layer with a value that is not finite, in the order of computation.
    pub layer: String,
}
