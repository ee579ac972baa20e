//! `warmstart weights`.

use std::io::{Write, stdout};

use super::Failure;
use crate::arguments::{Inspect, WeightsCommand};

pub fn weights(command: WeightsCommand) -> Result<(), Failure> {
    match command {
        WeightsCommand::Inspect(arguments) => inspect(arguments),
    }
}

fn inspect(arguments: Inspect) -> Result<(), Failure> {
    let inspection = warmstart_workflows::inspect::inspect(
        &arguments.file,
        arguments.weights_prefix.as_deref(),
    )?;
    let mut out = stdout().lock();
    if arguments.json {
        let json = serde_json::to_string(&inspection).expect("an inspection is plain data");
        writeln!(out, "{json}")?;
    } else {
        write!(out, "{}", inspection.report())?;
    }
    Ok(())
}
