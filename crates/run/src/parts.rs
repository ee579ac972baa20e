//! The results of shards as files in a folder: written whole or not at all, and joined when all are there.
//!
//! The first line of a part is its header in JSON, filled up with spaces; the rest is the part's own, and has a checksum
//! in the header.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::{Error, Problem};

use crate::part_key::PartKey;
use crate::shard::{MOST, Shard};

const EXTENSION: &str = "part";
/// Most bytes of a header.
const LARGEST_HEADER: u64 = 1 << 16;

/// The first line of a part.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    /// Name of the command.
    command: String,
    /// What the result depends on.
    key: String,
    shard: usize,
    of: usize,
    /// Items of the part.
    items: usize,
    /// Those among them that could not be read.
    unreadable: usize,
    /// What follows the command's name and its shard on the command line, quoted for a shell.
    arguments: String,
    /// BLAKE3 of the rest.
    checksum: String,
}

/// A part that is to be written.
pub struct Part {
    path: PathBuf,
    header: Header,
}

impl Part {
    /// The part of a shard, with so many items, in a folder that need not exist.
    pub fn new(
        folder: &Path,
        command: &str,
        key: &PartKey,
        (shard, items): (Shard, usize),
        arguments: String,
    ) -> Self {
        let key = key.name();
        let Shard { number, of } = shard;
        let name = format!("{command}-{key}-{number:04}-of-{of:04}.{EXTENSION}");
        Self {
            path: folder.join(name),
            header: Header {
                command: command.to_owned(),
                key,
                shard: number,
                of,
                items,
                unreadable: items,
                arguments,
                checksum: checksum(&blake3::Hasher::new()),
            },
        }
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there already, and whole.
    pub fn is_there(&self) -> bool {
        let Ok(found) = WrittenPart::open(&self.path) else {
            return false;
        };
        let (own, other) = (&self.header, &found.header);
        let same = |header: &Header| (header.key.clone(), header.shard, header.of, header.items);
        same(own) == same(other) && own.command == other.command
    }

    /// Writes it, whole or not at all: `fill` writes the content, and returns the number of items that could not be
    /// read.
    ///
    /// # Errors
    /// Those of `fill`, and those of the disk.
    pub fn write<E: From<Error>>(
        &self,
        fill: impl FnOnce(&mut dyn Write) -> Result<usize, E>,
    ) -> Result<(), E> {
        let failed = |error| Error::io("write", &self.path, error);
        let folder = self.path.parent().unwrap_or(Path::new(""));
        warmstart_files::create_folder(folder)
            .map_err(|error| Error::io("create", folder, error))?;
        let mut filled = None;
        let written = warmstart_files::replace(&self.path, |file| {
            // Its own line is not shorter: its numbers have as many digits at most.
            let reserved = line(&self.header, 0)?;
            let (result, checksum) = fill_after(file, &reserved, fill)?;
            let (end, result) = match result {
                Ok(unreadable) => {
                    let header = Header {
                        unreadable: unreadable.min(self.header.items),
                        checksum,
                        ..self.header.clone()
                    };
                    file.seek(SeekFrom::Start(0))?;
                    (file.write_all(&line(&header, reserved.len())?), Ok(()))
                }
                // The failure itself is told instead of this.
                Err(failure) => (
                    Err(io::Error::other("the part is not complete")),
                    Err(failure),
                ),
            };
            filled = Some(result);
            end
        });
        match filled {
            Some(Err(failure)) => Err(failure),
            Some(Ok(())) | None => Ok(written.map_err(failed)?),
        }
    }
}

/// Lets `fill` write behind a first line; returns its result, and the checksum of what it wrote.
fn fill_after<R>(
    file: &mut File,
    first: &[u8],
    fill: impl FnOnce(&mut dyn Write) -> R,
) -> io::Result<(R, String)> {
    let mut body = Body {
        file: BufWriter::new(file),
        hasher: blake3::Hasher::new(),
    };
    body.file.write_all(first)?;
    let result = fill(&mut body);
    body.flush()?;
    Ok((result, checksum(&body.hasher)))
}

/// What follows the header, hashed as it is written.
struct Body<'a> {
    file: BufWriter<&'a mut File>,
    hasher: blake3::Hasher,
}

