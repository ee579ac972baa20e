//! Hostile inputs for every reader of warmstart.
//!
//! A [`Target`] takes bytes to one reader, as a file in a folder of its own. The program of this crate gives
//! each target a fixed number of mutated inputs, the same in every run, on the stable toolchain; `cargo fuzz`
//! looks for inputs of its own, led by coverage (`fuzz_targets/`).
//!
//! A reader may refuse an input. It may not panic, overflow an integer, take longer than [`MOST_TIME`] or
//! more memory than [`MOST_MEMORY`].

#[cfg(feature = "models")]
mod model_seeds;
#[cfg(feature = "models")]
mod model_targets;
mod mutation;
mod seeds;
mod targets;

use std::time::Duration;

pub use mutation::mutated;
pub use targets::Target;

/// Longest that a reader may take for one input.
pub const MOST_TIME: Duration = Duration::from_secs(5);

/// Most memory in bytes that a reader may hold for one input.
pub const MOST_MEMORY: usize = 1 << 30;

/// Memory that is held from some moment on, in blocks of 1 KiB and more, which the allocator of `nn` counts.
/// Without the feature `models` there is no such allocator, and nothing is counted.
pub struct Memory {
    #[cfg(feature = "models")]
    before: usize,
}

impl Memory {
    /// Counts from here on.
    pub fn start() -> Self {
        #[cfg(feature = "models")]
        warmstart_nn::forget_memory_peak();
        Self {
            #[cfg(feature = "models")]
            before: warmstart_nn::memory_in_use(),
        }
    }

    /// Most bytes that were held at once.
    pub fn peak(&self) -> usize {
        #[cfg(feature = "models")]
        return warmstart_nn::memory_peak().saturating_sub(self.before);
        #[cfg(not(feature = "models"))]
        0
    }
}

/// Every target.
pub fn targets() -> Vec<&'static Target> {
    let readers = targets::TARGETS.iter();
    #[cfg(feature = "models")]
    let readers = readers.chain(&model_targets::TARGETS);
    readers.collect()
}

/// Gives an input to the target of that name.
///
/// # Panics
/// If there is no such target, and wherever the reader does.
pub fn run(name: &str, input: &[u8]) {
    let target = targets().into_iter().find(|target| target.name == name);
    target.expect("a target of this name").read(input);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_accepts_its_seeds() {
        for target in targets() {
            for (number, seed) in (target.seeds)().iter().enumerate() {
                assert!(target.read(seed), "{}, seed {number}", target.name);
            }
        }
    }

    #[test]
    fn a_damaged_seed_is_refused_somewhere() {
        for target in targets() {
            let mut seed = (target.seeds)()[0].clone();
            seed.truncate(seed.len() / 3);
            assert!(!target.read(&seed), "{}", target.name);
        }
    }
}
