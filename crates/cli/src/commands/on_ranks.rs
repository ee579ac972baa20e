//! A command that several ranks run together: one speaks for all, and all end together.

use std::thread;

use warmstart_ranks::Ranks;
use warmstart_recipe::Error;
use warmstart_train::lockstep::{agree, wait_for_all};

use super::Failure;

/// The result of a command's work on each of the ranks, once all have ended it. Rank 0 prints the error.
pub fn on_ranks(
    ranks: &Ranks,
    as_json: bool,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    if ranks.is_alone() {
        return work();
    }
    let _ends_all = EndsAll(ranks);
    let result = work();
    if let Err(failure) = &result
        && ranks.is_first()
        && !failure.message.is_empty()
    {
        failure.print(as_json);
    }
    // The launcher ends all of them as soon as one ends with an error, and rank 0 may have something to write.
    wait_for_all(ranks);
    result.map_err(|failure| Failure {
        message: String::new(),
        ..failure
    })
}

/// What a rank has prepared by itself, once all have.
///
/// # Errors
/// Its own failure, or that of another.
pub fn prepared<R>(ranks: &Ranks, own: Result<R, Failure>) -> Result<R, Failure> {
    let said = match &own {
        Ok(_) => Ok(()),
        Err(failure) => Err(Error::usage(failure.message.clone())),
    };
    let said = agree(ranks, said);
    let own = own?;
    said?;
    Ok(own)
}

/// Ends all ranks when this one panics: the others would wait for it.
struct EndsAll<'a>(&'a Ranks);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.abort();
        }
    }
}