impl Write for Body<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn checksum(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex().to_string()
}

/// A header as a line of at least so many bytes.
fn line(header: &Header, least: usize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(header)?;
    line.resize(line.len().max(least.saturating_sub(1)), b' ');
    line.push(b'\n');
    Ok(line)
}

/// A part that was found whole.
pub struct WrittenPart {
    path: PathBuf,
    header: Header,
    /// Bytes before its content.
    before: u64,
}

impl WrittenPart {
    /// Opens a part, and reads it once.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::io("read", path, error);
        let file = warmstart_files::open(path).map_err(failed)?;
        let mut file = BufReader::new(file);
        let mut first = Vec::new();
        let mut limited = file.by_ref().take(LARGEST_HEADER);
        limited.read_until(b'\n', &mut first).map_err(failed)?;
        let header = serde_json::from_slice::<Header>(&first).ok();
        let header = header.filter(|header| {
            let is_sound = header.of <= MOST && (1..=header.of).contains(&header.shard);
            first.ends_with(b"\n") && is_sound
        });
        let Some(header) = header else {
            let what = message!("its first line is not the header of a part");
            return Err(damaged(path, what, None));
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).map_err(failed)?;
        if checksum(&hasher) != header.checksum {
            let what = message!("its content does not have the checksum of its first line");
            return Err(damaged(path, what, Some(&header)));
        }
        Ok(Self {
            path: path.to_owned(),
            before: first.len() as u64,
            header,
        })
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content.
    ///
    /// # Errors
    /// If it cannot be read any more.
    pub fn content(&self) -> Result<impl io::BufRead + use<>, Error> {
        let open = || -> io::Result<BufReader<File>> {
            let mut file = warmstart_files::open(&self.path)?;
            file.seek(SeekFrom::Start(self.before))?;
            Ok(BufReader::new(file))
        };
        open().map_err(|error| Error::io("read", &self.path, error))
    }

    /// The error for content that nothing here writes.
    pub fn odd(&self) -> Error {
        let what = message!(
            "its content is not that of a part of `{}`",
            self.header.command
        );
        damaged(&self.path, what, Some(&self.header))
    }
}

/// All parts of a result, in their order.
pub struct AllParts {
    /// Name of the command.
    pub command: String,
    /// The parts.
    pub parts: Vec<WrittenPart>,
}

impl AllParts {
    /// The parts in some folders; those of the result with this `key`, where there are several.
    ///
    /// # Errors
    /// If there is none, one of them is damaged or missing, or there are those of several results.
    pub fn find(folders: &[PathBuf], key: Option<&str>) -> Result<Self, Error> {
        let mut found = Vec::new();
        for path in part_files(folders)? {
            found.push(WrittenPart::open(&path)?);
        }
        let mut results: BTreeMap<(String, String), Vec<WrittenPart>> = BTreeMap::new();
        for part in found {
            let Header { key, command, .. } = &part.header;
            let name = (command.clone(), key.clone());
            results.entry(name).or_default().push(part);
        }
        let all = results.len();
        let is_asked = |of: &str| key.is_none_or(|key| key == of);
        results.retain(|(_, of), _| is_asked(of));
        let folder = folders.first().map_or(Path::new(""), PathBuf::as_path);
        match (results.pop_first(), results.is_empty()) {
            (Some(((command, key), parts)), true) => Self::in_order(command, &key, parts, folder),
            (Some(first), false) => Err(several(first, results, folder)),
            (None, _) => {
                let what = match key {
                    Some(key) if all > 0 => message!("it has no parts with the key {key}"),
                    Some(_) | None => message!("it has no parts (*.{EXTENSION})"),
                };
                Err(Problem::new(what).of_file(folder).into())
            }
        }
    }

