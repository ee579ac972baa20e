//! The modes in which a batch goes through a network.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::statistics::BatchStatistics;
use crate::{Folded, Parameters};

/// The position of a step in a run, by which its random masks are drawn.
#[derive(Clone, Copy, Debug)]
pub struct StepKey {
    /// Seed of the run.
    pub seed: u64,
    /// Step of the run, from 0 over all phases.
    pub step: u64,
    /// Images of the step's batch before those of the micro-batch.
    pub images_before: usize,
}

/// The branches that training leaves out at random: Huang, Sun, Liu, Sedra and Weinberger, "Deep Networks
/// with Stochastic Depth" (arXiv 1603.09382), section 3, for each image by itself.
#[derive(Clone, Copy, Debug)]
pub struct StochasticDepth {
    /// The step for which branches are drawn.
    pub key: StepKey,
    /// Probability of leaving out the last branch, from 0 to below 1; those before it have a share of it.
    pub probability: f64,
}

impl StochasticDepth {
    /// The factor of a branch's result for each image of a micro-batch: 0 with the probability
    /// `share · probability`, else `1 / (1 − share · probability)`, so that its mean is 1. It depends on the key,
    /// the name and the image's place in the whole batch alone.
    pub(crate) fn factors(&self, branch: &str, share: f64, images: usize) -> Vec<f32> {
        let StepKey {
            seed,
            step,
            images_before,
        } = self.key;
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"stochastic depth");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&step.to_le_bytes());
        hasher.update(branch.as_bytes());
        let mut random = ChaCha8Rng::from_seed(*hasher.finalize().as_bytes());
        let left_out = share * self.probability;
        let kept = (1.0 / (1.0 - left_out)) as f32;
        let of_batch = std::iter::repeat_with(|| {
            let place = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            if place < left_out { 0.0 } else { kept }
        });
        of_batch.skip(images_before).take(images).collect()
    }
}

/// The mode in which a batch goes through a network.
pub enum Forward<'a> {
    /// Computes the result alone, with running statistics folded into the convolutions.
    Inference(&'a Folded),
    /// Records operations for gradients.
    Training {
        /// Tracked parameters; see [`Parameters::tracked`].
        parameters: &'a Parameters,
        /// Whether batch norm uses its running statistics, unchanged, instead of the batch's.
        frozen_statistics: bool,
        /// Receives the batch's statistics, unless they are frozen.
        statistics: &'a mut Vec<BatchStatistics>,
        /// The branches to leave out; `None` leaves out none.
        stochastic_depth: Option<StochasticDepth>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(images_before: usize) -> StochasticDepth {
        let key = StepKey {
            seed: 3,
            step: 17,
            images_before,
        };
        StochasticDepth {
            key,
            probability: 0.4,
        }
    }

    #[test]
    fn a_micro_batch_has_the_factors_of_its_images_in_the_whole_batch() {
        let whole = depth(0).factors("block", 1.0, 100);
        let parts = [
            depth(0).factors("block", 1.0, 30),
            depth(30).factors("block", 1.0, 70),
        ];
        assert_eq!(parts.concat(), whole);
        assert_ne!(depth(0).factors("other", 1.0, 100), whole);
    }

    #[test]
    fn branches_are_left_out_as_often_as_asked_and_the_mean_is_one() {
        let factors = depth(0).factors("block", 0.5, 100_000);
        let left_out = factors.iter().filter(|factor| **factor == 0.0).count();
        assert!((left_out as f64 / 1e5 - 0.2).abs() < 0.005, "{left_out}");
        let mean = factors.iter().map(|&factor| f64::from(factor)).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert_eq!(depth(0).factors("block", 0.0, 5), [1.0; 5]);
    }
}
