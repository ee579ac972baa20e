//! `warmstart train` and `warmstart resume`.

use std::env;
use std::path::PathBuf;

use warmstart_language::{language, message, translated};
use warmstart_ranks::Ranks;
use warmstart_recipe::{Draft, Error, Key, Problem};
use warmstart_run::event::{Event, Observer};
use warmstart_run::shard::Shard;
use warmstart_run::stop::Stop;
use warmstart_run::summary::Summary;
use warmstart_train::resources::Resources;
use warmstart_workflows::cross_validate::cross_validate;
use warmstart_workflows::resume::Changes;

use super::on_ranks::{on_ranks, prepared};
use super::shards::shard;
use super::{Failure, start_threads};
use crate::arguments::{CacheFolder, NO_CACHE_FOLDER, Resume, Threads, Train, TrainRun};
use crate::cores::Cores;
use crate::language::as_words;
use crate::printing::{flag, print_to_stderr};
use crate::progress::{Output, Progress, noted};
use crate::run_pages::RunPages;
use crate::signals::Signals;

pub fn train(arguments: TrainRun) -> Result<(), Failure> {
    // A process that trains some of the folds by itself does not talk to others.
    if arguments.shard.is_some() {
        return train_folds(arguments);
    }
    let ranks = start()?;
    on_ranks(&ranks, arguments.screen.prints_json(), || {
        if arguments.train.folds.is_none() {
            return train_run(arguments, &ranks);
        }
        if !ranks.is_alone() {
            let what = message!(
                "a cross-validation does not run on {} processes together",
                ranks.count()
            );
            return Err(Problem::new(what)
                .of_key(Key::FOLDS)
                .fix(message!(
                    "--shard auto gives each process some of the folds, and `warmstart merge RUN` ends it; or start \
                     one process"
                ))
                .into());
        }
        train_folds(arguments)
    })
}

/// Starts the ranks that MPI knows of; one, where none was started.
fn start() -> Result<Ranks, Failure> {
    Ranks::start().map_err(|error| Failure::usage(error.to_string()))
}

fn train_run(arguments: TrainRun, ranks: &Ranks) -> Result<(), Failure> {
    let TrainRun {
        train: arguments,
        screen,
        ..
    } = arguments;
    let cores = Cores::of(ranks);
    let prepare = || -> Result<_, Failure> {
        let mut resources = resources_of(&arguments.threads, &arguments.cache, ranks, &cores)?;
        resources.restart_flags.extend(screen.flags());
        Ok((watched(&resources)?, draft(&arguments)?, resources))
    };
    let (signals, draft, resources) = prepared(ranks, prepare())?;
    let out = arguments.out;
    tell(resources, signals, screen.output(), |resources, observe| {
        warmstart_workflows::train::train(draft, out, resources, observe)
    })
}

/// Trains a run or continues one, and tells how it goes; of several ranks, rank 0 does.
fn tell(
    resources: Resources,
    signals: Signals,
    output: Output,
    train: impl FnOnce(Resources, Observer) -> Result<Summary, Error>,
) -> Result<(), Failure> {
    if !resources.ranks.is_first() {
        return signals.ended(train(resources, &mut |_| {}));
    }
    let mut pages = RunPages::new(resources.workers, resources.stop.clone());
    let mut progress = Progress::new(output);
    let mut observe = |event: Event| {
        signals.see(&event);
        pages.see(&event);
        progress.show(event);
    };
    let result = train(resources, &mut observe);
    let result = progress.end(signals.ended(result));
    progress.write_pages(pages);
    result
}

/// The signals that stop a run, from now on.
fn watched(resources: &Resources) -> Result<Signals, Failure> {
    let signals = Signals::catch(&resources.stop)?;
    signals.watch_others(&resources.stop, &resources.ranks)?;
    Ok(signals)
}

