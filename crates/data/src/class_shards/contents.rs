//! The pictures of one archive, with the labels that members beside them give.

use crate::error::DataError;
use crate::file_types::is_image;
use crate::packed::{Member, MemberKind, read_member, walk};
use crate::skipped::Skipped;
use crate::text::lossy;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes that the label of a picture may have: a class name or a number.
const MOST_LABEL: u64 = 4096;
/// Bytes that the JSON of a picture may have.
const MOST_JSON: u64 = 1 << 20;
/// Keys of a label in JSON.
const KEYS: [&str; 3] = ["label", "cls", "class"];

/// What an archive holds.
#[derive(Default)]
pub(super) struct Contents {
    /// In the order of the archive.
    pub pictures: Vec<Picture>,
    /// The labels that members give, each once.
    pub labels: Vec<String>,
    /// Pictures beside another of the same key, such as `1.mask.png` beside `1.jpg`.
    pub beside: Vec<PathBuf>,
    /// Members that are neither pictures nor labels.
    pub ignored: Skipped,
}

/// A picture in an archive.
pub(super) struct Picture {
    /// Its name in the archive.
    pub name: PathBuf,
    /// The place of its label among those of the archive.
    pub label: Option<usize>,
}

/// The labels of keys, as they are met.
#[derive(Default)]
struct Labels {
    labels: Vec<String>,
    places: HashMap<String, usize>,
    of_text: HashMap<PathBuf, usize>,
    of_json: HashMap<PathBuf, usize>,
}

impl Contents {
    /// Reads an archive.
    ///
    /// # Errors
    /// If it cannot be read, is cut short or compressed, or has a picture twice.
    pub fn read(archive: &Path) -> Result<Self, DataError> {
        let mut contents = Self::default();
        let mut labels = Labels::default();
        let mut names = Vec::new();
        let read = walk(archive, &mut |member, file| {
            let path = &member.name;
            match member.kind {
                MemberKind::File if is_image(path) => names.push(path.clone()),
                MemberKind::File if labels.read(member, file)? => {}
                MemberKind::File => contents.ignored.add_type(path),
                MemberKind::Link | MemberKind::Sparse => {
                    contents.ignored.add_in_pieces(archive.join(path));
                }
                MemberKind::Special => contents.ignored.add_special(archive.join(path)),
                MemberKind::Hidden => contents.ignored.add_hidden(),
            }
            Ok(())
        });
        read.map_err(|source| DataError::read(archive, source))?;
        contents.add(names, &labels);
        contents.labels = labels.labels;
        Ok(contents)
    }

    fn add(&mut self, names: Vec<PathBuf>, labels: &Labels) {
        // Names with one dot, whose picture a label beside them means.
        let mut plain = HashSet::new();
        if !labels.labels.is_empty() {
            let of_plain = names.iter().map(|name| key_of(name));
            let of_plain = of_plain.filter(|(_, extension)| !extension.contains('.'));
            plain.extend(of_plain.map(|(key, _)| key));
        }
        for name in names {
            let (key, extension) = key_of(&name);
            let label = labels.of(&key);
            if label.is_some() && extension.contains('.') && plain.contains(&key) {
                self.beside.push(name);
            } else {
                self.pictures.push(Picture { name, label });
            }
        }
    }
}

impl Labels {
    /// Reads a label if a member is one; whether it is.
    fn read(&mut self, member: &Member, file: &File) -> io::Result<bool> {
        let (key, extension) = key_of(&member.name);
        match &extension[..] {
            "cls" => {
                let bytes = read_member(file, member, MOST_LABEL)?.unwrap_or_default();
                let label = lossy(&bytes);
                // Two names that cannot be read may look alike.
                let is_text = !label.contains(char::REPLACEMENT_CHARACTER);
                if is_text && let Some(place) = self.place_of(label.trim()) {
                    self.of_text.insert(key, place);
                }
            }
            // What .cls says counts.
            "json" if !self.of_text.contains_key(&key) => {
                let bytes = read_member(file, member, MOST_JSON)?.unwrap_or_default();
                let label = label_in_json(&bytes).unwrap_or_default();
                if let Some(place) = self.place_of(&label) {
                    self.of_json.insert(key, place);
                }
            }
            "json" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The label of a key.
    fn of(&self, key: &Path) -> Option<usize> {
        let of_text = self.of_text.get(key);
        of_text.or_else(|| self.of_json.get(key)).copied()
    }

    /// The place of a label; none for an empty one.
    fn place_of(&mut self, label: &str) -> Option<usize> {
        if label.is_empty() {
            return None;
        }
        if let Some(place) = self.places.get(label) {
            return Some(*place);
        }
        let place = self.labels.len();
        self.labels.push(label.to_owned());
        self.places.insert(label.to_owned(), place);
        Some(place)
    }
}

/// The label in the JSON of a picture, a text or a number.
fn label_in_json(bytes: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(bytes).ok()?;
    let label = KEYS.iter().find_map(|key| json.get(key))?;
    match label {
        Value::String(name) => Some(name.trim().to_owned()),
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The key of a member, which is its path up to the first dot of its file's name, and what follows the dot in small
/// letters; WebDataset's rule.
fn key_of(name: &Path) -> (PathBuf, String) {
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    let (stem, extension) = file.split_once('.').unwrap_or((&*file, ""));
    (name.with_file_name(stem), extension.to_lowercase())
}
