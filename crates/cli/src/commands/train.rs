//! `warmstart train` and `warmstart resume`.

use std::env;
use std::path::PathBuf;

use warmstart_language::{language, message, translated};
use warmstart_recipe::{Draft, Key, Problem};
use warmstart_run::event::Event;
use warmstart_run::stop::Stop;
use warmstart_train::resources::Resources;
use warmstart_workflows::cross_validate::cross_validate;
use warmstart_workflows::resume::Changes;

use super::{Failure, use_threads};
use crate::arguments::{CacheFolder, NO_CACHE_FOLDER, Resume, Threads, Train, TrainRun};
use crate::language::as_words;
use crate::printing::{flag, print_to_stderr};
use crate::progress::{Progress, noted};
use crate::run_pages::RunPages;
use crate::signals::Signals;

pub fn train(arguments: TrainRun) -> Result<(), Failure> {
    let TrainRun {
        train: arguments,
        screen,
    } = arguments;
    let mut resources = resources(&arguments.threads, &arguments.cache)?;
    resources.restart_flags.extend(screen.flags());
    let signals = Signals::catch(&resources.stop)?;
    let out = arguments.out.clone();
    let folds = arguments.folds;
    let draft = draft(&arguments)?;
    let mut pages = RunPages::new(resources.workers, resources.stop.clone());
    let mut progress = Progress::new(screen.output());
    let mut observe = |event: Event| {
        pages.see(&event);
        progress.show(event);
    };
    let result = match folds {
        None => {
            let result = warmstart_workflows::train::train(draft, out, resources, &mut observe);
            progress.end(signals.ended(result))
        }
        Some(folds) => {
            let result = cross_validate(draft, out, folds, resources, &mut observe);
            if let Ok(result) = &result {
                progress.folds(result);
            }
            progress.end(signals.ended(result))
        }
    };
    progress.write_pages(pages);
    result
}

/// The resources within the limits of the flags.
pub fn resources(threads: &Threads, cache: &CacheFolder) -> Result<Resources, Failure> {
    if cache.is_missing() {
        print_to_stderr(noted(message!(
            "features of frozen backbones are not cached: {why}; name one with --cache DIR",
            why = translated(NO_CACHE_FOLDER)
        )));
    }
    Ok(Resources {
        workers: use_threads(threads)?,
        cache: cache.get(),
        program: program()?,
        restart_flags: [
            vec![flag(Key::OUT_OF_MEMORY.0).into()],
            threads.flags(),
            cache.flags(),
            as_words(language()),
        ]
        .concat(),
        stop: Stop::default(),
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
    let mut resources = resources(&arguments.threads, &arguments.cache)?;
    resources.restart_flags.extend(arguments.screen.flags());
    let signals = Signals::catch(&resources.stop)?;
    let changes = Changes {
        options: arguments.options.over(Draft::default())?,
        from_epoch: arguments.from_epoch,
        accept_data_change: arguments.accept_data_change,
        out_of_memory: arguments.out_of_memory,
    };
    let mut pages = RunPages::new(resources.workers, resources.stop.clone());
    let mut progress = Progress::new(arguments.screen.output());
    let mut observe = |event: Event| {
        pages.see(&event);
        progress.show(event);
    };
    let result =
        warmstart_workflows::resume::resume(&arguments.run, &changes, resources, &mut observe);
    let result = progress.end(signals.ended(result));
    progress.write_pages(pages);
    result
}
