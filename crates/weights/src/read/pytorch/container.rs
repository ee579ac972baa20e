//! Storages of a PyTorch file: entries of a zip archive, or one after another behind the pickles.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use warmstart_language::message;
use zip::{CompressionMethod, ZipArchive};

use super::{damaged, io_error, refused};
use crate::WeightError;
use crate::read::pickle::{Node, Pickle, Storage, parse};
use crate::text::{cut_line, cut_list, grouped};

/// Largest pickle that is read. It describes tensors, whose values are elsewhere.
const MAX_PICKLE: u64 = 100 << 20;

/// The end record of a zip archive is at most this far from the file's end: 22 bytes and a comment.
const ZIP_END: u64 = 22 + 65_535;

/// An opened file.
pub(super) enum Container {
    Zip {
        archive: Box<ZipArchive<BufReader<File>>>,
        /// The path before `data.pkl` in the entry's name.
        folder: String,
        is_big_endian: bool,
    },
    Legacy {
        reader: BufReader<File>,
        /// Position and number of bytes of each storage, by key.
        places: HashMap<String, (u64, u64)>,
        is_big_endian: bool,
    },
}

impl Container {
    /// Opens a zip archive, reads its pickle, and checks every other pickle in it for code, so that it does
    /// not matter which one a loader picks.
    pub(super) fn open_zip(path: &Path) -> Result<(Self, Pickle), WeightError> {
        let mut file = warmstart_files::open(path).map_err(|e| io_error(path, e))?;
        require_directory(path, &mut file)?;
        let mut archive =
            ZipArchive::new(BufReader::new(file)).map_err(|_| without_directory(path))?;
        let names: Vec<String> = archive
            .file_names()
            .map(|name| name.map(std::borrow::Cow::into_owned))
            .collect::<Result<_, _>>()
            .map_err(|e| damaged(path, &e))?;
        refuse_other_archives(path, &names)?;
        let mut main: Option<(usize, Pickle)> = None;
        let mut mentioned = std::collections::BTreeSet::new();
        for index in (0..names.len()).filter(|index| names[*index].ends_with(".pkl")) {
            let entry = archive.by_index(index).map_err(|e| damaged(path, &e))?;
            let mut reader = BufReader::new(entry.take(MAX_PICKLE));
            let mut pickle = parse(&mut reader).map_err(|e| refused(path, e))?;
            // Read to the end, where the checksum is compared.
            std::io::copy(&mut reader, &mut std::io::sink()).map_err(|e| damaged(path, &e))?;
            mentioned.append(&mut pickle.mentioned);
            let is_data = names[index] == "data.pkl" || names[index].ends_with("/data.pkl");
            let is_nearer = |main: &(usize, Pickle)| names[index].len() < names[main.0].len();
            if is_data && main.as_ref().is_none_or(is_nearer) {
                main = Some((index, pickle));
            }
        }
        let (index, mut pickle) = main.ok_or_else(|| without_directory(path))?;
        pickle.mentioned = mentioned;
        let folder = names[index].trim_end_matches("data.pkl").to_owned();
        let is_big_endian = byte_order(path, &mut archive, &folder)?;
        let container = Self::Zip {
            archive: Box::new(archive),
            folder,
            is_big_endian,
        };
        Ok((container, pickle))
    }

    /// Opens a legacy file: the pickles of its magic number, version, system, value and storage names, then
    /// the size and the values of each storage.
    pub(super) fn open_legacy(path: &Path) -> Result<(Self, Pickle), WeightError> {
        let file = warmstart_files::open(path).map_err(|e| io_error(path, e))?;
        let size = file.metadata().map_err(|e| io_error(path, e))?.len();
        let mut reader = BufReader::new(file);
        let mut next = || parse_limited(path, &mut reader);
        let (_magic, _version, system, mut value, keys) =
            (next()?, next()?, next()?, next()?, next()?);
        for pickle in [&system, &keys] {
            value.mentioned.extend(pickle.mentioned.iter().cloned());
        }
        let is_big_endian = if let Node::Dict(entries) = system.node(system.root) {
            matches!(system.entry(entries, "little_endian"), Some(Node::Int(0)))
        } else {
            false
        };
        let sizes: HashMap<&str, usize> = value
            .storages()
            .map(|storage| (&*storage.key, storage.elements.size()))
            .collect();
        let Node::List(names) = keys.node(keys.root) else {
            return Err(damaged(
                path,
                &message!("the names of its storages are not a list"),
            ));
        };
        let mut places = HashMap::new();
        let mut position = reader.stream_position().map_err(|e| io_error(path, e))?;
        for name in names {
            let name = keys.name(*name).unwrap_or_default();
            let element = *sizes.get(&*name).ok_or_else(|| {
                damaged(
                    path,
                    &message!("no tensor has its storage {}", cut_line(&name, 60)),
                )
            })?;
            reader
                .seek(SeekFrom::Start(position))
                .map_err(|e| io_error(path, e))?;
            let mut count = [0; 8];
            reader
                .read_exact(&mut count)
                .map_err(|_| damaged(path, &message!("it ends before its tensor values")))?;
            let bytes = u64::from_le_bytes(count).checked_mul(element as u64);
            let end = bytes.and_then(|bytes| position.checked_add(8)?.checked_add(bytes));
            let (Some(bytes), Some(end)) = (bytes, end.filter(|end| *end <= size)) else {
                return Err(damaged(path, &message!("it ends before its tensor values")));
            };
            places.insert(name.to_string(), (position + 8, bytes));
            position = end;
        }
        let container = Self::Legacy {
            reader,
            places,
            is_big_endian,
        };
        Ok((container, value))
    }

