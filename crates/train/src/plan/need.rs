//! The memory that a phase needs, and the batches that fit.

use warmstart_recipe::{ByMemory, Error, OptimizerKind, Phase, SMALLEST_BATCH, TaskDefaults};
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::task::Task;

use super::cost_probe::{CardCost, PhaseCost};
use super::limits::{Demand, Limits};
use super::memory_line::MemoryLine;
use crate::phase_setup::PhaseSetup;
use crate::trainer::{Trainer, batches_ahead};

/// Copies of the gradients while processes exchange them: those to send, the buffer that they are sent from, the one
/// that they arrive in, and those that arrived.
const EXCHANGED: f64 = 4.0;

/// The parts of the memory of a phase, in bytes.
pub(super) struct Need {
    cost: PhaseCost,
    /// Pixels of an image.
    pixels: f64,
    /// An image that waits for its step: its pixels, or its features.
    waiting: f64,
    /// Images that are being read, in all threads.
    pub(super) preparing: f64,
    /// Gradients of the trained parameters.
    gradients: f64,
    /// An image on a graphics card while a batch arrives from the system in f32, to be rounded there; 0 where nothing is
    /// rounded.
    arriving: f64,
    /// Virtual shards of a batch, which go through one after the other.
    shards: usize,
    /// Processes, each of which computes an equal part of the shards.
    ranks: usize,
    /// A checkpoint that is being written, once a step has changed the parameters.
    pub(super) saving: f64,
}

/// Makes the batches that were left open smaller where they do not fit, splits those that still do not fit into
/// micro-batches, and adapts learning rates that were left open.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub(super) fn choose_batches<T: Task>(
    trainer: &mut Trainer<T>,
    costs: &[PhaseCost],
    open: &[ByMemory],
    limits: &Limits,
) -> Result<(), Error> {
    let images = trainer.data.training_images();
    let TaskDefaults {
        lr_factor,
        moving_average,
        ..
    } = *trainer.recipe.defaults();
    for (number, cost) in costs.iter().enumerate() {
        let phase = &trainer.recipe.phases[number];
        let need = Need::new(trainer, phase, *cost)?;
        let phase = &mut trainer.recipe.phases[number];
        if open[number].batch {
            let usual = phase.batch;
            phase.batch = largest_batch(usual, &need, limits);
            if open[number].lr {
                phase.lr *= lr_factor(phase.optimizer, usual, phase.batch);
            }
            if open[number].ema_decay {
                let steps = images.div_ceil(phase.batch) * phase.epochs;
                phase.ema_decay = moving_average(&phase.train, steps);
            }
        }
        if open[number].micro_batch {
            phase.micro_batch = micro_batch(&need, phase.batch, limits);
        }
    }
    Ok(())
}

impl Need {
    pub(super) fn new<T: Task>(
        trainer: &Trainer<T>,
        phase: &Phase,
        cost: PhaseCost,
    ) -> Result<Self, Error> {
        let setup = PhaseSetup::new(
            phase,
            &trainer.architecture,
            &trainer.task.head().parameters,
        )?;
        let pixels = trainer.info.preprocessing.crop.pow(2) as f64 * 3.0 * 4.0;
        let are_kept = setup.boundary > 0 && phase.kept_views().is_some();
        // Features that nobody keeps never leave the card.
        let comes_from_system =
            setup.boundary == 0 || (are_kept && trainer.resources.cache.is_some());
        let is_rounded = comes_from_system && cost.entering < cost.features;
        Ok(Self {
            cost,
            waiting: if are_kept {
                pixels.max(cost.features)
            } else {
                pixels
            },
            arriving: if is_rounded {
                cost.features + cost.entering
            } else {
                0.0
            },
            pixels,
            preparing: cost.preparing * trainer.resources.workers as f64,
            gradients: setup.trained as f64 * 4.0,
            shards: trainer.recipe.virtual_shards,
            ranks: trainer.resources.ranks.count(),
            saving: setup.trained as f64 * 4.0 * copies(phase),
        })
    }

    /// The need where all features are cached already, so that no image is read.
    pub(super) fn with_kept_features(self) -> Self {
        Self {
            waiting: self.cost.features,
            preparing: 0.0,
            pixels: 0.0,
            cost: PhaseCost {
                inference: MemoryLine::default(),
                card: self.cost.card.map(|card| CardCost {
                    inference: MemoryLine::default(),
                    ..card
                }),
                ..self.cost
            },
            ..self
        }
    }

    /// The bytes that the phase needs of each memory.
    pub(super) fn demand(&self, batch: usize, micro_batch: usize) -> Demand {
        let own = self.own(batch);
        let ahead = (batches_ahead(own) * own) as f64;
        let step = self.of_step(batch, micro_batch);
        let inference = self.of_inference(batch, micro_batch);
        let (card, piece) = self.of_card(batch, micro_batch);
        Demand {
            system: step.max(inference) + self.waiting * ahead + self.preparing,
            card,
            piece,
        }
    }

