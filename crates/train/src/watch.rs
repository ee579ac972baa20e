//! The measurement of a network's health in some steps, from what a step computes anyway.

use std::collections::BTreeMap;

use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::{FloatDType, Tensor};
use warmstart_nn::{BatchStatistics, Parameters};
use warmstart_run::health::{Health, StageHealth};

/// Images whose activations are measured: enough for a standard deviation, at almost no cost.
const IMAGES: usize = 4;
/// Fewest values by which a channel is called dead.
const FEWEST_VALUES: usize = 64;
/// Added to a running variance: batch norm's ε.
const EPSILON: f64 = 1e-5;
/// Name of the head in the records.
const HEAD: &str = "head";

/// Collects the health of a step while it is taken.
#[derive(Default)]
pub struct Watch {
    /// Deviation and share of dead channels, by stage.
    activations: BTreeMap<usize, (f64, Option<f64>)>,
    stages: Vec<StageHealth>,
}

impl Watch {
    /// Records the output of a stage, `[batch, height, width, channels]`, of the first micro-batch.
    pub fn activation(&mut self, stage: usize, map: &Tensor<4>) {
        self.activations.entry(stage).or_insert_with(|| {
            let [batch, _, _, channels] = map.dims();
            let few = map.clone().narrow(0, 0, batch.min(IMAGES));
            let few = few.cast(FloatDType::F32).into_data();
            let values: Vec<f32> = few.try_into_vec().expect("maps are f32");
            deviation_and_dead(&values, channels)
        });
    }

    /// Records the gradients, changes and statistics of a finished step. The gradients are those of the loss times a
    /// factor; `statistics` are the batch's.
    pub fn step(
        &mut self,
        architecture: &Architecture,
        (gradients, factor): (&Parameters, f64),
        before: &Parameters,
        after: &Parameters,
        statistics: &[BatchStatistics],
    ) {
        let head = architecture.stages.len();
        let mut learned: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for name in gradients.names() {
            let stage = architecture.stage_of(name).unwrap_or(head);
            learned.entry(stage).or_default().push(name);
        }
        let mut drifts: BTreeMap<usize, Drift> = BTreeMap::new();
        for batch in statistics {
            // Any parameter of the layer gives its stage.
            let stage = architecture.stage_of(&format!("{}.weight", batch.norm));
            let mean = before.values(&format!("{}.running_mean", batch.norm));
            let variance = before.values(&format!("{}.running_var", batch.norm));
            let seen: Vec<f32> = batch
                .mean
                .clone()
                .into_data()
                .try_into_vec()
                .expect("statistics are f32");
            let drift = drifts.entry(stage.unwrap_or(head)).or_default();
            drift.add(&seen, &mean, &variance);
        }
        let stages = learned.into_iter().map(|(index, names)| {
            let activation = self.activations.get(&index);
            let before = before.only(&names);
            let change = after.only(&names).less(&before);
            let size = before.sum_of_squares().max(f64::MIN_POSITIVE);
            StageHealth {
                stage: architecture
                    .stages
                    .get(index)
                    .map_or(HEAD, |stage| &stage.name)
                    .to_owned(),
                gradient_norm: gradients.only(&names).sum_of_squares().sqrt() / factor,
                update_ratio: (change.sum_of_squares() / size).sqrt(),
                activation_std: activation.map(|(deviation, _)| *deviation),
                dead_units: activation.and_then(|(_, dead)| *dead),
                batch_norm_drift: drifts.get(&index).map(Drift::mean),
            }
        });
        self.stages = stages.collect();
    }

    /// The step's health, which was the epoch's `step`-th, from 1; `None` if the step changed nothing.
    pub fn health(self, step: usize) -> Option<Health> {
        let stages = self.stages;
        (!stages.is_empty()).then_some(Health { step, stages })
    }
}

/// The distance of the statistics of a stage's batches from the running ones.
#[derive(Default)]
struct Drift {
    sum: f64,
    channels: usize,
}

impl Drift {
    fn add(&mut self, batch: &[f32], running: &[f32], variance: &[f32]) {
        for ((&batch, &running), &variance) in batch.iter().zip(running).zip(variance) {
            let apart = f64::from(batch - running).abs();
            self.sum += apart / (f64::from(variance) + EPSILON).sqrt();
        }
        self.channels += batch.len();
    }

    fn mean(&self) -> f64 {
        self.sum / self.channels as f64
    }
}

/// Standard deviation of all values, and the share of channels whose values are all the same.
fn deviation_and_dead(values: &[f32], channels: usize) -> (f64, Option<f64>) {
    // Separate sums for each channel, which do not wait for one another.
    let (mut sums, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    let mut lives = vec![false; channels];
    let first = &values[..channels];
    for pixel in values.chunks_exact(channels) {
        for channel in 0..channels {
            let value = f64::from(pixel[channel]);
            sums[channel] += value;
            squares[channel] += value * value;
            lives[channel] |= pixel[channel] != first[channel];
        }
    }
    let count = values.len() as f64;
    let mean = sums.iter().sum::<f64>() / count;
    let dead = lives.iter().filter(|lives| !**lives).count();
    let variance = (squares.iter().sum::<f64>() / count - mean * mean).max(0.0);
    let dead = (values.len() >= FEWEST_VALUES * channels).then(|| dead as f64 / channels as f64);
    (variance.sqrt(), dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_never_changes_is_dead() {
        // Two channels, 3 × 22 pixels: the second is always 0.
        let pixels = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0];
        let (deviation, dead) = deviation_and_dead(&pixels.repeat(22), 2);
        assert_eq!(dead, Some(0.5));
        assert_eq!(
            deviation_and_dead(&pixels, 2).1,
            None,
            "three pixels tell nothing"
        );
        assert!((deviation - (14.0f64 / 6.0 - 1.0).sqrt()).abs() < 1e-12);
    }
}
