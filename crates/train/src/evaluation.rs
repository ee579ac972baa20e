//! Evaluations of a network, image by image: by one process, or by all ranks of a run together.

use std::time::Duration;

use warmstart_data::{Batches, Loader};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::{Folded, Forward, Parameters};
use warmstart_recipe::Error;
use warmstart_run::event::{Event, Observer};
use warmstart_run::shard::Shard;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use crate::frozen::Frozen;
use crate::lockstep::{agree_unless_stopped, gather_each};
use crate::trainer::{Trainer, batches_ahead};

/// Time after which a rank that does not answer at the end of an evaluation is gone, if the run is to stop. Each ends
/// its own part after the batch in hand.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for a rank that was itself stopped before the end of its part: the others know nothing of it, and may have
/// all of theirs before them.
const NO_HURRY: Duration = Duration::from_secs(3600);

/// A network to evaluate.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// Its parameters.
    pub parameters: &'a Parameters,
    /// Its frozen part, which comes first; the rest of it may be empty.
    pub frozen: &'a Frozen,
}

/// The evaluations of two networks on the same images.
pub struct OfTwo<T> {
    /// Of each network.
    pub each: [T; 2],
    /// Of the mean of their outputs; `None` where a task's outputs have no mean.
    pub mean: Option<T>,
}

/// What the head of a network reads of a batch, and the network's layers behind the frozen part.
type HeadInput<'a> = (Vec<Tensor<4>>, &'a Folded);
/// A function of a batch in an evaluation: the input of each network's head, and the targets.
type EachBatch<'a, T, const N: usize> =
    &'a mut dyn FnMut([HeadInput<'_>; N], &[<T as Task>::Target]);

impl<T: Task> Trainer<T> {
    /// Evaluates the network on a split, image by image; `None` if a stop is requested.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn evaluate(
        &self,
        parameters: &Parameters,
        frozen: &Frozen,
        split: EvaluationSplit,
        observe: Observer,
    ) -> Result<Option<T::Tally>, Error> {
        self.evaluate_part(parameters, frozen, (split, Shard::whole()), observe)
    }

    /// Evaluates the network on a split, of which each rank takes its part; all of them get the whole. `None` if a stop
    /// is requested of one.
    ///
    /// # Errors
    /// If an image cannot be read by one.
    pub fn evaluate_together(
        &self,
        parameters: &Parameters,
        frozen: &Frozen,
        split: EvaluationSplit,
        observe: Observer,
    ) -> Result<Option<T::Tally>, Error> {
        let ranks = &self.resources.ranks;
        if ranks.is_alone() {
            return self.evaluate(parameters, frozen, split, observe);
        }
        let part = Shard {
            number: ranks.rank() + 1,
            of: ranks.count(),
        };
        let own = self.evaluate_part(parameters, frozen, (split, part), observe);
        self.resources.with_others(patience(&own), || {
            let Some(own) = agree_unless_stopped(ranks, own)? else {
                return Ok(None);
            };
            let mut whole = T::Tally::default();
            gather_each(ranks, &own, &mut |part| T::append(&mut whole, part));
            Ok(Some(whole))
        })
    }

    /// Evaluates the network on a part of a split; `None` if a stop is requested.
    fn evaluate_part(
        &self,
        parameters: &Parameters,
        frozen: &Frozen,
        part: (EvaluationSplit, Shard),
        observe: Observer,
    ) -> Result<Option<T::Tally>, Error> {
        let mut tally = T::Tally::default();
        let network = Network { parameters, frozen };
        let whole = self.evaluate_each(
            [network],
            part,
            observe,
            &mut |[(features, rest)], targets| {
                self.task
                    .evaluate(&mut tally, features, rest, parameters, targets);
            },
        )?;
        Ok(whole.then_some(tally))
    }

    /// Evaluates two networks and the mean of their outputs on a split, in one pass over its images: the outputs of both
    /// are there for one batch, and not for all images at the same time. `None` if a stop is requested.
    ///
    /// # Errors
    /// If an image cannot be read.
    ///
    /// # Panics
    /// If features of the second are cached: the images are read for it.
    pub fn evaluate_with_mean(
        &self,
        networks: [Network<'_>; 2],
        split: EvaluationSplit,
        observe: Observer,
    ) -> Result<Option<OfTwo<T::Tally>>, Error> {
        let has_pixels = networks[1].frozen.cache_keys().is_empty();
        assert!(has_pixels, "the second network reads the pixels");
        let [mut one, mut other] = [T::Tally::default(), T::Tally::default()];
        let mut mean = Some(T::Tally::default());
        let [of_one, of_other] = networks.map(|network| network.parameters);
        let part = (split, Shard::whole());
        let whole = self.evaluate_each(
            networks,
            part,
            observe,
            &mut |[(features, rest), (others, other_rest)], targets| {
                let task = &self.task;
                let outputs = task.outputs(features, rest, of_one);
                let other_outputs = task.outputs(others, other_rest, of_other);
                let of_both = task.mean_of([&outputs, &other_outputs]);
                mean = mean.take().zip(of_both).map(|(mut tally, outputs)| {
                    task.add(&mut tally, outputs, targets);
                    tally
                });
                task.add(&mut one, outputs, targets);
                task.add(&mut other, other_outputs, targets);
            },
        )?;
        Ok(whole.then_some(OfTwo {
            each: [one, other],
            mean,
        }))
    }

    /// Evaluates a head on several layers and the architecture's own, which reads the last of them, in one pass; `None`
    /// if a stop is requested.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn evaluate_both(
        &self,
        parameters: &Parameters,
        frozen: &Frozen,
        last: usize,
        observe: Observer,
    ) -> Result<Option<[T::Tally; 2]>, Error> {
        let [mut several, mut own] = [T::Tally::default(), T::Tally::default()];
        let part = (EvaluationSplit::Validation, Shard::whole());
        let network = Network { parameters, frozen };
        let whole = self.evaluate_each(
            [network],
            part,
            observe,
            &mut |[(features, rest)], targets| {
                let of_last = vec![features[last].clone()];
                self.task
                    .evaluate(&mut own, of_last, rest, parameters, targets);
                self.task
                    .evaluate(&mut several, features, rest, parameters, targets);
            },
        )?;
        Ok(whole.then_some([several, own]))
    }

    /// Hands what the heads of some networks read of each batch of a part of a split to `each`, with the targets. The
    /// last network's images are read, and serve those that have no cached features as well. False if a stop is requested.
    fn evaluate_each<const N: usize>(
        &self,
        networks: [Network<'_>; N],
        (split, part): (EvaluationSplit, Shard),
        observe: Observer,
        each: EachBatch<'_, T, N>,
    ) -> Result<bool, Error> {
        let rests = networks.map(|Network { parameters, frozen }| {
            let layers = self.task.head().layers;
            frozen.rest(&self.architecture, layers, parameters, &self.device)
        });
        let size = networks[N - 1].frozen.images();
        let samples = part_of(self.data.evaluated(split), size, part);
        let of = samples.len();
        let sources = networks.map(|network| {
            network
                .frozen
                .evaluation_source(&self.task, &self.data, split)
        });
        let loader = |number: usize| {
            let (workers, ahead) = (self.resources.workers, batches_ahead(size));
            let batches = Batches::of(samples.clone(), size);
            Loader::new(batches, workers, ahead, sources[number].prepare())
        };
        let is_cached = |number: usize| !networks[number].frozen.cache_keys().is_empty();
        let mut cached: [Option<_>; N] = std::array::from_fn(|number| {
            (number + 1 < N && is_cached(number)).then(|| loader(number))
        });
        let mut done = 0;
        for batch in loader(N - 1) {
            if self.resources.stop.is_requested() {
                return Ok(false);
            }
            let batch = batch?;
            let mut own = Vec::with_capacity(N);
            for loader in &mut cached {
                own.push(loader.as_mut().and_then(Iterator::next).transpose()?);
            }
            let inputs = std::array::from_fn(|number| {
                let (frozen, rest) = (networks[number].frozen, &rests[number]);
                let batch = own[number].as_ref().unwrap_or(&batch);
                let features = self.features(frozen, batch, &sources[number], observe);
                let stages = frozen.boundary()..self.architecture.stages.len();
                let mut forward = Forward::Inference(rest);
                let features = self
                    .architecture
                    .forward_maps(stages, features, &mut forward);
                (features, rest)
            });
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            each(inputs, &targets);
            done += targets.len();
            observe(Event::Evaluated { images: done, of });
        }
        Ok(true)
    }
}

