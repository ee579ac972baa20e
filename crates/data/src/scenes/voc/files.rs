//! The pictures of a data set, each with its file of annotations and the split of its folder.

use super::annotation::read_annotation;
use crate::error::DataError;
use crate::folder::{self, has_extension};
use crate::folder_names::{is_labels, is_masks, is_pictures};
use crate::scenes::findings::{Findings, Problem};
use crate::scenes::splitting::split_folder;
use crate::split_kind::SplitKind;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;
use warmstart_files::shown;
use warmstart_language::message;

/// Words after a name in a list: flags, or the file of annotations, with spaces in its name perhaps.
const WORDS: usize = 8;

/// A picture, whether it is used or not.
pub(super) struct Picture {
    pub path: PathBuf,
    pub annotation: Option<PathBuf>,
    /// The folder above the picture or its annotations that is named after a split, below the data set's.
    pub split: Option<(SplitKind, PathBuf)>,
    name: Name,
}

/// Name of a file below the data set's folder. Folders of annotations and of pictures are left out, so
/// that `Annotations/a.xml` has the name of `JPEGImages/a.jpg`.
struct Name {
    /// Parts with `/` between them, without extension, in Unicode's normal form C.
    key: String,
    /// The last part alone.
    stem: String,
    extension: String,
    rank: Rank,
    split: Option<(SplitKind, PathBuf)>,
}

/// The rank of a file among several of one name: the first in this order is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// In the development kit's own folder.
    Own,
    Usual,
    /// A picture in a folder of annotations: a mask.
    Mask,
}

impl Rank {
    fn of(folders: &[String], extension: &str) -> Self {
        let is_xml = extension.eq_ignore_ascii_case("xml");
        let own = if is_xml { "Annotations" } else { "JPEGImages" };
        if folders.iter().any(|name| name == own) {
            Self::Own
        } else if !is_xml && folders.iter().any(|name| is_labels(name)) {
            Self::Mask
        } else {
            Self::Usual
        }
    }
}

impl Name {
    fn of(root: &Path, path: &Path) -> Self {
        let below = path.strip_prefix(root).unwrap_or(path);
        let parts: Vec<String> = below
            .iter()
            .map(|part| match part.to_str() {
                Some(part) => part.nfc().collect(),
                None => shown(Path::new(part)),
            })
            .collect();
        let (file, folders) = parts.split_last().expect("a file has a name");
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        Self {
            key: joined(folders, stem),
            stem: stem.to_owned(),
            extension: extension.to_lowercase(),
            rank: Rank::of(folders, extension),
            split: below.parent().and_then(split_folder),
        }
    }
}

fn joined(folders: &[String], stem: &str) -> String {
    let named = folders
        .iter()
        .filter(|name| !is_labels(name) && !is_pictures(name));
    let parts: Vec<&str> = named.map(String::as_str).chain([stem]).collect();
    parts.join("/")
}

/// All pictures below a folder.
pub(super) struct Files {
    pub pictures: Vec<Picture>,
    by_key: HashMap<String, usize>,
    /// By key and extension.
    by_file: HashMap<String, usize>,
    /// By the last part, none for several of one name.
    by_stem: HashMap<String, Option<usize>>,
    /// Files that are neither pictures nor annotations.
    pub ignored: usize,
}

impl Files {
    /// Finds pictures and their annotations. Annotations without a picture are findings.
    ///
    /// # Errors
    /// If a folder cannot be read, annotations are not a regular file, or two files are equally
    /// likely.
    pub fn below(root: &Path, findings: &mut Findings) -> Result<Self, DataError> {
        let found = folder::images(root)?;
        for path in found
            .skipped
            .special()
            .filter(|path| has_extension(path, "xml"))
        {
            // Without them its picture would be one without objects.
            warmstart_files::open(path).map_err(|source| DataError::read(path, source))?;
        }
        let mut xml = found.others;
        xml.retain(|path| has_extension(path, "xml"));
        let mut files = Self {
            pictures: Vec::with_capacity(found.paths.len()),
            by_key: HashMap::new(),
            by_file: HashMap::new(),
            by_stem: HashMap::new(),
            ignored: found.skipped.count().saturating_sub(xml.len()),
        };
        for path in found.paths {
            files.add_picture(Name::of(root, &path), path);
        }
        let mut annotations: BTreeMap<String, (Name, PathBuf)> = BTreeMap::new();
        for path in xml {
            let name = Name::of(root, &path);
            match annotations.get(&name.key) {
                Some((other, first)) if other.rank == name.rank => {
                    return Err(ambiguous(root, first, &path));
                }
                Some((other, _)) if other.rank < name.rank => {}
                _ => {
                    annotations.insert(name.key.clone(), (name, path));
                }
            }
        }
        files.match_annotations(root, annotations, findings)?;
        files.share_annotations();
        Ok(files)
    }

