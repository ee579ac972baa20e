//! Which learning rate: Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186),
//! section 3.3. A few steps at a rate that rises from far too small to far too large show where the loss
//! falls, and where it no longer does.

use std::time::Instant;

use serde::Serialize;
use warmstart_data::{Loader, batches};

use crate::Error;
use crate::classify::Classification;
use crate::detect::Detection;
use crate::event::{Event, Observer, Progress};
use crate::job::{CurrentPhase, Job, Machine, batches_ahead};
use crate::launch::{load, make_plan, prepare, resolve, settle_fit};
use crate::optimizer::Optimizer;
use crate::recipe::{self, Draft, Open, Recipe};
use crate::step::Learned;
use crate::task::Task;

/// Steps of a sweep.
const STEPS: usize = 100;
/// Rates at its first and last step.
const RATES: [f64; 2] = [1e-6, 1.0];
/// What of the smoothed loss a step leaves.
const SMOOTHING: f64 = 0.9;
/// Times the lowest smoothed loss at which a sweep ends.
const DIVERGED: f64 = 3.0;
/// Share of the first smoothed loss that has to be won for a suggestion.
const WON: f64 = 0.02;
/// What is suggested, as a share of the rate at which the loss is lowest: there it is about to rise.
const SHARE: f64 = 0.1;

/// A sweep over a phase's rates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// Name of the phase.
    pub phase: String,
    /// The rate that its recipe has.
    pub recipe_lr: f64,
    /// A tenth of the rate at which the loss is lowest; `null` if the loss hardly falls.
    pub suggestion: Option<f64>,
    /// Rate and smoothed loss of each step.
    pub curve: Vec<Point>,
}

/// A step of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Learning rate.
    pub lr: f64,
    /// Moving average of the losses up to this step.
    pub loss: f64,
}

/// Sweeps over the rates of every phase of what [`train`](crate::train) would do. Nothing is written but
/// the cache of frozen features. A later phase starts from what the one before has learned in as many steps at
/// its suggestion.
///
/// # Errors
/// If anything that was asked for is wrong, or an image cannot be read.
pub fn lr_find(draft: Draft, machine: Machine, observe: Observer) -> Result<Vec<Sweep>, Error> {
    let (recipe, open) = resolve(draft)?;
    match recipe.task {
        recipe::Task::Classify => sweeps::<Classification>(recipe, &open, machine, observe),
        recipe::Task::Detect => sweeps::<Detection>(recipe, &open, machine, observe),
    }
}

fn sweeps<T: Task>(
    recipe: Recipe,
    open: &Open,
    machine: Machine,
    observe: Observer,
) -> Result<Vec<Sweep>, Error> {
    let job = prepare::<T>(recipe, open, machine, observe)?;
    let parameters = load(&job, observe)?.parameters;
    let mut job = settle_fit(job, open, &parameters, observe)?;
    make_plan(&mut job, &open.phases, observe)?;
    let optimizer = Optimizer::new(job.recipe.phases[0].optimizer);
    let mut learned = Learned::new(parameters, optimizer);
    let mut sweeps = Vec::new();
    for (number, phase) in job.recipe.phases.iter().enumerate() {
        learned.begin_phase(phase);
        let current = job.begin_phase(number, &learned.parameters, observe)?;
        let rising =
            |step: usize| RATES[0] * (RATES[1] / RATES[0]).powf(step as f64 / (STEPS - 1) as f64);
        let losses = steps(&job, &current, &mut learned.clone(), rising, observe)?;
        let curve = smoothed(&losses, rising);
        let suggestion = suggestion(&curve);
        if number + 1 < job.recipe.phases.len() {
            let lr = suggestion.unwrap_or(phase.lr);
            steps(&job, &current, &mut learned, |_| lr, observe)?;
        }
        sweeps.push(Sweep {
            phase: phase.name.clone(),
            recipe_lr: phase.lr,
            suggestion,
            curve,
        });
    }
    Ok(sweeps)
}

/// The losses of steps at these rates, up to one that is no number.
fn steps<T: Task>(
    job: &Job<T>,
    current: &CurrentPhase,
    learned: &mut Learned,
    rate: impl Fn(usize) -> f64,
    observe: Observer,
) -> Result<Vec<f64>, Error> {
    let phase = &job.recipe.phases[current.number];
    let step = job.step(current);
    let started = Instant::now();
    let mut losses = Vec::new();
    let mut lowest = f64::INFINITY;
    for epoch in 1.. {
        let order = job.task.order(job.recipe.seed, epoch, phase);
        let source = current
            .frozen
            .training_source(&job.task, phase, phase.view(epoch, 0));
        let left = STEPS - losses.len();
        let batches = batches(&order, phase.batch)
            .into_iter()
            .take(left)
            .collect();
        let loader = Loader::new(
            batches,
            job.machine.workers,
            batches_ahead(phase.batch),
            source.prepare(),
        );
        for batch in loader {
            let batch = batch?;
            let features = job.features(&current.frozen, &batch, &source, observe);
            let targets: Vec<_> = batch.into_iter().map(|image| image.target).collect();
            let Ok(loss) = step.run(learned, features, &targets, rate(losses.len()), None) else {
                return Ok(losses);
            };
            losses.push(loss);
            let smooth = smooth(&losses);
            lowest = lowest.min(smooth);
            let images = (losses.len() * phase.batch) as f64;
            observe(Event::Step(Progress {
                epoch: current.number + 1,
                epochs: job.recipe.phases.len(),
                step: losses.len(),
                steps: STEPS,
                loss,
                images_per_second: images / started.elapsed().as_secs_f64(),
            }));
            if losses.len() == STEPS || smooth > DIVERGED * lowest {
                return Ok(losses);
            }
        }
    }
    unreachable!("epochs do not end")
}

/// Moving average of all losses, each weighted less the longer it is ago, without the pull of a beginning at
/// zero.
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

fn suggestion(curve: &[Point]) -> Option<f64> {
    let first = curve.first()?;
    let lowest = curve.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))?;
    (lowest.loss < (1.0 - WON) * first.loss).then_some(SHARE * lowest.lr)
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

    #[test]
    fn a_tenth_of_the_rate_of_the_lowest_loss_is_suggested_if_the_loss_falls() {
        let curve = |losses: &[f64]| -> Vec<Point> {
            let point = |(step, &loss): (usize, &f64)| Point {
                lr: 10f64.powi(step as i32 - 4),
                loss,
            };
            losses.iter().enumerate().map(point).collect()
        };
        let found = suggestion(&curve(&[2.0, 1.9, 1.0, 0.5, 3.0])).unwrap();
        assert!((found - 1e-2).abs() < 1e-12, "{found}");
        assert_eq!(suggestion(&curve(&[2.0, 1.99, 1.99, 4.0])), None);
        assert_eq!(suggestion(&[]), None);
    }
}
