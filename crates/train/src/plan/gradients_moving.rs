//! The time in which the gradients of a step move over a network, and how much of it a step waits.

use std::collections::HashMap;

use warmstart_nn::ParameterInfo;

use super::network::Network;
use crate::phase_setup::PhaseSetup;
use crate::step::buckets;

/// Virtual shards of a run of several ranks where nobody gives a number, at least.
pub(super) const USUAL_SHARDS: usize = 8;
/// Share of the time of an image's gradients in which they are computed, once its loss is: two of three products of
/// about the same size, by the inputs of a layer and by its weights.
const BACKWARD: f64 = 2.0 / 3.0;

/// Gradients that move.
pub(super) struct GradientsMoving {
    /// Bytes of the buckets in which they move, one after the other.
    pub buckets: Vec<f64>,
    /// Whether they move while others are computed.
    pub is_early: bool,
    /// Seconds of an image's gradients.
    pub seconds: f64,
    /// Images that go through at a time, at most.
    pub micro_batch: usize,
    /// Virtual shards, where there are not more ranks.
    pub shards: usize,
}

impl GradientsMoving {
    /// Bytes of all gradients.
    pub fn bytes(&self) -> f64 {
        // No buckets would add up to -0.
        0.0 + self.buckets.iter().sum::<f64>()
    }

    /// Seconds in which those of a step move, and those of them in which the step waits: for the last bucket, which is
    /// complete when the last backward pass is over, and for what is left of the others then.
    pub fn on(&self, batch: usize, ranks: usize, network: &Network) -> [f64; 2] {
        let moving = self.buckets.iter();
        let moving = moving.map(|&bytes| network.seconds_of_sum(bytes, ranks));
        let moving: Vec<f64> = moving.collect();
        let last = moving.last().copied().unwrap_or(0.0);
        let others: f64 = moving.iter().rev().skip(1).sum();
        let of_shard = (batch / self.shards.max(ranks)).max(1);
        let of_last_pass = (of_shard - 1) % self.micro_batch + 1;
        let pass = if self.is_early {
            BACKWARD * of_last_pass as f64 * self.seconds
        } else {
            0.0
        };
        [last + others, last + (others - pass).max(0.0)]
    }
}

/// Bytes of the buckets in which the gradients of a phase move; `infos` are of all parameters.
pub(super) fn bucket_bytes(setup: &PhaseSetup, infos: &[ParameterInfo]) -> Vec<f64> {
    let values: HashMap<&str, usize> = infos
        .iter()
        .map(|info| (info.name.as_str(), info.shape.iter().product()))
        .collect();
    let bytes = setup.groups.iter().rev();
    let bytes = bytes.map(|group| values[group.parameter.as_str()] * size_of::<f32>());
    let bytes: Vec<usize> = bytes.collect();
    let buckets = buckets(&bytes).into_iter();
    buckets
        .map(|bucket| bytes[bucket].iter().sum::<usize>() as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::Draft;

    use super::super::network::LATENCY;
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    /// The gradients of a batch of 32 images, 6 ms each.
    fn on(micro_batch: usize, is_early: bool, ranks: usize) -> [f64; 2] {
        let gradients = GradientsMoving {
            buckets: vec![4e6, 4e6, 2e6],
            is_early,
            seconds: 0.006,
            micro_batch,
            shards: 8,
        };
        gradients.on(32, ranks, &"1GB/s".parse().unwrap())
    }

    #[test]
    fn all_buckets_but_the_last_move_behind_the_last_backward_pass() {
        // On 2 ranks, each of 3 buckets takes 2 messages, and its bytes once each way. A shard has 4 images, whose
        // backward passes take 2/3 of 24 ms.
        let [moving, waiting] = on(32, true, 2);
        assert_close(moving, 0.010 + 6.0 * LATENCY);
        assert_close(waiting, 0.002 + 2.0 * LATENCY);
    }

    #[test]
    fn what_does_not_fit_behind_it_is_waited_for() {
        // The last micro-batch has one image: 4 of the 8 ms of two buckets, and their messages, are left.
        let [_, waiting] = on(3, true, 2);
        assert_close(waiting, 0.002 + 0.004 + 6.0 * LATENCY);
        // On 32 ranks, a shard has one image.
        let [moving, waiting] = on(32, true, 32);
        assert_close(waiting, moving - 0.004);
    }

    #[test]
    fn a_step_waits_for_all_that_moves_when_it_is_over() {
        let [moving, waiting] = on(32, false, 2);
        assert_eq!(moving, waiting);
        assert_eq!(on(32, true, 1), [0.0, 0.0]);
    }

    #[test]
    fn buckets_are_those_of_the_trained_parameters_from_the_loss_on() {
        let text = "data = 'd'\nmodel = 'resnet18'\nweights = 'w'\n[[phase]]\ntrain = 'from:layer4'\n\
                    epochs = 1\n";
        let draft: Draft = toml::from_str(text).unwrap();
        let phase = draft.resolve(224, None).unwrap().phases.remove(0);
        let architecture = warmstart_models::by_name("resnet18").unwrap();
        let head = architecture.classifier_parameters(2);
        let setup = PhaseSetup::new(&phase, &architecture, &head).unwrap();
        let mut infos = architecture.backbone_parameters();
        infos.extend(head);
        let bytes = bucket_bytes(&setup, &infos);
        assert_eq!(bytes.iter().sum::<f64>(), 4.0 * setup.trained as f64);
        // The head, and the second norm and convolution of layer4.1.
        let first = 2 * 512 + 2 + 2 * 512 + 512 * 512 * 9;
        assert_eq!(bytes[0], 4.0 * f64::from(first));
    }
}
