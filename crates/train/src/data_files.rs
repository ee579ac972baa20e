//! Which files a run learns from: a list that says when they are others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use warmstart_data::{Dataset, Sample, data_folder};

use crate::Error;
use crate::checkpoint::checksum;

/// Files that are named one by one.
const NAMED: usize = 5;
/// Characters of a label's checksum.
const LABEL: usize = 16;

/// The files of a data set, their sizes and labels.
///
/// A text of one line a file, in the order of the data set: `split`, size in bytes, a checksum of the
/// label, and the path below the data set's folder, between tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFiles(String);

impl DataFiles {
    /// The files of a data set that a folder or a file in it names.
    ///
    /// # Errors
    /// If one is not there any more.
    pub fn of<L: Serialize>(data: &Dataset<L>, folder: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        let folder = data_folder(folder);
        let mut add = |split: &str, samples: &[Sample<L>]| -> Result<(), Error> {
            for Sample { path, label } in samples {
                let metadata = fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
                let label = serde_json::to_vec(label).expect("a label is plain data");
                let path = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
                text += &format!(
                    "{split}\t{}\t{}\t{}\n",
                    metadata.len(),
                    &checksum(&label)[..LABEL],
                    path.replace('\n', " ")
                );
            }
            Ok(())
        };
        add("train", &data.train)?;
        add("val", &data.validation)?;
        add("test", data.test.as_deref().unwrap_or_default())?;
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

    /// How these files differ from those of before, in words.
    pub fn difference(&self, before: &Self) -> String {
        let [before, now] = [before, self].map(Self::by_path);
        let others = |of: &ByPath, than: &ByPath| -> Vec<String> {
            let missing = of.keys().filter(|file| !than.contains_key(file));
            missing.map(|(split, path)| named(split, path)).collect()
        };
        let changed = now
            .iter()
            .filter(|(file, what)| before.get(*file).is_some_and(|before| before != *what));
        let changed = changed
            .map(|((split, path), _)| named(split, path))
            .collect();
        let parts = [
            ("more", others(&now, &before)),
            ("fewer", others(&before, &now)),
            ("of another size or label", changed),
        ];
        let parts = parts.iter().filter(|(_, files)| !files.is_empty());
        let parts: Vec<String> = parts.map(|(how, files)| some_of(how, files)).collect();
        match parts.is_empty() {
            true => "the same files in another order".into(),
            false => parts.join("; "),
        }
    }

    fn by_path(&self) -> ByPath<'_> {
        let file = |line: &'_ str| -> Option<_> {
            let mut tabs = line.match_indices('\t').map(|(index, _)| index);
            Some((tabs.next()?, tabs.nth(1)?))
        };
        let lines = self.0.lines().filter_map(|line| {
            let (split, what) = file(line)?;
            Some(((&line[..split], &line[what + 1..]), &line[split + 1..what]))
        });
        lines.collect()
    }
}

/// Size and label by split and path.
type ByPath<'a> = BTreeMap<(&'a str, &'a str), &'a str>;

/// A file by its path, or by its split and path where the path does not begin with that.
fn named(split: &str, path: &str) -> String {
    match path.starts_with(split) {
        true => path.to_owned(),
        false => format!("{path} ({split})"),
    }
}

fn some_of(how: &str, files: &[String]) -> String {
    let named = files[..files.len().min(NAMED)].join(", ");
    let rest = files.len().saturating_sub(NAMED);
    match rest {
        0 => format!("{} {how}: {named}", files.len()),
        _ => format!("{} {how}: {named} and {rest} others", files.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(lines: &[&str]) -> DataFiles {
        DataFiles(lines.iter().map(|line| format!("{line}\n")).collect())
    }

    #[test]
    fn what_came_went_and_changed_is_named() {
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
