//! `warmstart plan`, and the process that measures for it.

use std::io::{self, BufRead, Write, stdin, stdout};
use std::{process, thread};

use super::train::{draft_of_one, machine, program};
use super::{Failure, use_threads};
use crate::arguments::{Plan, Probe};
use crate::printing;
use crate::progress::{Progress, plan_lines};

pub fn plan(arguments: Plan) -> Result<(), Failure> {
    let (json, arguments) = (arguments.json, arguments.train);
    let machine = machine(&arguments.threads, &arguments.cache)?;
    let draft = draft_of_one(arguments)?;
    let mut progress = Progress::new();
    let plan = warmstart_train::plan(draft, machine, &mut |event| progress.show(event))?;
    let mut out = stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &plan)
            .map_err(|error| Failure::failed(error.to_string()))?;
        writeln!(out)?;
        return Ok(());
    }
    for line in plan_lines(&plan) {
        printing::line(&mut out, line)?;
    }
    Ok(())
}

/// Answers the request of a process that plans: a line. The input stays open for as long as that process
/// waits; when it ends, by whatever signal, so does this one.
pub fn probe(arguments: Probe) -> Result<(), Failure> {
    use_threads(&arguments.threads)?;
    let mut request = String::new();
    stdin().lock().read_line(&mut request)?;
    thread::spawn(|| {
        // Nobody waits for the answer any more, whatever the reading comes to.
        let _ = io::copy(&mut stdin().lock(), &mut io::sink());
        process::exit(0)
    });
    let cost = warmstart_train::probe::measure(&request, &program()?)?;
    serde_json::to_writer(stdout(), &cost).map_err(|error| Failure::failed(error.to_string()))
}
