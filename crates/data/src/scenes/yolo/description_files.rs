//! The files that may describe a data set, by their names and contents.

use super::super::findings::Findings;
use super::darknet;
use super::data_yaml::read_data_yaml;
use super::text_files::start_of;
use crate::split_kind::SplitKind;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// Bytes of a file that may be the description of a data set: many thousands of class names.
pub(super) const MOST_BYTES: u64 = 16 << 20;

/// Returns whether a path is a link to nothing, or to itself.
pub(super) fn leads_nowhere(path: &Path) -> bool {
    path.is_symlink() && std::fs::metadata(path).is_err()
}

/// The files in a folder that look like descriptions and cannot be used, with the reason; sorted.
pub(super) fn unusable(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| is_yaml(file) || extension(file).as_deref() == Some("data"));
    files.sort();
    let reason = |file: PathBuf| -> Option<String> {
        if leads_nowhere(&file) {
            return Some(message!("{}: its link leads nowhere", shown(&file)));
        }
        let (text, _) = start_of(&file);
        let is_key = |line: &str| {
            let key = line.split([':', '=']).next().unwrap_or_default().trim();
            matches!(key, "names" | "nc") || SplitKind::of(key).is_some()
        };
        if !text.lines().any(is_key) {
            return None;
        }
        let error = if is_yaml(&file) {
            read_data_yaml(&file, &mut Findings::default()).err()
        } else {
            darknet::read(&file).err()
        };
        Some(error?.to_string())
    };
    files.into_iter().filter_map(reason).collect()
}

/// Returns whether a file of any name is a description that can be used.
pub(super) fn describes(file: &Path) -> bool {
    let is_plain = || {
        let metadata = std::fs::metadata(file);
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MOST_BYTES)
    };
    match extension(file).as_deref() {
        Some("yaml" | "yml") => {
            is_plain() && read_data_yaml(file, &mut Findings::default()).is_ok()
        }
        Some("data") => is_plain() && darknet::read(file).is_ok(),
        Some(_) | None => false,
    }
}

/// Returns whether a file has the extension of a `data.yaml`.
pub(super) fn is_yaml(file: &Path) -> bool {
    matches!(extension(file).as_deref(), Some("yaml" | "yml"))
}

/// The extension of a file in lower case.
pub(super) fn extension(file: &Path) -> Option<String> {
    Some(file.extension()?.to_str()?.to_ascii_lowercase())
}
