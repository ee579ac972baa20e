//! A run of a command that makes several: trained, continued, or used as it is.

use std::path::Path;

use warmstart_language::message;
use warmstart_recipe::run_files::RECIPE;
use warmstart_recipe::{Draft, Error, Problem, resolve};
use warmstart_run::event::Observer;
use warmstart_run::folder::{recipe_of, summary_of};
use warmstart_run::summary::{RunState, Summary};
use warmstart_train::resources::Resources;

use crate::resume::{Changes, resume};
use crate::train::train;

/// Trains a run to its end. One that is there is continued, or used as it is if it is finished. The draft names its
/// model. `other` is the fix for a run of another request.
///
/// # Errors
/// As [`train`] and [`resume`], and if the run that is there was requested with other options.
pub fn complete(
    draft: Draft,
    run: &Path,
    other: &str,
    resources: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    if !run.join(RECIPE).exists() {
        return train(draft, Some(run.to_owned()), resources, observe);
    }
    require_same(run, draft, other)?;
    match finished(run) {
        Some(summary) => Ok(summary),
        None => resume(run, &Changes::default(), resources, observe),
    }
}

/// The summary of a run that is finished.
pub fn finished(run: &Path) -> Option<Summary> {
    summary_of(run).filter(|summary| summary.state == RunState::Finished)
}

/// Refuses a run of another request.
fn require_same(run: &Path, draft: Draft, other: &str) -> Result<(), Error> {
    let (recipe, _) = recipe_of(run)?;
    let (asked, undecided) = resolve(draft)?;
    match undecided.differences(&asked, &recipe).first() {
        None => Ok(()),
        Some(difference) => {
            let what = message!("it was requested with other options ({difference})");
            Err(Problem::new(what).of_file(run).fix(other).into())
        }
    }
}
