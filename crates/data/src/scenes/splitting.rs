//! Splits of the label files of a whole data set.

use crate::error::DataError;
use crate::split_kind::SplitKind;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// Words in the names of label files that say nothing of their split.
const FILLERS: [&str; 18] = [
    "annotation",
    "annotations",
    "annot",
    "annos",
    "anns",
    "label",
    "labels",
    "bbox",
    "bboxes",
    "box",
    "boxes",
    "object",
    "objects",
    "detection",
    "detections",
    "gt",
    "result",
    "export",
];

/// The label files of a data set, one for each of its splits.
pub(super) struct SplitFiles {
    /// Training and perhaps validation and test, in this order.
    pub files: Vec<(SplitKind, PathBuf)>,
    /// Files that are for no split, or for one that another file is more clearly for.
    pub unused: Vec<PathBuf>,
}

/// The clarity with which a file is for a split.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Clarity {
    /// A word of its name is a split's.
    OneWord,
    /// Its name, or else its folder's, is a split's.
    Clear,
    /// It is called `instances_<split>.json`, as COCO's own are.
    Coco,
}

/// Finds the splits of label files by their names and folders. A file of no split that is alone, or beside one
/// for testing, is for training.
///
/// # Errors
/// If two files are as clearly for one split, or none is for training.
pub(super) fn by_split(dir: &Path, files: &[PathBuf]) -> Result<SplitFiles, DataError> {
    let problem = |problem: String| DataError::Layout {
        folder: dir.to_path_buf(),
        problem,
    };
    let known: Vec<_> = files.iter().map(|file| split_of(dir, file)).collect();
    let mut split = SplitFiles {
        files: Vec::new(),
        unused: Vec::new(),
    };
    for kind in [SplitKind::Train, SplitKind::Validation, SplitKind::Test] {
        let of_kind = || {
            files.iter().zip(&known).filter_map(|(file, split)| {
                split
                    .filter(|split| split.0 == kind)
                    .map(|split| (file, split.1))
            })
        };
        let Some(best) = of_kind().map(|(_, clarity)| clarity).max() else {
            continue;
        };
        let mut best_files = of_kind().filter(|(_, clarity)| *clarity == best);
        let first = best_files.next().map(|(file, _)| file.clone());
        if let (Some(first), Some((second, _))) = (&first, best_files.next()) {
            let (first, second) = (shown(first), shown(second));
            return Err(problem(message!(
                "{first} and {second} are for the same split; keep one"
            )));
        }
        split.files.extend(first.map(|file| (kind, file)));
        let rest = of_kind().filter(|(_, clarity)| *clarity != best);
        split.unused.extend(rest.map(|(file, _)| file.clone()));
    }
    let unknown = files
        .iter()
        .zip(&known)
        .filter(|(_, split)| split.is_none());
    let mut unknown: Vec<PathBuf> = unknown.map(|(file, _)| file.clone()).collect();
    let has = |kind| split.files.iter().any(|(found, _)| *found == kind);
    if !has(SplitKind::Train) {
        if has(SplitKind::Validation) || unknown.len() != 1 {
            return Err(problem(no_training(files)));
        }
        split.files.insert(0, (SplitKind::Train, unknown.remove(0)));
    }
    split.unused.append(&mut unknown);
    Ok(split)
}

fn no_training(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().take(5).map(|file| shown(file)).collect();
    let first = names.join(", ");
    let found = match files.len().saturating_sub(5) {
        0 => first,
        more => message!("{first} and {more} more"),
    };
    message!(
        "no file is clearly for training: found {found}; name the splits, such as annotations/instances_train.json and annotations/instances_val.json"
    )
}

/// The split of a file below `dir`; none if its name and folders have none.
fn split_of(dir: &Path, file: &Path) -> Option<(SplitKind, Clarity)> {
    let stem = file.file_stem()?.to_string_lossy().to_lowercase();
    let words = stem.split(|letter: char| !letter.is_alphabetic());
    let words: Vec<&str> = words
        .filter(|word| !word.is_empty() && !FILLERS.contains(word))
        .collect();
    if let Some(kind) = SplitKind::of(&words.join(" ")) {
        let clarity = if stem.starts_with("instances") {
            Clarity::Coco
        } else {
            Clarity::Clear
        };
        return Some((kind, clarity));
    }
    let mut kinds = words.iter().filter_map(|word| SplitKind::of(word));
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => return Some((kind, Clarity::OneWord)),
        // "test-dev" and its like.
        (Some(_), Some(_)) => return None,
        (None, _) => {}
    }
    Some((
        folder_kind(file.strip_prefix(dir).ok()?.parent()?)?,
        Clarity::Clear,
    ))
}

