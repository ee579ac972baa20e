//! Paths that were written on another machine, or for a program with rules of its own.

use super::super::findings::{Findings, Problem};
use crate::split_kind::SplitKind;
use std::path::{Component, Path, PathBuf};
use warmstart_files::{one_line, shown};

/// Finds what a data set's own files call `name`, with `/` or `\` between its parts: relative to one of
/// `bases` in their order, or anywhere if it is absolute and there. `place` says where the name stands.
///
/// - `../train/images` is first what lies in the base itself: exports that are made to be unpacked into
///   a folder of their own write this for the folder beside their `data.yaml`.
/// - Of a path that is nowhere the longest end is taken that is below a base. It keeps the part that
///   says which split it is, so that `/content/valid/images` is not found in `images`.
pub(super) fn located(
    bases: &[PathBuf],
    name: &str,
    place: impl Fn() -> String,
    findings: &mut Findings,
) -> Option<PathBuf> {
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
    bases: &[PathBuf],
    name: &str,
    place: &impl Fn() -> String,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let name = name.trim_start_matches("./");
    let below = below_parents(name);
    for base in bases {
        let outer = base.join(name);
        if below.len() == name.len() || below.is_empty() {
            if outer.exists() {
                return Some(outer);
            }
            continue;
        }
        let inner = base.join(below);
        match (inner.exists(), outer.exists()) {
            (true, true) => {
                findings.add(Problem::TwoPlaces, || {
                    let (inner, outer) = (shown(&inner), shown(&outer));
                    format!("{}: {} is {inner} and {outer}", place(), one_line(name))
                });
                return Some(inner);
            }
            (true, false) => return Some(inner),
            (false, true) => return Some(outer),
            (false, false) => {}
        }
    }
    None
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
    bases: &[PathBuf],
    name: &str,
    place: &impl Fn() -> String,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    let names_split = |parts: &[&str]| parts.iter().any(|part| SplitKind::of(part).is_some());
    let keeps_split = |end: &[&str]| names_split(end) || !names_split(&parts);
    let is_absolute = Path::new(name).has_root() || parts.first()?.ends_with(':');
    let ends = (0..parts.len()).map(|start| &parts[start..]);
    let ends = ends.filter(|end| keeps_split(end));
    let found = ends
        .flat_map(|end| bases.iter().map(move |base| base.join(end.join("/"))))
        .find(|path| path.exists())?;
    if is_absolute {
        findings.add(Problem::ForeignName, || {
            format!("{}: {} is {}", place(), one_line(name), shown(&found))
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
        let found = located(&[dir.to_path_buf()], name, String::new, &mut findings);
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
