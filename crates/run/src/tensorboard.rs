//! The epochs of a run for TensorBoard: a file of events, each a scalar of an epoch.
//!
//! The file is a row of records: the length of the payload as `u64`, the masked CRC-32C of these eight bytes, the
//! payload, and its masked CRC-32C, all little-endian. A payload is an `Event` of `tensorboard/compat/proto/event.proto`
//! (Apache-2.0), of which the messages here are the part that is written, with the field numbers of that file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use warmstart_recipe::Error;

use crate::atomic_file::replace_file;
use crate::record::EpochRecord;

/// Begin and end of the file's name, around the second in which the run began. TensorBoard reads every file whose name
/// contains `tfevents`, the earliest second first.
const BEGIN: &str = "events.out.tfevents.";
const END: &str = ".warmstart";
/// Content of the first record.
const VERSION: &str = "brain.Event:2";

/// An event: the version of the file, or the scalars of an epoch.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    /// The epoch.
    #[prost(int64, tag = "2")]
    step: i64,
    /// [`VERSION`] in the first event.
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    /// The scalars.
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// The scalars of an event.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    /// The scalars.
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

/// A scalar.
#[derive(Clone, PartialEq, Message)]
struct Scalar {
    /// Its name, in which `/` separates groups.
    #[prost(string, tag = "1")]
    tag: String,
    /// Its value, which is one of several kinds in the format: it is written even where it is 0.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// Brings the file of events in a run's folder in line with the history. `metric` is the name of the task's metric.
///
/// New epochs are appended, because TensorBoard reads on where it was; where the history differs from the file, the file
/// is replaced.
///
/// # Errors
/// If the disk refuses.
pub(crate) fn write(run: &Path, metric: &str, history: &[EpochRecord]) -> Result<(), Error> {
    let began = earlier(run)?.unwrap_or_else(|| beginning(history));
    let path = path(run, began);
    let bytes = bytes(began, metric, history);
    let old = warmstart_files::read(&path, bytes.len() as u64).ok();
    match old.and_then(|old| bytes.strip_prefix(&old[..])) {
        Some([]) => Ok(()),
        Some(rest) => append(&path, rest),
        None => replace_file(&path, &bytes),
    }
}

fn path(run: &Path, began: u64) -> PathBuf {
    run.join(format!("{BEGIN}{began}{END}"))
}

/// The second in the name of the file that a run has.
fn earlier(run: &Path) -> Result<Option<u64>, Error> {
    // A file that is overlooked would get a second one beside it.
    let list = || -> io::Result<Option<u64>> {
        let mut earliest: Option<u64> = None;
        for entry in fs::read_dir(run)? {
            if let Some(second) = second(&entry?.file_name()) {
                earliest = Some(earliest.map_or(second, |earliest| earliest.min(second)));
            }
        }
        Ok(earliest)
    };
    list().map_err(|error| Error::io("list", run, error))
}

fn second(name: &OsStr) -> Option<u64> {
    name.to_str()?
        .strip_prefix(BEGIN)?
        .strip_suffix(END)?
        .parse()
        .ok()
}

/// The second in which a run with that history began, if it has not paused.
fn beginning(history: &[EpochRecord]) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0.0, |now| now.as_secs_f64());
    let trained: f64 = history.iter().map(|record| record.seconds).sum();
    (now - trained).max(0.0) as u64
}

fn append(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    // Not flushed: what a power cut loses is written again by `resume`.
    let opened = File::options().append(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Error::io("write", path, error))
}

/// The content of the file.
fn bytes(began: u64, metric: &str, history: &[EpochRecord]) -> Vec<u8> {
    let mut wall_time = began as f64;
    let mut bytes = Vec::new();
    let version = Event {
        wall_time,
        step: 0,
        file_version: Some(VERSION.to_owned()),
        summary: None,
    };
    add(&mut bytes, &version);
    for record in history {
        wall_time += record.seconds;
        let event = Event {
            wall_time,
            step: record.epoch as i64,
            file_version: None,
            summary: Some(Summary {
                value: scalars(metric, record),
            }),
        };
        add(&mut bytes, &event);
    }
    bytes
}

