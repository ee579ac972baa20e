//! `warmstart train` and `warmstart resume`.

use warmstart_train::recipe::Draft;
use warmstart_train::{Changes, Machine};

use super::{Failure, use_threads};
use crate::arguments::{CacheFolder, Resume, Train};
use crate::progress::Progress;

pub fn train(arguments: Train) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let out = arguments.out.clone();
    let (draft, cache) = draft(arguments)?;
    let machine = Machine {
        workers,
        cache: cache.get(),
    };
    let mut progress = Progress::new();
    warmstart_train::train(draft, out, machine, &mut |event| progress.show(event))?;
    Ok(())
}

/// The recipe file, overridden by the flags, and what is no part of it.
fn draft(arguments: Train) -> Result<(Draft, CacheFolder), Failure> {
    let file = match &arguments.recipe {
        Some(path) => Draft::read(path)?,
        None => Draft::default(),
    };
    let draft = Draft {
        data: arguments.data.or(file.data),
        model: arguments.model.or(file.model),
        weights: arguments.weights.or(file.weights),
        init: arguments.init.map(Into::into).or(file.init),
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
        ..file
    };
    Ok((draft, arguments.cache))
}

pub fn resume(arguments: Resume) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let changes = Changes {
        epochs: arguments.epochs,
        from_epoch: arguments.from_epoch,
        batch: arguments.batch,
        freeze_batch: arguments.freeze_batch,
        lr: arguments.lr,
        freeze_lr: arguments.freeze_lr,
    };
    let machine = Machine {
        workers,
        cache: arguments.cache.get(),
    };
    let mut progress = Progress::new();
    warmstart_train::resume(&arguments.run, &changes, machine, &mut |event| {
        progress.show(event);
    })?;
    Ok(())
}
