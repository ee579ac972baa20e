//! One training step: trained part → loss → gradients → parameters.

use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::block::{BatchStatistics, Forward, pool_statistics, update_running_statistics};
use warmstart_nn::burn::tensor::Tensor;

use crate::watch::Watch;
use crate::optimizer::Optimizer;
use crate::optimizer::clip_factor;
use crate::phase_setup::PhaseSetup;
use warmstart_recipe as recipe;
use warmstart_recipe::BatchNorm;
use warmstart_recipe::Phase;
use warmstart_tasks::task::Loss;
use warmstart_tasks::task::StepKey;
use warmstart_tasks::task::Task;

/// What a step changes.
#[derive(Clone)]
pub struct TrainingState {
    /// The whole network's, frozen or not.
    pub parameters: Parameters,
    /// Their moving average, where the phase wants one: what is evaluated and kept.
    pub average: Option<Parameters>,
    /// With the moments of the phase's trained parameters.
    pub optimizer: Optimizer,
    /// Steps over all phases, skipped ones included.
    pub steps: u64,
    /// Steps that were skipped, the last one among them, since one was not.
    pub skipped_in_a_row: u64,
}

/// Why a step was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// What isn't a number, and what it is.
    pub what: String,
    /// The layer that was the first, in the order in which they were computed.
    pub layer: String,
}

impl TrainingState {
    /// What there is before the first step.
    pub fn new(parameters: Parameters, optimizer: Optimizer) -> Self {
        Self {
            parameters,
            average: None,
            optimizer,
            steps: 0,
            skipped_in_a_row: 0,
        }
    }

    /// Makes it ready for the first step of a phase: the moments of another set of parameters would push
    /// these the wrong way, and what was evaluated is what goes on.
    pub fn begin_phase(&mut self, phase: &Phase) {
        self.optimizer = Optimizer::new(phase.optimizer);
        if let Some(average) = self.average.take() {
            self.parameters = average;
        }
        if phase.ema_decay > 0.0 {
            self.average = Some(self.parameters.clone());
        }
    }

    /// A parameter or a running statistic that is not finite.
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

/// What the steps of a phase share.
pub struct Step<'a, T> {
    /// The network without its head.
    pub architecture: &'a Architecture,
    /// The head and the loss.
    pub task: &'a T,
    /// Micro-batch, batch norm, label smoothing and clipping.
    pub phase: &'a Phase,
    /// The boundary and the groups above it.
    pub setup: &'a PhaseSetup,
    /// Seed of the run.
    pub seed: u64,
}