/// How long the other ranks may take, once a rank has come to this end of its part.
fn patience<R>(own: &Result<Option<R>, Error>) -> Duration {
    match own {
        Ok(None) => NO_HURRY,
        Ok(Some(_)) | Err(_) => PATIENCE,
    }
}

/// The samples in a part of the batches of some samples: whole batches, so that what is added up over a batch has the
/// same bits in every part.
fn part_of(samples: Vec<usize>, size: usize, part: Shard) -> Vec<usize> {
    if part.is_whole() {
        return samples;
    }
    let size = size.max(1);
    let batches = part.range(samples.len().div_ceil(size));
    let end = samples.len().min(batches.end * size);
    samples[(batches.start * size).min(end)..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_batches_in_their_order() {
        let samples: Vec<usize> = (10..31).collect();
        for of in [1, 2, 4, 8] {
            let parts = (1..=of).map(|number| part_of(samples.clone(), 4, Shard { number, of }));
            let parts: Vec<Vec<usize>> = parts.collect();
            assert_eq!(parts.concat(), samples);
            let lens = parts.iter().filter(|part| !part.is_empty()).map(Vec::len);
            let lens: Vec<usize> = lens.collect();
            let (_, before) = lens.split_last().unwrap();
            assert!(before.iter().all(|len| len % 4 == 0), "{lens:?}");
        }
        assert!(part_of(Vec::new(), 4, Shard { number: 2, of: 2 }).is_empty());
    }

    #[test]
    fn a_rank_that_was_stopped_early_gives_the_others_time_for_their_parts() {
        assert_eq!(patience(&Ok(Some(()))), PATIENCE);
        assert_eq!(patience::<()>(&Err(Error::refused("lost"))), PATIENCE);
        assert!(patience::<()>(&Ok(None)) > 10 * PATIENCE);
    }
}
