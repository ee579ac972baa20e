//! `warmstart train` and `warmstart resume`.

use std::env;
use std::path::PathBuf;

use warmstart_train::cross_validation::cross_validate;
use warmstart_train::event::Event;
use warmstart_train::recipe::Draft;
use warmstart_train::{Changes, Machine, Stop};

use super::{Failure, use_threads};
use crate::arguments::{CacheFolder, Fit, NO_CACHE_FOLDER, Resume, Threads, Train};
use crate::printing::told;
use crate::progress::Progress;
use crate::signals::Signals;

pub fn train(arguments: Train) -> Result<(), Failure> {
    let machine = machine(&arguments.threads, &arguments.cache)?;
    let signals = Signals::catch(&machine.stop)?;
    let out = arguments.out.clone();
    let folds = arguments.folds;
    let draft = draft(arguments)?;
    let mut progress = Progress::new();
    let mut observe = |event: Event| progress.show(event);
    let Some(folds) = folds else {
        let result = warmstart_train::train(draft, out, machine, &mut observe);
        return signals.ended(result.map(drop));
    };
    let result = cross_validate(draft, out, folds, machine, &mut observe);
    if let Ok(result) = &result {
        progress.folds(result);
    }
    signals.ended(result.map(drop))
}

/// The machine within the limits of the flags.
pub fn machine(threads: &Threads, cache: &CacheFolder) -> Result<Machine, Failure> {
    if cache.is_missing() {
        told(format!(
            "note: features of frozen backbones are not kept: {NO_CACHE_FOLDER}; name one with --cache DIR"
        ));
    }
    Ok(Machine {
        workers: use_threads(threads)?,
        cache: cache.get(),
        program: program()?,
        flags: [threads.flags(), cache.flags()].concat(),
        stop: Stop::default(),
    })
}

/// The path of this program.
pub fn program() -> Result<PathBuf, Failure> {
    env::current_exe().map_err(|error| {
        Failure::failed(format!("could not find the path of this program: {error}"))
    })
}

/// The draft of one run, for a command that does nothing with several.
pub fn draft_of_one(arguments: Train) -> Result<Draft, Failure> {
    match arguments.folds {
        Some(_) => Err(Failure::usage(
            "--folds is for train alone: leave it out, the figures are those of a run with all training images",
        )),
        None => draft(arguments),
    }
}

/// The recipe file, overridden by the flags.
pub fn draft(arguments: Train) -> Result<Draft, Failure> {
    let file = match &arguments.recipe {
        Some(path) => Draft::read(path)?,
        None => Draft::default(),
    };
    Ok(Draft {
        task: arguments.task.map(Into::into).or(file.task),
        data: arguments.data.or(file.data),
        model: arguments.model.or(file.model),
        weights: arguments.weights.or(file.weights),
        weights_prefix: arguments.weights_prefix.or(file.weights_prefix),
        init: arguments.init.or(file.init),
        optimizer: arguments.optimizer.map(Into::into).or(file.optimizer),
        image_size: arguments.image_size.or(file.image_size),
        val_split: arguments.val_split.or(file.val_split),
        seed: arguments.seed.or(file.seed),
        allow_partial: arguments
            .allow_partial
            .then_some(true)
            .or(file.allow_partial),
        epochs: arguments.epochs,
        freeze_epochs: arguments.freeze_epochs,
        batch: arguments.batch,
        freeze_batch: arguments.freeze_batch,
        lr: arguments.lr,
        freeze_lr: arguments.freeze_lr,
        views: arguments.views,
        checkpoint_every: arguments.checkpoint_every.or(file.checkpoint_every),
        on_nonfinite: arguments.on_nonfinite.map(Into::into).or(file.on_nonfinite),
        memory: arguments.memory.or(file.memory),
        fit: arguments.fit.map_or(file.fit, Fit::chosen),
        balance: arguments.balance.map(Into::into).or(file.balance),
        patience: arguments.patience.or(file.patience),
        guard: arguments.no_guard.then_some(false).or(file.guard),
        health_every: arguments.health_every.or(file.health_every),
        ..file
    })
}

pub fn resume(arguments: Resume) -> Result<(), Failure> {
    let machine = machine(&arguments.threads, &arguments.cache)?;
    let signals = Signals::catch(&machine.stop)?;
    let changes = Changes {
        epochs: arguments.epochs,
        from_epoch: arguments.from_epoch,
        batch: arguments.batch,
        freeze_batch: arguments.freeze_batch,
        lr: arguments.lr,
        freeze_lr: arguments.freeze_lr,
        on_nonfinite: arguments.on_nonfinite.map(Into::into),
        guard: arguments.no_guard.then_some(false),
        data: arguments.data,
        accept_data_change: arguments.accept_data_change,
        memory: arguments.memory,
        out_of_memory: arguments.out_of_memory,
    };
    let mut progress = Progress::new();
    let result = warmstart_train::resume(&arguments.run, &changes, machine, &mut |event| {
        progress.show(event);
    });
    signals.ended(result)
}
