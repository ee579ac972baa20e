//! What the runs of a demonstration show: their accuracies, and what pretraining has bought.

use std::path::PathBuf;

use serde::Serialize;
use warmstart_metrics::{Interval, mean_and_deviation};

use super::runs::{DemoRun, DemoTask, Start};

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The run.
    pub run: DemoRun,
    /// Its folder.
    pub folder: PathBuf,
    /// The command that trains it.
    pub command: String,
    /// Name of the metric.
    pub metric: String,
    /// The metric of the kept model on the validation images, a fraction of one.
    pub value: f64,
    /// Its 95% confidence interval.
    pub interval: Option<Interval>,
    /// Time of its epochs in seconds.
    pub seconds: f64,
}

/// The runs of a target and a start, all seeds together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// The target.
    pub task: DemoTask,
    /// The start.
    pub start: Start,
    /// Number of seeds.
    pub seeds: usize,
    /// Mean of the metric over the seeds, a fraction of one.
    pub mean: f64,
    /// Its sample standard deviation; 0 for one seed.
    pub deviation: f64,
    /// Mean over the seeds of the difference from the better run from random weights with the same seed and pictures;
    /// `null` without pretrained weights.
    pub bought: Option<f64>,
    /// The sample standard deviation of these differences.
    pub bought_deviation: Option<f64>,
    /// Mean time of the epochs in seconds.
    pub seconds: f64,
}

/// The results of a demonstration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// A line for each target and start.
    pub lines: Vec<Gain>,
    /// Seconds of the pretraining, which all targets share.
    pub pretraining_seconds: f64,
}

/// The results of the runs.
pub fn results(outcomes: &[Outcome]) -> Results {
    let mut lines = Vec::new();
    for task in [DemoTask::Related, DemoTask::Unrelated] {
        let without = Start::ALL.map(|start| match start.is_pretrained() {
            true => Vec::new(),
            false => of(outcomes, task, start),
        });
        // Of each seed, the better of its runs without pretrained weights.
        let better = |seed: u64| {
            let own = without.iter().flatten().filter(|run| run.run.seed == seed);
            own.map(|run| run.value).fold(f64::NEG_INFINITY, f64::max)
        };
        for start in Start::ALL {
            let runs = of(outcomes, task, start);
            let values: Vec<f64> = runs.iter().map(|run| run.value).collect();
            let (mean, deviation) = mean_and_deviation(&values);
            let differences = runs.iter().map(|run| run.value - better(run.run.seed));
            let differences: Vec<f64> = differences.collect();
            let bought = start
                .is_pretrained()
                .then(|| mean_and_deviation(&differences));
            let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
            lines.push(Gain {
                task,
                start,
                seeds: runs.len(),
                mean,
                deviation,
                bought: bought.map(|(mean, _)| mean),
                bought_deviation: bought.map(|(_, deviation)| deviation),
                seconds: mean_and_deviation(&seconds).0,
            });
        }
    }
    let pretraining = of(outcomes, DemoTask::Source, Start::Scratch);
    Results {
        lines,
        pretraining_seconds: pretraining.iter().map(|run| run.seconds).sum(),
    }
}

/// The runs of a task and a start, by seed.
fn of(outcomes: &[Outcome], task: DemoTask, start: Start) -> Vec<&Outcome> {
    let is_of = |outcome: &&Outcome| outcome.run.task == task && outcome.run.start == start;
    let mut found: Vec<&Outcome> = outcomes.iter().filter(is_of).collect();
    found.sort_by_key(|outcome| outcome.run.seed);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(task: DemoTask, start: Start, seed: u64, value: f64) -> Outcome {
        Outcome {
            run: DemoRun { task, start, seed },
            folder: PathBuf::new(),
            command: String::new(),
            metric: "top-1 accuracy".to_owned(),
            value,
            interval: None,
            seconds: 2.0,
        }
    }

    #[test]
    fn what_was_bought_is_a_difference_from_the_better_start_of_the_same_seed() {
        let mut outcomes = vec![outcome(DemoTask::Source, Start::Scratch, 1, 0.9)];
        // In any order.
        for (seed, scratch, thawed) in [(2, 0.5, 0.75), (1, 0.25, 0.75)] {
            for task in [DemoTask::Related, DemoTask::Unrelated] {
                outcomes.push(outcome(task, Start::Scratch, seed, scratch - 0.125));
                outcomes.push(outcome(task, Start::Random, seed, scratch));
                outcomes.push(outcome(task, Start::Frozen, seed, scratch));
                outcomes.push(outcome(task, Start::Thawed, seed, thawed));
            }
        }
        let results = results(&outcomes);
        assert_eq!(results.lines.len(), 8);
        assert_eq!(results.pretraining_seconds, 2.0);
        let thawed = &results.lines[3];
        assert_eq!(
            (thawed.task, thawed.start),
            (DemoTask::Related, Start::Thawed)
        );
        assert_eq!((thawed.mean, thawed.deviation), (0.75, 0.0));
        assert_eq!(thawed.bought, Some(0.375));
        assert_eq!(thawed.bought_deviation, Some(0.03125f64.sqrt()));
        assert_eq!(results.lines[0].bought, None);
        assert_eq!(results.lines[1].bought, None);
        assert_eq!(results.lines[2].bought, Some(0.0));
    }
}
