//! Pictures of measurements.

mod error;
mod initialization;
mod learning_rate;
mod picture;

pub use error::Error;
pub use initialization::draw_initializations;
pub use learning_rate::draw_sweeps;
pub use picture::require_place;
