//! The time of an epoch on several machines, each with one rank: from the steps that were measured on this one, and the
//! speed of the network between them. On processors, gradients move while a step's last backward pass computes: all
//! buckets but the last, as far as they fit into the time of that pass.

use serde::Serialize;
use warmstart_language::message;
use warmstart_recipe::{Error, Key, Phase};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use super::cost_probe::{Measured, PhaseCost};
use super::gradients_moving::{GradientsMoving, USUAL_SHARDS, bucket_bytes};
use super::make::passes;
use super::network::{LATENCY, Network};
use crate::phase_setup::PhaseSetup;
use crate::trainer::Trainer;

/// Largest number of virtual shards of a recipe, and so of ranks.
const MOST_SHARDS: usize = 64;
/// Share of an epoch's time that twice as many ranks have to save to be worth it.
const WORTHWHILE: f64 = 0.1;

/// The time of the epochs of a run on several machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RanksPlan {
    /// Speed of the network, as it was written.
    pub network: String,
    /// Bytes that a machine sends in a second, while it receives as many.
    pub bytes_per_second: f64,
    /// Seconds of a message, however short it is.
    pub latency_seconds: f64,
    /// The phases in order.
    pub phases: Vec<PhaseOnRanks>,
    /// Notes for the user, in the planner's language.
    pub notes: Vec<String>,
}

/// The time of an epoch of a phase on several machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseOnRanks {
    /// Name of the phase.
    pub name: String,
    /// Bytes of the gradients of a step, which are added up over all ranks; 0 where the head is solved.
    pub gradient_bytes: f64,
    /// The times on 1, 2, 4 ranks and so on.
    pub epochs: Vec<EpochOnRanks>,
    /// The number of ranks on which an epoch is shortest.
    pub fastest: usize,
    /// The number of ranks above which twice as many save less than a tenth of an epoch.
    pub worthwhile: usize,
}

/// The time of an epoch on a number of machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochOnRanks {
    /// The number of machines.
    pub ranks: usize,
    /// Seconds in which a step computes; 0 where the head is solved.
    pub step_computing: f64,
    /// Seconds in which a step's gradients move.
    pub step_moving: f64,
    /// Those of them in which the step waits, because it has nothing left to compute.
    pub step_waiting: f64,
    /// Seconds of an epoch in which the rank with the most images computes.
    pub computing: f64,
    /// Seconds of an epoch in which bytes move.
    pub moving: f64,
    /// Those of them in which nothing is computed.
    pub waiting: f64,
    /// Seconds of an epoch.
    pub seconds: f64,
    /// How many times as fast an epoch is as on one machine.
    pub speed_up: f64,
}

/// The time of the epochs of a run on 1, 2, 4 machines and so on, up to `most`, between which there is `network`; `shards`
/// are the virtual shards that were asked for.
///
/// # Errors
/// If a phase names a stage that isn't there.
pub fn over_ranks<T: Task>(
    trainer: &Trainer<T>,
    measured: &Measured,
    shards: Option<usize>,
    (most, network): (usize, &Network),
) -> Result<RanksPlan, Error> {
    let mut notes = Vec::from_iter(shards_note(shards, most));
    if trainer.recipe.phases.iter().any(Phase::is_solved) {
        notes.push(message!(
            "one rank solves for the head while the others wait; the time of solving is not counted"
        ));
    }
    let mut phases = Vec::new();
    for (phase, cost) in trainer.recipe.phases.iter().zip(&measured.costs) {
        let epoch = EpochWork::of(trainer, phase, cost, shards)?;
        phases.push(epoch.on_ranks(&phase.name, most, network));
    }
    Ok(RanksPlan {
        network: network.to_string(),
        bytes_per_second: network.bytes_per_second,
        latency_seconds: LATENCY,
        phases,
        notes,
    })
}

/// A note where so many ranks need another recipe. A run that asks for no number of shards has as many as it needs.
fn shards_note(shards: Option<usize>, ranks: usize) -> Option<String> {
    if ranks > MOST_SHARDS {
        return Some(message!(
            "{} is at most {most}, and no run has more ranks than that",
            Key::VIRTUAL_SHARDS,
            most = MOST_SHARDS
        ));
    }
    let shards = shards.filter(|&shards| ranks > shards)?;
    Some(message!(
        "for {ranks} ranks, give {} {ranks} or more; this recipe has {shards}, and no run has more ranks than that",
        Key::VIRTUAL_SHARDS
    ))
}

/// The work of an epoch, the mean of a phase's epochs: later ones do not compute features that the first ones keep.
struct EpochWork {
    training_images: usize,
    /// Images of a step; `None` where the head is solved.
    batch: Option<usize>,
    validation_images: usize,
    /// Seconds of a training image: its part of the features, and its gradients.
    image_seconds: f64,
    /// Seconds of the rest of a step, which every rank does for itself.
    update_seconds: f64,
    /// Seconds of a validation image.
    evaluation_seconds: f64,
    /// The gradients of a step.
    gradients: GradientsMoving,
    /// Bytes of all features that a head is solved on.
    feature_bytes: f64,
}

