//! The graphics card that a test computes on.
#![allow(clippy::print_stderr, reason = "a test says what it leaves out")]

use warmstart_nn::burn::tensor::Device;
use warmstart_nn::devices::{VARIABLE, card_of, usual};

/// The card that the environment variable names; `None`, with a line, where it names none.
///
/// # Panics
/// If it cannot be opened, so that nothing is left out where a card is asked for.
pub fn card() -> Option<Device> {
    let is_named = std::env::var_os(VARIABLE).is_some_and(|name| !name.is_empty());
    let device = is_named.then(|| usual().unwrap_or_else(|error| panic!("{error}")));
    let card = device.filter(|device| card_of(device).is_some());
    if card.is_none() {
        eprintln!("left out: {VARIABLE} names no graphics card; scripts/test-cards does");
    }
    card
}
