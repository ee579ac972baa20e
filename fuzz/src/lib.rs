//! Hostile inputs for every reader of warmstart.
//!
//! A [`Target`] takes bytes to one reader, as a file in a folder of its own. The program of this crate gives
//! each target a fixed number of mutated inputs, the same in every run, on the stable toolchain; `cargo fuzz`
//! looks for inputs of its own, led by coverage (`fuzz_targets/`).
//!
//! A reader may refuse an input. It may not panic, overflow an integer, take longer than [`MOST_TIME`] or
//! more memory than [`MOST_MEMORY`].

mod mutation;
mod seeds;
mod targets;

use std::time::Duration;

pub use mutation::mutated;
pub use targets::{TARGETS, Target};

/// Longest that a reader may take for one input.
pub const MOST_TIME: Duration = Duration::from_secs(5);

/// Most memory in bytes that a reader may hold for one input.
pub const MOST_MEMORY: usize = 1 << 30;

/// Gives an input to the target of that name.
///
/// # Panics
/// If there is no such target, and wherever the reader does.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.expect("a target of this name").read(input);
}
