//! Memory, batches, steps and time of each phase, before anything runs.

pub mod automatic;
mod card_meter;
pub mod cost_probe;
mod gradients_moving;
mod limits;
pub mod make;
pub mod memory_line;
mod need;
pub mod network;
mod notes;
pub mod over_ranks;
mod path_bytes;
mod phase_probe;
