//! Label files that may be of a whole data set, where tools put them.

use super::json_kind::JsonKind;
use crate::folder::has_extension;
use crate::folder_names::{is_labels, is_pictures};
use crate::split_kind::SplitKind;
use std::path::{Path, PathBuf};

/// Other folders in which tools put their labels or images.
const OF_TOOLS: [&str; 5] = ["data", "raw", "coco", "default", "labelme"];

/// The depth to which folders of such names may lie in each other: `images/train/labels/`.
const MAX_DEPTH: usize = 3;

/// Label files in a data set's folder and in the folders of labels, images and splits below it, sorted.
/// Folders of other names, such as those of classes, are not searched.
#[derive(Default)]
pub(super) struct LabelListing {
    /// JSON files with their kind, none for those of no known kind.
    pub json: Vec<(PathBuf, Option<JsonKind>)>,
    /// XML, CSV and the like.
    pub others: Vec<PathBuf>,
}

impl LabelListing {
    /// Finds the label files of a data set; none if `dir` is not a folder.
    pub fn of(dir: &Path) -> Self {
        let mut found = Self::default();
        found.search(dir, 0);
        found.json.sort_by(|a, b| a.0.cmp(&b.0));
        found.others.sort();
        found
    }

    /// The JSON files of a kind.
    pub fn of_kind(&self, kind: JsonKind) -> impl Iterator<Item = &PathBuf> {
        let wanted = self
            .json
            .iter()
            .filter(move |(_, found)| *found == Some(kind));
        wanted.map(|(path, _)| path)
    }

    fn search(&mut self, dir: &Path, depth: usize) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
            match extension {
                "json" if !path.is_dir() => {
                    let kind = JsonKind::of(&path);
                    self.json.push((path, kind));
                }
                "xml" | "csv" | "tfrecord" | "tfrecords" | "record" | "ndjson" | "jsonl" => {
                    self.others.push(path);
                }
                "txt" if ["_annotations.txt", "gt.txt"].contains(&&name[..]) => {
                    self.others.push(path)
                }
                _ if ["labeltxt", "label_2"].contains(&&name[..]) => {
                    let inside = std::fs::read_dir(&path).into_iter().flatten().flatten();
                    let texts = inside.map(|entry| entry.path());
                    self.others
                        .extend(texts.filter(|path| has_extension(path, "txt")).min());
                }
                _ if depth < MAX_DEPTH && (is_known(&name) || name == "gt") && path.is_dir() => {
                    self.search(&path, depth + 1);
                }
                _ => {}
            }
        }
    }
}

/// Returns whether a folder of that name, in small letters, has labels or images of whatever class.
pub(super) fn is_known(name: &str) -> bool {
    is_pictures(name)
        || is_labels(name)
        || OF_TOOLS.contains(&name)
        || SplitKind::of(name).is_some()
}
