//! The list of a run's data files, by which a change of them is noticed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use warmstart_data::{Sample, data_folder, stamp};
use warmstart_files::shown;
use warmstart_language::message;

use crate::atomic_file::checksum;
use warmstart_recipe::Error;

/// Most files that a message names.
const NAMED: usize = 5;
/// Files that are described at a time.
const TOGETHER: usize = 10_000;
/// Characters of a label's checksum.
const LABEL: usize = 16;

/// The files of a data set, their sizes and labels.
///
/// A text of one line per file, in the order of the data set: `split`, size in bytes, a checksum of the
/// label, and the path below the data set's folder, between tabs. A path that is not UTF-8 or has a newline is
/// written with escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFiles(String);

impl DataFiles {
    /// The files of the training, validation and test images of a data set that a folder or a file in it names.
    ///
    /// # Errors
    /// If one is not there any more.
    pub fn of<L: Serialize + Sync>(
        splits: [Vec<&Sample<L>>; 3],
        folder: &Path,
    ) -> Result<Self, Error> {
        let mut text = String::new();
        let folder = data_folder(folder);
        for (split, samples) in ["train", "val", "test"].into_iter().zip(splits) {
            for samples in samples.chunks(TOGETHER) {
                // The system answers many threads faster than one.
                let lines = samples.par_iter().map(|sample| described(sample, folder));
                for line in lines.collect::<Vec<_>>() {
                    text += &format!("{split}\t{}\n", line?);
                }
            }
        }
        Ok(Self(text))
    }

    /// The list out of its text.
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The list as text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Checksum of the list: the same for the same files, sizes, labels and order.
    pub fn checksum(&self) -> String {
        checksum(self.0.as_bytes())
    }

    /// The files in the order of the list. Lines of another form are skipped.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.0.lines().filter_map(Entry::of)
    }

    /// Differences from an earlier list, in words.
    pub fn difference(&self, before: &Self) -> String {
        let [before, now] = [before, self].map(Self::by_path);
        let [more, fewer] = [only_in(&now, &before), only_in(&before, &now)];
        let paths = |files: &[File]| -> BTreeSet<String> {
            files.iter().map(|(_, path)| (*path).to_owned()).collect()
        };
        let moved = &paths(&more) & &paths(&fewer);
        let words = |files: &[File]| -> Vec<String> {
            let others = files.iter().filter(|(_, path)| !moved.contains(*path));
            others.map(|(split, path)| named(split, path)).collect()
        };
        let changed = now
            .iter()
            .filter(|(file, what)| before.get(*file).is_some_and(|before| before != *what))
            .map(|((split, path), _)| named(split, path));
        let [more, fewer] = [words(&more), words(&fewer)];
        let moved: Vec<String> = moved.iter().cloned().collect();
        let changed: Vec<String> = changed.collect();
        let mut parts = Vec::new();
        let mut add = |files: &[String], sentence: fn(usize, String) -> String| {
            if !files.is_empty() {
                parts.push(sentence(files.len(), some_of(files)));
            }
        };
        add(&more, |count, files| message!("{count} more: {files}"));
        add(&fewer, |count, files| message!("{count} fewer: {files}"));
        add(&moved, |count, files| {
            message!("{count} of another split: {files}")
        });
        add(&changed, |count, files| {
            message!("{count} of another size or label: {files}")
        });
        if parts.is_empty() {
            message!("the same files in another order")
        } else {
            parts.join("; ")
        }
    }

    fn by_path(&self) -> ByPath<'_> {
        self.entries()
            .map(|entry| ((entry.split, entry.path), (entry.size, entry.label)))
            .collect()
    }
}

/// A file of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// `train`, `val` or `test`; in a cross-validation, by the run's fold.
    pub split: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// Checksum of its label: see [`label_checksum`].
    pub label: &'a str,
    /// Path below the data set's folder.
    pub path: &'a str,
    /// Size, label and path: the line without its split.
    pub description: &'a str,
}

impl<'a> Entry<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (split, description) = line.split_once('\t')?;
        let mut parts = description.splitn(3, '\t');
        Some(Self {
            split,
            size: parts.next()?.parse().ok()?,
            label: parts.next()?,
            path: parts.next()?,
            description,
        })
    }
}

