//! The classes of a data set by all the lists that lie in it: LabelImg and Roboflow write one into every
//! folder of labels, each in an order of its own.

use super::super::findings::Problem;
use super::super::names::{lists_in, read_names, without_comments};
use super::description::Description;
use super::description_files::is_yaml;
use super::label_files::label_folders;
use crate::error::DataError;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::{english, message, translated};

/// Names of lists that tools write for the labels beside them.
const CERTAIN: [&str; 5] = [
    "classes.txt",
    "obj.names",
    "_darknet.labels",
    "classes.names",
    "class_names.txt",
];

/// The folders that may have a list of classes: the data set's own, `data` in it, and those with labels
/// or above them.
pub(super) fn folders<'a>(
    description: &Description,
    labels: impl Iterator<Item = &'a PathBuf>,
) -> Vec<PathBuf> {
    let root = &description.root;
    let mut above = BTreeSet::new();
    for folder in labels {
        let is_inside = folder.starts_with(root);
        let folders = folder.ancestors();
        let folders = folders.take_while(|folder| is_inside && folder.starts_with(root));
        above.extend(
            folders
                .filter(|folder| *folder != root)
                .map(Path::to_path_buf),
        );
        above.insert(folder.clone());
    }
    let own = label_folders(root).into_iter();
    above.extend(own.filter(|folder| folder.starts_with(root)));
    above.remove(root);
    above.remove(&root.join("data"));
    let own = [root.clone()].into_iter().chain(above);
    own.chain([root.join("data")]).collect()
}

/// The class names of a data set: those of its description, or else of the lists in some folders; none
/// if there are neither. `count` counts the classes that labels have.
///
/// A list that begins with all of another one is the same list, since LabelImg adds a class where it is first
/// used.
///
/// # Errors
/// If a list cannot be read, or two differ. Beside the names in a `data.yaml` that is a finding.
pub(super) fn class_names(
    description: &mut Description,
    folders: &[PathBuf],
    count: impl Fn() -> Result<usize, DataError>,
) -> Result<Option<Vec<String>>, DataError> {
    let all: Vec<PathBuf> = folders.iter().flat_map(|folder| lists_in(folder)).collect();
    let has_text = |list: &&PathBuf| {
        let metadata = std::fs::metadata(list);
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
    };
    let mut lists: Vec<&PathBuf> = all.iter().filter(has_text).collect();
    // Beside a certain list, others are what a tool offers (predefined_classes.txt) or of other data sets
    // (coco.names).
    if description.classes.is_some() || lists.iter().any(|list| is_certain(list)) {
        lists.retain(|list| is_certain(list));
    }
    let findings = &mut description.findings;
    let mut taken = match (description.classes.take(), &description.classes_from) {
        (Some(names), None) => return Ok(Some(names)),
        (Some(names), Some(file)) => (names, file),
        (None, _) => {
            let Some(file) = lists.first().copied().or(all.first()) else {
                return Ok(None);
            };
            (read_names(file, findings)?, file)
        }
    };
    let is_listed = !is_yaml(taken.1);
    let counted = description.class_count;
    if is_listed {
        let count = || counted.map_or_else(&count, Ok);
        taken.0 = without_comments(taken.1, taken.0, count, findings)?;
    }
    for list in lists {
        if same_file(list, taken.1) {
            continue;
        }
        let mut names = match read_names(list, &mut Default::default()) {
            Ok(names) => names,
            Err(_) if !is_listed => continue,
            Err(error) => return Err(error),
        };
        if names.len() != taken.0.len() {
            let count = || Ok(taken.0.len());
            names = without_comments(list, names, count, &mut Default::default())?;
        }
        if taken.0.starts_with(&names) {
            continue;
        }
        if is_listed && names.starts_with(&taken.0) {
            taken = (names, list);
            continue;
        }
        let difference = difference(&taken.0, &names);
        let (first, second) = (shown(taken.1), shown(list));
        if is_listed {
            let problem = message!(
                "{first} and {second} list different classes: {difference}; the numbers in the labels need one list, so give every label the numbers of one of them and remove the other"
            );
            return Err(DataError::Layout {
                folder: description.root.clone(),
                problem,
            });
        }
        findings.add(Problem::OtherClasses, || {
            message!("{second} lists other classes than {first}: {difference}")
        });
    }
    if let Some(count) = counted.filter(|count| *count != taken.0.len()) {
        let names = taken.0.len();
        findings.add(Problem::OtherClasses, || {
            let file = shown(&description.file);
            message!("{file} counts {count} classes and {names} are named")
        });
    }
    Ok(Some(taken.0))
}

/// Returns whether a list has a name that is only given to the classes of a data set's labels.
fn is_certain(list: &Path) -> bool {
    let name = list.file_name().unwrap_or_default();
    CERTAIN
        .iter()
        .any(|certain| name.eq_ignore_ascii_case(certain))
}

fn same_file(one: &Path, other: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().ok();
    one == other || canonical(one).is_some_and(|one| canonical(other) == Some(one))
}

/// The first class that differs, in words.
fn difference(one: &[String], other: &[String]) -> String {
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    let index = differs.unwrap_or(one.len().min(other.len()));
    let name = |names: &[String]| match names.get(index) {
        Some(name) => format!("{name:?}"),
        None => translated(english!("nothing")).into(),
    };
    message!("{index} is {} and {}", name(one), name(other))
}
