//! One training step: trained part → loss → gradients → parameters.

use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::values;
use warmstart_nn::{
    BatchStatistics, Forward, Parameters, StepKey, StochasticDepth, pool_statistics,
    update_running_statistics,
};
use warmstart_recipe::{BatchNorm, Phase};
use warmstart_run::loss_scale::LossScale;
use warmstart_tasks::task::{Loss, Task};

use crate::optimizer::clip_factor;
use crate::phase_setup::PhaseSetup;
use crate::training_state::TrainingState;
use crate::watch::Watch;

/// Cause of a step that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The quantity that is not finite.
    pub what: String,
    /// The first layer with a value that is not finite, in the order of computation.
    pub layer: String,
}

/// A point that a step has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPoint {
    /// The loss of a micro-batch is known, and its gradients are not yet.
    LossKnown,
    /// All gradients are known, and nothing has been changed yet.
    GradientsKnown,
}

/// Everything that the steps of a phase share.
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
    /// Takes a step on a batch, whose `features` come from the frozen part, and returns its mean loss;
    /// `watch` measures the network's health, and `reached` is called at each point of the step.
    ///
    /// The batch goes through in the phase's micro-batches. Their gradients are averaged, weighted by
    /// their images, and batch norm's running statistics move once, towards those of the whole batch.
    ///
    /// Where the loss has a factor ([`LossScale`]) and gradients overflow, the factor falls, and nothing else changes.
    ///
    /// # Errors
    /// If the loss or a gradient is not finite. Nothing has been changed then.
    pub fn run(
        &self,
        state: &mut TrainingState,
        features: Vec<Tensor<4>>,
        targets: &[T::Target],
        lr: f64,
        mut watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
    ) -> Result<f64, NonFinite> {
        let whole = self.accumulate(state, features, targets, watch.as_deref_mut(), reached)?;
        let squares = whole.gradients.sum_of_squares();
        if !squares.is_finite() {
            let loss_scale = state.loss_scale.as_mut();
            if loss_scale.is_some_and(LossScale::after_overflow) {
                state.steps += 1;
                return Ok(whole.loss);
            }
            return Err(NonFinite {
                what: message!("the loss is finite, its gradient is not"),
                layer: self.first_layer_backward(&whole.gradients),
            });
        }
        reached(StepPoint::GradientsKnown);
        let norm = squares.sqrt() / loss_factor(state);
        Ok(self.apply(state, whole, norm, lr, watch))
    }

    /// The gradients and the loss of a batch, one micro-batch after the other.
    fn accumulate(
        &self,
        state: &TrainingState,
        features: Vec<Tensor<4>>,
        targets: &[T::Target],
        mut watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
    ) -> Result<Accumulated, NonFinite> {
        let images = targets.len();
        let mut whole = Accumulated::default();
        let mut before = 0;
        for targets in targets.chunks(self.phase.micro_batch()) {
            let part = || {
                let part = features.iter().map(|map| {
                    if targets.len() == images {
                        map.clone()
                    } else {
                        map.clone().narrow(0, before, targets.len())
                    }
                });
                part.collect()
            };
            let share = targets.len() as f64 / images as f64;
            let factor = share * loss_factor(state);
            let key = StepKey {
                seed: self.seed,
                step: state.steps,
                images_before: before,
            };
            let part_of = (key, factor);
            let seen = watch.as_deref_mut();
            let loss = self.gradients(
                &state.parameters,
                part(),
                targets,
                part_of,
                &mut whole,
                (seen, &mut *reached),
            );
            if !loss.is_finite() {
                return Err(NonFinite {
                    what: message!("the loss is {loss}"),
                    layer: self.first_layer_forward(&state.parameters, part()),
                });
            }
            whole.loss += share * loss;
            before += targets.len();
        }
        Ok(whole)
    }

    /// Changes the state by the gradients of a batch, which are those of the loss times its factor, and returns its loss.
    /// `norm` is that of the loss's own gradients over all parameters.
    fn apply(
        &self,
        state: &mut TrainingState,
        whole: Accumulated,
        norm: f64,
        lr: f64,
        watch: Option<&mut Watch>,
    ) -> f64 {
        let factor = loss_factor(state);
        let TrainingState {
            parameters,
            average,
            optimizer,
            steps,
            loss_scale,
            ..
        } = state;
        let scale = clip_factor(norm, self.phase.clip_norm);
        let before = watch
            .is_some()
            .then(|| (parameters.clone(), whole.gradients.clone()));
        let scale = scale / factor;
        optimizer.step(parameters, whole.gradients, &self.setup.groups, lr, scale);
        if let (Some(watch), Some((before, gradients))) = (watch, before) {
            let statistics = &whole.statistics;
            watch.step(
                self.architecture,
                (&gradients, factor),
                &before,
                parameters,
                statistics,
            );
        }
        update_running_statistics(parameters, &whole.statistics);
        if let Some(average) = average {
            let decay = (T::KIND.defaults().average_decay)(self.phase.ema_decay, optimizer.steps);
            average.move_towards(parameters, &self.setup.changing, 1.0 - decay);
        }
        *steps += 1;
        if let Some(loss_scale) = loss_scale {
            loss_scale.after_step();
        }
        whole.loss
    }

    /// The first layer, from the image on, whose result is not finite.
    fn first_layer_forward(&self, parameters: &Parameters, features: Vec<Tensor<4>>) -> String {
        let finite = |maps: &[Tensor<4>]| maps.iter().all(is_finite);
        if !finite(&features) {
            return match self.setup.boundary {
                0 => message!("the image itself"),
                boundary => message!("the frozen part, before {}", self.stage_or_head(boundary)),
            };
        }
        let untracked = parameters.tracked(|_| false);
        let mut statistics = Vec::new();
        let mut forward = Forward::Training {
            parameters: &untracked,
            frozen_statistics: self.phase.batch_norm == BatchNorm::Frozen,
            statistics: &mut statistics,
            stochastic_depth: None,
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

    /// Sends a batch through the trained stages, and hands the result of each to `seen`.
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
        stage.map_or_else(|| message!("the head"), |stage| stage.name.clone())
    }

    /// The layer nearest to the loss whose gradient is not finite.
    fn first_layer_backward(&self, gradients: &Parameters) -> String {
        let mut names = self.setup.groups.iter().rev().map(|group| &group.parameter);
        let infinite = |name: &&String| {
            gradients.contains(name) && gradients.values(name).iter().any(|v| !v.is_finite())
        };
        names.find(infinite).cloned().unwrap_or_default()
    }

    /// Adds the gradients of a micro-batch times a factor, and returns its mean loss.
    fn gradients(
        &self,
        parameters: &Parameters,
        features: Vec<Tensor<4>>,
        targets: &[T::Target],
        (key, factor): (StepKey, f64),
        whole: &mut Accumulated,
        (mut watch, reached): (Option<&mut Watch>, &mut dyn FnMut(StepPoint)),
    ) -> f64 {
        let tracked = parameters.tracked(|name| self.setup.trains(name));
        let mut statistics = Vec::new();
        let mut forward = Forward::Training {
            parameters: &tracked,
            frozen_statistics: self.phase.batch_norm == BatchNorm::Frozen,
            statistics: &mut statistics,
            stochastic_depth: Some(StochasticDepth {
                key,
                probability: self
                    .phase
                    .stochastic_depth
                    .unwrap_or(self.architecture.stochastic_depth),
            }),
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
        reached(StepPoint::LossKnown);
        let root = match factor {
            1.0 => root,
            factor => root * factor,
        };
        let gradients = tracked.take_gradients(&mut root.backward());
        whole.gradients.add(gradients);
        pool_statistics(&mut whole.statistics, statistics);
        value
    }
}

fn is_finite(map: &Tensor<4>) -> bool {
    let values = values(map.clone());
    values.iter().all(|value| value.is_finite())
}

/// The factor on the loss.
fn loss_factor(state: &TrainingState) -> f64 {
    state.loss_scale.map_or(1.0, |scale| scale.factor)
}

/// Sums over the micro-batches of a step.
#[derive(Default)]
struct Accumulated {
    /// Mean over the images.
    loss: f64,
    gradients: Parameters,
    statistics: Vec<BatchStatistics>,
}
