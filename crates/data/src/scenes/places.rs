//! Paths that were written on another machine, or for a program with rules of its own.

use super::findings::{Findings, Problem};
use crate::split_kind::SplitKind;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use warmstart_files::{one_line, shown};
use warmstart_language::message;

/// Bytes of the longest path that systems know.
pub(super) const LONGEST: usize = 4096;

/// Most parts of a path's end that is looked for.
const PARTS: usize = 64;

/// The folders that names are relative to, in their order. What lies in them is listed once, to find
/// names that are written in another case.
pub(crate) struct Bases<'a> {
    folders: &'a [PathBuf],
    /// The entries of folders by their names in lower case.
    entries: RefCell<HashMap<PathBuf, HashMap<String, OsString>>>,
}

impl<'a> Bases<'a> {
    /// The folders, of which nothing is listed yet.
    pub fn new(folders: &'a [PathBuf]) -> Self {
        Self {
            folders,
            entries: RefCell::default(),
        }
    }

    /// The file or folder of that path below a folder; in another case if there is none in this one.
    fn below(&self, folder: &Path, path: &str) -> Option<PathBuf> {
        let exact = folder.join(path);
        if exact.exists() {
            return Some(exact);
        }
        let mut found = folder.to_path_buf();
        for part in Path::new(path).components() {
            let Component::Normal(part) = part else {
                return None;
            };
            let mut entries = self.entries.borrow_mut();
            let entries = entries
                .entry(found.clone())
                .or_insert_with(|| listed(&found));
            let exact = found.join(part);
            if exact.exists() {
                found = exact;
            } else {
                found.push(entries.get(&part.to_str()?.to_lowercase())?);
            }
        }
        found.exists().then_some(found)
    }
}

/// The entries of a folder by their names in lower case.
fn listed(folder: &Path) -> HashMap<String, OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    let lower = |name: OsString| Some((name.to_str()?.to_lowercase(), name));
    names.into_iter().filter_map(lower).collect()
}

/// Finds what a data set's own files call `name`, with `/` or `\` between its parts: relative to one of
/// `bases` in their order, or anywhere if it is absolute and there. `place` is the position of the name.
///
/// - `../train/images` is looked up in the base itself first, in any case: exports that are made to be
///   unpacked into a folder of their own write this for the folder beside their `data.yaml`.
/// - A path that leads nowhere is replaced by its longest end below a base. The end keeps the part that
///   names the split, so that `/content/valid/images` is not found in `images`.
pub(crate) fn located(
    bases: &Bases,
    name: &str,
    place: impl Fn() -> String,
    findings: &mut Findings,
) -> Option<PathBuf> {
    if name.len() > LONGEST {
        return None;
    }
    as_written(bases, name, &place, findings).or_else(|| {
        let forward = name.replace('\\', "/");
        let plain = if forward == name {
            None
        } else {
            as_written(bases, &forward, &place, findings)
        };
        plain.or_else(|| by_its_end(bases, &forward, &place, findings))
    })
}

fn as_written(
    bases: &Bases,
    name: &str,
    place: &impl Fn() -> String,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let name = name.trim_start_matches("./");
    let below = below_parents(name);
    for base in bases.folders {
        let outer = base.join(name);
        if below.len() == name.len() || below.is_empty() {
            if outer.exists() {
                return Some(outer);
            }
            continue;
        }
        match (bases.below(base, below), outer.exists()) {
            (Some(inner), true) => {
                findings.add(Problem::TwoPlaces, || {
                    let (inner, outer) = (shown(&inner), shown(&outer));
                    message!("{}: {} is {inner} and {outer}", place(), one_line(name))
                });
                return Some(inner);
            }
            (Some(inner), false) => return Some(inner),
            (None, true) => return Some(outer),
            (None, false) => {}
        }
    }
    let folders = bases.folders.iter();
    folders
        .filter(|_| below.len() == name.len() && !name.is_empty())
        .find_map(|base| bases.below(base, name))
}

/// A path without the `../` that it begins with.
fn below_parents(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("../") {
        name = rest.trim_start_matches('/');
    }
    match name {
        ".." => "",
        _ => name,
    }
}

fn by_its_end(
    bases: &Bases,
    name: &str,
    place: &impl Fn() -> String,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    let is_absolute = Path::new(name).has_root() || parts.first()?.ends_with(':');
    let parts = &parts[parts.len().saturating_sub(PARTS)..];
    // An end keeps the last part that names a split.
    let split = parts.iter().rposition(|part| SplitKind::of(part).is_some());
    let last = split.unwrap_or(parts.len() - 1);
    let found = (0..=last).find_map(|start| {
        let end = parts[start..].join("/");
        let mut folders = bases.folders.iter();
        folders.find_map(|base| bases.below(base, &end))
    })?;
    if is_absolute {
        findings.add(Problem::ForeignName, || {
            message!("{}: {} is {}", place(), one_line(name), shown(&found))
        });
    }
    Some(found)
}

/// The folder of a file; the working directory's for a file that is named alone.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder.components().next().is_some() => folder.to_path_buf(),
        _ => Component::CurDir.as_os_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir_with(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    fn find(dir: &Path, name: &str) -> (Option<String>, Vec<Problem>) {
        let mut findings = Findings::default();
        let bases = [dir.to_path_buf()];
        let found = located(&Bases::new(&bases), name, String::new, &mut findings);
        let found = found.map(|path| {
            let path = path.canonicalize().unwrap();
            let below = path.strip_prefix(dir.canonicalize().unwrap()).unwrap();
            below.display().to_string()
        });
        (found, findings.iter().map(|(problem, _)| problem).collect())
    }

    #[test]
    fn paths_of_other_machines_are_found_by_their_end() {
        let dir = dir_with(&["images/train/a.jpg", "train.txt"]);
        for name in [
            "/home/me/fruit/images/train/a.jpg",
            "C:\\fruit\\images\\train\\a.jpg",
            "\\\\server\\share\\images\\train\\a.jpg",
        ] {
            let expected = (
                Some("images/train/a.jpg".into()),
                vec![Problem::ForeignName],
            );
            assert_eq!(find(dir.path(), name), expected, "{name}");
        }
        for name in [
            "data/train.txt",
            "./data/train.txt",
            ".\\train.txt",
            "../train.txt",
        ] {
            let expected = (Some("train.txt".into()), vec![]);
            assert_eq!(find(dir.path(), name), expected, "{name}");
        }
    }

    #[test]
    fn an_end_without_the_split_is_not_the_split() {
        let dir = dir_with(&["images/a.jpg"]);
        for name in ["/x/valid/images", "../valid/images", "valid\\images"] {
            assert_eq!(find(dir.path(), name), (None, vec![]), "{name}");
        }
        let expected = (Some("images".into()), vec![Problem::ForeignName]);
        assert_eq!(find(dir.path(), "/x/fruit/images"), expected);
    }
}
