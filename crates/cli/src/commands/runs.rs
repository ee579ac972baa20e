//! `warmstart runs`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_run::list::{FoundRun, Status};

use super::Failure;
use crate::arguments::Runs;
use crate::printing::{json, line};

pub fn runs(arguments: Runs) -> Result<(), Failure> {
    let found = warmstart_run::list::runs(&arguments.folder)?;
    let mut out = stdout().lock();
    if arguments.json {
        for run in &found {
            json(&mut out, run)?;
        }
        return Ok(());
    }
    if found.is_empty() {
        line(
            &mut out,
            format!("no run in or below {}", shown(&arguments.folder)),
        )?;
    }
    for run in &found {
        line(&mut out, shown(&run.run))?;
        line(&mut out, format!("  {}", status(run)))?;
        if let Some(kept) = &run.kept {
            let word = match run.status {
                Status::Finished => "kept",
                Status::Running { .. } | Status::Interrupted { .. } | Status::Broken { .. } => {
                    "highest so far:"
                }
            };
            let figure = format!("  {word} {} {kept} ({})", kept.metric, kept.phase);
            line(&mut out, figure)?;
        }
        if let Some(not_kept) = &run.not_kept {
            line(&mut out, format!("  {not_kept}"))?;
        }
        if let Some(command) = &run.command {
            line(&mut out, format!("  {command}"))?;
        }
    }
    Ok(())
}

fn status(run: &FoundRun) -> String {
    let epochs = run.epochs;
    match &run.status {
        Status::Running { process, epoch } => {
            let process = process.map_or(String::new(), |number| format!(", process {number}"));
            format!("running: {epoch} of {epochs} epochs are finished{process}")
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