impl<T: Task> Step<'_, T> {
    /// Learns from a batch, of which `features` is what the frozen part made, and returns its mean loss;
    /// `watch` sees how, and `before_change` is called when all gradients are there.
    ///
    /// The batch goes through in the phase's micro-batches. Their gradients are averaged, weighted by
    /// their images, and batch norm's running statistics move once, towards those of the whole batch.
    ///
    /// # Errors
    /// If the loss or a gradient is not finite. Nothing has been changed then.
    pub fn run(
        &self,
        learned: &mut TrainingState,
        features: Vec<Tensor<4>>,
        targets: &[T::Target],
        lr: f64,
        mut watch: Option<&mut Watch>,
        before_change: &mut dyn FnMut(),
    ) -> Result<f64, NonFinite> {
        let images = targets.len();
        let mut whole = Accumulated::default();
        let mut before = 0;
        for targets in targets.chunks(self.phase.micro_batch()) {
            let part = || {
                let part = features.iter().map(|map| match targets.len() == images {
                    true => map.clone(),
                    false => map.clone().narrow(0, before, targets.len()),
                });
                part.collect()
            };
            let share = targets.len() as f64 / images as f64;
            let key = StepKey {
                seed: self.seed,
                step: learned.steps,
                images_before: before,
            };
            let part_of = (key, share);
            let seen = watch.as_deref_mut();
            let loss = self.gradients(
                &learned.parameters,
                part(),
                targets,
                part_of,
                &mut whole,
                seen,
            );
            if !loss.is_finite() {
                return Err(NonFinite {
                    what: format!("the loss is {loss}"),
                    layer: self.first_layer_forward(&learned.parameters, part()),
                });
            }
            whole.loss += share * loss;
            before += targets.len();
        }
        drop(features);
        let squares = whole.gradients.sum_of_squares();
        if !squares.is_finite() {
            return Err(NonFinite {
                what: "the loss is finite, its gradient is not".into(),
                layer: self.first_layer_backward(&whole.gradients),
            });
        }
        before_change();
        let TrainingState {
            parameters,
            average,
            optimizer,
            steps,
            ..
        } = learned;
        let scale = clip_factor(squares.sqrt(), self.phase.clip_norm);
        let before = watch
            .is_some()
            .then(|| (parameters.clone(), whole.gradients.clone()));
        optimizer.step(parameters, whole.gradients, &self.setup.groups, lr, scale);
        if let (Some(watch), Some((before, gradients))) = (watch, before) {
            let statistics = &whole.statistics;
            watch.step(
                self.architecture,
                &gradients,
                &before,
                parameters,
                statistics,
            );
        }
        update_running_statistics(parameters, whole.statistics);
        if let Some(average) = average {
            let decay = average_decay(T::KIND, self.phase.ema_decay, optimizer.steps);
            average.move_towards(parameters, &self.setup.changing, 1.0 - decay);
        }
        *steps += 1;
        Ok(whole.loss)
    }

    /// The first layer, from the image on, whose result is not finite.
    fn first_layer_forward(&self, parameters: &Parameters, features: Vec<Tensor<4>>) -> String {
        let finite = |maps: &[Tensor<4>]| maps.iter().all(is_finite);
        if !finite(&features) {
            return match self.setup.boundary {
                0 => "the image itself".into(),
                boundary => format!(
                    "before {}, in the frozen part",
                    self.stage_or_head(boundary)
                ),
            };
        }
        let untracked = parameters.tracked(|_| false);
        let mut statistics = Vec::new();
        let mut forward = Forward::Training {
            parameters: &untracked,
            frozen_statistics: self.phase.batch_norm == BatchNorm::Frozen,
            statistics: &mut statistics,
        };
        let features = features.into_iter().map(Tensor::autodiff).collect();
        let mut first = None;
        self.forward(features, &mut forward, |stage, map| {
            if first.is_none() && !is_finite(map) {
                first = Some(stage);
            }
        });
        self.stage_or_head(first.unwrap_or(self.architecture.stages.len()))
    }

    /// Sends a batch through the trained stages, and shows what each gives.
    fn forward(
        &self,
        mut maps: Vec<Tensor<4>>,
        forward: &mut Forward,
        mut seen: impl FnMut(usize, &Tensor<4>),
    ) -> Vec<Tensor<4>> {
        for stage in self.setup.boundary..self.architecture.stages.len() {
            maps = self
                .architecture
                .forward_maps(stage..stage + 1, maps, forward);
            seen(stage, maps.last().expect("a stage has a result"));
        }
        maps
    }

    fn stage_or_head(&self, index: usize) -> String {
        let stage = self.architecture.stages.get(index);
        stage.map_or("the head".into(), |stage| stage.name.clone())
    }

    /// The layer nearest to the loss whose gradient is not finite.
    fn first_layer_backward(&self, gradients: &Parameters) -> String {
        let mut names = self.setup.groups.iter().rev().map(|group| &group.parameter);
        let infinite = |name: &&String| {
            gradients.contains(name) && gradients.values(name).iter().any(|v| !v.is_finite())
        };
        names.find(infinite).cloned().unwrap_or_default()
    }

    /// Adds a micro-batch, which is that share of the batch, and returns its mean loss.
    fn gradients(
        &self,
        parameters: &Parameters,
        features: Vec<Tensor<4>>,
        targets: &[T::Target],
        (key, share): (StepKey, f64),
        whole: &mut Accumulated,
        mut watch: Option<&mut Watch>,
    ) -> f64 {
        let tracked = parameters.tracked(|name| self.setup.trains(name));
        let mut statistics = Vec::new();
        let mut forward = Forward::Training {
            parameters: &tracked,
            frozen_statistics: self.phase.batch_norm == BatchNorm::Frozen,
            statistics: &mut statistics,
        };
        let features = features.into_iter().map(Tensor::autodiff).collect();
        let features = self.forward(features, &mut forward, |stage, map| {
            if let Some(watch) = watch.as_deref_mut() {
                watch.activation(stage, &map.clone().inner());
            }
        });
        let Loss { value, root } =
            self.task
                .loss(features, &mut forward, &tracked, targets, self.phase, key);
        if !value.is_finite() {
            return value;
        }
        let root = match share {
            1.0 => root,
            share => root * share,
        };
        let gradients = tracked.take_gradients(&mut root.backward());
        whole.gradients.add(gradients);
        pool_statistics(&mut whole.statistics, statistics);
        value
    }
}

fn is_finite(map: &Tensor<4>) -> bool {
    let values: Vec<f32> = map
        .clone()
        .into_data()
        .try_into_vec()
        .expect("maps are f32");
    values.iter().all(|value| value.is_finite())
}

/// Steps over which a detector's moving average gets slower, as in YOLOX (arXiv 2107.08430) and RTMDet.
const AVERAGE_RAMP: f64 = 2000.0;

/// What of the average stays at a phase's step, counted from 1: little at first, `most` at last. A classifier
/// is fine-tuned in a few hundred steps, so its average is over the last tenth of the steps so far until `most`
/// is reached: TensorFlow's `ExponentialMovingAverage`.
fn average_decay(task: recipe::Task, most: f64, step: u64) -> f64 {
    let step = step as f64;
    match task {
        recipe::Task::Classify => most.min((1.0 + step) / (10.0 + step)),
        recipe::Task::Detect => most * (1.0 - (-step / AVERAGE_RAMP).exp()),
    }
}

/// Sums over the micro-batches of a step.
#[derive(Default)]
struct Accumulated {
    /// Mean over the images.
    loss: f64,
    gradients: Parameters,
    statistics: Vec<BatchStatistics>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_follows_fast_at_first_and_slowly_at_last() {
        let decay = |step| average_decay(recipe::Task::Detect, 0.9998, step);
        assert!((decay(1) - 0.9998 * (1.0 - (-1.0f64 / 2000.0).exp())).abs() < 1e-15);
        assert!((decay(2000) - 0.632).abs() < 1e-3);
        assert!((decay(100_000) - 0.9998).abs() < 1e-9);
        let decay = |step| average_decay(recipe::Task::Classify, 0.99, step);
        assert_eq!(decay(1), 2.0 / 11.0);
        assert_eq!(decay(90), 0.91);
        assert_eq!(decay(5000), 0.99);
    }
}
