//! Values derived from the options of a run.

use crate::options::Recipe;

/// The position of an epoch in a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index of the phase.
    pub phase: usize,
    /// Epochs of that phase before this one.
    pub epoch_in_phase: usize,
}

impl Recipe {
    /// Epochs of all phases together.
    pub fn epochs(&self) -> usize {
        self.phases.iter().map(|phase| phase.epochs).sum()
    }

    /// The recipe as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe holds nothing that TOML cannot say")
    }
}
