//! `warmstart runs`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_language::{message, translated};
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
            message!("no run in or below {}", shown(&arguments.folder)),
        )?;
    }
    for run in &found {
        line(&mut out, shown(&run.run))?;
        line(&mut out, format!("  {}", status(run)))?;
        if let Some(kept) = &run.kept {
            let (metric, phase) = (translated(&kept.metric), &kept.phase);
            let figure = match run.status {
                Status::Finished => message!("  kept {metric} {kept} ({phase})"),
                Status::Running { .. } | Status::Interrupted { .. } | Status::Broken { .. } => {
                    message!("  highest so far: {metric} {kept} ({phase})")
                }
            };
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
        Status::Running {
            process: Some(process),
            epoch,
        } => message!("running: {epoch} of {epochs} epochs are finished, process {process}"),
        Status::Running {
            process: None,
            epoch,
        } => message!("running: {epoch} of {epochs} epochs are finished"),
        Status::Interrupted {
            epoch: 0,
            images: 0,
        } => {
            message!("interrupted before the first checkpoint of {epochs} epochs")
        }
        Status::Interrupted { epoch, images: 0 } => {
            message!("interrupted after epoch {epoch} of {epochs}")
        }
        Status::Interrupted { epoch, images } => message!(
            "interrupted in epoch {} of {epochs}, after {images} of its images",
            epoch + 1
        ),
        Status::Finished if epochs == 1 => message!("finished: 1 epoch"),
        Status::Finished => message!("finished: {epochs} epochs"),
        Status::Broken { problem } => message!("broken: {problem}"),
    }
}
