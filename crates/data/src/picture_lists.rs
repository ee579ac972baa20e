//! Text lists of pictures with their labels, one picture in a line, as the trainers of Bubbliiiing and
//! keras-yolo3 write them, and the lists of class names beside them.
//!
//! ```text
//! cls_train.txt    cls_test.txt    0;datasets/train/cat/1.jpg
//! 2007_train.txt   2007_val.txt    VOCdevkit/VOC2007/JPEGImages/1.jpg 10,20,110,220,0
//! cls_classes.txt, or model_data/voc_classes.txt: a class in every line
//! ```

use crate::error::DataError;
use crate::file_types::is_archive;
use crate::folder::has_extension;
use crate::picture_file::stamp;
use crate::scenes::{
    Bases, Findings, MOST_UNNAMED, Problem, located, numbered, outside, read_names,
};
use crate::split_kind::SplitKind;
use crate::text::{Text, read_text_within, start_of};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use warmstart_files::{one_line, shown};
use warmstart_language::message;

/// Bytes at the start of a file that show whether it is a list.
const START: u64 = 64 << 10;
/// Bytes that a list may have: several times those of one with all of COCO's boxes.
const MOST_BYTES: u64 = 256 << 20;
/// Letters of a row that messages show.
const SHOWN: usize = 120;
/// Folder of the lists of class names in the trainers' repositories.
const MODEL_DATA: &str = "model_data";

/// The lists of a data set. Those of one data set differ in the word for the split alone.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct PictureLists {
    pub train: Option<PathBuf>,
    pub validation: Option<PathBuf>,
    pub test: Option<PathBuf>,
    /// Lists in the same folder that are not of this data set.
    pub unused: Vec<PathBuf>,
}

impl PictureLists {
    /// The lists of the data set that `data` is: a list itself, or a folder with a list for training. A file is
    /// a list if `is_row` is true for any row at its beginning. A list without a split in its name is for
    /// training. None if `data` is neither.
    ///
    /// # Errors
    /// If two lists are for one split.
    pub fn find(data: &Path, is_row: fn(&str) -> bool) -> Result<Option<Self>, DataError> {
        if data.is_dir() {
            return Self::in_folder(data, is_row);
        }
        if !has_extension(data, "txt") || !is_list(data, is_row) {
            return Ok(None);
        }
        let Some((_, around)) = split_of(data) else {
            let train = Some(data.to_path_buf());
            return Ok(Some(Self {
                train,
                ..Self::default()
            }));
        };
        let mut all = lists_by_name(&folder_of(data), is_row);
        let lists = all.remove(&around).unwrap_or_default();
        Self::of(lists, all).map(Some)
    }

    fn in_folder(folder: &Path, is_row: fn(&str) -> bool) -> Result<Option<Self>, DataError> {
        let mut all = lists_by_name(folder, is_row);
        let for_training = |(around, lists): (&String, &Vec<(SplitKind, PathBuf)>)| {
            let mut lists = lists.iter();
            let (_, train) = lists.find(|(kind, _)| *kind == SplitKind::Train)?;
            Some((around.clone(), train.clone()))
        };
        let trained: Vec<(String, PathBuf)> = all.iter().filter_map(for_training).collect();
        match &trained[..] {
            [] => Ok(None),
            [(around, _)] => {
                let lists = all.remove(around).unwrap_or_default();
                Self::of(lists, all).map(Some)
            }
            [(_, first), (_, second), ..] => Err(two_lists(folder, first, second)),
        }
    }

    fn of(
        lists: Vec<(SplitKind, PathBuf)>,
        others: BTreeMap<String, Vec<(SplitKind, PathBuf)>>,
    ) -> Result<Self, DataError> {
        let mut found = Self {
            unused: others
                .into_values()
                .flatten()
                .map(|(_, list)| list)
                .collect(),
            ..Self::default()
        };
        for (kind, list) in lists {
            let place = match kind {
                SplitKind::Train => &mut found.train,
                SplitKind::Validation => &mut found.validation,
                SplitKind::Test => &mut found.test,
            };
            if let Some(first) = place {
                return Err(two_lists(&folder_of(&list), first, &list));
            }
            *place = Some(list);
        }
        Ok(found)
    }