    /// Bytes of a graphics card, and the largest piece of them; 0 on the processor.
    fn of_card(&self, batch: usize, micro_batch: usize) -> (f64, f64) {
        let Some(card) = &self.cost.card else {
            return (0.0, 0.0);
        };
        let own = self.own(batch);
        let images = self.at_once(batch, micro_batch);
        let held = self.gradients * self.sums_held(batch, micro_batch);
        // What enters the trained part is on the card for the whole batch, as soon as it is computed.
        let step = (card.step.until_gradients(images) + held).max(card.step.update.of(images))
            + waiting(self.cost.entering, own, images);
        let of_inference = micro_batch.min(INFERENCE_BATCH);
        let inference = card.inference.of(of_inference)
            + self.cost.entering * own.saturating_sub(of_inference) as f64;
        let arrival = card.step.until_gradients(0) + self.arriving * own as f64;
        (step.max(inference).max(arrival), card.piece.of(images))
    }

    /// Images of a batch that this process computes.
    fn own(&self, batch: usize) -> usize {
        batch.div_ceil(self.ranks)
    }

    /// Images of a batch that go through at a time.
    fn at_once(&self, batch: usize, micro_batch: usize) -> usize {
        micro_batch.min(batch.div_ceil(self.shards))
    }

    /// Sums of gradients that are held while others are computed: one of each height of the tree of shards, and that of
    /// the shard's micro-batches so far.
    fn sums_held(&self, batch: usize, micro_batch: usize) -> f64 {
        let heights = (self.shards / self.ranks).max(1).ilog2();
        let is_split = micro_batch < batch.div_ceil(self.shards);
        f64::from(heights) + f64::from(u8::from(is_split))
    }

    /// The memory of steps or of inference, whichever is larger, as a function of the images at a time. That of steps
    /// is of the part that needs the most for the whole batch: micro-batches can be so small that their images hardly
    /// count.
    pub(super) fn line(&self, batch: usize, micro_batch: usize) -> MemoryLine {
        if self.of_step(batch, micro_batch) < self.of_inference(batch, micro_batch) {
            self.cost.inference
        } else {
            self.cost.step.line(batch)
        }
    }

    fn of_step(&self, batch: usize, micro_batch: usize) -> f64 {
        let images = self.at_once(batch, micro_batch);
        // On a card, the gradients are there.
        let held = match self.cost.card {
            Some(_) => 0.0,
            None => self.gradients * self.sums_held(batch, micro_batch),
        };
        let exchanged = match self.ranks {
            1 => 0.0,
            _ => self.gradients * EXCHANGED,
        };
        // Gradients that are complete are on their way before the others.
        let on_their_way = match self.cost.card {
            None if self.ranks > 1 => self.gradients,
            None | Some(_) => 0.0,
        };
        let step = &self.cost.step;
        let summed = step.until_gradients(images) + held + on_their_way;
        summed.max(step.update.of(images) + exchanged)
            + waiting(self.waiting, self.own(batch), images)
    }

    fn of_inference(&self, batch: usize, micro_batch: usize) -> f64 {
        let images = micro_batch.min(INFERENCE_BATCH);
        let waiting = self.own(batch).saturating_sub(images);
        self.cost.inference.of(images) + self.pixels * waiting as f64
    }
}

/// Bytes of the images that wait while others of their batch go through, with so many of each.
fn waiting(bytes: f64, batch: usize, micro_batch: usize) -> f64 {
    if micro_batch < batch {
        bytes * batch as f64
    } else {
        0.0
    }
}

/// Saved values per trained value: itself, its moments, its average.
fn copies(phase: &Phase) -> f64 {
    let moments = match phase.optimizer {
        OptimizerKind::Sgd => 1.0,
        OptimizerKind::Adam | OptimizerKind::AdamW => 2.0,
    };
    1.0 + moments + if phase.ema_decay > 0.0 { 1.0 } else { 0.0 }
}

/// A batch, halved while it does not fit.
fn largest_batch(mut batch: usize, need: &Need, limits: &Limits) -> usize {
    while batch > SMALLEST_BATCH && limits.scarce(need.demand(batch, batch)).is_some() {
        batch /= 2;
    }
    batch
}

/// The largest of a batch's equal parts that fits, or that needs the least if none does; `None` for the whole batch.
fn micro_batch(need: &Need, batch: usize, limits: &Limits) -> Option<usize> {
    let limits = limits.at_least(need.demand(batch, 1));
    let mut sizes = (1..=batch).map(|parts| batch.div_ceil(parts));
    sizes
        .find(|&size| limits.scarce(need.demand(batch, size)).is_none())
        .filter(|&size| size < batch)
}