impl EpochWork {
    fn of<T: Task>(
        trainer: &Trainer<T>,
        phase: &Phase,
        cost: &PhaseCost,
        shards: Option<usize>,
    ) -> Result<Self, Error> {
        let head = trainer.task.head().parameters;
        let setup = PhaseSetup::new(phase, &trainer.architecture, &head)?;
        let epochs = phase.epochs.max(1) as f64;
        let of_epoch = passes(trainer, phase, [0.0; 2]).map(|passes| passes / epochs);
        let [computed, evaluated] = of_epoch;
        let training_images = trainer.data.training_images();
        let (batch, feature_bytes) = if phase.is_solved() {
            (None, training_images as f64 * cost.features)
        } else {
            (Some(phase.batch), 0.0)
        };
        let mut infos = trainer.architecture.backbone_parameters();
        infos.extend(head);
        let trains_stages = setup.boundary < trainer.architecture.stages.len();
        Ok(Self {
            training_images,
            batch,
            gradients: GradientsMoving {
                buckets: match batch {
                    Some(_) => bucket_bytes(&setup, &infos),
                    None => Vec::new(),
                },
                is_early: trains_stages && cost.card.is_none(),
                seconds: cost.gradient_seconds,
                micro_batch: phase.micro_batch(),
                shards: shards.unwrap_or(USUAL_SHARDS),
            },
            validation_images: trainer.data.split(EvaluationSplit::Validation).len(),
            image_seconds: computed * cost.frozen_seconds + cost.gradient_seconds,
            update_seconds: cost.update_seconds,
            evaluation_seconds: evaluated * cost.evaluation_seconds,
            feature_bytes,
        })
    }

    /// The epoch on 1, 2, 4 ranks and so on.
    fn on_ranks(&self, name: &str, most: usize, network: &Network) -> PhaseOnRanks {
        let mut epochs: Vec<EpochOnRanks> = Vec::new();
        let mut ranks = 1;
        while ranks <= most {
            let mut epoch = self.on(ranks, network);
            if let Some(alone) = epochs.first() {
                epoch.speed_up = alone.seconds / epoch.seconds;
            }
            epochs.push(epoch);
            ranks *= 2;
        }
        PhaseOnRanks {
            name: name.to_owned(),
            gradient_bytes: self.gradients.bytes(),
            fastest: fastest(&epochs),
            worthwhile: worthwhile(&epochs),
            epochs,
        }
    }

    /// The epoch on so many ranks, as fast as on one. Of each batch, the rank with the most images is waited for.
    fn on(&self, ranks: usize, network: &Network) -> EpochOnRanks {
        let images = self.training_images;
        let evaluation = self.validation_images.div_ceil(ranks) as f64 * self.evaluation_seconds;
        match self.batch {
            Some(batch) => {
                let most = batch.div_ceil(ranks);
                let of_all_batches = images / batch * most + (images % batch).div_ceil(ranks);
                let steps = images.div_ceil(batch) as f64;
                let training =
                    of_all_batches as f64 * self.image_seconds + steps * self.update_seconds;
                let [step_moving, step_waiting] = self.gradients.on(batch, ranks, network);
                EpochOnRanks {
                    ranks,
                    step_computing: most as f64 * self.image_seconds + self.update_seconds,
                    step_moving,
                    step_waiting,
                    computing: training + evaluation,
                    moving: steps * step_moving,
                    waiting: steps * step_waiting,
                    seconds: training + evaluation + steps * step_waiting,
                    speed_up: 1.0,
                }
            }
            None => {
                let computing = images.div_ceil(ranks) as f64 * self.image_seconds + evaluation;
                let moving = network.seconds_of_parts(self.feature_bytes, ranks);
                EpochOnRanks {
                    ranks,
                    step_computing: 0.0,
                    step_moving: 0.0,
                    step_waiting: 0.0,
                    computing,
                    moving,
                    waiting: moving,
                    seconds: computing + moving,
                    speed_up: 1.0,
                }
            }
        }
    }
}

/// The number of ranks of the shortest epoch, the smallest of equals.
fn fastest(epochs: &[EpochOnRanks]) -> usize {
    let shortest = epochs
        .iter()
        .min_by(|one, other| one.seconds.total_cmp(&other.seconds));
    shortest.map_or(1, |epoch| epoch.ranks)
}

