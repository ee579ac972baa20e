//! The gradients of a batch: of its virtual shards, and within them of micro-batches.

use std::collections::BTreeSet;
use std::ops::Range;

use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::{Listener, values};
use warmstart_nn::{Parameters, StepKey, StochasticDepth};
use warmstart_ranks::Ranks;
use warmstart_recipe::{BatchNorm, Phase};
use warmstart_tasks::task::{Loss, Task};

use super::non_finite::NonFinite;
use super::sums::Sums;
use super::trained_part::{TrainedPart, Unheard};
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

/// A micro-batch that has gone forward through the network.
pub(super) struct Pass {
    /// The parameters, as leaves of the gradient graph.
    tracked: Parameters,
    /// Scalar whose gradients are those of the loss, times the factor.
    root: Tensor<1>,
    /// The sums over its images that are known, which are all but the gradients.
    pub sums: Sums,
}

impl Pass {
    /// Goes back, which completes the sums.
    pub fn back(self) -> Sums {
        Sums {
            gradients: self.tracked.take_gradients(&mut self.root.backward()),
            ..self.sums
        }
    }
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
        let sums = if self.ranks.is_alone() {
            let mut of_shard = |shard: usize| {
                let watch = watch.as_deref_mut();
                self.shard_sums(state, &part, shard, watch, &mut *reached)
            };
            tree_sum(self.shards.own(), &mut of_shard, &mut Sums::with)?
        } else {
            self.sums_of_all_ranks(state, part, watch, reached)?
        };
        Ok(sums.expect("a batch has images"))
    }

    /// The sums over the images of a shard; `None` if it has none.
    pub(super) fn shard_sums(
        &self,
        state: &TrainingState,
        part: &OwnPart<T::Target>,
        shard: usize,
        watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
    ) -> Result<Option<Sums>, NonFinite> {
        if self.shards.images_of(shard, part.images).is_empty() {
            return Ok(None);
        }
        let (sums, last) = self.before_going_back(state, part, shard, watch, reached, None)?;
        Ok(Some(sums.with(last.back())))
    }

    /// The sums over the micro-batches of a shard before the last one, and the last one, which has only gone forward; the
    /// gradients of that can be heard.
    pub(super) fn before_going_back(
        &self,
        state: &TrainingState,
        part: &OwnPart<T::Target>,
        shard: usize,
        watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
        listener: Option<&Listener>,
    ) -> Result<(Sums, Pass), NonFinite> {
        // Of the first shard, which is the first process's on any number of them.
        let mut watch = watch.filter(|_| shard == 0);
        let shard = self.shards.images_of(shard, part.images);
        let size = self.phase.micro_batch();
        let mut sums = Sums::default();
        let mut last: Option<Pass> = None;
        for start in shard.clone().step_by(size) {
            if let Some(pass) = last.take() {
                sums = sums.with(pass.back());
            }
            let images = start..shard.end.min(start + size);
            let listener = listener.filter(|_| images.end == shard.end);
            let watch = watch.as_deref_mut();
            last = Some(self.forward_pass(state, part, images, watch, &mut *reached, listener)?);
        }
        Ok((sums, last.expect("the shard has images")))
    }

    /// Sends a micro-batch forward.
    fn forward_pass(
        &self,
        state: &TrainingState,
        part: &OwnPart<T::Target>,
        images: Range<usize>,
        mut watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
        listener: Option<&Listener>,
    ) -> Result<Pass, NonFinite> {
        let own = images.start - part.start..images.end - part.start;
        let features = || -> Vec<Tensor<4>> {
            let of_images = part.features.iter().map(|map| {
                if own.len() == part.targets.len() {
                    map.clone()
                } else {
                    map.clone().narrow(0, own.start, own.len())
                }
            });
            of_images.collect()
        };
        let key = StepKey {
            seed: self.seed,
            step: state.steps,
            images_before: images.start,
        };
        let tracked = state.parameters.tracked(|name| self.setup.trains(name));
        let mut trained = self.trained_part(&tracked, key, listener);
        let tracked_features = features().into_iter().map(Tensor::autodiff).collect();
        let maps = self.forward(tracked_features, &mut trained, |stage, map| {
            if let Some(watch) = watch.as_deref_mut() {
                watch.activation(stage, &map.clone().inner());
            }
        });
        // The finest comes first, which the fewest layers have computed.
        trained.listen_to_the_rest(maps.first().expect("a network has a result"));
        let targets = &part.targets[own.clone()];
        let (mut forward, parameters) = trained.mode();
        let Loss { value, root } =
            self.task
                .loss(maps, &mut forward, parameters, targets, self.phase, key);
        if !value.is_finite() {
            // What it keeps for a backward pass would be in memory beside another pass.
            drop(root);
            return Err(NonFinite {
                what: message!("the loss is {value}"),
                layer: self.first_layer_forward(&state.parameters, features()),
            });
        }
        reached(StepPoint::LossKnown);
        let share = own.len() as f64 / part.images as f64;
        Ok(Pass {
            tracked,
            root: match share * loss_factor(state) {
                1.0 => root,
                factor => root * factor,
            },
            sums: Sums {
                loss: share * value,
                gradients: Parameters::new(),
                statistics: trained.statistics,
            },
        })
    }

    /// The trained part for a micro-batch, whose gradients someone may hear.
    fn trained_part<'l>(
        &'l self,
        tracked: &Parameters,
        key: StepKey,
        listener: Option<&'l Listener>,
    ) -> TrainedPart<'l> {
        let names = self
            .setup
            .groups
            .iter()
            .map(|group| group.parameter.as_str());
        TrainedPart {
            parameters: tracked.clone(),
            frozen_statistics: self.phase.batch_norm == BatchNorm::Frozen,
            statistics: Vec::new(),
            stochastic_depth: Some(StochasticDepth {
                key,
                probability: self
                    .phase
                    .stochastic_depth
                    .unwrap_or(self.architecture.stochastic_depth),
            }),
            unheard: listener.map(|listener| Unheard {
                names: BTreeSet::from_iter(names),
                listener,
            }),
        }
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
        let mut untracked = TrainedPart {
            parameters: parameters.tracked(|_| false),
            frozen_statistics: self.phase.batch_norm == BatchNorm::Frozen,
            statistics: Vec::new(),
            stochastic_depth: None,
            unheard: None,
        };
        let features = features.into_iter().map(Tensor::autodiff).collect();
        let mut first = None;
        self.forward(features, &mut untracked, |stage, map| {
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
        trained: &mut TrainedPart,
        mut seen: impl FnMut(usize, &Tensor<4>),
    ) -> Vec<Tensor<4>> {
        for index in self.setup.boundary..self.architecture.stages.len() {
            let stage = &self.architecture.stages[index];
            // A neck takes all maps, of which the finest comes first.
            let before = match stage.graph().inputs() {
                1 => maps.last(),
                _ => maps.first(),
            };
            let own = stage.parameters().iter().map(|info| info.name.as_str());
            trained.listen(own, before.expect("a stage takes something"));
            let (mut forward, _) = trained.mode();
            maps = self
                .architecture
                .forward_maps(index..index + 1, maps, &mut forward);
            seen(index, maps.last().expect("a stage has a result"));
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
}

fn is_finite(map: &Tensor<4>) -> bool {
    let values = values(map.clone());
    values.iter().all(|value| value.is_finite())
}

/// The factor on the loss.
pub(super) fn loss_factor(state: &TrainingState) -> f64 {
    state.loss_scale.map_or(1.0, |scale| scale.factor)
}
