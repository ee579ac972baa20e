//! `warmstart lr-find`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_workflows::lr_find::{FoundBy, Sweep, lr_find as find};

use super::Failure;
use super::train::{draft_of_one, resources};
use crate::arguments::LrFind;
use crate::printing;
use crate::progress::{Output, Progress};

pub fn lr_find(arguments: LrFind) -> Result<(), Failure> {
    warmstart_report::require_place(&arguments.picture)?;
    let resources = resources(&arguments.train.threads, &arguments.train.cache)?;
    let draft = draft_of_one(&arguments.train)?;
    let mut progress = Progress::new(Output::BesideResults);
    let sweeps = find(draft, resources, &mut |event| progress.show(event))?;
    progress.clear();
    warmstart_report::draw_sweeps(&arguments.picture, &sweeps)?;
    let mut out = stdout().lock();
    for sweep in &sweeps {
        if arguments.json {
            printing::json(&mut out, sweep)?;
        } else {
            printing::line(&mut out, line(sweep))?;
        }
    }
    if !arguments.json {
        let picture = message!("picture: {}", shown(&arguments.picture));
        printing::line(&mut out, picture)?;
    }
    Ok(())
}

fn line(sweep: &Sweep) -> String {
    let Sweep {
        phase,
        recipe_lr,
        suggestion,
        found_by,
        curve,
    } = sweep;
    let steps = curve.len();
    match suggestion.zip(*found_by) {
        Some((lr, FoundBy::Lowest)) => message!(
            "{phase}: {lr:.1e} (the recipe has {recipe_lr:.1e}): a tenth of the rate at which the loss is lowest"
        ),
        Some((lr, FoundBy::Rise)) => message!(
            "{phase}: {lr:.1e} (the recipe has {recipe_lr:.1e}): the loss does not fall within {steps} steps; a third \
             of the rate at which it begins to rise"
        ),
        None => message!(
            "{phase}: no suggestion, the loss neither falls nor rises in {steps} steps; the recipe has {recipe_lr:.1e}"
        ),
    }
}