/// The split that the innermost of some folders that is named after one is for.
pub(super) fn folder_kind(below: &Path) -> Option<SplitKind> {
    split_folder(below).map(|(kind, _)| kind)
}

/// The innermost of some folders that is named after a split, with those around it.
pub(super) fn split_folder(below: &Path) -> Option<(SplitKind, PathBuf)> {
    let mut folders = below.ancestors();
    folders.find_map(|folder| {
        let kind = SplitKind::of(folder.file_name()?.to_str()?)?;
        Some((kind, folder.to_path_buf()))
    })
}

/// Refuses two folders of different names for one split, unless one lies in the other: `val` beside
/// `valid`. Folders of one name are parts of one split.
pub(super) fn require_one_folder<'a>(
    dir: &Path,
    folders: impl Iterator<Item = &'a (SplitKind, PathBuf)>,
) -> Result<(), DataError> {
    let folders: BTreeSet<&(SplitKind, PathBuf)> = folders.collect();
    let mut first: Option<&(SplitKind, PathBuf)> = None;
    for folder in folders {
        let Some(known) = first.filter(|known| known.0 == folder.0) else {
            first = Some(folder);
            continue;
        };
        let is_one = folder.1.starts_with(&known.1) || folder.1.file_name() == known.1.file_name();
        if !is_one {
            let adjective = folder.0.adjective();
            let (known, other) = (shown(&dir.join(&known.1)), shown(&dir.join(&folder.1)));
            return Err(DataError::Layout {
                folder: dir.to_path_buf(),
                problem: message!(
                    "there are two {adjective} folders, {known} and {other}; keep one"
                ),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use SplitKind::{Test, Train, Validation};

    fn splits(names: &[&str]) -> Result<(Vec<(SplitKind, String)>, usize), String> {
        let dir = Path::new("d");
        let files: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        let split = by_split(dir, &files).map_err(|error| error.to_string())?;
        let name = |path: &PathBuf| path.strip_prefix(dir).unwrap().display().to_string();
        let files = split.files.iter().map(|(kind, path)| (*kind, name(path)));
        Ok((files.collect(), split.unused.len()))
    }

    #[test]
    fn names_and_folders_give_the_split() {
        for (train, validation) in [
            (
                "annotations/instances_train2017.json",
                "annotations/instances_val2017.json",
            ),
            ("annotations/train.json", "annotations/eval.json"),
            (
                "train/_annotations.coco.json",
                "valid/_annotations.coco.json",
            ),
            (
                "annotations/Training_annotations.json",
                "annotations/annotations_dev.json",
            ),
            ("labels_train.json", "labels_validation.json"),
            ("train/labels/a.json", "val/labels/a.json"),
            ("fruits_train_v2.json", "fruits_val_v2.json"),
        ] {
            let expected = vec![
                (Train, train.to_owned()),
                (Validation, validation.to_owned()),
            ];
            assert_eq!(splits(&[validation, train]), Ok((expected, 0)));
        }
    }

    #[test]
    fn one_file_alone_or_beside_a_test_is_for_training() {
        let name = "annotations/instances_default.json";
        let train = || (Train, name.to_owned());
        assert_eq!(splits(&[name]), Ok((vec![train()], 0)));
        let test = "annotations/test.json";
        let expected = vec![train(), (Test, test.to_owned())];
        assert_eq!(splits(&[test, name]), Ok((expected, 0)));
        for names in [&["a.json", "b.json"][..], &["result.json", "val.json"], &[]] {
            let error = splits(names).unwrap_err();
            assert!(error.contains("no file is clearly for training"), "{error}");
        }
    }

    #[test]
    fn the_clearest_file_for_a_split_is_taken() {
        let names = [
            "instances_train.json",
            "train.json",
            "person_keypoints_train.json",
            "other.json",
        ];
        let expected = vec![(Train, "instances_train.json".to_owned())];
        assert_eq!(splits(&names), Ok((expected, 3)));
        let error = splits(&["instances_train.json", "instances_train2017.json"]).unwrap_err();
        assert!(
            error.ends_with("are for the same split; keep one"),
            "{error}"
        );
    }
}
