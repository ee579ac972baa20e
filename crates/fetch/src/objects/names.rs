//! Names of objects, which somebody else has chosen, as names of files below one folder.

use std::collections::HashSet;
use std::path::{Component, Path};

use warmstart_language::message;

use super::inventory::{INVENTORY, PARTS};

/// Refuses a name that is no name of a file below a folder.
///
/// # Errors
/// If it is absolute, leads upwards or elsewhere, has a control character or an empty part, or is one of our own.
pub fn require_safe(name: &str) -> Result<(), String> {
    let parts = || name.split('/');
    let is_plain = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let is_whole = Path::new(name).components().count() == parts().count();
    let has_empty = parts().any(|part| part.is_empty() || part == ".");
    if name.is_empty() || !is_plain || !is_whole || has_empty {
        return Err(message!(
            "it would lie outside of the copy's folder, or has an empty part"
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(message!("it has a control character"));
    }
    if parts()
        .next()
        .is_some_and(|part| [INVENTORY, PARTS].contains(&part))
    {
        return Err(message!(
            "warmstart keeps a file of its own under this name"
        ));
    }
    Ok(())
}

/// The folders of names, each once.
pub fn folders_of<'a>(names: impl Iterator<Item = &'a str>) -> HashSet<&'a str> {
    let mut folders = HashSet::new();
    for name in names {
        let mut rest = name;
        while let Some((folder, _)) = rest.rsplit_once('/') {
            if !folders.insert(folder) {
                break;
            }
            rest = folder;
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_below_its_folder() {
        for name in [
            "1.jpg",
            "cat/1.jpg",
            "猫/1 (2).jpg",
            "a..b/..c",
            "cat/.hidden",
        ] {
            assert_eq!(require_safe(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../1.jpg",
            "cat/../../1.jpg",
            "..",
            "cat//1.jpg",
            "cat/",
            "./a",
            "a/./b",
            "a\nb",
            "a\u{1b}[31m",
            "a\0b",
            INVENTORY,
        ] {
            assert!(require_safe(name).is_err(), "{name:?}");
        }
        assert!(require_safe(&format!("{PARTS}/1")).is_err());
    }

    #[test]
    fn the_folders_of_names_are_found_once() {
        let folders = folders_of(["a/b/1", "a/c/2", "3"].into_iter());
        assert_eq!(folders, HashSet::from(["a", "a/b", "a/c"]));
    }
}
