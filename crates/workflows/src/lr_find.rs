//! `warmstart lr-find`: Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186), section 3.3.
//! A few steps at a rate that rises from far too small to far too large show at which rates the loss falls.

use std::time::Instant;

use serde::Serialize;
use warmstart_data::Loader;
use warmstart_language::message;
use warmstart_recipe::{Draft, Error, Recipe, Undecided, resolve};
use warmstart_run::event::{Event, Observer, Progress};
use warmstart_run::loss_scale::LossScale;
use warmstart_tasks::task::Task;
use warmstart_tasks::with_task;
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::optimizer::Optimizer;
use warmstart_train::plan::automatic;
use warmstart_train::resources::Resources;
use warmstart_train::trainer::{CurrentPhase, Trainer, batches_ahead};
use warmstart_train::training_state::TrainingState;

use crate::prepare::prepare;
use crate::recognise::settle_model;
use crate::settle_data::settle_data;

/// Steps of a sweep.
const STEPS: usize = 100;
/// Learning rates of its first and last step.
const RATES: [f64; 2] = [1e-6, 1.0];
/// Steps at its beginning whose rates are too low to learn anything: their losses are those of the phase's beginning,
/// and their scatter is noise.
pub const STILL: usize = 25;
/// Decay of the smoothed loss in a step.
const SMOOTHING: f64 = 0.9;
/// Multiple of the loss of the beginning at which a sweep ends.
const DIVERGED: f64 = 3.0;
/// Share of the loss of the beginning by which it has to fall for a suggestion.
const WON: f64 = 0.02;
/// Standard deviations of a single loss by which it has to fall: the lowest of 75 smoothed losses is 0.6 below by
/// chance.
const BEYOND_LUCK: f64 = 0.9;
/// Most epochs that a phase is trained before the next one's sweep: after many on few images, nothing is left to learn.
const EPOCHS_BEFORE: usize = 2;
/// The suggestion as a share of the rate at which the loss is lowest: there it is about to rise.
const SHARE_OF_LOWEST: f64 = 0.1;
/// The suggestion as a share of the rate at which a loss begins to rise that did not fall before: a third in Smith,
/// section 3.3.
const SHARE_OF_RISE: f64 = 1.0 / 3.0;

/// A sweep of a phase over learning rates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// Name of the phase.
    pub phase: String,
    /// The learning rate in the recipe.
    pub recipe_lr: f64,
    /// The suggested learning rate; `null` if the loss neither falls nor rises.
    pub suggestion: Option<f64>,
    /// Origin of the suggestion.
    pub found_by: Option<FoundBy>,
    /// Rate and smoothed loss of each step.
    pub curve: Vec<Point>,
}

/// The part of a curve that a suggestion comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FoundBy {
    /// A tenth of the rate at which the loss is lowest.
    Lowest,
    /// A third of the rate at which the loss begins to rise, because it does not fall within so few steps.
    Rise,
}

/// A step of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Learning rate.
    pub lr: f64,
    /// Moving average of the losses up to this step.
    pub loss: f64,
}

/// Sweeps over the learning rates of every phase that [`train`](crate::train::train) would run. Nothing is written
/// except the cache of frozen features. A later phase starts from the parameters that the one before has learned at its
/// suggested rate, in as many steps as a sweep has, but at most two epochs.
///
/// # Errors
/// If anything in the request is wrong, or an image cannot be read.
pub fn lr_find(
    mut draft: Draft,
    resources: Resources,
    observe: Observer,
) -> Result<Vec<Sweep>, Error> {
    settle_data(&mut draft, &resources, observe)?;
    settle_model(&mut draft, observe)?;
    let (recipe, undecided) = resolve(draft)?;
    with_task!(recipe.task, T => sweeps::<T>(recipe, &undecided, resources, observe))
}

