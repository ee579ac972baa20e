//! `warmstart plan`, and the process that measures for it.

use std::io::{BufRead, stdin, stdout};
use std::{io, process, thread};

use super::train::{draft_of_one, program, resources};
use super::{Failure, start_threads};
use crate::arguments::Plan;
use crate::plan_table::plan_lines;
use crate::printing;
use crate::progress::{Output, Progress};
use crate::ranks_table::ranks_lines;

pub fn plan(arguments: Plan) -> Result<(), Failure> {
    let machines = arguments.machines.get();
    let (json, arguments) = (arguments.json, arguments.train);
    let resources = resources(&arguments.threads, &arguments.cache)?;
    let draft = draft_of_one(&arguments)?;
    let mut progress = Progress::new(Output::BesideResults);
    let planned =
        warmstart_workflows::plan::plan(draft, resources, machines.as_ref(), &mut |event| {
            progress.show(event)
        })?;
    let mut out = stdout().lock();
    if json {
        return Ok(printing::json(&mut out, &planned)?);
    }
    let columns = printing::stdout_columns().unwrap_or(printing::USUAL_COLUMNS);
    let mut lines = plan_lines(&planned.plan, columns);
    lines.extend(
        planned
            .ranks
            .iter()
            .flat_map(|ranks| ranks_lines(ranks, columns)),
    );
    for line in lines {
        printing::line(&mut out, line)?;
    }
    Ok(())
}

/// Answers the request of a process that plans, which is one line. The input stays open as long as that process waits;
/// this process ends with it, whatever ends it.
pub fn probe() -> Result<(), Failure> {
    let mut request = String::new();
    stdin().lock().read_line(&mut request)?;
    thread::spawn(|| {
        // Nobody waits for the answer any more, whether reading succeeds or fails.
        let _ = io::copy(&mut stdin().lock(), &mut io::sink());
        process::exit(0)
    });
    let cost = warmstart_workflows::plan::measure_request(&request, &program()?, start_threads)?;
    Ok(printing::json(&mut stdout(), &cost)?)
}
