//! A shard of work: one of several parts that processes compute without talking to each other.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use warmstart_language::message;
use warmstart_recipe::{Error, Key, Problem};

/// Most shards of one piece of work.
pub const MOST: usize = 100_000;
/// Word for a shard that the environment names.
const AUTO: &str = "auto";
/// Variables of a Slurm array: the task, the lowest of all tasks, the distance between two, and how many there are.
const SLURM_ARRAY: [&str; 4] = [
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_STEP",
    "SLURM_ARRAY_TASK_COUNT",
];
/// The other places that name a task, in the order in which they are looked at.
const SOURCES: [Source; 6] = [
    // Kubernetes, Jobs with completionMode: Indexed.
    Source::of_tasks("JOB_COMPLETION_INDEX", 0),
    // HyperQueue.
    Source::of_tasks("HQ_TASK_ID", 0),
    OPEN_MPI,
    PMI,
    SLURM_STEP,
    // GNU parallel.
    Source::of_tasks("PARALLEL_SEQ", 1),
];
const OPEN_MPI: Source = Source::of_ranks("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
/// MPICH, Intel MPI, and Slurm on their behalf.
const PMI: Source = Source::of_ranks("PMI_RANK", "PMI_SIZE");
const SLURM_STEP: Source = Source::of_ranks("SLURM_PROCID", "SLURM_STEP_NUM_TASKS");

/// A part of some work, of several that cover all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Its number, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// The shard that a user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardWord {
    /// This one: `3/8`.
    Given(Shard),
    /// The one that the environment names: `auto`; where it does not say of how many, `auto/8`.
    Auto(Option<usize>),
}

/// A variable that names a task, as a batch system sets it.
#[derive(Clone, Copy)]
struct Source {
    number: &'static str,
    /// The number of the first task.
    first: usize,
    /// The variable with the number of tasks, where there is one.
    count: Option<&'static str>,
}

/// A task that the environment names.
struct Started {
    source: Source,
    /// The variable's value.
    value: usize,
    /// Its place among the tasks, from 1.
    number: usize,
    /// How many there are, where that is known.
    of: Option<usize>,
}

impl Source {
    const fn of_tasks(number: &'static str, first: usize) -> Self {
        Self {
            number,
            first,
            count: None,
        }
    }

    const fn of_ranks(number: &'static str, count: &'static str) -> Self {
        Self {
            number,
            first: 0,
            count: Some(count),
        }
    }

    /// The task that the variable names; `None` where it is not set.
    fn started(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Started>, Error> {
        let Some(value) = number_in(self.number, variable)? else {
            return Ok(None);
        };
        let of = match self.count {
            Some(count) => number_in(count, variable)?,
            None => None,
        };
        if value < self.first {
            return Err(not_a_number(self.number, &value.to_string()));
        }
        Ok(Some(Started {
            source: self,
            value,
            number: (value - self.first).saturating_add(1),
            of,
        }))
    }
}

impl Shard {
    /// All of the work.
    pub fn whole() -> Self {
        Self { number: 1, of: 1 }
    }

    /// Whether it is all of the work.
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Its part of so many items: those of all shards follow each other, and their lengths differ by one at most.
    pub fn range(self, items: usize) -> Range<usize> {
        let end = |number: usize| (items as u128 * number as u128 / self.of as u128) as usize;
        end(self.number - 1)..end(self.number)
    }

    /// The process that MPI or a step of Slurm has started among several, from 1; `None` where there is one.
    pub fn of_processes(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let of = |source: Source| {
            let started = source.started(&variable).ok()??;
            Some(Self {
                number: started.number,
                of: started.of.filter(|of| *of > 1)?,
            })
        };
        [OPEN_MPI, PMI, SLURM_STEP].into_iter().find_map(of)
    }
}

impl fmt::Display for Shard {
    /// As a user writes it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(number, of)| {
            let (number, of) = (number.parse().ok()?, of.parse().ok()?);
            ((1..=MOST).contains(&of) && (1..=of).contains(&number)).then_some(Self { number, of })
        });
        parsed.ok_or_else(|| {
            message!(
                "expected a part of the work such as 3/8, from 1/8 to 8/8, of at most {MOST} parts; found \"{text}\""
            )
        })
    }
}

