//! The gradients of a batch: of its virtual shards, and within them of micro-batches.

use std::ops::Range;

use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::values;
use warmstart_nn::{Forward, Parameters, StepKey, StochasticDepth, pool_statistics};
use warmstart_ranks::Ranks;
use warmstart_recipe::{BatchNorm, Phase};
use warmstart_tasks::task::{Loss, Task};

use super::across_ranks::sum_over_ranks;
use super::non_finite::NonFinite;
use super::sums::Sums;
use crate::phase_setup::PhaseSetup;
use crate::training_state::TrainingState;
use crate::virtual_shards::{VirtualShards, tree_sum};
use crate::watch::Watch;

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
    /// The processes that train.
    pub ranks: &'a Ranks,
    /// The parts of a batch, and those of this process.
    pub shards: VirtualShards,
}

/// The part of a batch that this process computes.
pub(super) struct OwnPart<'a, Target> {
    /// What enters the trained part.
    pub features: Vec<Tensor<4>>,
    /// The targets of its images.
    pub targets: &'a [Target],
    /// Images of the batch before them.
    pub start: usize,
    /// Images of the whole batch.
    pub images: usize,
}

impl<T: Task> Step<'_, T> {
    /// The sums over a batch, of the parts of all processes.
    pub(super) fn batch_sums(
        &self,
        state: &TrainingState,
        part: OwnPart<T::Target>,
        mut watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
    ) -> Result<Sums, NonFinite> {
        let mut of_shard = |shard: usize| {
            let images = self.shards.images_of(shard, part.images);
            if images.is_empty() {
                return Ok(None);
            }
            // Of the first shard, which is the first process's on any number of them.
            let seen = watch.as_deref_mut().filter(|_| shard == 0);
            self.shard_sums(state, &part, images, seen, &mut *reached)
                .map(Some)
        };
        let own = tree_sum(self.shards.own(), &mut of_shard, &mut Sums::with);
        let sums = if self.ranks.is_alone() {
            own?
        } else {
            drop(part);
            let groups = self.setup.groups.iter();
            let mut names: Vec<&str> = groups.map(|group| group.parameter.as_str()).collect();
            names.sort_unstable();
            sum_over_ranks(self.ranks, own, &state.parameters, &names)?
        };
        Ok(sums.expect("a batch has images"))
    }

    /// The sums over some images of a batch, one micro-batch after the other.
    fn shard_sums(
        &self,
        state: &TrainingState,
        part: &OwnPart<T::Target>,
        shard: Range<usize>,
        mut watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
    ) -> Result<Sums, NonFinite> {
        let own = &part.targets[shard.start - part.start..shard.end - part.start];
        let mut sums = Sums::default();
        let mut before = shard.start;
        for targets in own.chunks(self.phase.micro_batch()) {
            let features = || {
                let of_targets = part.features.iter().map(|map| {
                    if targets.len() == part.targets.len() {
                        map.clone()
                    } else {
                        map.clone().narrow(0, before - part.start, targets.len())
                    }
                });
                of_targets.collect()
            };
            let share = targets.len() as f64 / part.images as f64;
            let factor = share * loss_factor(state);
            let key = StepKey {
                seed: self.seed,
                step: state.steps,
                images_before: before,
            };
            let loss = self.gradients(
                &state.parameters,
                features(),
                targets,
                (key, factor),
                &mut sums,
                (watch.as_deref_mut(), &mut *reached),
            );
            if !loss.is_finite() {
                return Err(NonFinite {
                    what: message!("the loss is {loss}"),
                    layer: self.first_layer_forward(&state.parameters, features()),
                });
            }
            sums.loss += share * loss;
            before += targets.len();
        }
        Ok(sums)
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
    pub(super) fn first_layer_backward(&self, gradients: &Parameters) -> String {
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
        sums: &mut Sums,
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
        sums.gradients.add(gradients);
        pool_statistics(&mut sums.statistics, statistics);
        value
    }
}

fn is_finite(map: &Tensor<4>) -> bool {
    let values = values(map.clone());
    values.iter().all(|value| value.is_finite())
}

/// The factor on the loss.
pub(super) fn loss_factor(state: &TrainingState) -> f64 {
    state.loss_scale.map_or(1.0, |scale| scale.factor)
}