fn sweeps<T: Task>(
    recipe: Recipe,
    undecided: &Undecided,
    resources: Resources,
    observe: Observer,
) -> Result<Vec<Sweep>, Error> {
    let mut trainer = prepare::<T>(recipe, Some(undecided), resources, observe)?;
    let parameters = initial_weights(&trainer, observe)?.parameters;
    automatic::choose(&mut trainer, undecided, &parameters, observe)?;
    let optimizer = Optimizer::new(trainer.recipe.phases[0].optimizer);
    let mut state = TrainingState::new(parameters, optimizer);
    state.loss_scale = LossScale::of(trainer.recipe.precision);
    let mut sweeps = Vec::new();
    for (number, phase) in trainer.recipe.phases.iter().enumerate() {
        state.begin_phase(phase);
        let current = trainer.begin_phase(number, &state.parameters, observe)?;
        if phase.is_solved() {
            observe(Event::Note(message!(
                "{}: a head that is solved has no learning rate",
                phase.name
            )));
            let solved = trainer.solve_head(&current.frozen, phase, observe)?;
            if let Some(solved) = solved {
                state.take_head(solved.parameters);
                state.keep_only(&trainer.parameter_infos());
            }
            continue;
        }
        let rising =
            |step: usize| RATES[0] * (RATES[1] / RATES[0]).powf(step as f64 / (STEPS - 1) as f64);
        let losses = steps(
            &trainer,
            &current,
            &mut state.clone(),
            STEPS,
            rising,
            observe,
        )?;
        let curve = smoothed(&losses, rising);
        let (suggestion, found_by) = suggestion(&losses, &curve).unzip();
        if number + 1 < trainer.recipe.phases.len() {
            let lr = suggestion.unwrap_or(phase.lr);
            let most = STEPS.min(EPOCHS_BEFORE * trainer.steps_per_epoch(phase));
            steps(&trainer, &current, &mut state, most, |_| lr, observe)?;
        }
        sweeps.push(Sweep {
            phase: phase.name.clone(),
            recipe_lr: phase.lr,
            suggestion,
            found_by,
            curve,
        });
    }
    Ok(sweeps)
}

/// The losses of steps at these rates, up to one that is not finite or far above those of the beginning.
fn steps<T: Task>(
    trainer: &Trainer<T>,
    current: &CurrentPhase,
    state: &mut TrainingState,
    most: usize,
    rate: impl Fn(usize) -> f64,
    observe: Observer,
) -> Result<Vec<f64>, Error> {
    let phase = &trainer.recipe.phases[current.number];
    let step = trainer.step(current);
    let started = Instant::now();
    let mut losses = Vec::new();
    for epoch in 1.. {
        let source = current.frozen.training_source(
            &trainer.task,
            &trainer.data,
            phase,
            phase.view(epoch, 0),
        );
        let left = most - losses.len();
        let batches = trainer.data.batches(&trainer.recipe, epoch, phase, 0);
        let loader = Loader::new(
            batches.first(left),
            trainer.resources.workers,
            batches_ahead(phase.batch),
            source.prepare(),
        );
        for batch in loader {
            let batch = batch?;
            let features = trainer.features(&current.frozen, &batch, &source, observe);
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            let lr = rate(losses.len());
            let updates = state.optimizer.steps;
            let images = targets.len();
            let loss = step.run(state, features, &targets, images, lr, None, &mut |_| ());
            let Ok(loss) = loss else {
                return Ok(losses);
            };
            // Gradients that overflow in f16 change nothing but the factor on the loss. They do so a few times in a row
            // at most: at a factor of 1 the step is refused.
            if state.optimizer.steps == updates {
                continue;
            }
            losses.push(loss);
            let images = (losses.len() * phase.batch) as f64;
            observe(Event::Step(Progress {
                epoch: current.number + 1,
                epochs: trainer.recipe.phases.len(),
                epoch_in_phase: 1,
                epochs_in_phase: 1,
                step: losses.len(),
                steps: most,
                loss,
                images_per_second: images / started.elapsed().as_secs_f64(),
            }));
            if losses.len() == most || has_diverged(&losses) {
                return Ok(losses);
            }
        }
    }
    unreachable!("epochs do not end")
}

/// Exponential moving average of all losses, corrected for its start at zero.
fn smooth(losses: &[f64]) -> f64 {
    let mut weight = 0.0;
    let mut sum = 0.0;
    for loss in losses {
        weight = SMOOTHING * weight + 1.0;
        sum = SMOOTHING * sum + loss;
    }
    sum / weight
}