fn train_folds(arguments: TrainRun) -> Result<(), Failure> {
    let TrainRun {
        train: arguments,
        shard: word,
        screen,
    } = arguments;
    // MPI shares the steps of a run, not its folds, so without the word nothing is said of it.
    let part = word.map(|word| shard(Some(word))).transpose()?;
    let part = part.unwrap_or_else(Shard::whole);
    let mut resources = resources(&arguments.threads, &arguments.cache)?;
    resources.restart_flags.extend(screen.flags());
    let signals = Signals::catch(&resources.stop)?;
    let out = arguments.out.clone();
    let folds = arguments.folds.unwrap_or_default();
    let draft = draft(&arguments)?;
    let mut pages = RunPages::new(resources.workers, resources.stop.clone());
    let mut progress = Progress::new(screen.output());
    let mut observe = |event: Event| {
        pages.see(&event);
        progress.show(event);
    };
    let result = cross_validate(draft, out, (folds, part), resources, &mut observe);
    if let Ok(Some(result)) = &result {
        progress.folds(result);
    }
    let result = progress.end(signals.ended(result));
    progress.write_pages(pages);
    result
}

/// The resources within the limits of the flags.
pub fn resources(threads: &Threads, cache: &CacheFolder) -> Result<Resources, Failure> {
    let ranks = Ranks::alone();
    resources_of(threads, cache, &ranks, &Cores::of(&ranks))
}

/// The resources of one of some ranks within the limits of the flags.
fn resources_of(
    threads: &Threads,
    cache: &CacheFolder,
    ranks: &Ranks,
    cores: &Cores,
) -> Result<Resources, Failure> {
    if let Some(note) = cores
        .note
        .as_ref()
        .filter(|_| ranks.is_first() && !threads.is_given())
    {
        print_to_stderr(noted(note.clone()));
    }
    if cache.is_missing() && ranks.is_first() {
        print_to_stderr(noted(message!(
            "features of frozen backbones are not cached: {why}; name one with --cache DIR",
            why = translated(NO_CACHE_FOLDER)
        )));
    }
    let workers = threads.count_of(cores.sharers);
    start_threads(workers)?;
    Ok(Resources {
        workers,
        cache: cache.get(),
        program: program()?,
        restart_flags: [
            vec![flag(Key::OUT_OF_MEMORY.0).into()],
            Threads::flags(workers),
            cache.flags(),
            as_words(language()),
        ]
        .concat(),
        stop: Stop::default(),
        ranks: ranks.clone(),
    })
}

/// The path of this program.
pub fn program() -> Result<PathBuf, Failure> {
    env::current_exe().map_err(|error| {
        Failure::failed(message!("could not find the path of this program: {error}"))
    })
}

/// The draft of one run, for a command that does not support folds.
pub fn draft_of_one(arguments: &Train) -> Result<Draft, Failure> {
    match arguments.folds {
        Some(_) => Err(Problem::new(message!("{} is only for train", Key::FOLDS))
            .of_key(Key::FOLDS)
            .fix(message!(
                "leave it out; the results are those of a run with all training images"
            ))
            .into()),
        None => draft(arguments),
    }
}

/// The recipe file, overridden by the flags.
pub fn draft(arguments: &Train) -> Result<Draft, Failure> {
    let file = match &arguments.recipe {
        Some(path) => Draft::read(path)?,
        None => Draft::default(),
    };
    Ok(arguments.options.over(file)?)
}

pub fn resume(arguments: Resume) -> Result<(), Failure> {
    let ranks = start()?;
    on_ranks(&ranks, arguments.screen.prints_json(), || {
        resume_run(&arguments, &ranks)
    })
}

fn resume_run(arguments: &Resume, ranks: &Ranks) -> Result<(), Failure> {
    let cores = Cores::of(ranks);
    let prepare = || -> Result<_, Failure> {
        let mut resources = resources_of(&arguments.threads, &arguments.cache, ranks, &cores)?;
        resources.restart_flags.extend(arguments.screen.flags());
        let changes = Changes {
            options: arguments.options.over(Draft::default())?,
            from_epoch: arguments.from_epoch,
            accept_data_change: arguments.accept_data_change,
            out_of_memory: arguments.out_of_memory,
        };
        Ok((watched(&resources)?, changes, resources))
    };
    let (signals, changes, resources) = prepared(ranks, prepare())?;
    let output = arguments.screen.output();
    tell(resources, signals, output, |resources, observe| {
        warmstart_workflows::resume::resume(&arguments.run, &changes, resources, observe)
    })
}