    /// The list for training.
    ///
    /// # Errors
    /// If there is none; `data` is what was given.
    pub fn training(&self, data: &Path) -> Result<&Path, DataError> {
        self.train.as_deref().ok_or_else(|| DataError::Layout {
            folder: data.to_path_buf(),
            problem: message!(
                "by its name it is for validation or testing, and no list for training has the same name but for the split; put that list beside it, such as cls_train.txt or 2007_train.txt"
            ),
        })
    }

    /// The lists of all splits.
    pub fn all(&self) -> [Option<&Path>; 3] {
        [&self.train, &self.validation, &self.test].map(|list| list.as_deref())
    }
}

/// The lists in a folder with a split in their names, by the rest of the name.
fn lists_by_name(
    folder: &Path,
    is_row: fn(&str) -> bool,
) -> BTreeMap<String, Vec<(SplitKind, PathBuf)>> {
    let mut found: BTreeMap<String, Vec<(SplitKind, PathBuf)>> = BTreeMap::new();
    for list in texts(folder) {
        if let Some((kind, around)) = split_of(&list)
            && is_list(&list, is_row)
        {
            found.entry(around).or_default().push((kind, list));
        }
    }
    found
}

/// The text files directly in a folder, sorted.
fn texts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_visible = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        !name.as_encoded_bytes().starts_with(b".") && has_extension(path, "txt")
    };
    let paths = entries.map(|entry| entry.path());
    let mut texts: Vec<PathBuf> = paths.filter(is_visible).collect();
    texts.sort();
    texts
}

/// The split in the name of a list, and the other words and numbers of the name.
fn split_of(list: &Path) -> Option<(SplitKind, String)> {
    let stem = list.file_stem()?.to_str()?.to_lowercase();
    let (kind, _) = SplitKind::within(&stem)?;
    let words = stem.split(|letter: char| !letter.is_alphanumeric());
    let others = words.filter(|word| !word.is_empty() && SplitKind::of(word) != Some(kind));
    Some((kind, others.collect::<Vec<_>>().join(" ")))
}

fn is_list(file: &Path, is_row: fn(&str) -> bool) -> bool {
    let (start, _) = start_of(file, START).unwrap_or_default();
    start.split(['\n', '\r']).map(str::trim).any(is_row)
}

fn two_lists(folder: &Path, first: &Path, second: &Path) -> DataError {
    let (first, second) = (shown(first), shown(second));
    DataError::Layout {
        folder: folder.to_path_buf(),
        problem: message!(
            "{first} and {second} are lists for the same split; give the one that is meant as the data, or move the other elsewhere"
        ),
    }
}

/// The folder of a list, from which its paths count.
pub(crate) fn folder_of(list: &Path) -> PathBuf {
    match list.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// Reads the text of a list.
///
/// # Errors
/// If it cannot be read, is larger than 256 MiB, or is not text in a clear encoding.
pub(crate) fn read_list(list: &Path, findings: &mut Findings) -> Result<Text, DataError> {
    let text = read_text_within(list, MOST_BYTES)?;
    findings.add_encoding(list, &text);
    Ok(text)
}

/// The beginning of a row, for messages.
pub(crate) fn beginning(row: &str) -> String {
    let start: String = row.chars().take(SHOWN).collect();
    let end = if start.len() < row.len() { "…" } else { "" };
    one_line(&format!("{start}{end}")).into_owned()
}

/// The files that a list means by its paths.
pub(crate) struct Finder<'a> {
    folder: &'a Path,
    bases: Bases<'a>,
    /// The folders of the pictures that were found.
    folders: HashSet<PathBuf>,
}

impl<'a> Finder<'a> {
    /// `folder` alone holds the folder of the lists.
    pub fn new(folder: &'a [PathBuf; 1]) -> Self {
        Self {
            folder: &folder[0],
            bases: Bases::new(folder),
            folders: HashSet::new(),
        }
    }

