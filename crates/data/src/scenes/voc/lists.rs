//! The lists of a data set's splits: `ImageSets/Main/train.txt` and its like.

use crate::error::DataError;
use crate::folder::has_extension;
use crate::scenes::findings::{Findings, Problem};
use crate::split_kind::SplitKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// Words in names of lists that say nothing of their split.
const FILLERS: [&str; 6] = ["list", "lists", "file", "files", "names", "ids"];

/// Names of lists of everything, without digits and signs.
const WHOLE: [&str; 6] = [
    "trainval",
    "trainvalid",
    "trainvaltest",
    "trainandval",
    "default",
    "all",
];

/// The purpose of a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Split(SplitKind),
    /// All images, or those of training and validation.
    Whole,
    /// The images of one class in a split: VOC has two or three for each class.
    OneClass,
    Unknown,
}

/// The lists that are read.
#[derive(Default)]
pub(super) struct Lists {
    pub train: Option<PathBuf>,
    pub validation: Option<PathBuf>,
    pub test: Option<PathBuf>,
    pub whole: Option<PathBuf>,
    /// The number of files, used or not.
    pub count: usize,
}

impl Lists {
    /// Finds the lists of a data set: in `ImageSets/Main`, `ImageSets`, its own folder or that of the
    /// annotations, whichever has any first. Those that are not used are findings.
    ///
    /// # Errors
    /// If two are for one split, or there are lists in `ImageSets/Main` and none of them is for training.
    pub fn find(root: &Path, findings: &mut Findings) -> Result<Option<Self>, DataError> {
        let sets = subfolder(root, "imagesets");
        let main = sets.as_deref().and_then(|sets| subfolder(sets, "main"));
        if let Some(main) = &main
            && let lists = texts(main)
            && !lists.is_empty()
        {
            return Self::choose(main, lists, findings).map(Some);
        }
        let annotations = subfolder(root, "annotations");
        for folder in [sets, Some(root.to_path_buf()), annotations]
            .into_iter()
            .flatten()
        {
            let lists = texts(&folder);
            if lists.iter().any(|list| is_for_training(list)) {
                return Self::choose(&folder, lists, findings).map(Some);
            }
        }
        Ok(None)
    }

    fn choose(
        folder: &Path,
        lists: Vec<PathBuf>,
        findings: &mut Findings,
    ) -> Result<Self, DataError> {
        let count = lists.len();
        let mut by_role: BTreeMap<Role, Vec<PathBuf>> = BTreeMap::new();
        for list in &lists {
            by_role.entry(role(list)).or_default().push(list.clone());
        }
        let mut take = |role: Role, usual: &str| -> Result<Option<PathBuf>, DataError> {
            let mut of_role = by_role.remove(&role).unwrap_or_default();
            let is_usual = |list: &PathBuf| list.file_stem().is_some_and(|stem| stem == usual);
            let taken = match of_role.iter().position(is_usual) {
                Some(usual) => of_role.remove(usual),
                None => match &of_role[..] {
                    [] => return Ok(None),
                    [_] => of_role.remove(0),
                    [first, second, ..] => {
                        let (first, second) = (shown(first), shown(second));
                        let problem =
                            message!("{first} and {second} are for the same split; keep one");
                        return Err(DataError::Layout {
                            folder: folder.to_path_buf(),
                            problem,
                        });
                    }
                },
            };
            for other in of_role {
                findings.add(Problem::NotUsed, || shown(&other));
            }
            Ok(Some(taken))
        };
        let chosen = Self {
            train: take(Role::Split(SplitKind::Train), "train")?,
            validation: take(Role::Split(SplitKind::Validation), "val")?,
            test: take(Role::Split(SplitKind::Test), "test")?,
            whole: take(Role::Whole, "trainval")?,
            count,
        };
        if chosen.train.is_none() && chosen.whole.is_none() {
            return Err(without_training(folder, &lists));
        }
        let of_classes = by_role.remove(&Role::OneClass).unwrap_or_default();
        if let Some(first) = of_classes.first() {
            findings.add(Problem::NotUsed, || {
                message!(
                    "{} lists of single classes, such as {}",
                    of_classes.len(),
                    shown(first)
                )
            });
        }
        for list in by_role.remove(&Role::Unknown).unwrap_or_default() {
            findings.add(Problem::NotUsed, || shown(&list));
        }
        Ok(chosen)
    }
}