    fn add_picture(&mut self, name: Name, path: PathBuf) {
        let index = self.pictures.len();
        self.by_file
            .entry(format!("{}.{}", name.key, name.extension))
            .or_insert(index);
        let of_stem = self.by_stem.entry(name.stem.clone()).or_insert(Some(index));
        let same_key = of_stem
            .is_some_and(|other| other == index || self.pictures[other].name.key == name.key);
        if !same_key {
            *of_stem = None;
        }
        self.pictures.push(Picture {
            path,
            annotation: None,
            split: name.split.clone(),
            name,
        });
    }

    /// Gives every picture its annotations: those of its name, else of the last part of its name, else
    /// those that name it.
    fn match_annotations(
        &mut self,
        root: &Path,
        annotations: BTreeMap<String, (Name, PathBuf)>,
        findings: &mut Findings,
    ) -> Result<(), DataError> {
        self.choose_pictures(root, &annotations)?;
        let mut by_stem: HashMap<&str, usize> = HashMap::new();
        for (name, _) in annotations.values() {
            *by_stem.entry(&name.stem).or_default() += 1;
        }
        let mut unmatched = Vec::new();
        for (key, (name, path)) in &annotations {
            let alone = || {
                (by_stem[&name.stem[..]] == 1)
                    .then(|| *self.by_stem.get(&name.stem)?)
                    .flatten()
            };
            match self.by_key.get(key).copied().or_else(alone) {
                Some(index) => self.pictures[index].annotate(name, path),
                None => unmatched.push((name, path)),
            }
        }
        let named: Vec<Option<String>> = unmatched
            .par_iter()
            .map(|(_, path)| read_annotation(path).ok()?.picture)
            .collect();
        for ((name, path), picture) in unmatched.into_iter().zip(named) {
            let index = picture.and_then(|picture| self.named(&picture));
            match index {
                Some(index) if self.pictures[index].annotation.is_none() => {
                    self.pictures[index].annotate(name, path);
                }
                _ => findings.add(Problem::UnknownImage, || shown(path)),
            }
        }
        Ok(())
    }

    /// Gives a picture that is hidden by another one of its name in its folder the other's annotations: a list
    /// may name it with its extension.
    fn share_annotations(&mut self) {
        for index in 0..self.pictures.len() {
            let picture = &self.pictures[index];
            let chosen = &self.pictures[self.by_key[&picture.name.key]];
            if chosen.path.parent() == picture.path.parent() {
                self.pictures[index].annotation = chosen.annotation.clone();
            }
        }
    }

    /// Chooses the picture of every key: of two in one folder the first, of two in different folders the
    /// one of the first rank.
    fn choose_pictures(
        &mut self,
        root: &Path,
        annotations: &BTreeMap<String, (Name, PathBuf)>,
    ) -> Result<(), DataError> {
        for (index, picture) in self.pictures.iter().enumerate() {
            let key = &picture.name.key;
            let Some(first) = self.by_key.get(key) else {
                self.by_key.insert(key.clone(), index);
                continue;
            };
            let first = &self.pictures[*first];
            let is_in_one_folder = first.path.parent() == picture.path.parent();
            if picture.name.rank < first.name.rank {
                self.by_key.insert(key.clone(), index);
            } else if !is_in_one_folder
                && first.name.rank == picture.name.rank
                && annotations.contains_key(key)
            {
                return Err(ambiguous(root, &first.path, &picture.path));
            }
        }
        Ok(())
    }

    /// The picture that a line of a list or an annotation means: a name with or without extension,
    /// flags or a file of annotations after it, folders before it, with `/` or `\` between them.
    pub fn named(&self, line: &str) -> Option<usize> {
        let line = line.trim();
        let ends = line.rmatch_indices(char::is_whitespace).map(|(at, _)| at);
        [line.len()]
            .into_iter()
            .chain(ends)
            .take(WORDS + 1)
            .find_map(|end| {
                let (name, after) = (unquoted(line[..end].trim_end()), &line[end..]);
                let is_flag = |word: &str| word.parse::<i64>().is_ok();
                let is_name =
                    folder::is_image(Path::new(name)) || after.split_whitespace().all(is_flag);
                is_name.then(|| self.named_exactly(name)).flatten()
            })
    }

