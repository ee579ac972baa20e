//! `warmstart lr-find`.

use std::io::{Write, stdout};

use warmstart_train::lr_find::{Sweep, lr_find as find};

use super::Failure;
use super::train::{draft, machine};
use crate::arguments::LrFind;
use crate::progress::Progress;

pub fn lr_find(arguments: LrFind) -> Result<(), Failure> {
    let machine = machine(&arguments.train.threads, &arguments.train.cache)?;
    let draft = draft(arguments.train)?;
    let mut progress = Progress::new();
    let sweeps = find(draft, machine, &mut |event| progress.show(event))?;
    progress.clear();
    warmstart_report::draw_sweeps(&arguments.picture, &sweeps)?;
    let mut out = stdout().lock();
    for sweep in &sweeps {
        match arguments.json {
            true => writeln!(
                out,
                "{}",
                serde_json::to_string(sweep).expect("a sweep is plain data")
            )?,
            false => writeln!(out, "{}", line(sweep))?,
        }
    }
    if !arguments.json {
        writeln!(out, "picture: {}", arguments.picture.display())?;
    }
    Ok(())
}

fn line(sweep: &Sweep) -> String {
    let Sweep {
        phase,
        recipe_lr,
        suggestion,
        curve,
    } = sweep;
    match suggestion {
        Some(lr) => format!(
            "{phase}: {lr:.1e} (the recipe has {recipe_lr:.1e}): a tenth of the rate at which the loss is lowest"
        ),
        None => format!(
            "{phase}: no suggestion, the loss hardly falls in {} steps; the recipe has {recipe_lr:.1e}",
            curve.len()
        ),
    }
}
