//! `warmstart runs`.

use std::io::{Write, stdout};

use warmstart_train::runs::{FoundRun, Status};

use super::Failure;
use crate::arguments::Runs;

pub fn runs(arguments: Runs) -> Result<(), Failure> {
    let found = warmstart_train::runs::runs(&arguments.folder)?;
    let mut out = stdout().lock();
    if arguments.json {
        for run in &found {
            let line = serde_json::to_string(run).expect("a run is plain data");
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    if found.is_empty() {
        writeln!(out, "no run in or below {}", arguments.folder.display())?;
    }
    for run in &found {
        writeln!(out, "{}", run.run.display())?;
        writeln!(out, "  {}", status(run))?;
        if let Some(best) = &run.best {
            writeln!(out, "  best {} {best} ({})", best.metric, best.phase)?;
        }
        if let Some(command) = &run.command {
            writeln!(out, "  {command}")?;
        }
    }
    Ok(())
}

fn status(run: &FoundRun) -> String {
    let epochs = run.epochs;
    match &run.status {
        Status::Running { process, epoch } => {
            let process = process.map_or(String::new(), |number| format!(", process {number}"));
            format!("running: {epoch} of {epochs} epochs are done{process}")
        }
        Status::Interrupted {
            epoch: 0,
            images: 0,
        } => {
            format!("interrupted before the first checkpoint of {epochs} epochs")
        }
        Status::Interrupted { epoch, images: 0 } => {
            format!("interrupted after epoch {epoch} of {epochs}")
        }
        Status::Interrupted { epoch, images } => format!(
            "interrupted in epoch {} of {epochs}, after {images} of its images",
            epoch + 1
        ),
        Status::Finished if epochs == 1 => "finished: 1 epoch".to_owned(),
        Status::Finished => format!("finished: {epochs} epochs"),
        Status::Broken { problem } => format!("broken: {problem}"),
    }
}
