//! The state of training: everything that steps change.

use warmstart_nn::{ParameterInfo, Parameters};
use warmstart_recipe::Phase;
use warmstart_run::loss_scale::LossScale;

use crate::optimizer::Optimizer;

/// The state of training: everything that steps change.
#[derive(Clone)]
pub struct TrainingState {
    /// Parameters of the whole network, frozen or not.
    pub parameters: Parameters,
    /// Their moving average, where the phase has one: it is evaluated and kept.
    pub average: Option<Parameters>,
    /// The optimizer, with the moments of the phase's trained parameters.
    pub optimizer: Optimizer,
    /// Steps over all phases, skipped ones included.
    pub steps: u64,
    /// Consecutive steps skipped up to now.
    pub skipped_in_a_row: u64,
    /// The factor on the loss, in f16.
    pub loss_scale: Option<LossScale>,
}

impl TrainingState {
    /// The state before the first step, without a factor on the loss.
    pub fn new(parameters: Parameters, optimizer: Optimizer) -> Self {
        Self {
            parameters,
            average: None,
            optimizer,
            steps: 0,
            skipped_in_a_row: 0,
            loss_scale: None,
        }
    }

    /// Forgets every other parameter, such as those of a head on several layers.
    pub fn keep_only(&mut self, infos: &[ParameterInfo]) {
        let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
        self.parameters = self.parameters.only(&names);
        self.average = self.average.as_ref().map(|average| average.only(&names));
    }

    /// Takes a head that was solved, in place of the one that there was.
    pub fn take_head(&mut self, head: Parameters) {
        self.parameters.replace(head);
        self.average = None;
    }

    /// Prepares the first step of a phase: the moments of another set of parameters would push
    /// these the wrong way, and training continues from the parameters that were evaluated.
    pub fn begin_phase(&mut self, phase: &Phase) {
        self.optimizer = Optimizer::new(phase.optimizer);
        if let Some(average) = self.average.take() {
            self.parameters = average;
        }
        if phase.ema_decay > 0.0 {
            self.average = Some(self.parameters.clone());
        }
    }

    /// Name of the first parameter or running statistic that is not finite.
    pub fn first_non_finite(&self) -> Option<&str> {
        if self.parameters.sum_of_squares().is_finite() {
            return None;
        }
        let infinite = |name: &&str| self.parameters.values(name).iter().any(|v| !v.is_finite());
        self.parameters.names().find(infinite)
    }

    /// The model as it is evaluated and kept.
    pub fn model(&self) -> &Parameters {
        self.average.as_ref().unwrap_or(&self.parameters)
    }
}
