//! The trained part of a network, while a micro-batch goes through it.

use std::collections::BTreeSet;

use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::Listener;
use warmstart_nn::{BatchStatistics, Forward, Parameters, StochasticDepth};

/// The trained part of a network.
pub(super) struct TrainedPart<'a> {
    /// Tracked parameters.
    pub parameters: Parameters,
    /// Whether batch norms use their running statistics.
    pub frozen_statistics: bool,
    /// What the other batch norms saw.
    pub statistics: Vec<BatchStatistics>,
    /// The branches to leave out.
    pub stochastic_depth: Option<StochasticDepth>,
    /// The parameters whose gradients someone will hear; `None` if nobody listens.
    pub unheard: Option<Unheard<'a>>,
}

/// Parameters whose gradients someone will hear.
pub(super) struct Unheard<'a> {
    /// Their names.
    pub names: BTreeSet<&'a str>,
    /// Who hears them.
    pub listener: &'a Listener,
}

impl TrainedPart<'_> {
    /// The mode in which layers compute, and the parameters.
    pub fn mode(&mut self) -> (Forward<'_>, &Parameters) {
        let forward = Forward::Training {
            parameters: &self.parameters,
            frozen_statistics: self.frozen_statistics,
            statistics: &mut self.statistics,
            stochastic_depth: self.stochastic_depth,
        };
        (forward, &self.parameters)
    }

    /// Lets the gradients of these parameters be heard, of which `before` is what their first layer takes.
    pub fn listen<'n>(&mut self, names: impl Iterator<Item = &'n str>, before: &Tensor<4>) {
        if let Some(unheard) = &mut self.unheard {
            // A later part may use parameters of an earlier one, too.
            let names = names.filter(|name| unheard.names.remove(*name));
            self.parameters.hear(names, before, unheard.listener);
        }
    }

    /// The same with all that are left.
    pub fn listen_to_the_rest(&mut self, before: &Tensor<4>) {
        if let Some(unheard) = self.unheard.take() {
            self.parameters
                .hear(unheard.names, before, unheard.listener);
        }
    }
}
