//! The processes of a run, called ranks, in lockstep. All of them go the same way through the program; where one alone
//! knows what comes next, or one may fail alone, they tell each other here.
//!
//! Every message begins with the kind of place that it is sent from: a rank that went another way is noticed, instead
//! of read as something that it did not say.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use warmstart_language::message;
use warmstart_ranks::Ranks;
use warmstart_recipe::{Error, Problem};

/// A kind of place at which ranks exchange messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Rank 0 tells the others what it has found out.
    Told = 1,
    /// Each says whether it can go on.
    Agreed,
    /// Each gives its part.
    Gathered,
    /// Each has come to its end.
    Ended,
}

/// A failure as other ranks hear of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Failure {
    host: String,
    words: String,
    /// Whether it is a stop, rather than a failure.
    is_stop: bool,
    /// Whether the request was wrong.
    is_usage: bool,
}

impl Failure {
    fn of(ranks: &Ranks, error: &Error) -> Self {
        Self {
            host: ranks.host().to_owned(),
            words: error.to_string(),
            is_stop: matches!(error, Error::Interrupted { .. }),
            is_usage: error.is_usage(),
        }
    }

    /// The error of the rank that hears of it.
    fn error(self, rank: usize) -> Error {
        let Self {
            host,
            words,
            is_stop,
            is_usage,
        } = self;
        if is_stop {
            // Whoever was stopped says where its run is.
            return Error::Interrupted {
                words,
                run: Default::default(),
            };
        }
        let problem = Problem::new(message!("rank {rank} ({host}): {words}"));
        if is_usage {
            problem.into()
        } else {
            Error::OtherRank(Box::new(problem))
        }
    }
}

/// What a rank says before it goes on.
#[derive(Serialize, Deserialize)]
enum Word {
    Ready,
    Stop,
    Failed(Failure),
}

/// The messages of all ranks at a place, in their order.
///
/// # Panics
/// If a rank is at another place.
fn meet<R: Serialize + DeserializeOwned>(ranks: &Ranks, place: Place, own: &R) -> Vec<R> {
    let all = ranks.gather_all(written(place, own)).into_iter();
    all.enumerate()
        .map(|(rank, bytes)| read(rank, place, &bytes))
        .collect()
}

fn written<R: Serialize>(place: Place, own: &R) -> Vec<u8> {
    let mut bytes = vec![place as u8];
    ciborium::into_writer(own, &mut bytes).expect("plain data fits into memory");
    bytes
}

fn read<R: DeserializeOwned>(rank: usize, place: Place, bytes: &[u8]) -> R {
    let Some(content) = bytes.strip_prefix(&[place as u8]) else {
        panic!("rank {rank} went another way than this one, which is at {place:?}");
    };
    ciborium::from_reader(content).expect("all ranks run the same program")
}

/// Tells the other ranks what rank 0 has found out; they [`hear`] it.
pub fn tell<R: Serialize>(ranks: &Ranks, found: Result<R, &Error>) {
    if ranks.is_alone() {
        return;
    }
    let told = found.map_err(|error| Failure::of(ranks, error));
    ranks.gather_all(written(Place::Told, &told));
}

/// What rank 0 [`tell`]s.
///
/// # Errors
/// If it has failed.
pub fn hear<R: DeserializeOwned>(ranks: &Ranks) -> Result<R, Error> {
    // Only rank 0 says something, but each is seen to be here.
    let all = ranks.gather_all(vec![Place::Told as u8]);
    let told: Result<R, Failure> = read(0, Place::Told, &all[0]);
    told.map_err(|failure| failure.error(0))
}

/// The result of work that rank 0 does alone, while the others wait for it.
///
/// # Errors
/// That of the work.
pub fn first<R: Serialize + DeserializeOwned>(
    ranks: &Ranks,
    work: impl FnOnce() -> Result<R, Error>,
) -> Result<R, Error> {
    if !ranks.is_first() {
        return hear(ranks);
    }
    let found = work();
    tell(ranks, found.as_ref());
    found
}

