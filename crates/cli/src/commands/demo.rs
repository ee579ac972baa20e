//! `warmstart demo`.

use std::io::stdout;

use serde::Serialize;
use warmstart_files::text;
use warmstart_language::{message, translated};
use warmstart_metrics::Interval;
use warmstart_workflows::demo::{
    Demo, DemoRun, DemoTask, Gain, Outcome, Request, Results, Size, Start, results,
};

use super::Failure;
use super::train::resources;
use crate::arguments;
use crate::printing::{json, line, print_to_stderr};
use crate::progress::{Output, Progress, interval, noted};
use crate::run_pages::page;
use crate::signals::Signals;
use crate::text_table::{rows, unknown};

/// A run as JSON.
#[derive(Serialize)]
struct RunLine<'a> {
    task: DemoTask,
    start: Start,
    seed: u64,
    command: &'a str,
    run: String,
    metric: &'a str,
    value: f64,
    interval: Option<Interval>,
    seconds: f64,
}

/// A run that is not trained, as JSON.
#[derive(Serialize)]
struct CommandLine {
    task: DemoTask,
    start: Start,
    seed: u64,
    command: String,
}

pub fn demo(arguments: &arguments::Demo) -> Result<(), Failure> {
    let mut resources = resources(&arguments.threads, &arguments.cache)?;
    // A run that goes on in another process, for lack of memory, says no more than its result.
    resources.restart_flags.push("--quiet".into());
    let demo = Demo::begin(&Request {
        out: arguments.out.clone(),
        seeds: arguments.seeds.into(),
        size: Size {
            pictures: arguments.pictures.into(),
            epochs: arguments.epochs.into(),
        },
        device: arguments.device.given(),
    })?;
    if arguments.data_only {
        return commands(&demo, arguments.json);
    }
    let signals = Signals::catch(&resources.stop)?;
    let workers = resources.workers;
    let mut progress = Progress::new(Output::Own);
    let mut outcomes = Vec::new();
    for run in &demo.runs {
        if !arguments.json {
            announce(&demo, run)?;
        }
        let is_there = demo.has(run);
        let trained = demo.train(run, resources.clone(), &mut |event| progress.show(event));
        let outcome = match trained {
            Ok(outcome) => outcome,
            Err(error) => return progress.end(signals.ended::<()>(Err(error))),
        };
        progress.clear();
        let mut out = stdout().lock();
        if arguments.json {
            json(&mut out, &run_line(&outcome))?;
        } else {
            line(&mut out, outcome_line(&outcome, is_there))?;
        }
        outcomes.push(outcome);
    }
    let results = results(&outcomes);
    let mut out = stdout().lock();
    if arguments.json {
        json(&mut out, &results)?;
    } else {
        line(&mut out, "")?;
        for text in table(&results).into_iter().chain(verdicts(&results)) {
            line(&mut out, text)?;
        }
    }
    drop(out);
    if let Some(best) = best(&outcomes) {
        match page(&best.folder, workers) {
            Ok(text) if arguments.json => print_to_stderr(text),
            Ok(text) => line(&mut stdout().lock(), text)?,
            Err(why) => print_to_stderr(noted(message!("there is no report: {why}"))),
        }
    }
    Ok(())
}

/// Prints the commands of all runs.
fn commands(demo: &Demo, as_json: bool) -> Result<(), Failure> {
    let mut out = stdout().lock();
    for run in &demo.runs {
        let command = demo.command(run);
        if as_json {
            let DemoRun { task, start, seed } = *run;
            json(
                &mut out,
                &CommandLine {
                    task,
                    start,
                    seed,
                    command,
                },
            )?;
        } else {
            line(&mut out, command)?;
        }
    }
    Ok(())
}

/// Prints what comes, where a part begins, and the command of a run.
fn announce(demo: &Demo, run: &DemoRun) -> Result<(), Failure> {
    let mut out = stdout().lock();
    if run.seed == 1 && run.start == Start::Scratch {
        let words = match run.task {
            DemoTask::Source => message!(
                "source: six shapes with two textures, to pretrain a network from random weights"
            ),
            DemoTask::Related => message!(
                "related: six other shapes, few pictures; from random weights (all trained, and the head alone), then from \
                 pretrained ones (the head alone, and thawed)"
            ),
            DemoTask::Unrelated => message!(
                "unrelated: noise without shapes, told apart by its colour; the same four starts"
            ),
        };
        line(&mut out, words)?;
    }
    Ok(line(&mut out, format!("  {}", demo.command(run)))?)
}