    pub(super) fn is_big_endian(&self) -> bool {
        match self {
            Self::Zip { is_big_endian, .. } | Self::Legacy { is_big_endian, .. } => *is_big_endian,
        }
    }

    /// The number of bytes of a storage; `None` if there is none of that name.
    pub(super) fn size(&mut self, storage: &Storage) -> Option<u64> {
        match self {
            Self::Zip {
                archive, folder, ..
            } => {
                let name = format!("{folder}data/{}", storage.key);
                let index = archive.index_for_name(&name)?;
                Some(archive.by_index_raw(index).ok()?.size())
            }
            Self::Legacy { places, .. } => Some(places.get(&*storage.key)?.1),
        }
    }

    /// The bytes of a storage, whose [`size`](Self::size) the caller has checked.
    pub(super) fn read(&mut self, path: &Path, storage: &Storage) -> Result<Vec<u8>, WeightError> {
        let size = self.size(storage).ok_or_else(|| {
            damaged(
                path,
                &message!("it has no storage {}", cut_line(&storage.key, 60)),
            )
        })?;
        let mut bytes = Vec::with_capacity(size as usize);
        match self {
            Self::Zip {
                archive, folder, ..
            } => {
                let name = format!("{folder}data/{}", storage.key);
                let index = archive
                    .index_for_name(&name)
                    .ok_or_else(|| without_directory(path))?;
                let raw = archive.by_index_raw(index).map_err(|e| damaged(path, &e))?;
                // PyTorch can be set to write no checksums.
                let has_no_checksum =
                    raw.crc32() == 0 && raw.compression() == CompressionMethod::Stored;
                drop(raw);
                let opened = if has_no_checksum {
                    archive.by_index_raw(index)
                } else {
                    archive.by_index(index)
                };
                let entry = opened.map_err(|e| damaged(path, &e))?;
                entry
                    .take(size + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|e| read_error(path, e))?;
            }
            Self::Legacy { reader, places, .. } => {
                let (position, _) = places[&*storage.key];
                reader
                    .seek(SeekFrom::Start(position))
                    .map_err(|e| io_error(path, e))?;
                reader
                    .take(size)
                    .read_to_end(&mut bytes)
                    .map_err(|e| io_error(path, e))?;
            }
        }
        if bytes.len() as u64 != size {
            let found = grouped(bytes.len());
            return Err(damaged(
                path,
                &message!("a storage of {size} bytes has {found}"),
            ));
        }
        Ok(bytes)
    }
}

fn parse_limited(path: &Path, reader: &mut impl BufRead) -> Result<Pickle, WeightError> {
    parse(&mut reader.take(MAX_PICKLE)).map_err(|e| refused(path, e))
}

fn without_directory(path: &Path) -> WeightError {
    damaged(
        path,
        &message!("a zip archive without the directory at its end"),
    )
}

/// Refuses a file without a zip directory near its end; the zip library would search all of the file for it.
fn require_directory(path: &Path, file: &mut File) -> Result<(), WeightError> {
    let io = |e| io_error(path, e);
    let size = file.metadata().map_err(io)?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(ZIP_END)))
        .map_err(io)?;
    let mut end = Vec::new();
    file.take(ZIP_END).read_to_end(&mut end).map_err(io)?;
    file.rewind().map_err(io)?;
    if end.windows(4).any(|window| window == b"PK\x05\x06") {
        Ok(())
    } else {
        Err(without_directory(path))
    }
}

/// Returns whether the entry `byteorder` says that values are big-endian; false if there is no such entry.
fn byte_order(
    path: &Path,
    archive: &mut ZipArchive<BufReader<File>>,
    folder: &str,
) -> Result<bool, WeightError> {
    const LONGEST: u64 = 64;
    let Some(index) = archive.index_for_name(&format!("{folder}byteorder")) else {
        return Ok(false);
    };
    let mut order = String::new();
    let entry = archive.by_index(index).map_err(|e| damaged(path, &e))?;
    entry
        .take(LONGEST)
        .read_to_string(&mut order)
        .map_err(|e| read_error(path, e))?;
    match order.trim() {
        "little" => Ok(false),
        "big" => Ok(true),
        other => Err(damaged(
            path,
            &message!(
                "its byte order is \"{}\", neither little nor big",
                cut_line(other, 20)
            ),
        )),
    }
}

fn read_error(path: &Path, error: std::io::Error) -> WeightError {
    match error.raw_os_error() {
        Some(_) => io_error(path, error),
        None => damaged(path, &error),
    }
}

fn refuse_other_archives(path: &Path, names: &[String]) -> Result<(), WeightError> {
    if names.iter().any(|name| name.ends_with("constants.pkl")) {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: message!("a TorchScript archive (torch.jit.save)"),
            fix: message!(
                "load it with torch.jit.load and save its weights with torch.save(model.state_dict(), ...)"
            ),
        });
    }
    if names
        .iter()
        .any(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
    {
        return Ok(());
    }
    let weights = names.iter().find(|name| {
        [".pth", ".pt", ".safetensors", ".bin"]
            .iter()
            .any(|ending| name.ends_with(ending))
    });
    let names: Vec<String> = names.iter().map(|name| cut_line(name, 60)).collect();
    Err(WeightError::NotWeights {
        path: path.into(),
        found: match names.len() {
            0 => message!("an empty zip archive"),
            _ => message!("a zip archive of {}", cut_list(&names, 3)),
        },
        fix: match weights {
            Some(inner) => message!("unpack it and give {}", cut_line(inner, 100)),
            None => message!("give a .pth, .pt or .safetensors file"),
        },
    })
}