    /// The picture of a path: at that place if the path is absolute, else below the lists' folder, both also where it
    /// goes through an archive, else at the longest end of the path that lies below that folder and keeps a folder named after a split. What is not
    /// there, and what was found by its end, are findings; `place` is the file and the line.
    pub fn find(
        &mut self,
        path: &str,
        place: impl Fn() -> String,
        findings: &mut Findings,
    ) -> Option<PathBuf> {
        let foreign = findings.count(Problem::ForeignName);
        let found = self.packed(path).or_else(|| {
            let found = located(&self.bases, path, &place, findings);
            found.filter(|found| found.is_file())
        });
        let Some(found) = found else {
            findings.add(Problem::MissingImage, || {
                format!("{}: {}", place(), beginning(path))
            });
            return None;
        };
        let forward = path.replace('\\', "/");
        let written = self.folder.join(forward.trim_start_matches("./"));
        if found != written && findings.count(Problem::ForeignName) == foreign && !written.exists()
        {
            findings.add(Problem::ForeignName, || {
                message!("{}: {} is {}", place(), beginning(path), shown(&found))
            });
        }
        if let Some(folder) = found.parent()
            && !self.folders.contains(folder)
        {
            self.folders.insert(folder.to_path_buf());
        }
        Some(found)
    }

    /// The picture in an archive that a path goes through, unless a file lies there.
    fn packed(&self, path: &str) -> Option<PathBuf> {
        let mut folders = Path::new(path).ancestors().skip(1);
        if !folders.any(is_archive) {
            return None;
        }
        let packed = self.folder.join(path);
        (!packed.is_file() && stamp(&packed).is_ok()).then_some(packed)
    }

    /// Names the folders of pictures outside of the lists' folder.
    pub fn note_outside(&self, findings: &mut Findings) {
        for folder in outside(&[self.folder.to_path_buf()], self.folders.iter()) {
            findings.add(Problem::OtherFolder, || shown(&folder));
        }
    }
}

/// The number of a class in a row, below [`MOST_UNNAMED`].
pub(crate) fn class_number(text: &str) -> Option<usize> {
    let number = text.trim().parse().ok();
    number.filter(|number| *number < MOST_UNNAMED)
}

/// The names of the classes 0 to `count` − 1, or of more: those of a list of classes (`usual`, `classes.txt`, or
/// another name that ends so) in the lists' folder or in `model_data` in it. Of several the first that has
/// exactly `count` names is taken, else the first with more, else the first. Without a list classes are called
/// by their numbers.
///
/// # Errors
/// If the list that is taken cannot be read, is empty, or has a class twice or an empty line between others.
pub(crate) fn class_names(
    folder: &Path,
    usual: &str,
    count: usize,
    findings: &mut Findings,
) -> Result<Vec<String>, DataError> {
    let mut read = Vec::new();
    for file in class_lists(folder, usual) {
        let mut found = Findings::default();
        let names = read_names(&file, &mut found);
        read.push((file, names, found));
    }
    let fits = |wanted: fn(usize, usize) -> bool| {
        let fits = |names: &Result<Vec<String>, DataError>| {
            names.as_ref().is_ok_and(|names| wanted(names.len(), count))
        };
        read.iter().position(|(_, names, _)| fits(names))
    };
    let taken = fits(|names, count| names == count).or_else(|| fits(|names, count| names > count));
    if read.is_empty() {
        findings.add(Problem::UnnamedClasses, || {
            let folder = shown(folder);
            message!("there is neither {usual} nor {MODEL_DATA}/{usual} in {folder}")
        });
        return Ok(numbered(count));
    }
    let (file, names, found) = read.swap_remove(taken.unwrap_or(0));
    let names = names?;
    findings.append(found);
    for (other, others, _) in read {
        let Ok(others) = others else { continue };
        // Beside a list that fits, one that does not is of other data.
        if others != names && (names.len() != count || others.len() == count) {
            findings.add(Problem::OtherClasses, || {
                let (file, other) = (shown(&file), shown(&other));
                message!("the names are those of {file}; {other} has others")
            });
        }
    }
    Ok(names)
}

/// The lists of class names of a folder, those with the more usual names first.
fn class_lists(folder: &Path, usual: &str) -> Vec<PathBuf> {
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().to_lowercase()
    };
    let mut lists = texts(folder);
    lists.extend(texts(&folder.join(MODEL_DATA)));
    lists.retain(|path| name(path).ends_with("classes.txt"));
    let rank = |path: &PathBuf| {
        let name = name(path);
        (name != usual, name != "classes.txt")
    };
    // The sort is stable: the lists' own folder comes first.
    lists.sort_by_key(rank);
    lists
}

#[cfg(test)]
mod tests;
