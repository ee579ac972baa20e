//! `warmstart report` and `warmstart compare`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_language::{message, translated};
use warmstart_workflows::compare::{Compared, compare as compare_runs};
use warmstart_workflows::report::report as report_of;

use super::{Failure, use_threads};
use crate::arguments::{Compare, Report};
use crate::printing::{json, line, print_to_stderr};
use crate::progress::noted;
use crate::text_table::{rows, unknown};

pub fn report(arguments: Report) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let report = report_of(&arguments.run, workers, &warmstart_nn::device())?;
    if let Some(why) = &report.why_not_judged {
        print_to_stderr(noted(message!("without the kept model's answers: {why}")));
    }
    if report.lost > 0 {
        print_to_stderr(noted(message!(
            "{} of the run's validation images are gone or changed, or cannot be read, and left out",
            report.lost
        )));
    }
    let path = warmstart_report::write_report(&report)?;
    Ok(line(
        &mut stdout().lock(),
        message!("report: {}", shown(&path)),
    )?)
}

pub fn compare(arguments: Compare) -> Result<(), Failure> {
    if let Some(page) = &arguments.page {
        warmstart_report::require_place_of_comparison(page)?;
    }
    let workers = use_threads(&arguments.threads)?;
    let comparison = compare_runs(&arguments.runs, workers)?;
    let mut out = stdout().lock();
    if arguments.json {
        for run in &comparison.lines {
            json(&mut out, run)?;
        }
    } else {
        for text in table(&comparison.lines) {
            line(&mut out, text)?;
        }
        for run in &comparison.lines {
            if let Some(why) = &run.untested {
                print_to_stderr(noted(message!("{} was not tested: {why}", shown(&run.run))));
            }
        }
    }
    if let Some(page) = &arguments.page {
        warmstart_report::write_comparison(page, &comparison)?;
        print_to_stderr(message!("page: {}", shown(page)));
    }
    Ok(())
}

fn table(runs: &[Compared]) -> Vec<String> {
    let metric = runs.first().map_or("", |first| translated(&first.metric));
    let head = [
        message!("run"),
        metric.to_owned(),
        "95%".to_owned(),
        "p".to_owned(),
        message!("epochs"),
        message!("seconds"),
        "MB".to_owned(),
    ];
    let cells = |run: &Compared| {
        let interval = run
            .interval
            .map(|of| message!("{low:.3} to {high:.3}", low = of.low, high = of.high));
        [
            shown(&run.run),
            format!("{:.4}", run.value),
            unknown(interval),
            unknown(run.p_value.map(|p| format!("{p:.3}"))),
            run.epochs.to_string(),
            format!("{:.0}", run.seconds),
            format!("{:.0}", run.peak_mb),
        ]
    };
    rows(&head, runs.iter().map(cells))
}