    fn named_exactly(&self, name: &str) -> Option<usize> {
        let name: String = name.nfc().collect();
        if let Some(index) = self.by_key.get(&name) {
            return Some(*index);
        }
        let path = name.replace('\\', "/");
        let is_elsewhere = path.starts_with('/') || path.as_bytes().get(1) == Some(&b':');
        let mut parts: Vec<String> = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .map(str::to_owned)
            .collect();
        let file = parts.pop()?;
        let folder = parts.iter().rposition(|part| is_pictures(part));
        // The parts before the folder of pictures are of the machine that made the list.
        let folders = folder.map_or(&parts[..], |at| &parts[at..]);
        let found = self
            .in_folders(folders, &file)
            .or_else(|| self.in_folders(&parts, &file));
        found.or_else(|| {
            let (stem, _) = without_extension(&file);
            is_elsewhere.then(|| *self.by_stem.get(stem)?).flatten()
        })
    }

    fn in_folders(&self, folders: &[String], file: &str) -> Option<usize> {
        let (stem, extension) = without_extension(file);
        let by_file = self
            .by_file
            .get(&format!("{}.{extension}", joined(folders, stem)));
        let by_key = || self.by_key.get(&joined(folders, file));
        let by_stem = || self.by_key.get(&joined(folders, stem));
        by_file.or_else(by_key).or_else(by_stem).copied()
    }

    /// The pictures to use where there are no lists: those of every name in folders where any has
    /// annotations, or all if none has.
    pub fn labelled(&self) -> Vec<usize> {
        let folders: HashSet<&Path> = self
            .pictures
            .iter()
            .filter(|picture| picture.annotation.is_some())
            .filter_map(|picture| picture.path.parent())
            .collect();
        let mut chosen: Vec<usize> = self.by_key.values().copied().collect();
        chosen.retain(|index| {
            let folder = self.pictures[*index].path.parent();
            folders.is_empty() || folder.is_some_and(|folder| folders.contains(folder))
        });
        chosen.sort();
        chosen
    }

    /// Counts the pictures that are not used and names the folders below `root` of which none is.
    pub fn note_unused(&mut self, root: &Path, used: &HashSet<usize>, findings: &mut Findings) {
        self.ignored += self.pictures.len() - used.len();
        let mut folders: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
        for (index, picture) in self.pictures.iter().enumerate() {
            let folder = picture.path.parent().unwrap_or(&picture.path);
            folders.entry(folder).or_default().push(index);
        }
        for (folder, pictures) in folders {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let is_labelled = |index: &usize| self.pictures[*index].annotation.is_some();
            // Loose pictures and masks belong to no split.
            let is_other = folder == root || is_masks(&name);
            if pictures.iter().any(|index| used.contains(index))
                || is_other && !pictures.iter().any(is_labelled)
            {
                continue;
            }
            findings.add(Problem::NotUsed, || {
                message!("{}, with {} pictures", shown(folder), pictures.len())
            });
        }
    }
}

impl Picture {
    fn annotate(&mut self, name: &Name, path: &Path) {
        self.annotation = Some(path.to_path_buf());
        self.split = self.split.take().or_else(|| name.split.clone());
    }
}

/// The name of a picture or of annotations without its extension, in small letters.
fn without_extension(file: &str) -> (&str, String) {
    let is_known = |extension: &str| {
        extension.eq_ignore_ascii_case("xml")
            || folder::is_image(Path::new(&format!("a.{extension}")))
    };
    match file.rsplit_once('.') {
        Some((stem, extension)) if is_known(extension) => (stem, extension.to_lowercase()),
        _ => (file, String::new()),
    }
}

/// A name without the quotes around it.
fn unquoted(name: &str) -> &str {
    let within = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(name)
}

fn ambiguous(root: &Path, first: &Path, second: &Path) -> DataError {
    let (first, second) = (shown(first), shown(second));
    DataError::Layout {
        folder: root.to_path_buf(),
        problem: message!(
            "{first} and {second} have the same name and either may be meant; keep one"
        ),
    }
}
