//! Data from elsewhere: copied from an address, and unpacked from Parquet files, before anything reads pictures.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use warmstart_data::{FeatureCacheFolder, ParquetData, READS_PARQUET, Unpacked};
use warmstart_fetch::{
    COPIES_DATA, Lock, Mirror, Mirrored, ObjectError, ObjectEvent, address_of, mirror,
    settings_from_environment,
};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::{Draft, Error, Key, Problem, settle_names};
use warmstart_run::event::{Event, Observer};
use warmstart_run::stop::Stop;
use warmstart_train::resources::Resources;

/// Folder of the copies in the cache's folder.
const FOLDER: &str = "data";
/// Time between two notes on how far the unpacking is.
const BETWEEN_NOTES: Duration = Duration::from_secs(30);
/// Bytes of a megabyte and of a gigabyte.
const MEGABYTE: f64 = 1e6;
const GIGABYTE: f64 = 1e9;

/// Gives a draft whose data are at an address, or in Parquet files, the folder of this machine that has them then.
///
/// # Errors
/// If they cannot be copied or unpacked, or there is no folder for it.
pub fn settle_data(
    draft: &mut Draft,
    resources: &Resources,
    observe: Observer,
) -> Result<(), Error> {
    settle_below(draft, resources.cache.as_ref(), &resources.stop, observe)
}

fn settle_below(
    draft: &mut Draft,
    cache: Option<&FeatureCacheFolder>,
    stop: &Stop,
    observe: Observer,
) -> Result<(), Error> {
    let Some(data) = &draft.data else {
        return Ok(());
    };
    if address_of(data).is_some() {
        // Before anything is copied.
        settle_names(&mut draft.clone())?;
    }
    draft.data = Some(local_data(data, cache, stop, observe)?);
    Ok(())
}

/// The folder or file of this machine that has the data: their own path, if they are on it and no Parquet files.
///
/// # Errors
/// As [`settle_data`].
pub fn local_data(
    data: &Path,
    cache: Option<&FeatureCacheFolder>,
    stop: &Stop,
    observe: Observer,
) -> Result<PathBuf, Error> {
    let copied = match address_of(data) {
        None => data.to_owned(),
        Some(address) => {
            // Copying can end after the files in hand, and be continued.
            stop.saves(true);
            let copied = copy(&address, cache, stop, observe);
            stop.saves(false);
            copied?
        }
    };
    match ParquetData::at(&copied)? {
        None => Ok(copied),
        Some(parquet) => unpack(&parquet, &copied, cache, observe),
    }
}

/// The copy of what is at an address.
fn copy(
    address: &str,
    cache: Option<&FeatureCacheFolder>,
    stop: &Stop,
    observe: Observer,
) -> Result<PathBuf, Error> {
    // A build that cannot copy says so first.
    let folder = match cache {
        Some(cache) => cache.path().join(FOLDER),
        None if COPIES_DATA => return Err(no_folder(Path::new(address))),
        None => PathBuf::new(),
    };
    let request = Mirror {
        address,
        folder: &folder,
        settings: settings_from_environment(),
        is_stopped: &|| stop.is_requested(),
    };
    let copied = mirror(&request, &mut |event| show(address, event, observe));
    let copied = copied.map_err(failed)?;
    observe(Event::Note(kept(address, &copied)));
    Ok(copied.path)
}

fn show(address: &str, event: ObjectEvent, observe: Observer) {
    let note = match event {
        ObjectEvent::Bytes { done, of } => return observe(Event::Downloading { done, of }),
        ObjectEvent::Found { wanted: 0, .. } => return,
        ObjectEvent::Found {
            files,
            wanted,
            bytes: Some(bytes),
        } => message!(
            "copying {wanted} of {files} files, {}, from {address}",
            size(bytes)
        ),
        ObjectEvent::Found {
            wanted,
            bytes: None,
            ..
        } => message!("copying what is new of {wanted} files from {address}"),
        ObjectEvent::Waiting => message!("waiting for another process that copies {address}"),
        ObjectEvent::Again { reason } => message!("{reason}; it is fetched again"),
    };
    observe(Event::Note(note));
}

/// What was copied, and where it is.
fn kept(address: &str, copied: &Mirrored) -> String {
    let Mirrored {
        path,
        files,
        bytes,
        fetched,
        removed,
    } = copied;
    let (path, size) = (shown(path), size(*bytes));
    let removed = match removed {
        0 => String::new(),
        removed => message!(", {removed} were removed, because they are gone there"),
    };
    message!("{address}: {files} files, {size}, are in {path}; {fetched} of them are new{removed}")
}

