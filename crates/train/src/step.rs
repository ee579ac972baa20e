//! One training step: trained part → loss → gradients → parameters.

use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::block::{Forward, update_running_statistics};
use warmstart_nn::burn::tensor::Tensor;

use crate::optimizer::{Optimizer, clip_factor};
use crate::phase_setup::PhaseSetup;
use crate::recipe::{BatchNorm, Phase};
use crate::task::{StepKey, Task};

/// What a step changes.
pub struct Learned {
    /// The whole network's, frozen or not.
    pub parameters: Parameters,
    /// With the moments of the phase's trained parameters.
    pub optimizer: Optimizer,
    /// Steps done over all phases.
    pub steps: u64,
}

/// What the steps of a phase share.
pub struct Step<'a, T> {
    /// The network without its head.
    pub architecture: &'a Architecture,
    /// The head and the loss.
    pub task: &'a T,
    /// Batch norm, label smoothing and clipping.
    pub phase: &'a Phase,
    /// The boundary and the groups above it.
    pub setup: &'a PhaseSetup,
    /// Seed of the run.
    pub seed: u64,
}

impl<T: Task> Step<'_, T> {
    /// Learns from a batch, of which `features` is what the frozen part made, and returns its loss; one
    /// that is not finite changes nothing.
    pub fn run(
        &self,
        learned: &mut Learned,
        features: Tensor<4>,
        targets: &[T::Target],
        lr: f64,
    ) -> f32 {
        let tracked = learned.parameters.tracked(|name| self.setup.trains(name));
        let mut statistics = Vec::new();
        let features = self.architecture.forward(
            self.setup.boundary..self.architecture.stages.len(),
            features.autodiff(),
            &mut Forward::Training {
                parameters: &tracked,
                frozen_statistics: self.phase.batch_norm == BatchNorm::Frozen,
                statistics: &mut statistics,
            },
        );
        let key = StepKey {
            seed: self.seed,
            step: learned.steps,
        };
        let smoothing = self.phase.label_smoothing;
        let loss = self.task.loss(features, &tracked, targets, smoothing, key);
        let value: f32 = loss.clone().inner().into_scalar();
        if !value.is_finite() {
            return value;
        }
        let gradients = tracked.take_gradients(&mut loss.backward());
        drop(tracked);
        let scale = match self.phase.clip_norm {
            limit if limit > 0.0 => clip_factor(&gradients, limit),
            _ => 1.0,
        };
        let Learned {
            parameters,
            optimizer,
            steps,
        } = learned;
        optimizer.step(parameters, gradients, &self.setup.groups, lr, scale);
        update_running_statistics(parameters, statistics);
        *steps += 1;
        value
    }
}