/// Size, label and path of a sample, as in a line of the list.
///
/// # Errors
/// If the file is not there any more.
pub fn described<L: Serialize>(sample: &Sample<L>, folder: &Path) -> Result<String, Error> {
    let Sample { path, label } = sample;
    let stamp = stamp(path).map_err(|error| Error::io("read", path, error))?;
    let (size, label) = (stamp.bytes, label_checksum(label));
    let path = listed(path.strip_prefix(folder).unwrap_or(path));
    Ok(format!("{size}\t{label}\t{path}"))
}

/// The checksum of a label that the list holds.
pub fn label_checksum<L: Serialize>(label: &L) -> String {
    let label = serde_json::to_vec(label).expect("a label is plain data");
    checksum(&label)[..LABEL].to_owned()
}

/// Split and path of a file.
type File<'a> = (&'a str, &'a str);

/// Size and label of each file.
type ByPath<'a> = BTreeMap<File<'a>, (u64, &'a str)>;

/// The files of a list that another lacks.
fn only_in<'a>(of: &ByPath<'a>, than: &ByPath<'a>) -> Vec<File<'a>> {
    let only = of.keys().filter(|file| !than.contains_key(*file));
    only.copied().collect()
}

/// A path as the list has it: with escapes where a line cannot hold it as it is.
pub fn listed(path: &Path) -> Cow<'_, str> {
    match path.to_str() {
        Some(text) if !text.contains(['\n', '\r']) => Cow::Borrowed(text),
        _ => Cow::Owned(shown(path)),
    }
}

/// A file by its path, followed by its split unless the path begins with that.
fn named(split: &str, path: &str) -> String {
    if path.starts_with(split) {
        path.to_owned()
    } else {
        message!("{path} ({split})")
    }
}

/// The first files, and how many more there are.
fn some_of(files: &[String]) -> String {
    let named = files[..files.len().min(NAMED)].join(", ");
    match files.len().saturating_sub(NAMED) {
        0 => named,
        rest => message!("{named} and {rest} others"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn files(lines: &[&str]) -> DataFiles {
        DataFiles(lines.iter().map(|line| format!("{line}\n")).collect())
    }

    #[test]
    fn added_removed_and_changed_files_are_named() {
        let before = files(&[
            "train\t10\taa\ttrain/a.png",
            "train\t11\taa\ttrain/b.png",
            "val\t9\tbb\tc.png",
        ]);
        let now = files(&[
            "train\t10\taa\ttrain/a.png",
            "train\t12\taa\ttrain/d.png",
            "val\t8\tbb\tc.png",
        ]);
        assert_eq!(
            now.difference(&before),
            "1 more: train/d.png; 1 fewer: train/b.png; 1 of another size or label: c.png (val)"
        );
        assert_ne!(now.checksum(), before.checksum());
    }

    #[test]
    fn files_of_another_split_are_neither_more_nor_fewer() {
        let before = files(&["train\t10\taa\ta.png", "train\t11\taa\tb.png"]);
        let now = files(&["val\t10\taa\ta.png", "val\t12\taa\tc.png"]);
        assert_eq!(
            now.difference(&before),
            "1 more: c.png (val); 1 fewer: b.png (train); 1 of another split: a.png"
        );
    }

    #[cfg(unix)]
    #[test]
    fn names_that_no_line_can_hold_stay_apart() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let sample = |name: &[u8]| {
            let path = dir.path().join(OsStr::from_bytes(name));
            fs::write(&path, "12345").unwrap();
            Sample { path, label: 0 }
        };
        let names: [&[u8]; 5] = [
            b"\xff.png",
            b"\xfe.png",
            b"a\nb.png",
            b"a b.png",
            b"a\tb.png",
        ];
        let train: Vec<Sample> = names.iter().map(|name| sample(name)).collect();
        let splits = [train.iter().collect(), Vec::new(), Vec::new()];
        let files = DataFiles::of(splits, dir.path()).unwrap();
        let paths: Vec<&str> = files.entries().map(|entry| entry.path).collect();
        let expected = ["\\xff.png", "\\xfe.png", "a\\nb.png", "a b.png", "a\tb.png"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn of_many_only_some_are_named() {
        let lines: Vec<String> = (0..8)
            .map(|n| format!("train\t1\taa\ttrain/{n}.png"))
            .collect();
        let now = files(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let words = now.difference(&files(&[]));
        assert!(
            words.starts_with("8 more: train/0.png") && words.ends_with("and 3 others"),
            "{words}"
        );
    }
}