fn failed(error: ObjectError) -> Error {
    let problem = Problem::new(error.to_string()).fix(error.fix());
    match error {
        ObjectError::NotBuilt { .. } | ObjectError::Address { .. } => {
            problem.of_key(Key::DATA).into()
        }
        ObjectError::Server { .. } | ObjectError::Stopped { .. } | ObjectError::Here(_) => {
            Error::Download(Box::new(problem))
        }
    }
}

/// The folder of the shards that Parquet files were unpacked into.
fn unpack(
    parquet: &ParquetData,
    data: &Path,
    cache: Option<&FeatureCacheFolder>,
    observe: Observer,
) -> Result<PathBuf, Error> {
    if !READS_PARQUET {
        return Err(parquet.refused().into());
    }
    let cache = cache.ok_or_else(|| no_folder(data))?;
    let name = format!("parquet-{}", parquet.key());
    let folder = cache.path().join(FOLDER);
    let lock = folder.join(".locks").join(format!("{name}.lock"));
    let data = shown(data);
    let _lock = Lock::take(&lock, || {
        observe(Event::Note(message!(
            "waiting for another process that unpacks {data}"
        )));
    })?;
    let (files, bytes) = (parquet.files(), size(parquet.bytes()));
    let mut noted: Option<Instant> = None;
    let unpacked = parquet.unpack(&folder.join(&name), &mut |done, all| {
        let note = match noted {
            None => message!("unpacking {all} rows of {files} Parquet files, {bytes}, once"),
            Some(time) if time.elapsed() >= BETWEEN_NOTES => {
                message!("unpacked {done} of {all} rows")
            }
            Some(_) => return,
        };
        noted = Some(Instant::now());
        observe(Event::Note(note));
    });
    let Unpacked { path, written } = unpacked?;
    let place = shown(&path);
    observe(Event::Note(match written {
        None => message!("{data}: unpacked earlier, in {place}"),
        Some(written) => {
            let (pictures, classes) = (written.pictures, written.classes);
            let left_out = match written.unlabelled {
                0 => String::new(),
                rows => message!("; {rows} rows without a label are left out"),
            };
            message!("{data}: {pictures} pictures of {classes} classes, in {place}{left_out}")
        }
    }));
    Ok(path)
}

/// The error where there is no folder for copies.
fn no_folder(data: &Path) -> Error {
    Problem::new(message!("there is no folder to keep a copy of the data in"))
        .of_file(data)
        .fix(message!("name one with --cache DIR, or by XDG_CACHE_HOME"))
        .into()
}

fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes < GIGABYTE {
        format!("{:.1} MB", bytes / MEGABYTE)
    } else {
        format!("{:.1} GB", bytes / GIGABYTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(data: &Path, cache: Option<&FeatureCacheFolder>) -> Result<PathBuf, Error> {
        let mut draft = Draft {
            data: Some(data.to_owned()),
            ..Draft::default()
        };
        settle_below(&mut draft, cache, &Stop::default(), &mut |_| {})?;
        Ok(draft.data.unwrap())
    }

    #[test]
    fn data_of_this_machine_stay_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(settled(folder.path(), None).unwrap(), folder.path());
        let missing = folder.path().join("missing");
        assert_eq!(settled(&missing, None).unwrap(), missing);
    }

    #[test]
    fn an_address_that_cannot_be_copied_is_refused_with_a_fix() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCacheFolder::new(folder.path().to_owned(), 0);
        for address in ["gs://bucket/pets", "https://host/pets/"] {
            let error = settled(Path::new(address), Some(&cache)).unwrap_err();
            assert!(error.to_string().contains(address), "{error}");
            assert!(!error.fields().fix.is_empty(), "{error}");
        }
    }

    #[test]
    fn a_wrong_name_of_weights_is_told_before_anything_is_copied() {
        let mut draft = Draft {
            data: Some("s3://bucket/pets".into()),
            weights: Some("no-such-weights".to_owned()),
            ..Draft::default()
        };
        let settled = settle_below(&mut draft, None, &Stop::default(), &mut |_| {});
        assert!(settled.unwrap_err().to_string().contains("no-such-weights"));
    }

    #[test]
    fn a_copy_needs_a_folder_where_the_build_can_copy() {
        let error = settled(Path::new("s3://bucket/pets"), None).unwrap_err();
        let words = if COPIES_DATA {
            "--cache"
        } else {
            "--features remote"
        };
        assert!(error.to_string().contains(words), "{error}");
    }
}
