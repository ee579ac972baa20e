//! The short pass: a fixed number of mutated inputs for every reader, and their counts.
//!
//! ```text
//! cargo test --release --workspace --test pass                           every target
//! cargo test --release --workspace --test pass -- coco --times 100       one of them, a hundred times as many inputs
//! cargo test --release --workspace --test pass -- coco --input FILE      one input
//! cargo test --release --workspace --test pass -- --seeds FOLDER         good inputs, for `cargo fuzz`: FOLDER/<target>/
//! ```
//!
//! A name is a filter, as in other tests: it stands for the targets that it is a part of.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use warmstart_fuzz::{MOST_MEMORY, MOST_TIME, Memory, Target, mutated, targets};

/// Folder of the inputs that are being read: what is left there failed.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/fuzz");

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(stderr(), "error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let value = |flag: &str| {
        let place = arguments.iter().position(|argument| argument == flag);
        place.and_then(|place| arguments.get(place + 1))
    };
    if let Some(folder) = value("--seeds") {
        return write_seeds(Path::new(folder));
    }
    let times = value("--times").map_or(Ok(1), |times| times.parse());
    let times: u64 = times.map_err(|_| "--times: expected a number, such as 100")?;
    let named = arguments.iter().take_while(|name| !name.starts_with('-'));
    let named: Vec<&String> = named.collect();
    let is_chosen = |target: &&Target| {
        named.is_empty() || named.iter().any(|name| target.name.contains(name.as_str()))
    };
    for target in targets().into_iter().filter(is_chosen) {
        if let Some(path) = value("--input") {
            let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
            let accepted = target.read(&bytes);
            let answer = if accepted { "accepted" } else { "refused" };
            say(&format!("{}: {answer}", target.name));
        } else {
            pass(target, times)?;
        }
    }
    Ok(())
}

/// Counts of a target's inputs.
#[derive(Default)]
struct Counts {
    inputs: u64,
    accepted: u64,
    longest: Duration,
    most_memory: usize,
}

fn pass(target: &'static Target, times: u64) -> Result<(), String> {
    let seeds = (target.seeds)();
    let mut counts = Counts::default();
    let (begin, begun) = channel();
    let watch = thread::spawn(move || watch(target, &begun));
    for number in 0..target.inputs * times {
        let input = mutated(&seeds, number);
        keep(target, &input)?;
        let _ = begin.send(Moment::Begin(number));
        one(target, number, &input, &mut counts)?;
        let _ = begin.send(Moment::End);
    }
    drop(begin);
    watch.join().map_err(|_| "the watch failed")?;
    let _ = fs::remove_file(kept(target));
    let Counts {
        inputs,
        accepted,
        longest,
        most_memory,
    } = counts;
    say(&format!(
        "{:<20} {inputs:>7} inputs, {accepted:>6} accepted, at most {:>5} ms and {:>4} MB",
        target.name,
        longest.as_millis(),
        most_memory / 1_000_000
    ));
    Ok(())
}

fn one(target: &Target, number: u64, input: &[u8], counts: &mut Counts) -> Result<(), String> {
    let memory = Memory::start();
    let start = Instant::now();
    let Ok(accepted) = catch_unwind(AssertUnwindSafe(|| target.read(input))) else {
        return Err(failure(target, number, "panicked"));
    };
    let took = start.elapsed();
    let memory = memory.peak();
    if took > MOST_TIME {
        return Err(failure(target, number, &format!("took {took:?}")));
    }
    if memory > MOST_MEMORY {
        let held = format!("held {} MB", memory / 1_000_000);
        return Err(failure(target, number, &held));
    }
    counts.inputs += 1;
    counts.accepted += u64::from(accepted);
    counts.longest = counts.longest.max(took);
    counts.most_memory = counts.most_memory.max(memory);
    Ok(())
}

/// Begin or end of the reading of an input.
enum Moment {
    /// Of the input of that number.
    Begin(u64),
    End,
}

/// Ends the process when an input takes twice the time that it may, for it may take for ever.
fn watch(target: &Target, moments: &Receiver<Moment>) {
    while let Ok(moment) = moments.recv() {
        let Moment::Begin(number) = moment else {
            continue;
        };
        let end = moments.recv_timeout(MOST_TIME * 2);
        if matches!(end, Err(RecvTimeoutError::Timeout)) {
            let problem = failure(target, number, "does not end");
            let _ = writeln!(stderr(), "error: {problem}");
            std::process::exit(1);
        }
    }
}

/// The place of the input that a target reads, kept so that it is there after an abort.
fn kept(target: &Target) -> PathBuf {
    Path::new(KEPT).join(target.name)
}

fn keep(target: &Target, input: &[u8]) -> Result<(), String> {
    let path = kept(target);
    let written = fs::create_dir_all(KEPT).and_then(|()| fs::write(&path, input));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// A failure in words, with the command that gives the input again.
fn failure(target: &Target, number: u64, what: &str) -> String {
    let name = target.name;
    let path = kept(target);
    format!(
        "{name} {what} on input {number}; again with: cargo test --release --workspace --test pass -- {name} --input {}",
        path.display()
    )
}

fn write_seeds(folder: &Path) -> Result<(), String> {
    for target in targets() {
        let folder = folder.join(target.name);
        let written = fs::create_dir_all(&folder).and_then(|()| {
            let seeds = (target.seeds)();
            let mut numbered = seeds.iter().enumerate();
            numbered.try_for_each(|(number, seed)| fs::write(folder.join(number.to_string()), seed))
        });
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(())
}

fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}
