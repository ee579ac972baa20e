//! Published weights by name: fetched before anything else, with what a user should know of them.

use std::path::{Path, PathBuf};

use warmstart_data::DataError;
use warmstart_fetch::{Check, Fetched, Places, fetch};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_models::Record;
use warmstart_recipe::{
    Draft, Error, Key, Recipe, named_detector, named_record, settle_names, source_of,
};
use warmstart_run::event::{Event, Observer};

/// Bytes of a megabyte.
const MEGABYTE: f64 = 1e6;

/// Gives a draft that names published weights their record's name and model, and sees to it that this machine has their
/// file. Whether it names some.
///
/// # Errors
/// If there are none of that name, or they cannot be had.
pub fn settle_weights(draft: &mut Draft, observe: Observer) -> Result<bool, Error> {
    let named = draft.model.clone();
    let is_default = draft.weights.is_none() && named.is_none();
    let Some(record) = settle_names(draft)? else {
        return Ok(false);
    };
    if is_default {
        observe(Event::Note(message!(
            "neither {} nor {} is given: the default is {}",
            Key::WEIGHTS,
            Key::MODEL,
            record.name
        )));
    } else if let (Some(named), Some(model)) = (named, &draft.model)
        && named != *model
    {
        observe(Event::Note(message!(
            "{model}: the preprocessing and constants of the weights are used; {} NAME chooses others",
            Key::MODEL
        )));
    }
    match &draft.data {
        // Nothing is downloaded for a request that names no data. Its error comes when it is resolved.
        None => {}
        Some(data) => {
            std::fs::metadata(data).map_err(|source| DataError::Read {
                path: data.clone(),
                source,
            })?;
            get(record, observe)?;
        }
    }
    Ok(true)
}

/// Sees to it that this machine has the file of a published detector that is named in place of a model; nothing for a
/// path.
///
/// # Errors
/// If it cannot be had.
pub fn fetch_detector(model: &Path, observe: Observer) -> Result<(), Error> {
    named_detector(model).map_or(Ok(()), |record| get(record, observe).map(drop))
}

/// Sees to it that this machine has the file of published weights that a recipe names; nothing for others.
///
/// # Errors
/// If it cannot be had.
pub fn fetch_named(recipe: &Recipe, observe: Observer) -> Result<(), Error> {
    named_record(&recipe.weights).map_or(Ok(()), |record| get(record, observe).map(drop))
}

/// The file of a record on this machine, downloaded if need be.
///
/// # Errors
/// If it cannot be had.
pub fn get(record: &Record, observe: Observer) -> Result<PathBuf, Error> {
    let fetched = fetch(
        &source_of(record),
        &Places::from_environment(),
        &mut |event| show(record, event, observe),
    )?;
    observe(Event::Note(kept(record, &fetched)));
    Ok(fetched.path)
}

fn show(record: &Record, event: warmstart_fetch::Event, observe: Observer) {
    use warmstart_fetch::Event as Fetching;
    let note = match event {
        Fetching::Bytes { done, of } => return observe(Event::Downloading { done, of }),
        Fetching::Begin {
            url,
            bytes,
            present,
        } => {
            let size = bytes.or(record.file.bytes);
            let size = size.map_or(message!("of unknown size"), megabytes);
            let present = match present {
                0 => String::new(),
                bytes => message!(", {} of it here already", megabytes(bytes)),
            };
            let about = about(record);
            message!(
                "downloading {} ({about}), {size}{present}, from {url}",
                record.name
            )
        }
        Fetching::Again { reason, wait } => {
            message!(
                "{reason}: trying again in {:.0} s",
                wait.as_secs_f64().ceil()
            )
        }
        Fetching::Waiting => message!("waiting for another process that downloads {}", record.name),
        Fetching::Damaged(path) => message!("{} is damaged, and downloaded again", shown(path)),
        Fetching::Next { reason, .. } => reason,
    };
    observe(Event::Note(note));
}

/// Who published weights, and under which licence.
pub fn about(record: &Record) -> String {
    match &record.license {
        Some(license) => message!("by {}, licence {license}", record.library),
        None => message!("by {}, which states no licence for them", record.library),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / MEGABYTE)
}

/// Where the file is, and what it was checked against.
fn kept(record: &Record, fetched: &Fetched) -> String {
    let check = match &fetched.check {
        Check::Published(hash) => message!("its SHA-256 is the published one, {hash}"),
        Check::Stated(hash) => message!(
            "its publisher states no SHA-256 beforehand; it is the one that the server states, {hash}, which is kept \
             for later uses"
        ),
        Check::FirstUse(hash) => message!(
            "neither its publisher nor the server states a SHA-256; the one found, {hash}, is kept for later uses"
        ),
        Check::Stored(_) => message!("its SHA-256 is the one kept when it was downloaded"),
        Check::Unchecked => message!("not verified: no SHA-256 is known for a file of this name"),
    };
    let path = shown(&fetched.path);
    let name = &record.name;
    if fetched.is_new {
        message!("downloaded {name} to {path}; {check}")
    } else {
        message!("weights {name} ({}): {path}; {check}", about(record))
    }
}