#[cfg(test)]
mod tests {
    use super::super::memory_line::{MB, StepMemory};
    use super::*;

    fn memory(base: f64, per_image: f64) -> MemoryLine {
        MemoryLine {
            base: base * MB,
            per_image: per_image * MB,
        }
    }

    /// Limits of so many megabytes, of which the first is the system's.
    fn limits([system, card, piece]: [f64; 3]) -> Limits {
        Limits {
            most: Demand {
                system: system * MB,
                card: card * MB,
                piece: piece * MB,
            },
            is_shared: false,
        }
    }

    /// A limit of so many megabytes of the system's memory.
    fn system(megabytes: f64) -> Limits {
        limits([megabytes, f64::INFINITY, f64::INFINITY])
    }

    fn bytes(need: &Need, batch: usize, micro_batch: usize) -> f64 {
        need.demand(batch, micro_batch).system
    }

    fn need() -> Need {
        Need {
            cost: PhaseCost {
                step: StepMemory {
                    gradients: memory(100.0, 30.0),
                    ..StepMemory::default()
                },
                inference: memory(120.0, 0.0),
                ..PhaseCost::default()
            },
            pixels: 0.0,
            waiting: 0.0,
            preparing: 0.0,
            arriving: 0.0,
            gradients: 10.0 * MB,
            shards: 1,
            ranks: 1,
            saving: 0.0,
        }
    }

    #[test]
    fn a_batch_that_fits_stays_whole_and_another_is_split_into_equal_parts() {
        let at = |limit: f64| micro_batch(&need(), 16, &system(limit));
        assert_eq!(at(600.0), None);
        // 100 + 10 for the sum of the gradients + 30 per image.
        assert_eq!(at(360.0), Some(8));
        assert_eq!(at(300.0), Some(6));
        assert_eq!(at(140.0), Some(1));
        assert_eq!(at(1.0), Some(1));
        // Where the images of a step cost no memory, splitting it does not help.
        let mut frozen = need();
        (frozen.cost.step.gradients, frozen.gradients) = (memory(100.0, 0.0), 0.0);
        assert_eq!(micro_batch(&frozen, 16, &system(1e-6)), None);
    }

    #[test]
    fn a_batch_is_split_until_its_update_needs_more_than_its_images() {
        let mut need = need();
        need.cost.step.update = memory(300.0, 0.0);
        assert_eq!(bytes(&need, 16, 16), 580.0 * MB);
        // 100 + 10 for the sum of the gradients + 6 × 30, which the update exceeds: it has no other gradients.
        assert_eq!(bytes(&need, 16, 6), 300.0 * MB);
        assert_eq!(bytes(&need, 16, 1), 300.0 * MB);
        assert_eq!(micro_batch(&need, 16, &system(200.0)), Some(6));
        assert_eq!(need.line(16, 6).per_image, 30.0 * MB);
    }

    #[test]
    fn a_shard_goes_through_at_a_time_and_one_sum_of_each_height_is_held() {
        let mut need = need();
        need.shards = 8;
        // 100 + 30 for each of 2 images + 3 sums of gradients.
        assert_eq!(bytes(&need, 16, 16), 190.0 * MB);
        assert_eq!(bytes(&need, 16, 2), 190.0 * MB);
        // One sum more, of a shard's micro-batches, and an image less.
        assert_eq!(bytes(&need, 16, 1), 170.0 * MB);
        assert_eq!(micro_batch(&need, 16, &system(180.0)), Some(1));
        assert_eq!(micro_batch(&need, 16, &system(190.0)), None);
    }

    #[test]
    fn a_process_holds_the_images_and_sums_of_its_own_shards_and_exchanges_gradients() {
        let mut need = need();
        (need.shards, need.ranks) = (8, 4);
        // 100 + 30 for each of 2 images + 1 sum of gradients + those on their way.
        assert_eq!(bytes(&need, 16, 16), 180.0 * MB);
        need.waiting = MB;
        // 4 images wait for their shard, and 8 for the next steps.
        assert_eq!(bytes(&need, 16, 16), 192.0 * MB);
        need.waiting = 0.0;
        need.cost.step.update = memory(150.0, 0.0);
        assert_eq!(bytes(&need, 16, 16), 190.0 * MB);
    }

    #[test]
    fn an_automatic_batch_is_halved_until_it_fits() {
        let batch = |limit: f64| largest_batch(16, &need(), &system(limit));
        assert_eq!(batch(f64::INFINITY), 16);
        assert_eq!(batch(400.0), 8);
        assert_eq!(batch(100.0), 4);
    }

    #[test]
    fn inference_needs_memory_whatever_the_batch() {
        let mut need = need();
        assert_eq!(bytes(&need, 2, 2), 160.0 * MB);
        need.cost.inference = memory(500.0, 1.0);
        assert_eq!(bytes(&need, 2, 2), 502.0 * MB);
        assert_eq!(bytes(&need, 64, 1), 501.0 * MB);
    }

