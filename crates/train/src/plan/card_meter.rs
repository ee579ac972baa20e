//! The memory of a graphics card while a phase is measured, as its allocator counts it.

use warmstart_nn::burn::tensor::Device;
use warmstart_nn::devices::{CardKind, card_of};

/// The allocator of the card that a phase is measured on. On the processor it counts nothing.
pub(super) struct CardMeter {
    device: Device,
    kind: Option<CardKind>,
}

impl CardMeter {
    pub(super) fn of(device: &Device) -> Self {
        Self {
            device: device.clone(),
            kind: card_of(device).map(|card| card.kind),
        }
    }

    /// Whether there is a card.
    pub(super) fn is_there(&self) -> bool {
        self.kind.is_some()
    }

    /// Waits for everything that was asked of the card, which computes beside the program. A failure comes up where a
    /// value is read.
    pub(super) fn wait(&self) {
        if self.is_there() {
            let _ = self.device.sync();
        }
    }

    /// Gives what no tensor uses back to the driver, so that [`held`](Self::held) counts from the tensors on.
    pub(super) fn release(&self) {
        if self.is_there() {
            self.wait();
            self.device.memory_cleanup();
        }
    }

    /// Bytes that the card's allocator holds. It keeps what tensors leave free, so that these are the most that it
    /// needed since [`release`](Self::release), with the gaps between its blocks.
    pub(super) fn held(&self) -> usize {
        let usage = self.device.memory_pool_usage();
        usage.map_or(0, |usage| usage.bytes_reserved as usize)
    }

    /// The same, where a driver that computes on the processor takes them from this process.
    pub(super) fn held_in_process(&self) -> usize {
        match self.kind {
            Some(CardKind::Software) => self.held(),
            Some(_) | None => 0,
        }
    }

    /// Bytes of the largest piece that was ever asked of the card.
    pub(super) fn largest(&self) -> usize {
        let pools = self.device.memory_pool_report().unwrap_or_default();
        let largest = pools.iter().map(|pool| pool.largest_alloc).max();
        largest.unwrap_or_default() as usize
    }
}