fn smoothed(losses: &[f64], rate: impl Fn(usize) -> f64) -> Vec<Point> {
    let point = |step: usize| Point {
        lr: rate(step),
        loss: smooth(&losses[..=step]),
    };
    (0..losses.len()).map(point).collect()
}

/// Mean and standard deviation of the losses of the beginning; `None` until it is over.
fn beginning(losses: &[f64]) -> Option<(f64, f64)> {
    let still = losses.get(..STILL)?;
    let mean = still.iter().sum::<f64>() / STILL as f64;
    let squares = still.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>();
    Some((mean, (squares / STILL as f64).sqrt()))
}

fn has_diverged(losses: &[f64]) -> bool {
    beginning(losses).is_some_and(|(mean, _)| smooth(losses) > DIVERGED * mean)
}

fn suggestion(losses: &[f64], curve: &[Point]) -> Option<(f64, FoundBy)> {
    let (mean, deviation) = beginning(losses)?;
    let luck = (WON * mean).max(BEYOND_LUCK * deviation);
    let moved = &curve[STILL..];
    let lowest = moved.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))?;
    if lowest.loss < mean - luck {
        return Some((SHARE_OF_LOWEST * lowest.lr, FoundBy::Lowest));
    }
    let last_low = moved.iter().rposition(|point| point.loss <= mean + luck)?;
    let rise = moved.get(last_low + 1)?;
    Some((SHARE_OF_RISE * rise.lr, FoundBy::Rise))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moving_average_begins_at_the_first_loss_and_forgets() {
        assert_eq!(smooth(&[2.0]), 2.0);
        assert!((smooth(&[2.0, 1.0]) - (0.9 * 2.0 + 1.0) / 1.9).abs() < 1e-12);
        let mut long = vec![5.0; 3];
        long.extend([1.0; 200]);
        assert!((smooth(&long) - 1.0).abs() < 1e-6);
    }

    /// The suggestion after a beginning around 2, with this much noise, and these losses.
    fn suggested(luck: f64, losses: &[f64]) -> Option<(f64, FoundBy)> {
        let mut all: Vec<f64> = (0..STILL)
            .map(|step| 2.0 + luck * [-1.0, 1.0][step % 2])
            .collect();
        all.extend(losses);
        let points = all.iter().enumerate().map(|(step, &loss)| Point {
            lr: 10f64.powi(step as i32 - STILL as i32 - 2),
            loss,
        });
        let curve: Vec<Point> = points.collect();
        suggestion(&all, &curve)
    }

    #[test]
    fn a_tenth_of_the_rate_of_the_lowest_loss_is_suggested_if_the_loss_falls() {
        let (lr, by) = suggested(0.1, &[1.9, 1.0, 0.5, 3.0]).unwrap();
        assert!((lr - 0.1).abs() < 1e-12 && by == FoundBy::Lowest, "{lr}");
        assert_eq!(suggested(0.0, &[1.99, 1.99, 2.0]), None);
        assert_eq!(suggestion(&[2.0], &[]), None);
    }

    #[test]
    fn a_fall_by_chance_gives_no_suggestion() {
        assert_eq!(suggested(1.0, &[1.9, 1.2, 1.9]), None);
        assert!(suggested(0.1, &[1.9, 1.2, 1.9]).is_some());
    }

    #[test]
    fn where_the_loss_does_not_fall_a_third_of_the_rate_at_which_it_rises_is_suggested() {
        let (lr, by) = suggested(0.0, &[2.0, 1.99, 3.0, 4.0]).unwrap();
        assert!(
            (lr - 1.0 / 3.0).abs() < 1e-12 && by == FoundBy::Rise,
            "{lr}"
        );
    }

    #[test]
    fn a_loss_diverges_from_where_it_began_and_not_from_its_lowest() {
        let mut losses = vec![2.0; STILL];
        losses.extend([0.1; 40]);
        losses.extend([1.0; 3]);
        assert!(!has_diverged(&losses));
        losses.extend([50.0; 3]);
        assert!(has_diverged(&losses));
        assert!(!has_diverged(&[0.1, 9.0]));
    }
}
