//! Memory, batches, steps and time of each phase, before anything runs.

pub mod automatic;
mod card_meter;
pub mod cost_probe;
mod limits;
pub mod make;
pub mod memory_line;
mod need;
mod notes;
mod path_bytes;
mod phase_probe;