    #[test]
    fn where_all_features_are_kept_no_image_counts() {
        let mut need = need();
        need.cost.inference = memory(500.0, 10.0);
        (need.pixels, need.waiting, need.preparing) = (MB, MB, MB);
        assert_eq!(bytes(&need, 2, 2), (520.0 + 8.0 + 1.0) * MB);
        assert_eq!(bytes(&need.with_kept_features(), 2, 2), 160.0 * MB);
    }

    /// The same with a graphics card, on which a step needs 200 MB + 40 per image and inference 150 MB. Of it, 5 MB per
    /// image are in one piece.
    fn on_card() -> Need {
        let mut need = need();
        (need.cost.features, need.cost.entering) = (MB, MB);
        need.cost.card = Some(CardCost {
            step: StepMemory {
                gradients: memory(200.0, 40.0),
                update: memory(250.0, 0.0),
                ..StepMemory::default()
            },
            inference: memory(150.0, 0.0),
            piece: memory(0.0, 5.0),
        });
        need
    }

    #[test]
    fn a_batch_must_fit_into_the_card_s_memory_and_the_system_s() {
        let unlimited = f64::INFINITY;
        let at = |of_each| micro_batch(&on_card(), 16, &limits(of_each));
        assert_eq!(at([600.0, 850.0, 80.0]), None);
        // 200 + 10 for the sum of the gradients + 16 for the whole batch's features + 40 per image.
        assert_eq!(on_card().demand(16, 8).card, 546.0 * MB);
        assert_eq!(at([unlimited, 546.0, unlimited]), Some(8));
        assert_eq!(at([unlimited, 545.0, unlimited]), Some(6));
        // The gradients are on the card: 100 MB + 30 per image of the system.
        assert_eq!(bytes(&on_card(), 16, 8), 340.0 * MB);
        assert_eq!(at([340.0, unlimited, unlimited]), Some(8));
        // One piece holds 4 images.
        assert_eq!(at([unlimited, unlimited, 20.0]), Some(4));
        assert_eq!(at([340.0, 850.0, 20.0]), Some(4));
        assert_eq!(at([1.0, 1.0, 1.0]), Some(1));
    }

    #[test]
    fn features_of_16_bits_take_half_the_room_on_the_card_once_all_have_arrived_in_32() {
        let mut need = on_card();
        need.cost.entering = 0.5 * MB;
        // 8 in place of 16 MB for the whole batch's features.
        assert_eq!(need.demand(16, 8).card, (546.0 - 8.0) * MB);
        let system = bytes(&need, 16, 8);
        assert_eq!(system, bytes(&on_card(), 16, 8));
        // 200 + 100 for each of 16 images while they arrive.
        need.arriving = 100.0 * MB;
        assert_eq!(need.demand(16, 8).card, 1800.0 * MB);
    }

    #[test]
    fn an_automatic_batch_is_halved_until_it_fits_into_the_card_too() {
        let at = |of_each| largest_batch(16, &on_card(), &limits(of_each));
        let unlimited = f64::INFINITY;
        assert_eq!(at([unlimited, 840.0, unlimited]), 16);
        assert_eq!(at([unlimited, 839.0, unlimited]), 8);
        assert_eq!(at([unlimited, 500.0, unlimited]), 4);
        assert_eq!(at([unlimited, unlimited, 40.0]), 8);
    }

    #[test]
    fn a_card_that_shares_the_system_s_memory_counts_against_its_limit() {
        let need = on_card();
        let shared = Limits {
            is_shared: true,
            ..system(1420.0)
        };
        // 580 MB of the system and 840 MB of the card.
        assert_eq!(need.demand(16, 16).system, 580.0 * MB);
        assert_eq!(micro_batch(&need, 16, &shared), None);
        let less = Limits {
            is_shared: true,
            ..system(1419.0)
        };
        assert_eq!(micro_batch(&need, 16, &less), Some(8));
        assert_eq!(largest_batch(16, &need, &less), 8);
    }

    #[test]
    fn the_card_s_update_and_inference_need_memory_whatever_the_batch() {
        let mut need = on_card();
        assert_eq!(need.demand(16, 1).card, 266.0 * MB);
        assert_eq!(need.demand(1, 1).card, 250.0 * MB);
        let card = need.cost.card.as_mut().unwrap();
        card.inference = memory(500.0, 1.0);
        // With the features of the 15 other images.
        assert_eq!(need.demand(16, 1).card, 516.0 * MB);
        assert_eq!(need.demand(64, 64).card, 2760.0 * MB);
        assert_eq!(need.with_kept_features().demand(16, 1).card, 266.0 * MB);
    }
}