/// A rank's own result, once all have one.
///
/// # Errors
/// The rank's own error, or that of another.
pub fn agree<R>(ranks: &Ranks, own: Result<R, Error>) -> Result<R, Error> {
    let own = agree_unless_stopped(ranks, own.map(Some))?;
    Ok(own.expect("nobody stops here"))
}

/// A rank's own result, once all have one; `None` if a rank has been stopped before it had its own.
///
/// # Errors
/// The rank's own error, or that of another.
pub fn agree_unless_stopped<R>(
    ranks: &Ranks,
    own: Result<Option<R>, Error>,
) -> Result<Option<R>, Error> {
    if ranks.is_alone() {
        return own;
    }
    let word = match &own {
        Ok(Some(_)) => Word::Ready,
        Ok(None) => Word::Stop,
        Err(error) => Word::Failed(Failure::of(ranks, error)),
    };
    let words = meet(ranks, Place::Agreed, &word);
    let own = own?;
    let mut is_stopped = false;
    for (rank, word) in words.into_iter().enumerate() {
        match word {
            Word::Ready => {}
            Word::Stop => is_stopped = true,
            Word::Failed(failure) => return Err(failure.error(rank)),
        }
    }
    Ok(own.filter(|_| !is_stopped))
}

/// What each rank gives, in their order, on every rank.
pub fn gather<R: Serialize + DeserializeOwned>(ranks: &Ranks, own: &R) -> Vec<R> {
    meet(ranks, Place::Gathered, own)
}

/// Hands what each rank gives to `each`, in their order, on every rank; only one of them is in memory at a time.
pub fn gather_each<R: Serialize + DeserializeOwned>(
    ranks: &Ranks,
    own: &R,
    each: &mut dyn FnMut(R),
) {
    let all = ranks.gather_all(written(Place::Gathered, own));
    for (rank, bytes) in all.into_iter().enumerate() {
        each(read(rank, Place::Gathered, &bytes));
    }
}

/// Waits until every rank has come to its end: a launcher of MPI ends all of them as soon as one ends with an error.
pub fn wait_for_all(ranks: &Ranks) {
    if !ranks.is_alone() {
        meet(ranks, Place::Ended, &());
    }
}

/// A thing that all ranks of a run have to have in common.
pub struct Common {
    /// The thing, in words.
    pub what: String,
    /// Its value here.
    pub value: String,
    /// How to make it the same.
    pub fix: String,
}