fn scalars(metric: &str, record: &EpochRecord) -> Vec<Scalar> {
    let mut scalars = Vec::new();
    let mut add = |tag: String, value: f64| {
        scalars.push(Scalar {
            tag,
            simple_value: Some(value as f32),
        });
    };
    add("loss/train".to_owned(), record.train_loss);
    add("loss/validation".to_owned(), record.val_loss);
    add(format!("metric/{metric}"), record.metric);
    for (name, value) in &record.others {
        add(format!("metric/{name}"), *value);
    }
    add("learning_rate".to_owned(), record.lr);
    add("images_per_second".to_owned(), record.images_per_second);
    add("memory_mb".to_owned(), record.peak_memory_mb);
    let stages = record.health.last().map(|health| &health.stages);
    for stage in stages.into_iter().flatten() {
        let name = &stage.stage;
        add(format!("health/{name}/gradient_norm"), stage.gradient_norm);
        add(format!("health/{name}/update_ratio"), stage.update_ratio);
    }
    scalars
}

/// Adds a record.
fn add(bytes: &mut Vec<u8>, event: &Event) {
    let payload = event.encode_to_vec();
    let length = (payload.len() as u64).to_le_bytes();
    bytes.extend(length);
    bytes.extend(masked_checksum(&length).to_le_bytes());
    bytes.extend(&payload);
    bytes.extend(masked_checksum(&payload).to_le_bytes());
}

/// CRC-32C, turned and moved, so that the checksum of data that hold their own checksum is no special one.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name and the content of the only file in a folder.
    fn only_file(folder: &Path) -> (String, Vec<u8>) {
        let mut entries = fs::read_dir(folder).unwrap();
        let path = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    }

    /// The events of a file, each checked.
    fn events(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
            let (checksum, rest) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_le_bytes(*checksum), masked_checksum(length));
            let (payload, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
            let (checksum, rest) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_le_bytes(*checksum), masked_checksum(payload));
            events.push(Event::decode(payload).unwrap());
            bytes = rest;
        }
        events
    }

    #[test]
    fn checksums_are_those_of_other_writers() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        // The first twelve bytes of every file that TensorFlow wrote.
        let bytes = bytes(1, "accuracy", &[]);
        let expected: [u8; 12] = [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22];
        assert_eq!(bytes[..12], expected);
        assert_eq!(events(&bytes)[0].file_version.as_deref(), Some(VERSION));
    }

    #[test]
    fn an_epoch_is_an_event_of_scalars() {
        let record = EpochRecord {
            seconds: 2.5,
            train_loss: 0.25,
            others: [("top_5".to_owned(), 0.75)].into(),
            ..EpochRecord::example(1, 0.5)
        };
        let events = events(&bytes(1000, "accuracy", &[record]));
        assert_eq!((events[1].wall_time, events[1].step), (1002.5, 1));
        let scalars = &events[1].summary.as_ref().unwrap().value;
        let of = |tag: &str| {
            let scalar = scalars.iter().find(|scalar| scalar.tag == tag);
            scalar.unwrap().simple_value
        };
        assert_eq!(of("loss/train"), Some(0.25));
        // A 0 is a value, too.
        assert_eq!(of("loss/validation"), Some(0.0));
        assert_eq!(of("metric/accuracy"), Some(0.5));
        assert_eq!(of("metric/top_5"), Some(0.75));
    }

    #[test]
    fn new_epochs_are_appended_and_another_history_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        let history = [1, 2, 3].map(|epoch| EpochRecord::example(epoch, 0.5));
        write(run, "accuracy", &history[..1]).unwrap();
        let (name, first) = only_file(run);
        assert!(second(OsStr::new(&name)).is_some(), "{name}");
        write(run, "accuracy", &history).unwrap();
        let (same_name, all) = only_file(run);
        assert_eq!(same_name, name);
        assert!(all.starts_with(&first) && events(&all).len() == 4);
        // As after `resume --from-epoch 2`, or a write that was cut off.
        write(run, "accuracy", &history[..2]).unwrap();
        assert_eq!(events(&only_file(run).1).len(), 3);
        fs::write(run.join(&name), &all[..all.len() - 5]).unwrap();
        write(run, "accuracy", &history).unwrap();
        assert_eq!(only_file(run), (name, all));
    }
}