/// A folder directly below another one, with its name in any case; the exact one of VOC first.
fn subfolder(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let folders = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let called = folders.filter(|path| {
        path.file_name()
            .is_some_and(|found| found.to_string_lossy().eq_ignore_ascii_case(name))
    });
    // Capital letters come first.
    called.min()
}

/// The text files directly in a folder, sorted, without that of the classes.
fn texts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_text = |path: &PathBuf| {
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !is_hidden && !path.ends_with("classes.txt") && has_extension(path, "txt")
    };
    let mut texts: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_text).collect();
    texts.sort();
    texts
}

/// Returns whether a list is for training beyond doubt: other text files may be called `all.txt`.
fn is_for_training(list: &Path) -> bool {
    let name = list.file_name().unwrap_or_default().to_string_lossy();
    match role(list) {
        Role::Split(SplitKind::Train) => true,
        Role::Split(SplitKind::Validation | SplitKind::Test) => false,
        Role::Whole => name.to_lowercase().contains("train"),
        Role::OneClass | Role::Unknown => false,
    }
}

fn role(list: &Path) -> Role {
    let stem = list
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    if let Some(role) = role_of(&stem) {
        return role;
    }
    match stem.rsplit_once(['_', '-', ' ']) {
        Some((_, last)) if role_of(last).is_some() => Role::OneClass,
        _ => Role::Unknown,
    }
}

fn role_of(stem: &str) -> Option<Role> {
    let words = stem.split(|letter: char| !letter.is_alphabetic());
    let words: Vec<&str> = words
        .filter(|word| !word.is_empty() && !FILLERS.contains(word))
        .collect();
    let joined = words.concat();
    let joined = joined.strip_prefix("voc").unwrap_or(&joined);
    match SplitKind::of(&words.join(" ")) {
        Some(kind) => Some(Role::Split(kind)),
        None => WHOLE.contains(&joined).then_some(Role::Whole),
    }
}

fn without_training(folder: &Path, lists: &[PathBuf]) -> DataError {
    let names = lists.iter().take(5).filter_map(|list| list.file_name());
    let names: Vec<String> = names.map(|name| shown(Path::new(name))).collect();
    let first = names.join(", ");
    let found = match lists.len() - names.len() {
        0 => first,
        more => message!("{first} and {more} more"),
    };
    DataError::Layout {
        folder: folder.to_path_buf(),
        problem: message!(
            "there is neither train.txt nor trainval.txt, only {found}; add one of them, or remove ImageSets to split by share"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_known_by_their_names() {
        use SplitKind::{Test, Train, Validation};
        for (name, expected) in [
            ("train.txt", Role::Split(Train)),
            ("Train.TXT", Role::Split(Train)),
            ("train_list.txt", Role::Split(Train)),
            ("VOC2007_train.txt", Role::Split(Train)),
            ("valid.txt", Role::Split(Validation)),
            ("dev.txt", Role::Split(Validation)),
            ("验证集.txt", Role::Split(Validation)),
            ("test.txt", Role::Split(Test)),
            ("trainval.txt", Role::Whole),
            ("train_val.txt", Role::Whole),
            ("VOC2012_trainval.txt", Role::Whole),
            ("default.txt", Role::Whole),
            ("aeroplane_train.txt", Role::OneClass),
            ("aeroplane_trainval.txt", Role::OneClass),
            ("dining table_val.txt", Role::OneClass),
            ("classes.txt", Role::Unknown),
            ("labels.txt", Role::Unknown),
        ] {
            assert!(role(Path::new(name)) == expected, "{name}");
        }
    }
}