/// The number of ranks up to which each doubling has been worth it.
fn worthwhile(epochs: &[EpochOnRanks]) -> usize {
    let mut pairs = epochs.windows(2);
    let last = pairs.find(|pair| pair[1].seconds > (1.0 - WORTHWHILE) * pair[0].seconds);
    let last = last.map(|pair| pair[0].ranks);
    last.or(epochs.last().map(|epoch| epoch.ranks)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradients of 6 ms an image, with buckets of so many bytes.
    fn gradients(buckets: Vec<f64>) -> GradientsMoving {
        GradientsMoving {
            buckets,
            is_early: true,
            seconds: 0.006,
            micro_batch: 32,
            shards: 8,
        }
    }

    /// 100 steps of 32 images and one of 8, with 10 ms an image, 20 ms an update, and 10 MB of gradients.
    fn thaw() -> EpochWork {
        EpochWork {
            training_images: 3208,
            batch: Some(32),
            validation_images: 100,
            image_seconds: 0.01,
            update_seconds: 0.02,
            evaluation_seconds: 0.004,
            gradients: gradients(vec![10e6]),
            feature_bytes: 0.0,
        }
    }

    fn gigabit() -> Network {
        Network::default()
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    #[test]
    fn an_epoch_of_one_rank_moves_nothing() {
        let epoch = thaw().on(1, &gigabit());
        assert_close(epoch.step_computing, 0.34);
        assert_close(epoch.computing, 32.08 + 101.0 * 0.02 + 0.4);
        assert_eq!((epoch.step_moving, epoch.moving), (0.0, 0.0));
        assert_eq!((epoch.seconds, epoch.speed_up), (epoch.computing, 1.0));
    }

    #[test]
    fn images_are_divided_and_the_update_of_the_parameters_is_not() {
        let epoch = thaw().on(4, &gigabit());
        assert_close(epoch.step_computing, 0.1);
        assert_close(epoch.computing, 802.0 * 0.01 + 101.0 * 0.02 + 0.1);
        // 2 · 3/4 · 10 MB at 125 MB/s, and 6 messages.
        assert_close(epoch.step_moving, 0.12 + 6.0 * LATENCY);
        assert_close(epoch.moving, 101.0 * epoch.step_moving);
        // A single bucket is complete when nothing is left to compute.
        assert_eq!(
            (epoch.step_waiting, epoch.waiting),
            (epoch.step_moving, epoch.moving)
        );
        assert_close(epoch.seconds, epoch.computing + epoch.moving);
    }

    #[test]
    fn an_epoch_takes_the_time_of_computing_and_of_waiting() {
        let thaw = EpochWork {
            gradients: gradients(vec![6e6, 4e6]),
            ..thaw()
        };
        let epoch = thaw.on(4, &gigabit());
        // 2 · 3/4 of 10 MB at 125 MB/s and 6 messages for each bucket, of which the first moves behind the backward
        // pass of 4 images of 6 ms for 16 ms.
        assert_close(epoch.step_moving, 0.12 + 12.0 * LATENCY);
        assert_close(epoch.step_waiting, epoch.step_moving - 0.016);
        assert_close(epoch.waiting, 101.0 * epoch.step_waiting);
        assert_close(epoch.seconds, epoch.computing + epoch.waiting);
    }

    #[test]
    fn a_step_waits_for_the_rank_with_the_most_images() {
        let of_64 = thaw().on(64, &gigabit());
        assert_close(of_64.step_computing, 0.01 + 0.02);
        let of_32 = thaw().on(32, &gigabit());
        assert_close(of_32.step_computing, of_64.step_computing);
        assert!(of_64.moving > of_32.moving);
    }

    #[test]
    fn a_head_that_is_solved_needs_the_features_of_all_ranks_once() {
        let solved = EpochWork {
            batch: None,
            gradients: gradients(Vec::new()),
            feature_bytes: 125e6,
            ..thaw()
        };
        let epoch = solved.on(4, &gigabit());
        assert_close(epoch.computing, 8.02 + 0.1);
        assert_close(epoch.moving, 0.75 + 3.0 * LATENCY);
        assert_eq!((epoch.step_computing, epoch.step_moving), (0.0, 0.0));
    }

    #[test]
    fn ranks_are_worth_it_until_twice_as_many_save_less_than_a_tenth() {
        let phase = thaw().on_ranks("thaw", 64, &gigabit());
        let ranks: Vec<usize> = phase.epochs.iter().map(|epoch| epoch.ranks).collect();
        assert_eq!(ranks, [1, 2, 4, 8, 16, 32, 64]);
        // A step of 8 ranks computes for 60 ms and moves for 140; one of 4 ranks for 100 and 120.
        assert_eq!((phase.worthwhile, phase.fastest), (4, 32));
        let fast = thaw().on_ranks("thaw", 8, &"100GB/s".parse().unwrap());
        assert_eq!((fast.worthwhile, fast.fastest), (8, 8));
        assert!(fast.epochs[3].speed_up > 5.0);
        let slow = thaw().on_ranks("thaw", 8, &"10Mbit".parse().unwrap());
        assert_eq!((slow.worthwhile, slow.fastest), (1, 1));
        assert!(slow.epochs[1].speed_up < 1.0);
    }

    #[test]
    fn a_recipe_with_fewer_shards_than_ranks_is_noted() {
        assert_eq!(shards_note(Some(8), 8), None);
        assert_eq!(shards_note(None, 8), None);
        let note = shards_note(Some(1), 8).unwrap();
        assert!(
            note.contains("8 or more") && note.contains("has 1"),
            "{note}"
        );
        assert!(shards_note(Some(64), 128).unwrap().contains("at most 64"));
    }
}