fn outcome_line(outcome: &Outcome, is_there: bool) -> String {
    let metric = translated(&outcome.metric);
    let interval = interval(outcome.interval);
    let Outcome { value, seconds, .. } = outcome;
    if is_there {
        message!("    {metric} {value:.4}{interval}, {seconds:.1} s, finished by an earlier start")
    } else {
        message!("    {metric} {value:.4}{interval}, {seconds:.1} s")
    }
}

fn run_line(outcome: &Outcome) -> RunLine<'_> {
    RunLine {
        task: outcome.run.task,
        start: outcome.run.start,
        seed: outcome.run.seed,
        command: &outcome.command,
        run: text(&outcome.folder).into_owned(),
        metric: &outcome.metric,
        value: outcome.value,
        interval: outcome.interval,
        seconds: outcome.seconds,
    }
}

/// The table: a line for each target and start.
fn table(results: &Results) -> Vec<String> {
    let head = [
        message!("target"),
        message!("start"),
        message!("accuracy"),
        message!("bought, points"),
        message!("seconds"),
    ];
    let cells = |of: &Gain| {
        let bought = of.bought.zip(of.bought_deviation);
        [
            translated(of.task.name()).to_owned(),
            translated(of.start.name()).to_owned(),
            format!("{:.3}{}", of.mean, spread(of, of.deviation, 3)),
            unknown(bought.map(|(mean, deviation)| points(of, mean, deviation))),
            format!("{:.1}", of.seconds),
        ]
    };
    rows(&head, results.lines.iter().map(cells))
}

/// A difference in points, with its spread.
fn points(of: &Gain, mean: f64, deviation: f64) -> String {
    format!("{:+.1}{}", 100.0 * mean, spread(of, 100.0 * deviation, 1))
}

/// The spread over the seeds, to so many digits; one seed has none.
fn spread(of: &Gain, deviation: f64, digits: usize) -> String {
    if of.seeds > 1 {
        format!(" ± {deviation:.digits$}")
    } else {
        String::new()
    }
}

/// What the table says, in sentences.
fn verdicts(results: &Results) -> Vec<String> {
    let seeds = results.lines.first().map_or(0, |of| of.seeds);
    let mut lines = vec![match seeds {
        1 => message!("one seed: no spread; --seeds 3 shows how much is luck"),
        seeds => message!(
            "mean ± standard deviation over {seeds} seeds, each with training pictures of its own"
        ),
    }];
    for of in &results.lines {
        if of.start == Start::Thawed
            && let Some((mean, deviation)) = of.bought.zip(of.bought_deviation)
        {
            lines.push(message!(
                "{} target: pretraining bought {} points (thawed against the better start from random weights)",
                translated(of.task.name()),
                points(of, mean, deviation)
            ));
        }
    }
    lines.push(message!(
        "the pretraining itself took {:.1} s, once for all; the seconds are those of the epochs",
        results.pretraining_seconds
    ));
    lines
}

/// The run of the related target with the highest metric; among equals, the first.
fn best(outcomes: &[Outcome]) -> Option<&Outcome> {
    let mut best: Option<&Outcome> = None;
    for outcome in outcomes {
        let is_of_target = outcome.run.task == DemoTask::Related;
        if is_of_target && best.is_none_or(|best| outcome.value > best.value) {
            best = Some(outcome);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(start: Start, seeds: usize, bought: Option<f64>) -> Gain {
        Gain {
            task: DemoTask::Related,
            start,
            seeds,
            mean: 0.5,
            deviation: 0.02,
            bought,
            bought_deviation: bought.map(|_| 0.01),
            seconds: 3.0,
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_start_and_a_spread_for_several_seeds() {
        let results = |seeds| Results {
            lines: vec![
                gain(Start::Scratch, seeds, None),
                gain(Start::Thawed, seeds, Some(0.25)),
            ],
            pretraining_seconds: 40.0,
        };
        let lines = table(&results(3));
        assert_eq!(
            lines[1..],
            [
                "related  scratch  0.500 ± 0.020  –                   3.0",
                "related  thawed   0.500 ± 0.020  +25.0 ± 1.0         3.0",
            ]
        );
        assert!(verdicts(&results(3))[1].contains("bought +25.0 ± 1.0 points"));
        assert!(!table(&results(1)).concat().contains('±'));
        assert!(verdicts(&results(1))[0].starts_with("one seed"));
    }
}
