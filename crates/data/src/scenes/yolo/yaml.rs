//! The data set that a `data.yaml` describes.

use super::super::findings::Problem;
use super::super::names::{numbered, read_names};
use super::super::places::{Bases, LONGEST, located};
use super::data_yaml::{DataYaml, EXPECTED_NAMES, Names, Paths, read_data_yaml};
use super::description::Description;
use super::lists::{beginning, is_list};
use crate::error::DataError;
use crate::folder;
use crate::split_kind::SplitKind;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::{message, translated};

/// Reads a `data.yaml` and finds what it names.
///
/// Splits are relative to `path`, which is relative to the folder of the file. Where there is no such
/// folder or the split is not in it (it is written for the place that the data was made in), they are
/// relative to the folder of the file.
///
/// # Errors
/// If it cannot be read, is not of its form, names a training or validation split that is not there, or
/// has two keys for one split.
pub(super) fn describe(file: &Path) -> Result<Description, DataError> {
    let mut description = Description::beside(file);
    let data = read_data_yaml(file, &mut description.findings)?;
    if let Some(root) = root(&description.root, data.path.as_deref()) {
        description.bases.insert(0, root.clone());
        description.root = root;
    }
    description.keypoints = data.keypoints;
    add_classes(&mut description, file, &data)?;
    for (kind, paths) in &data.splits {
        add_split(&mut description, file, *kind, paths)?;
    }
    let mut seen = HashSet::new();
    for paths in &data.others {
        note_pictures(&mut description, file, paths, &mut seen);
    }
    Ok(description)
}

/// The folder that `path` names, if it is there: as it is written, with `\` for `/`, or by its end.
fn root(beside: &Path, path: Option<&str>) -> Option<PathBuf> {
    let path = path.filter(|path| path.len() <= LONGEST)?;
    let forward = path.replace('\\', "/");
    let ends = forward.match_indices('/').map(|(at, _)| &forward[at + 1..]);
    let ends = ends.filter(|end| !end.split('/').all(|part| matches!(part, "" | "." | "..")));
    let places = [path, &forward].into_iter().chain(ends);
    let mut places = places.map(|place| beside.join(place));
    places.find(|place| place.is_dir())
}

fn add_split(
    description: &mut Description,
    file: &Path,
    kind: SplitKind,
    Paths { key, line, paths }: &Paths,
) -> Result<(), DataError> {
    let bases = Bases::new(&description.bases);
    let mut places = Vec::new();
    for path in paths {
        let place = || message!("{}, line {line}", shown(file));
        let found = located(&bases, path, place, &mut description.findings);
        match (found, kind) {
            (Some(found), _) => places.push(found),
            // A data.yaml that always names a test folder is common, and training can do without.
            (None, SplitKind::Test) => {
                let example = || format!("{}, {key}: {}", shown(file), beginning(path));
                description.findings.add(Problem::MissingSplit, example);
                return Ok(());
            }
            (None, SplitKind::Train | SplitKind::Validation) => {
                let (path, root) = (beginning(path), shown(&description.root));
                let problem =
                    message!("{key}: there is no {path} in {root}; fix the path or path: above it");
                return Err(DataError::annotations(file, *line, problem));
            }
        }
    }
    let split = match kind {
        SplitKind::Train => &mut description.train,
        SplitKind::Validation => &mut description.validation,
        SplitKind::Test => &mut description.test,
    };
    if !split.is_empty() && !places.is_empty() && *split != places {
        let problem = message!(
            "{key}: another key above it names other images for the same split; keep one of the two"
        );
        return Err(DataError::annotations(file, *line, problem));
    }
    if !places.is_empty() {
        *split = places;
    }
    Ok(())
}

/// Notes a key of an unknown name that names a folder or a list of images.
/// Those in `seen` were looked at before.
fn note_pictures(
    description: &mut Description,
    file: &Path,
    Paths { key, line, paths }: &Paths,
    seen: &mut HashSet<PathBuf>,
) {
    for path in paths.iter().filter(|path| path.len() <= LONGEST) {
        let places = description.bases.iter().map(|base| base.join(path));
        let mut is_new = |place: &PathBuf| {
            let canonical = place.canonicalize();
            canonical.is_ok_and(|canonical| seen.insert(canonical))
        };
        let has_pictures = places.filter(|place| is_new(place)).any(|place| {
            let holds_data = description
                .bases
                .iter()
                .any(|base| base.starts_with(&place));
            if place.is_dir() {
                !holds_data && folder::images(&place).is_ok_and(|i| !i.paths.is_empty())
            } else {
                is_list(&place)
            }
        });
        if has_pictures {
            let example = || message!("{}, line {line}: {key}: {path}", shown(file));
            description.findings.add(Problem::NotUsed, example);
        }
    }
}

fn add_classes(
    description: &mut Description,
    file: &Path,
    data: &DataYaml,
) -> Result<(), DataError> {
    description.class_count = data.count;
    description.classes = match &data.names {
        Names::Listed(names) => {
            description.classes_from = Some(file.to_path_buf());
            Some(names.clone())
        }
        Names::Counted(count) => {
            let example = || format!("{}, nc: {count}", shown(file));
            description.findings.add(Problem::UnnamedClasses, example);
            Some(numbered(*count))
        }
        Names::Text(text, line) => {
            let place = || message!("{}, line {line}", shown(file));
            let bases = Bases::new(&description.bases);
            let list = located(&bases, text, place, &mut description.findings);
            let Some(list) = list.filter(|list| list.is_file()) else {
                let (expected, text) = (translated(EXPECTED_NAMES), beginning(text));
                let problem = message!(
                    "expected {expected}, or the path of a file with a name in every line; found the text {text:?}, and there is no such file here"
                );
                return Err(DataError::annotations(file, *line, problem));
            };
            let names = read_names(&list, &mut description.findings)?;
            description.classes_from = Some(list);
            Some(names)
        }
        Names::None => None,
    };
    Ok(())
}
