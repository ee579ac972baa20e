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
            let last = source.first + of.max(1) - 1;
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
mod tests {
    use super::*;

    fn find(word: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let word: ShardWord = word.parse().unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = word.find(variable);
        let found = found.map(|shard| shard.to_string());
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn shards_follow_each_other_and_differ_by_one_at_most() {
        for items in [0, 1, 6, 7, 8, 1000] {
            for of in [1, 2, 3, 7, 8] {
                let ranges = (1..=of).map(|number| Shard { number, of }.range(items));
                let ranges: Vec<_> = ranges.collect();
                assert_eq!((ranges[0].start, ranges[of - 1].end), (0, items));
                assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
                let lens: Vec<usize> = ranges.iter().map(ExactSizeIterator::len).collect();
                let (least, most) = (lens.iter().min().unwrap(), lens.iter().max().unwrap());
                assert!(most - least <= 1, "{items} in {of}: {lens:?}");
            }
        }
        let last = Shard {
            number: MOST,
            of: MOST,
        };
        assert_eq!(last.range(usize::MAX).end, usize::MAX);
        assert!(Shard::whole().is_whole() && !last.is_whole());
    }

    #[test]
    fn a_shard_is_written_as_it_is_read() {
        for word in ["1/1", "3/8", "8/8"] {
            assert_eq!(word.parse::<Shard>().unwrap().to_string(), word);
        }
        for word in [
            "0/8", "9/8", "3", "3/", "/8", "-1/8", "3/8/2", "1/100001", "x/8", "",
        ] {
            assert!(word.parse::<Shard>().is_err(), "{word}");
            assert!(word.parse::<ShardWord>().is_err(), "{word}");
        }
        for word in ["auto/0", "auto/x", "auto/", "automatic", "auto8"] {
            assert!(word.parse::<ShardWord>().is_err(), "{word}");
        }
    }

    #[test]
    fn the_environment_counts_only_where_it_is_asked_for() {
        let array = [
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_MIN", "5"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert_eq!(find("2/3", &array), Ok("2/3".to_owned()));
        assert_eq!(find("auto", &array), Ok("3/4".to_owned()));
        assert_eq!(find("auto/4", &array), Ok("3/4".to_owned()));
    }

    #[test]
    fn each_batch_system_names_its_task() {
        let with_step = [
            ("SLURM_ARRAY_TASK_ID", "8"),
            ("SLURM_ARRAY_TASK_MIN", "0"),
            ("SLURM_ARRAY_TASK_STEP", "4"),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
        ];
        assert_eq!(find("auto", &with_step), Ok("3/3".to_owned()));
        for (word, variables, expected) in [
            ("auto/8", vec![("JOB_COMPLETION_INDEX", "0")], "1/8"),
            ("auto/8", vec![("HQ_TASK_ID", "7")], "8/8"),
            (
                "auto",
                vec![("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "4")],
                "2/4",
            ),
            ("auto", vec![("PMI_RANK", "3"), ("PMI_SIZE", "4")], "4/4"),
            (
                "auto",
                vec![("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "2")],
                "1/2",
            ),
            ("auto/8", vec![("PARALLEL_SEQ", "8")], "8/8"),
            // A shell that Slurm started alone, with GNU parallel in it.
            (
                "auto/8",
                vec![
                    ("SLURM_PROCID", "0"),
                    ("SLURM_STEP_NUM_TASKS", "1"),
                    ("PARALLEL_SEQ", "3"),
                ],
                "3/8",
            ),
            ("auto", vec![("PMI_RANK", "0"), ("PMI_SIZE", "1")], "1/1"),
        ] {
            assert_eq!(
                find(word, &variables),
                Ok(expected.to_owned()),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn what_the_environment_does_not_say_is_asked_for_by_name() {
        for (word, variables, expected) in [
            ("auto", vec![], "none of these is set: SLURM_ARRAY_TASK_ID"),
            (
                "auto",
                vec![("JOB_COMPLETION_INDEX", "2")],
                "no variable says of how many: give the number of parts: --shard auto/8",
            ),
            (
                "auto/8",
                vec![("JOB_COMPLETION_INDEX", "8")],
                "JOB_COMPLETION_INDEX is 8, which stands for part 9, and the work has 8 parts",
            ),
            (
                "auto/8",
                vec![("HQ_TASK_ID", "8")],
                "number the tasks from 0 to 7",
            ),
            (
                "auto/8",
                vec![("PARALLEL_SEQ", "0")],
                "PARALLEL_SEQ is \"0\", which is not the number of a task",
            ),
            (
                "auto/8",
                vec![("HQ_TASK_ID", "two")],
                "HQ_TASK_ID is \"two\", which is not the number of a task",
            ),
            (
                "auto",
                vec![("SLURM_ARRAY_TASK_ID", "2")],
                "SLURM_ARRAY_TASK_ID is set, and SLURM_ARRAY_TASK_MIN is not",
            ),
            (
                "auto/8",
                vec![
                    // One task of an array, started again by itself.
                    ("SLURM_ARRAY_TASK_ID", "3"),
                    ("SLURM_ARRAY_TASK_MIN", "3"),
                    ("SLURM_ARRAY_TASK_COUNT", "1"),
                ],
                "--shard auto/8 asks for 8 parts, and SLURM_ARRAY_TASK_COUNT is 1",
            ),
        ] {
            let error = find(word, &variables).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_process_among_several_is_known() {
        let of = |variables: &[(&str, &str)]| {
            Shard::of_processes(|name| {
                let found = variables.iter().find(|(of, _)| *of == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let second = Shard { number: 2, of: 4 };
        assert_eq!(of(&[("PMI_RANK", "1"), ("PMI_SIZE", "4")]), Some(second));
        assert_eq!(of(&[("PMI_RANK", "0"), ("PMI_SIZE", "1")]), None);
        assert_eq!(of(&[("PMI_RANK", "x"), ("PMI_SIZE", "4")]), None);
        assert_eq!(of(&[]), None);
    }
}