    fn in_order(
        command: String,
        key: &str,
        parts: Vec<WrittenPart>,
        folder: &Path,
    ) -> Result<Self, Error> {
        let of = parts.first().map_or(0, |part| part.header.of);
        let mut by_number: BTreeMap<usize, WrittenPart> = BTreeMap::new();
        for part in parts {
            if part.header.of != of {
                let what = message!(
                    "its parts with the key {key} are cut in two ways: {of} and {}",
                    part.header.of
                );
                let fix = message!("remove those of one of them");
                return Err(Problem::new(what).of_file(folder).fix(fix).into());
            }
            // Two folders may have the same part: the bits are the same, whoever computed them.
            let number = part.header.shard;
            let before = by_number.get(&number);
            if before.is_some_and(|before| before.header.checksum != part.header.checksum) {
                let what = message!("part {number} of {of} is there twice, with different content");
                let fix = message!("remove one of the two");
                return Err(Problem::new(what).of_file(part.path()).fix(fix).into());
            }
            by_number.insert(number, part);
        }
        let missing: Vec<usize> = (1..=of)
            .filter(|number| !by_number.contains_key(number))
            .collect();
        let parts: Vec<WrittenPart> = by_number.into_values().collect();
        match (missing.first(), parts.first()) {
            (Some(&number), Some(part)) => {
                let what = message!(
                    "of {of} parts, these are missing: {} (`{command}`, key {key})",
                    listed(&missing)
                );
                let fix = message!(
                    "compute them, the first by `{}`",
                    part.header.command_of(number)
                );
                Err(Problem::new(what).of_file(folder).fix(fix).into())
            }
            (Some(_) | None, _) => Ok(Self { command, parts }),
        }
    }

    /// Items that could not be read, and all items.
    pub fn unreadable(&self) -> (usize, usize) {
        let headers = self.parts.iter().map(|part| &part.header);
        headers.fold((0, 0), |(unreadable, items), header| {
            (
                unreadable.saturating_add(header.unreadable),
                items.saturating_add(header.items),
            )
        })
    }
}

impl Header {
    /// The command line that computes a shard.
    fn command_of(&self, number: usize) -> String {
        let Self {
            command,
            of,
            arguments,
            ..
        } = self;
        format!("warmstart {command} --shard {number}/{of} {arguments}")
    }
}

/// Whether a folder has parts.
pub fn has_parts(folder: &Path) -> bool {
    part_files(&[folder.to_owned()]).is_ok_and(|files| !files.is_empty())
}

/// The parts in some folders, in the order of their names.
fn part_files(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for folder in folders {
        let failed = |error| Error::io("list", folder, error);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|found| found == EXTENSION) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Some of the numbers, the first ones.
fn listed(numbers: &[usize]) -> String {
    const SHOWN: usize = 12;
    let shown = numbers.iter().take(SHOWN).map(usize::to_string);
    let mut shown: Vec<String> = shown.collect();
    if numbers.len() > SHOWN {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

type NamedParts = ((String, String), Vec<WrittenPart>);

fn several(
    first: NamedParts,
    others: BTreeMap<(String, String), Vec<WrittenPart>>,
    folder: &Path,
) -> Error {
    let key = first.0.1.clone();
    let all = std::iter::once(first).chain(others);
    let words = all.map(|((command, key), parts)| {
        let of = parts.first().map_or(0, |part| part.header.of);
        message!("`{command}` {key} ({} of {of} parts)", parts.len())
    });
    let words: Vec<String> = words.collect();
    let what = message!("it has parts of several results: {}", words.join(", "));
    let fix = message!("give the one that is meant, such as --key {key}");
    Problem::new(what).of_file(folder).fix(fix).into()
}

fn damaged(path: &Path, what: String, header: Option<&Header>) -> Error {
    let file = shown(path);
    let fix = match header {
        Some(header) => {
            let command = header.command_of(header.shard);
            message!("remove it, and compute it again: `{command}`")
        }
        None => message!("remove {file}, and start its shard again"),
    };
    Problem::new(what).of_file(path).fix(fix).into()
}

#[cfg(test)]
mod tests;
