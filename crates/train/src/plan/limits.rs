//! The memory that phases must fit into: the system's, and a graphics card's.

use warmstart_language::{english, translated};

use crate::memory::{Budget, CardBudget};

/// Bytes that a phase needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Demand {
    /// Of the system's memory.
    pub system: f64,
    /// Of the card's memory.
    pub card: f64,
    /// Of the card's memory in one piece.
    pub piece: f64,
}

/// The memory that is too small for a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scarce {
    /// The system's.
    System,
    /// The system's, of which the card's is a part.
    Shared,
    /// The card's.
    Card,
    /// The largest piece that the card's driver gives.
    Piece,
}

/// The bytes of each memory that there are, without end where that is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    /// Of each by itself.
    pub most: Demand,
    /// Whether the card's memory is a part of the system's, so that both together count against its limit.
    pub is_shared: bool,
}

impl Limits {
    pub(super) fn of(budget: Option<&Budget>, card: Option<&CardBudget>) -> Self {
        let bytes = |bytes: Option<u64>| bytes.map_or(f64::INFINITY, |bytes| bytes as f64);
        Self {
            most: Demand {
                system: bytes(budget.map(|budget| budget.bytes)),
                card: bytes(card.and_then(|card| card.bytes)),
                piece: bytes(card.and_then(|card| card.largest)),
            },
            is_shared: card.is_some_and(|card| card.is_shared),
        }
    }

    /// The memory that is too small for a phase, the system's first; `None` if it fits.
    pub(super) fn scarce(&self, demand: Demand) -> Option<Scarce> {
        let Self { most, is_shared } = self;
        if self.of_system(demand) > most.system {
            let uses_both = *is_shared && demand.card > 0.0;
            Some(if uses_both {
                Scarce::Shared
            } else {
                Scarce::System
            })
        } else if demand.card > most.card {
            Some(Scarce::Card)
        } else if demand.piece > most.piece {
            Some(Scarce::Piece)
        } else {
            None
        }
    }

    /// Bytes that count against the limit of the system.
    fn of_system(&self, demand: Demand) -> f64 {
        demand.system + if self.is_shared { demand.card } else { 0.0 }
    }

    /// Bytes of a phase, and those that there are, of a memory.
    pub(super) fn compared(&self, scarce: Scarce, demand: Demand) -> [f64; 2] {
        match scarce {
            Scarce::System | Scarce::Shared => [self.of_system(demand), self.most.system],
            Scarce::Card => [demand.card, self.most.card],
            Scarce::Piece => [demand.piece, self.most.piece],
        }
    }

    /// The same limits, but none below what a phase needs.
    pub(super) fn at_least(self, demand: Demand) -> Self {
        let most = Demand {
            system: self.most.system.max(self.of_system(demand)),
            card: self.most.card.max(demand.card),
            piece: self.most.piece.max(demand.piece),
        };
        Self { most, ..self }
    }

    /// Bytes of a phase where its tensors lie, and the most that they may be.
    pub(super) fn of_tensors(&self, demand: Demand) -> [f64; 2] {
        if demand.card == 0.0 {
            return [demand.system, self.most.system];
        }
        let left = if self.is_shared {
            self.most.system - demand.system
        } else {
            f64::INFINITY
        };
        [demand.card, self.most.card.min(left)]
    }
}

impl Scarce {
    /// It in words, for a memory that a graphics card has to do with.
    pub(super) fn words(self) -> Option<&'static str> {
        let words = match self {
            Self::System => return None,
            Self::Shared => english!("the system's memory, of which the graphics card's is a part"),
            Self::Card => english!("the graphics card's memory"),
            Self::Piece => english!("the largest buffer that the graphics card's driver gives"),
        };
        Some(translated(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(is_shared: bool) -> Limits {
        Limits {
            most: Demand {
                system: 100.0,
                card: 60.0,
                piece: 20.0,
            },
            is_shared,
        }
    }

    fn demand(system: f64, card: f64, piece: f64) -> Demand {
        Demand {
            system,
            card,
            piece,
        }
    }

    #[test]
    fn a_phase_must_fit_into_each_memory() {
        let scarce = |system, card, piece| limits(false).scarce(demand(system, card, piece));
        assert_eq!(scarce(100.0, 60.0, 20.0), None);
        assert_eq!(scarce(101.0, 61.0, 21.0), Some(Scarce::System));
        assert_eq!(scarce(100.0, 61.0, 21.0), Some(Scarce::Card));
        assert_eq!(scarce(100.0, 60.0, 21.0), Some(Scarce::Piece));
    }

    #[test]
    fn a_card_without_memory_of_its_own_shares_the_limit_of_the_system() {
        let scarce = |system, card| limits(true).scarce(demand(system, card, 0.0));
        assert_eq!(scarce(50.0, 50.0), None);
        assert_eq!(scarce(51.0, 50.0), Some(Scarce::Shared));
        assert_eq!(scarce(101.0, 0.0), Some(Scarce::System));
        assert_eq!(scarce(1.0, 61.0), Some(Scarce::Card));
        let of_tensors = limits(true).of_tensors(demand(70.0, 20.0, 0.0));
        assert_eq!(of_tensors, [20.0, 30.0]);
        let of_tensors = limits(false).of_tensors(demand(70.0, 20.0, 0.0));
        assert_eq!(of_tensors, [20.0, 60.0]);
        let of_tensors = limits(false).of_tensors(demand(70.0, 0.0, 0.0));
        assert_eq!(of_tensors, [70.0, 100.0]);
    }

    #[test]
    fn limits_are_raised_to_what_is_needed_at_least() {
        for is_shared in [false, true] {
            let needed = demand(90.0, 70.0, 21.0);
            let raised = limits(is_shared).at_least(needed);
            assert_eq!(raised.scarce(needed), None);
            let more = demand(90.0, 70.0, 22.0);
            assert_eq!(raised.scarce(more), Some(Scarce::Piece));
        }
    }

    #[test]
    fn what_is_unknown_is_without_end() {
        let limits = Limits::of(None, None);
        assert_eq!(limits.scarce(demand(1e30, 1e30, 1e30)), None);
        assert_eq!(Scarce::System.words(), None);
    }
}
