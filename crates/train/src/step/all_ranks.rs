//! A batch of which every process computes a part. Its last backward pass goes on while others' gradients are added to
//! those that are complete.

use std::mem;
use std::sync::mpsc::channel;

use warmstart_nn::Parameters;
use warmstart_nn::ops::Listener;
use warmstart_tasks::task::Task;

use super::across_ranks::{Share, sum_over_ranks};
use super::buckets::buckets;
use super::early_gradients::{Coming, listener, while_going_back};
use super::gradients::{OwnPart, Pass, Step, StepPoint};
use super::non_finite::NonFinite;
use super::sums::Sums;
use crate::training_state::TrainingState;
use crate::virtual_shards::TreeSum;
use crate::watch::Watch;

/// The part of a process, of which only the gradients of the last micro-batch are missing.
struct AlmostAll {
    /// The sums over its images, without gradients.
    sums: Sums,
    /// Gradients so far: those of the last micro-batch are added to the first of them, their sum to the second, and so
    /// on. It is the tree of the shards.
    earlier: Vec<Parameters>,
    /// The last micro-batch.
    last: Pass,
}

impl AlmostAll {
    /// The part of which there are these sums, in the order of their images.
    fn new(earlier: Vec<Sums>, mut last: Pass) -> Self {
        let mut sums = mem::take(&mut last.sums);
        let mut gradients = Vec::with_capacity(earlier.len());
        for mut first in earlier.into_iter().rev() {
            gradients.push(mem::take(&mut first.gradients));
            sums = first.with(sums);
        }
        Self {
            sums,
            earlier: gradients,
            last,
        }
    }
}

impl<T: Task> Step<'_, T> {
    /// The sums over a batch, of which this process computes one of several parts.
    pub(super) fn sums_of_all_ranks(
        &self,
        state: &TrainingState,
        part: OwnPart<T::Target>,
        watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
    ) -> Result<Option<Sums>, NonFinite> {
        let parameters = &state.parameters;
        let buckets = self.buckets(parameters);
        let (to, told) = channel();
        let early = self
            .pays_to_send_early(parameters, buckets.len())
            .then(|| listener(&to));
        let own = self.almost_all(state, part, watch, reached, early.as_ref());
        let share = Share {
            ranks: self.ranks,
            parameters,
            buckets: &buckets,
        };
        let AlmostAll {
            sums,
            earlier,
            last,
        } = match own {
            Ok(Some(own)) => own,
            Ok(None) => return sum_over_ranks(share, Ok(None), &mut |_| Parameters::new()),
            Err(failure) => {
                return sum_over_ranks(share, Err(failure), &mut |_| Parameters::new());
            }
        };
        if early.is_some() {
            let mut coming = Coming::new(told, earlier, parameters);
            while_going_back(last, &to, move || {
                sum_over_ranks(share, Ok(Some(sums)), &mut |names| coming.sums(names))
            })
        } else {
            let last = last.back().gradients;
            let mut gradients = earlier.into_iter().fold(last, |later, mut first| {
                first.add(later);
                first
            });
            sum_over_ranks(share, Ok(Some(sums)), &mut |names| {
                gradients.take_out(names)
            })
        }
    }

    /// The names of the trained parameters, those that a backward pass comes to first in front, in buckets.
    fn buckets(&self, parameters: &Parameters) -> Vec<Vec<&str>> {
        let names = self.setup.groups.iter().rev();
        let names: Vec<&str> = names.map(|group| group.parameter.as_str()).collect();
        let bytes =
            |name: &&str| parameters.shape(name).iter().product::<usize>() * size_of::<f32>();
        let bytes: Vec<usize> = names.iter().map(bytes).collect();
        let buckets = buckets(&bytes).into_iter();
        buckets.map(|bucket| names[bucket].to_vec()).collect()
    }

    /// Whether to send gradients before all are computed. On a graphics card, reading one waits for the card. Of a single
    /// bucket, or of a head alone, nothing is complete before the pass is over.
    fn pays_to_send_early(&self, parameters: &Parameters, buckets: usize) -> bool {
        let trains_stages = self.setup.boundary < self.architecture.stages.len();
        let first = self.setup.groups.first();
        let is_processor = first
            .is_some_and(|group| parameters.device(&group.parameter) == warmstart_nn::device());
        trains_stages && buckets > 1 && is_processor
    }

    /// All of this process's part but the last backward pass, which someone may listen to; `None` if it has no images.
    fn almost_all(
        &self,
        state: &TrainingState,
        part: OwnPart<T::Target>,
        mut watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
        listener: Option<&Listener>,
    ) -> Result<Option<AlmostAll>, NonFinite> {
        let own = self.shards.own();
        let has_images = |shard: &usize| !self.shards.images_of(*shard, part.images).is_empty();
        let Some(last) = own.clone().rev().find(has_images) else {
            return Ok(None);
        };
        let mut before = TreeSum::default();
        for shard in own.start..last {
            let watch = watch.as_deref_mut();
            let sums = self.shard_sums(state, &part, shard, watch, &mut *reached)?;
            before.push(sums, &mut Sums::with);
        }
        let mut earlier = before.into_held();
        let (sums, pass) = self.before_going_back(state, &part, last, watch, reached, listener)?;
        earlier.push(sums);
        Ok(Some(AlmostAll::new(earlier, pass)))
    }
}
