//! `warmstart weights`.

use std::io::stdout;

use super::Failure;
use crate::arguments::{Inspect, WeightsCommand};
use crate::printing::{json, lines};

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
        json(&mut out, &inspection)?;
    } else {
        lines(&mut out, &inspection.report())?;
    }
    Ok(())
}
