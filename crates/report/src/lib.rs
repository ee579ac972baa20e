//! Pictures of what was measured.

mod error;
mod initialization;

pub use error::Error;
pub use initialization::draw;