impl FromStr for ShardWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == AUTO {
            return Ok(Self::Auto(None));
        }
        match text
            .strip_prefix(AUTO)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            None => text.parse().map(Self::Given),
            Some(of) => {
                let of = of.parse().ok().filter(|of| (1..=MOST).contains(of));
                of.map(|of| Self::Auto(Some(of))).ok_or_else(|| {
                    message!(
                        "expected a number of parts from 1 to {MOST}, such as auto/8; found \"{text}\""
                    )
                })
            }
        }
    }
}

impl ShardWord {
    /// The shard; `variable` looks up a variable of the environment, which is asked only where the word is `auto`.
    ///
    /// # Errors
    /// If the environment names no shard, or one that contradicts the word.
    pub fn find(self, variable: impl Fn(&str) -> Option<String>) -> Result<Shard, Error> {
        let asked = match self {
            Self::Given(shard) => return Ok(shard),
            Self::Auto(asked) => asked,
        };
        let Some(started) = started(&variable)? else {
            let mut names = vec![SLURM_ARRAY[0]];
            names.extend(SOURCES.map(|source| source.number));
            let what = message!(
                "--shard auto: the environment names no part of the work; none of these is set: {}",
                names.join(", ")
            );
            return Err(of_shard(
                what,
                message!("give the part, such as --shard 3/8"),
            ));
        };
        let Started {
            source,
            value,
            number,
            of,
        } = started;
        let name = source.number;
        let of = match (of, asked) {
            (Some(of), Some(asked)) if of != asked => {
                let what = message!(
                    "--shard auto/{asked} asks for {asked} parts, and {} is {of}",
                    source.count.unwrap_or(name)
                );
                let fix = message!(
                    "start {asked} tasks, or give the part itself, such as --shard 3/{asked}"
                );
                return Err(of_shard(what, fix));
            }
            (Some(of), _) | (None, Some(of)) => of,
            (None, None) => {
                let what = message!(
                    "--shard auto: {name} names the part of the work, and no variable says of how many"
                );
                let fix = message!("give the number of parts: --shard auto/8");
                return Err(of_shard(what, fix));
            }
        };
        if !(1..=MOST).contains(&of) || number > of {
            let what = message!(
                "{name} is {value}, which stands for part {number}, and the work has {of} parts (at most {MOST})"
            );
            let last = source.first.saturating_add(of.max(1) - 1);
            let fix = message!("number the tasks from {} to {last}", source.first);
            return Err(of_shard(what, fix));
        }
        Ok(Shard { number, of })
    }
}

/// The task that the environment names. A process that was started alone, by MPI or as a step of Slurm, is none where
/// something else names one: it may have started the others.
fn started(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Started>, Error> {
    if let Some(started) = slurm_array(variable)? {
        return Ok(Some(started));
    }
    let mut alone = None;
    for source in SOURCES {
        match source.started(variable)? {
            Some(started) if started.of == Some(1) => alone = alone.or(Some(started)),
            Some(started) => return Ok(Some(started)),
            None => {}
        }
    }
    Ok(alone)
}

/// The task of a Slurm array, whose tasks may have any numbers of equal distances.
fn slurm_array(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Started>, Error> {
    let [id, lowest, step, count] = SLURM_ARRAY;
    let Some(value) = number_in(id, variable)? else {
        return Ok(None);
    };
    let needed = |name: &'static str| {
        number_in(name, variable)?.ok_or_else(|| {
            let what = message!("--shard auto: {id} is set, and {name} is not");
            of_shard(what, message!("give the part, such as --shard 3/8"))
        })
    };
    let (first, of) = (needed(lowest)?, needed(count)?);
    let step_value = number_in(step, variable)?.unwrap_or(1).max(1);
    let Some(before) = value.checked_sub(first) else {
        return Err(not_a_number(id, &value.to_string()));
    };
    Ok(Some(Started {
        source: Source {
            number: id,
            first,
            count: Some(count),
        },
        value,
        number: (before / step_value).saturating_add(1),
        of: Some(of),
    }))
}

fn number_in(
    name: &'static str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<usize>, Error> {
    let Some(text) = variable(name) else {
        return Ok(None);
    };
    let number = text.trim().parse();
    number.map(Some).map_err(|_| not_a_number(name, &text))
}

fn not_a_number(name: &str, found: &str) -> Error {
    let what = message!("--shard auto: {name} is \"{found}\", which is not the number of a task");
    of_shard(what, message!("give the part, such as --shard 3/8"))
}

fn of_shard(what: String, fix: String) -> Error {
    Problem::new(what).of_key(Key("shard")).fix(fix).into()
}

#[cfg(test)]
mod tests;