/// Refuses ranks that differ from rank 0.
///
/// # Errors
/// The same on all ranks: it names the first that differs, and in what.
pub fn require_common(ranks: &Ranks, own: &[Common]) -> Result<(), Error> {
    if ranks.is_alone() {
        return Ok(());
    }
    let values: Vec<String> = own.iter().map(|common| common.value.clone()).collect();
    let all = gather(ranks, &(ranks.host().to_owned(), values));
    let (_, expected) = &all[0];
    for (rank, (host, found)) in all.iter().enumerate() {
        let mut pairs = own.iter().zip(expected.iter().zip(found));
        let Some((common, (expected, found))) = pairs.find(|(_, (one, other))| one != other) else {
            continue;
        };
        let what = message!(
            "rank {rank} ({host}) has another {} than rank 0: {found} instead of {expected}",
            common.what
        );
        return Err(Error::OtherRank(Box::new(Problem {
            expected: expected.clone(),
            found: found.clone(),
            fix: common.fix.clone(),
            ..Problem::new(what)
        })));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What each of some ranks says.
    fn on_ranks<R: Send + 'static>(
        count: usize,
        work: impl Fn(&Ranks) -> R + Clone + Send + 'static,
    ) -> Vec<thread::Result<R>> {
        let threads = Ranks::of_threads(count).into_iter().map(|ranks| {
            let work = work.clone();
            thread::spawn(move || work(&ranks))
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(thread::JoinHandle::join).collect()
    }

    fn words<R>(results: Vec<thread::Result<Result<R, Error>>>) -> Vec<Option<String>> {
        let results = results.into_iter().map(Result::unwrap);
        results
            .map(|result| result.err().map(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn all_ranks_have_what_the_first_has_found() {
        let found = on_ranks(3, |ranks| {
            first(ranks, || Ok((ranks.rank(), f64::NAN, "a".to_owned()))).unwrap()
        });
        for found in found {
            let (rank, number, text) = found.unwrap();
            assert!(rank == 0 && number.is_nan() && text == "a");
        }
    }

    #[test]
    fn a_failure_of_the_first_ends_all() {
        let found = on_ranks(2, |ranks| {
            first(ranks, || Err::<(), _>(Error::usage("no data")))
        });
        let words = words(found);
        assert_eq!(words[0].as_deref(), Some("no data"));
        let heard = words[1].as_deref().unwrap();
        assert!(
            heard.starts_with("rank 0 (") && heard.ends_with("): no data"),
            "{heard}"
        );
    }

    #[test]
    fn a_failure_of_one_is_that_of_all() {
        let found = on_ranks(3, |ranks| match ranks.rank() {
            1 => agree(ranks, Err(Error::refused("lost"))),
            rank => agree(ranks, Ok(rank)),
        });
        let words = words(found);
        assert_eq!(words[1].as_deref(), Some("lost"));
        for other in [&words[0], &words[2]] {
            let other = other.as_deref().unwrap();
            assert!(
                other.starts_with("rank 1 (") && other.ends_with("): lost"),
                "{other}"
            );
        }
    }

    #[test]
    fn all_stop_where_one_is_stopped() {
        for stopped in [None, Some(2)] {
            let found = on_ranks(4, move |ranks| {
                let own = (stopped != Some(ranks.rank())).then_some(ranks.rank());
                agree_unless_stopped(ranks, Ok(own)).unwrap()
            });
            for (rank, found) in found.into_iter().enumerate() {
                assert_eq!(found.unwrap(), stopped.is_none().then_some(rank));
            }
        }
    }

    #[test]
    fn each_rank_is_handed_what_all_give_in_their_order() {
        let found = on_ranks(4, |ranks| {
            let mut found = Vec::new();
            gather_each(ranks, &(10 * ranks.rank()), &mut |given| found.push(given));
            found
        });
        for found in found {
            assert_eq!(found.unwrap(), [0, 10, 20, 30]);
        }
    }

    #[test]
    fn a_rank_that_differs_is_named_with_the_thing() {
        let found = on_ranks(4, |ranks| {
            let common = |what: &str, value: usize| Common {
                what: what.into(),
                value: value.to_string(),
                fix: format!("repair the {what}"),
            };
            let of_list = usize::from(ranks.rank() >= 2);
            require_common(ranks, &[common("recipe", 7), common("list", of_list)])
        });
        for words in words(found) {
            let words = words.unwrap();
            assert!(words.starts_with("rank 2 ("), "{words}");
            let rest = "has another list than rank 0: 1 instead of 0: repair the list";
            assert!(words.ends_with(rest), "{words}");
        }
    }

    #[test]
    fn a_rank_that_goes_another_way_is_noticed() {
        let found = on_ranks(2, |ranks| match ranks.rank() {
            0 => drop(agree(ranks, Ok(()))),
            _ => wait_for_all(ranks),
        });
        assert!(found.iter().all(Result::is_err));
    }

    #[test]
    fn a_rank_alone_says_nothing() {
        let ranks = Ranks::alone();
        assert_eq!(first(&ranks, || Ok(1)).unwrap(), 1);
        assert_eq!(agree(&ranks, Ok(2)).unwrap(), 2);
        assert_eq!(agree_unless_stopped(&ranks, Ok(None::<u8>)).unwrap(), None);
        assert_eq!(gather(&ranks, &3), [3]);
        require_common(&ranks, &[]).unwrap();
    }
}
