//! Memory, batches, steps and time of each phase, before anything runs.

pub mod automatic;
pub mod cost_probe;
pub mod make;
pub mod memory_line;
mod need;
mod path_bytes;
