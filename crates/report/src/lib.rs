//! Pictures and pages of what warmstart measured.

mod compare;
mod error;
mod initialization;
mod learning_rate;
mod page;
mod picture;
mod run_report;

pub use compare::{require_place_of_comparison, write_comparison};
pub use error::Error;
pub use initialization::draw_initializations;
pub use learning_rate::draw_sweeps;
pub use picture::require_place;
pub use run_report::write_report;
